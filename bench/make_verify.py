"""The job `make-verify`: making and verifying a torrent, against the hashes alone over all cores. No network."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from contenders import CLIENTS, Missing, Sta, program

MIB = 1 << 20


def contenders(content, work):
    """Name and command, in the order of the table; a missing program is an error that says so."""
    ours, plain = work / "ours.torrent", work / "plain.torrent"
    cores = str(os.cpu_count())
    node = Sta.bin("sta-node")
    verify = [node, "verify", "--data", content.parent]
    return {
        "SHA-1 alone, all cores": hash_alone("SHA-1", content),
        "BLAKE3 alone, all cores": hash_alone("BLAKE3", content),
        "sta-node maketorrent (SHA-1 and BLAKE3)": [node, "maketorrent", content, "-o", ours, "--piece-size", "1 MiB"],
        "mktorrent (SHA-1)": [program("mktorrent"), "-t", cores, "-l", "20", "-a", "http://none.invalid/", "-o", plain, content],
        "sta-node verify (BLAKE3)": [*verify, ours],
        "sta-node verify (SHA-1)": [*verify, plain],
    }


def hash_alone(name, content):
    """The command that reads a file and hashes it, over all cores."""
    cores = str(os.cpu_count())
    if name == "BLAKE3":
        return [program("b3sum"), "--num-threads", cores, content]
    return ["/usr/bin/python3", "-IS", CLIENTS / "hashes.py", cores, content, "sha1"]


def limits(seconds):
    """What each is compared with: the hashes that it needs, alone."""
    sha1, blake3 = seconds["SHA-1 alone, all cores"], seconds["BLAKE3 alone, all cores"]
    return {
        "sta-node maketorrent (SHA-1 and BLAKE3)": sha1 + blake3,
        "mktorrent (SHA-1)": sha1,
        "sta-node verify (BLAKE3)": blake3,
        "sta-node verify (SHA-1)": sha1,
    }


def measure(args, content):
    """Rows of all rounds, the first of which is not counted."""
    rows = []
    with tempfile.TemporaryDirectory(dir=args.dir) as work:
        everyone = contenders(content, Path(work))
        for number in range(-1, args.rounds):
            seconds, own = {}, []
            for name, command in everyone.items():
                if name.startswith("mktorrent"):
                    (Path(work) / "plain.torrent").unlink(missing_ok=True)
                seconds[name], cpu = timed(command)
                own.append({"round": number, "contender": name, "last": seconds[name], "cpu": cpu})
            least = limits(seconds)
            for row in own:
                if row["contender"] in least:
                    row["ratio"] = row["last"] / least[row["contender"]]
            rows += own if number >= 0 else []
    return rows


def timed(command):
    """Seconds of the clock and of the processors."""
    before, began = os.times(), time.monotonic()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    took, after = time.monotonic() - began, os.times()
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return took, after.children_user + after.children_system - before.children_user - before.children_system
