"""The jobs, and their tables."""

import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
from datetime import date

import make_verify as making
from contenders import Job, Missing, chosen
from lab import Lab

MIB = 1 << 20
ZEROES = bytes(MIB)
SMALL_FILE = 200 << 10
# A transfer that takes longer has failed.
PATIENCE_S = 120
# The four sources of the job `sources`, in Mbit/s; the second goes silent after so many seconds.
SOURCES_MBIT = [25, 25, 25, 1]
SILENT, SILENT_AT_S = 1, 6.0


def run(args):
    remove_abandoned(args.dir)
    args.dir /= f"sta-bench-{os.getpid()}"
    args.dir.mkdir()
    try:
        with open(args.log, "w", buffering=1) as args.log_file:
            known = {"one-hop": one_hop, "swarm": swarm, "racks": racks, "sources": sources, "make-verify": make_verify}
            known[args.job](args)
    finally:
        shutil.rmtree(args.dir)


def remove_abandoned(folder):
    """Takes away the content of runs that were killed."""
    for path in folder.glob("sta-bench-*"):
        if not os.path.exists(f"/proc/{path.name.rpartition('-')[2]}"):
            shutil.rmtree(path)


def content(args, mib, files=False):
    """What is distributed: bytes that repeat nowhere."""
    root = args.dir / "source"
    path = root / (f"many-{mib}" if files else f"one-{mib}")
    numbers = random.Random(mib)
    if files:
        for number in range(mib * MIB // SMALL_FILE):
            folder = path / f"{number % 100:02}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / str(number)).write_bytes(numbers.randbytes(SMALL_FILE))
    else:
        root.mkdir(parents=True)
        with open(path, "wb") as file:
            for _ in range(mib):
                file.write(numbers.randbytes(MIB))
    return path


def transfer(args, job, contender, sources, receivers, limit=None, silent=None):
    """One distribution. `limit(lab)` sets the rates; `silent` is (source, seconds).

    Hosts are the sources, the receivers, and the tracker unless there are only two hosts in all.
    """
    apart = sources + receivers > 2
    with Lab(sources + receivers + apart, args.log_file) as lab:
        if limit:
            limit(lab)
        tracker = lab.hosts[-1] if apart else lab.hosts[0]
        contender.describe(job, tracker.address)
        contender.start_tracker(tracker)
        source_hosts = lab.hosts[:sources]
        serving = [contender.serve(job, host, job.content.parent) for host in source_hosts]
        before = [process.cpu() for process in serving]
        sent_before = source_hosts[0].sent() if limit else 0
        targets = empty_targets(args, receivers)
        if not limit:
            warm(args.dir / "warm", size(job.content) * 5 // 4)
        begun = time.monotonic()
        hosts = lab.hosts[sources : sources + receivers]
        fetching = [contender.fetch(job, *one, source_hosts[0]) for one in zip(hosts, targets)]
        if silent:
            number, after = silent
            time.sleep(max(0, begun + after - time.monotonic()))
            source_hosts[number].cut()
        times = [process.wait_for(contender.COMPLETE, PATIENCE_S) - begun for process in fetching]
        figures = {
            "contender": contender.name,
            "last": max(times),
            "mean": statistics.mean(times),
            "send cpu": sum(process.cpu() for process in serving) - sum(before),
            "receive cpu": sum(process.cpu() for process in fetching),
            "send anon": max(process.peak_anon for process in serving),
            "receive anon": max(process.peak_anon for process in fetching),
            "copies": (source_hosts[0].sent() - sent_before) / size(job.content) if limit else 0,
        }
    for target in targets:
        subprocess.run(["diff", "-rq", job.content, target / job.content.name], check=True)
    return figures


def size(path):
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def warm(path, count):
    """Touches memory and gives it back: free memory of a virtual machine goes back to its host after a while, and who touches
    it first pays several times what a transfer costs."""
    with open(path, "wb", buffering=0) as file:
        for _ in range(count // MIB):
            file.write(ZEROES)
    path.unlink()


def empty_targets(args, count):
    shutil.rmtree(args.dir / "targets", ignore_errors=True)
    targets = [args.dir / "targets" / str(number) for number in range(count)]
    for target in targets:
        target.mkdir(parents=True)
    return targets


def rounds(args, default, one, warm_up=False):
    """Every contender's figures, round by round; one that is not installed or fails is named and left out."""
    field = chosen(args.only, default)
    rows = json.loads(args.record.read_text()) if args.record and args.record.exists() else []
    first = 1 + max((row["round"] for row in rows), default=-1)
    for number in range(first - warm_up, first + args.rounds):
        for contender in list(field):
            try:
                figures = one(contender)
            except (Missing, RuntimeError, subprocess.CalledProcessError) as why:
                print(f"{contender.name} is left out: {why}", file=sys.stderr)
                field.remove(contender)
                continue
            print(f"round {number}: {contender.name}: {figures['last']:.2f} s", file=sys.stderr)
            if number >= first:
                rows.append({"round": number, **figures})
            if args.record:
                args.record.write_text(json.dumps(rows))
    shutil.rmtree(args.dir / "targets", ignore_errors=True)
    return rows


def cpu(row):
    """Processor seconds of both sides of a transfer."""
    return row["send cpu"] + row["receive cpu"]


def one_hop(args):
    mib = args.mib or 2048
    job = Job(content(args, mib, args.files), MIB, args.dir, "bulk")
    default = ["tcpcopy", "sta", "sta sha1", "libtorrent", "libtorrent debian", "aria2", "rqbit"]

    def one(contender):
        figures = transfer(args, job, contender, 1, 1)
        if contender.hash_name and not args.files:
            _, figures["hash cpu"] = making.timed(making.hash_alone(contender.hash_name, job.content))
        return figures

    rows = rounds(args, default, one, warm_up=True)
    copies = {row["round"]: row for row in rows if row["contender"] == "tcpcopy"}

    def over_copy(row):
        return row["last"] / copies[row["round"]]["last"] if row["round"] in copies else None

    def over_copy_and_hash(row):
        if row["round"] not in copies or "hash cpu" not in row:
            return None
        return cpu(row) / (cpu(copies[row["round"]]) + row["hash cpu"])

    columns = {
        "s": lambda row: row["last"],
        "MiB/s": lambda row: mib / row["last"],
        "/ tcpcopy": over_copy,
        "sender CPU s": lambda row: row["send cpu"],
        "receiver CPU s": lambda row: row["receive cpu"],
        "CPU / (tcpcopy + hash)": over_copy_and_hash,
        "sender anonymous MiB": lambda row: row["send anon"] / MIB,
        "receiver anonymous MiB": lambda row: row["receive anon"] / MIB,
    }
    what = "files of 200 KiB" if args.files else "one file"
    table(f"{mib} MiB, {what}, pieces of 1 MiB, no limit", rows, columns)


def swarm(args):
    mib, count = args.mib or 128, args.receivers
    job = Job(content(args, mib), 256 << 10, args.dir, "default")
    bound = mib * MIB * 8 / (args.mbit * 1e6) * max(1, count / (1 + count))

    def limit(lab):
        for host in lab.hosts[: 1 + count]:
            host.limit(args.mbit, args.mbit)

    default = ["sta", "aria2", "libtorrent debian", "libtorrent", "rqbit", "transmission"]
    rows = rounds(args, default, lambda contender: transfer(args, job, contender, 1, count, limit))
    columns = {
        "last s": lambda row: row["last"],
        "mean s": lambda row: row["mean"],
        "last / bound": lambda row: row["last"] / bound,
        "copies sent by the source": lambda row: row["copies"],
        "CPU s of all": cpu,
        "anonymous MiB, largest receiver": lambda row: row["receive anon"] / MIB,
    }
    links = f"every link {args.mbit:g} Mbit/s both ways, queue of 20 ms"
    table(f"{mib} MiB, pieces of 256 KiB, 1 source, {count} receivers, {links}; bound {bound:.2f} s", rows, columns)


def racks(args):
    mib, count = args.mib or 32, args.racks * args.receivers
    job = Job(content(args, mib), 256 << 10, args.dir, "default")
    bound = mib * MIB * 8 / (min(args.mbit, args.uplink) * 1e6) * max(1, count / (1 + count))

    def limit(lab):
        for host in lab.hosts[: 1 + count]:
            host.limit(args.mbit, args.mbit)
        for number in range(args.racks):
            there = lab.hosts[1 : 1 + count][number :: args.racks]
            # The source stands in the first, the tracker in none.
            lab.put_in_rack(f"r{number}", there + lab.hosts[: number == 0], args.uplink)

    rows = rounds(args, ["sta", "sta told"], lambda contender: transfer(args, job, contender, 1, count, limit))
    columns = {
        "last s": lambda row: row["last"],
        "mean s": lambda row: row["mean"],
        "last / bound": lambda row: row["last"] / bound,
        "CPU s of all": cpu,
    }
    links = f"every link {args.mbit:g} Mbit/s both ways, that of a rack {args.uplink:g}"
    table(f"{mib} MiB, 1 source, {args.racks} racks of {args.receivers} receivers, {links}; bound {bound:.2f} s", rows, columns)


def sources(args):
    mib = args.mib or 128
    job = Job(content(args, mib), 256 << 10, args.dir, "default")
    left = mib * MIB * 8 / 1e6 - sum(SOURCES_MBIT) * SILENT_AT_S
    bound = SILENT_AT_S + left / (sum(SOURCES_MBIT) - SOURCES_MBIT[SILENT])

    def limit(lab):
        for host, rate in zip(lab.hosts, SOURCES_MBIT):
            host.limit(rate, rate)

    def one(contender):
        return transfer(args, job, contender, len(SOURCES_MBIT), 1, limit, (SILENT, SILENT_AT_S))

    default = ["sta", "aria2", "libtorrent debian", "libtorrent", "rqbit", "transmission"]
    columns = {"s": lambda row: row["last"], "/ bound": lambda row: row["last"] / bound}
    rates = ", ".join(f"{rate:g}" for rate in SOURCES_MBIT)
    title = f"{mib} MiB, sources of {rates} Mbit/s, number {SILENT + 1} silent from {SILENT_AT_S:g} s on; bound {bound:.2f} s"
    table(title, rounds(args, default, one), columns)


def make_verify(args):
    mib = args.mib or 2048
    columns = {
        "s": lambda row: row["last"],
        "/ its hashes alone": lambda row: row.get("ratio"),
        "CPU s": lambda row: row["cpu"],
    }
    table(f"{mib} MiB, one file, pieces of 1 MiB", making.measure(args, content(args, mib)), columns)


def machine():
    with open("/proc/cpuinfo") as cpus:
        models = [line.partition(":")[2].strip() for line in cpus if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{len(models)} cores of {models[0]}, {memory} GiB, Linux {platform.release()}"


def table(title, rows, columns):
    """Medians, with the least and the most where they differ."""

    def cell(values):
        values = [value for value in values if value is not None]
        if not values:
            return ""
        low, mid, high = min(values), statistics.median(values), max(values)
        digits = 0 if mid >= 100 else 1 if mid >= 20 else 2
        texts = [f"{value:.{digits}f}" for value in (low, mid, high)]
        return texts[1] if texts[0] == texts[2] else f"{texts[1]} [{texts[0]}..{texts[2]}]"

    count = len({row["round"] for row in rows})
    print(f"{title}.\n")
    print(f"Machine: {machine()}. Date: {date.today()}. Medians of {count} rounds [least..most].")
    print(f"Command: `{' '.join(['bench/run', *sys.argv[1:]])}`\n")
    print("| " + " | ".join(["contender", *columns]) + " |")
    print("|" + " --- |" * (1 + len(columns)))
    for name in dict.fromkeys(row["contender"] for row in rows):
        own = [row for row in rows if row["contender"] == name]
        print("| " + " | ".join([name, *(cell([of(row) for row in own]) for of in columns.values())]) + " |")
