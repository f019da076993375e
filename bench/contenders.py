"""The programs that are compared: how each describes, serves and fetches.

All take the same job: `describe` once, then `serve` on a source (it returns once it can be fetched from) and `fetch` on a
receiver, which prints a line that matches `COMPLETE` when it has everything, verified, and goes on serving.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent
CLIENTS = BENCH / "clients"
SAY_COMPLETE = CLIENTS / "say-complete"
# A plain Python without its site: it starts in 10 ms.
PYTHON = ["/usr/bin/python3", "-IS"]
STA_PORT, HTTP_PORT = 6081, 6969
# How long a source may take to check its content, in seconds.
READY_S = 60


class Missing(Exception):
    """The program is not installed."""


def program(name, *places):
    for place in places:
        if (place / name).exists():
            return str(place / name)
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not installed: see bench/README.md")
    return found


class Job:
    """One content, described by each contender for itself."""

    def __init__(self, content, piece_bytes, work, tuning):
        self.content = content
        self.piece_bytes = piece_bytes
        self.work = work
        # "bulk" between two machines, "default" in a swarm; for those that have such a choice.
        self.tuning = tuning

    def torrent(self, contender):
        return self.work / f"{contender.name.replace(' ', '-')}.torrent"


class Contender:
    COMPLETE = "complete"
    # What it verifies by; `None`: by nothing.
    hash_name = "SHA-1"

    def describe(self, job, tracker):
        """Makes what is needed beforehand; `tracker` is the address of the host where the tracker will be."""

    def start_tracker(self, host):
        """Starts it and returns when it answers."""

    def serve(self, job, host, folder):
        raise NotImplementedError

    def fetch(self, job, host, folder, source):
        raise NotImplementedError


class TcpCopy(Contender):
    name = "tcpcopy"
    hash_name = None

    def serve(self, job, host, folder):
        process = host.run(*PYTHON, CLIENTS / "plain_copy.py", "send", job.content)
        process.wait_for("ready", READY_S)
        return process

    def fetch(self, job, host, folder, source):
        return host.run(*PYTHON, CLIENTS / "plain_copy.py", "receive", job.content, folder, source.address)


class Sta(Contender):
    COMPLETE = r": complete,"

    def __init__(self, name, hash_name, told=False):
        self.name = name
        self.hash_name = hash_name
        # Whether nodes are told in which rack they are.
        self.told = told
        self.tracker = None

    @staticmethod
    def bin(name):
        return program(name, Path(os.environ.get("STA_BIN", BENCH.parent / "target/release")))

    def describe(self, job, tracker):
        self.tracker = f"sta://{tracker}:{STA_PORT}"
        if self.hash_name == "SHA-1":
            mktorrent(job, self, "http://none.invalid/")
            return
        command = [self.bin("sta-node"), "maketorrent", job.content, "-o", job.torrent(self)]
        subprocess.run([*command, "--piece-size", f"{job.piece_bytes >> 10} KiB"], check=True, capture_output=True)

    def start_tracker(self, host):
        command = [self.bin("sta-tracker"), "--no-state", "--listen", f"{host.address}:{STA_PORT}"]
        host.run(*command).wait_for("listen", READY_S)

    def serve(self, job, host, folder):
        process = self._run("seed", job, host, "--data", folder)
        process.wait_for("seeding", READY_S)
        return process

    def fetch(self, job, host, folder, source):
        return self._run("download", job, host, "-o", folder, "--keep-seeding")

    def _run(self, command, job, host, *more):
        where = ["--listen", f"{host.address}:7000", "--tracker", self.tracker]
        if self.told and host.rack:
            where += ["--site", host.rack]
        return host.run(self.bin("sta-node"), command, job.torrent(self), *where, *more)


def mktorrent(job, contender, tracker):
    torrent = job.torrent(contender)
    torrent.unlink(missing_ok=True)
    exponent = job.piece_bytes.bit_length() - 1
    command = [program("mktorrent"), "-p", "-l", str(exponent), "-a", tracker, "-o", torrent, job.content]
    subprocess.run(command, check=True, capture_output=True)


class BitTorrent(Contender):
    """What the clients of BitTorrent have in common: a private torrent, and a tracker over HTTP that sees who is ready."""

    def __init__(self):
        self.tracker = None

    def describe(self, job, tracker):
        mktorrent(job, self, f"http://{tracker}:{HTTP_PORT}/announce")

    def start_tracker(self, host):
        self.tracker = host.run("/usr/bin/python3", CLIENTS / "http_tracker.py", host.address)
        self.tracker.wait_for("ready", READY_S)

    def serve(self, job, host, folder):
        # All announce themselves after they have verified; not all say that they are complete.
        process = self.fetch(job, host, folder, None)
        self.tracker.wait_for(rf"announce {re.escape(host.address)} left=0", READY_S)
        return process


class Aria2(BitTorrent):
    name = "aria2"
    FLAGS = (
        "--no-conf --enable-dht=false --enable-dht6=false --enable-peer-exchange=false --bt-enable-lpd=false "
        "--disable-ipv6=true --async-dns=false --bt-max-peers=0 --disk-cache=64M --file-allocation=none --seed-ratio=0.0 "
        "--check-integrity=true --bt-hash-check-seed=true --bt-seed-unverified=false --allow-overwrite=true "
        "--listen-port=6881 --summary-interval=0 --console-log-level=warn --show-console-readout=false"
    ).split()

    def fetch(self, job, host, folder, source):
        hook = f"--on-bt-download-complete={SAY_COMPLETE}"
        return host.run(program("aria2c"), *self.FLAGS, hook, f"--dir={folder}", job.torrent(self))


class Libtorrent(BitTorrent):
    def __init__(self, name, python):
        super().__init__()
        self.name = name
        self.python = python

    def describe(self, job, tracker):
        found = shutil.which(self.python)
        if not found or subprocess.run([found, "-c", "import libtorrent"], capture_output=True).returncode:
            raise Missing(f"{self.python} has no libtorrent: see bench/README.md")
        super().describe(job, tracker)

    def fetch(self, job, host, folder, source):
        script = CLIENTS / "libtorrent_client.py"
        return host.run(self.python, script, job.torrent(self), folder, job.tuning)


class Transmission(BitTorrent):
    name = "transmission"
    SETTINGS = """{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false,
        "port-forwarding-enabled": false, "encryption": 0, "cache-size-mb": 64, "peer-limit-per-torrent": 200,
        "peer-port": 6881, "rpc-enabled": false, "watch-dir-enabled": true, "watch-dir": "%s", "download-dir": "%s",
        "script-torrent-done-enabled": true, "script-torrent-done-filename": "%s"}"""

    def fetch(self, job, host, folder, source):
        home = job.work / f"transmission-{host.address}"
        shutil.rmtree(home, ignore_errors=True)
        (home / "watch").mkdir(parents=True)
        (home / "settings.json").write_text(self.SETTINGS % (home / "watch", folder, SAY_COMPLETE))
        shutil.copy(job.torrent(self), home / "watch" / "job.torrent")
        return host.run(program("transmission-daemon"), "-f", "-g", home)


class Rqbit(BitTorrent):
    name = "rqbit"
    COMPLETE = "(?i)finished downloading"

    def fetch(self, job, host, folder, source):
        rqbit = program("rqbit", Path("/opt/rqbit/bin"), Path.home() / ".cargo/bin")
        flags = ["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", "--ipv4-only", "--listen-port", "6881"]
        return host.run(rqbit, *flags, "download", "--disable-http-api", "-o", folder, "--overwrite", job.torrent(self))


def contenders():
    """All, by name, in the order of the tables."""
    wheel = os.environ.get("LIBTORRENT_PYTHON", str(BENCH / ".venv/bin/python"))
    everyone = [
        TcpCopy(),
        Sta("sta", "BLAKE3"),
        Sta("sta sha1", "SHA-1"),
        Sta("sta told", "BLAKE3", told=True),
        Libtorrent("libtorrent", wheel),
        Libtorrent("libtorrent debian", "/usr/bin/python3"),
        Aria2(),
        Rqbit(),
        Transmission(),
    ]
    return {contender.name: contender for contender in everyone}


def chosen(names, default):
    """The contenders of a run: those named, otherwise `default`."""
    everyone = contenders()
    unknown = set(names) - set(everyone)
    if unknown:
        sys.exit(f"bench/run: no contender {', '.join(sorted(unknown))}; there are: {', '.join(everyone)}")
    return [everyone[name] for name in names or default]
