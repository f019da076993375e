"""Hosts in network namespaces, links with a rate, and processes whose cost is known.

Knows nothing of what is distributed. Linux, root, iproute2.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
# Bytes that a link lets through at once: a burst of 2.6 ms at 100 Mbit/s.
BURST = 32 * 1024
# The most that waits in a link's queue, in milliseconds.
QUEUE_MS = 20
SAMPLE_S = 0.02


def sh(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def limit(namespace, device, rate):
    """What is sent on a device from now on, in Mbit/s."""
    sh("tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf", "rate", f"{rate}mbit",
       "burst", str(BURST), "latency", f"{QUEUE_MS}ms")


class Process:
    """A program on a host: what it says, when it said so, what it costs."""

    def __init__(self, command, log):
        self.began = time.monotonic()
        self.popen = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.pid = self.popen.pid
        self.peak_anon = 0
        self.lines = []
        self._log = log
        self._news = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._sample, daemon=True).start()

    def _read(self):
        for line in self.popen.stdout:
            at = time.monotonic()
            self._log.write(f"{self.pid} {at - self.began:8.3f} {line}")
            with self._news:
                self.lines.append((at, line))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _sample(self):
        while not self._ended:
            try:
                with open(f"/proc/{self.pid}/status") as status:
                    found = re.search(r"RssAnon:\s*(\d+)", status.read())
            except OSError:
                return
            if found:
                self.peak_anon = max(self.peak_anon, int(found[1]) * 1024)
            time.sleep(SAMPLE_S)

    def wait_for(self, pattern, patience):
        """The moment when it printed a line that matches."""
        until, seen = time.monotonic() + patience, 0
        with self._news:
            while True:
                for at, line in self.lines[seen:]:
                    if re.search(pattern, line):
                        return at
                seen = len(self.lines)
                left = until - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"ran for {patience} s"
                    said = "".join(line for _, line in self.lines[-15:])
                    command = " ".join(self.popen.args)
                    raise RuntimeError(f"{command}: {why} without saying {pattern!r}; it said:\n{said}")
                self._news.wait(left)

    def cpu(self):
        """User and system seconds; known until `stop`."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        """What is stopped (by SIGSTOP) ends too."""
        for number in (signal.SIGTERM, signal.SIGCONT):
            self.popen.send_signal(number)
        try:
            self.popen.wait(3)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


class Host:
    """A network namespace with one interface, `eth0`."""

    def __init__(self, lab, number):
        self.lab = lab
        self.namespace = f"{lab.prefix}{number}"
        self.port = f"{lab.prefix}p{number}"
        self.address = f"10.77.0.{number + 1}"
        # What its rack is called, if it is in one.
        self.rack = None
        sh("ip", "netns", "add", self.namespace)
        # What Linux ships with, whatever this machine was set to: a link's figures are to be comparable elsewhere.
        cubic = ["sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=cubic"]
        if subprocess.run(["ip", "netns", "exec", self.namespace, *cubic], stderr=subprocess.DEVNULL).returncode:
            raise RuntimeError("namespaces may not use CUBIC here; this lets them:\n"
                               "  sysctl -w net.ipv4.tcp_allowed_congestion_control="
                               "\"$(sysctl -n net.ipv4.tcp_allowed_congestion_control) cubic\"")
        sh("ip", "-n", self.namespace, "link", "set", "lo", "up")

    def run(self, *command):
        process = Process(["ip", "netns", "exec", self.namespace, *map(str, command)], self.lab.log)
        self.lab.processes.append(process)
        return process

    def up(self):
        sh("ip", "-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        sh("ip", "-n", self.namespace, "link", "set", "eth0", "up")

    def limit(self, up, down):
        """Limits what it sends and what it is sent, in Mbit/s; None is no limit."""
        ends = [(self.namespace, "eth0", up), (self.lab.switch, self.port, down)]
        for namespace, device, rate in ends:
            if rate:
                limit(namespace, device, rate)

    def cut(self):
        """From now on nothing passes its link. Nobody is told."""
        sh("ip", "-n", self.lab.switch, "link", "set", self.port, "nomaster")

    def sent(self):
        """Bytes that it has put on its link, frame headers included."""
        command = ["tc", "-n", self.namespace, "-s", "-j", "qdisc", "show", "dev", "eth0"]
        queues = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return next(queue["bytes"] for queue in queues if queue.get("root"))


def remove_abandoned():
    """Takes away what a run left that was killed."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for namespace, owner in re.findall(r"^(sb(\d+)-\w+)", listed, re.MULTILINE):
        if os.path.exists(f"/proc/{owner}"):
            continue
        inside = subprocess.run(["ip", "netns", "pids", namespace], check=True, capture_output=True, text=True).stdout
        for pid in inside.split():
            os.kill(int(pid), signal.SIGKILL)
        sh("ip", "netns", "delete", namespace)


class Lab:
    """So many hosts; two are joined by a cable, more by a switch. Everything is gone after `with`."""

    def __init__(self, hosts, log):
        self.prefix = f"sb{os.getpid()}-"
        self.switch = f"{self.prefix}sw"
        self.log = log
        self.count = hosts
        self.processes = []
        self.hosts = []

    def __enter__(self):
        remove_abandoned()
        try:
            self.hosts = [Host(self, number) for number in range(self.count)]
            (self._cable if self.count == 2 else self._wire_to_switch)()
        except BaseException:
            self._remove()
            raise
        return self

    def _cable(self):
        one, other = self.hosts
        sh("ip", "link", "add", "eth0", "netns", one.namespace, "type", "veth",
           "peer", "name", "eth0", "netns", other.namespace)
        for host in self.hosts:
            host.up()

    def _wire_to_switch(self):
        sh("ip", "netns", "add", self.switch)
        sh("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        sh("ip", "-n", self.switch, "link", "set", "br0", "up")
        for host in self.hosts:
            sh("ip", "link", "add", host.port, "netns", self.switch, "type", "veth",
               "peer", "name", "eth0", "netns", host.namespace)
            sh("ip", "-n", self.switch, "link", "set", host.port, "master", "br0", "up")
            host.up()

    def put_in_rack(self, name, hosts, rate):
        """These hosts share a link to all others, of so many Mbit/s both ways."""
        bridge, ours, theirs = f"br-{name}", f"up-{name}", f"down-{name}"
        sh("ip", "-n", self.switch, "link", "add", bridge, "type", "bridge")
        sh("ip", "-n", self.switch, "link", "add", ours, "type", "veth", "peer", "name", theirs)
        for device, master in [(ours, bridge), (theirs, "br0"), *((host.port, bridge) for host in hosts)]:
            sh("ip", "-n", self.switch, "link", "set", device, "master", master, "up")
        sh("ip", "-n", self.switch, "link", "set", bridge, "up")
        for device in (ours, theirs):
            limit(self.switch, device, rate)
        for host in hosts:
            host.rack = name

    def __exit__(self, *_):
        for process in self.processes:
            process.stop()
        self._remove()

    def _remove(self):
        for namespace in [f"{self.prefix}{number}" for number in range(self.count)] + [self.switch]:
            subprocess.run(["ip", "netns", "delete", namespace], stderr=subprocess.DEVNULL)
