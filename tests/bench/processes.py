# SPDX-License-Identifier: Apache-2.0
"""Processes of a benchmark: each pinned to one core, its processor time and memory as the kernel
counts them, its own children (workers of nginx, sessions of sshd) included."""

import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

HOST = "127.0.0.1"
START_S = 30  # for a listener to appear
STOP_S = 10  # after SIGTERM, then SIGKILL


class Process:
    """One program, in the foreground, on one core; its output goes to `folder`/NAME.log. `name` is
    what the tables call it."""

    def __init__(self, name, core, folder, *command, **environment):
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        pinned = ["/usr/bin/taskset", "-c", str(core)]
        # Should we be killed outright, the kernel takes the program along.
        bound = ["/usr/bin/setpriv", "--pdeathsig", "TERM", "--"]
        with open(self.log, "ab") as log:
            self._popen = subprocess.Popen(
                [*pinned, *bound, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    @property
    def pid(self):
        return self._popen.pid

    def pids(self):
        """The process and all that descend from it."""
        found, unseen = [], [self.pid]
        while unseen:
            pid = unseen.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                unseen += map(int, task.read_text().split())
        return found

    def cpu_ns(self):
        """Nanoseconds of processor time so far."""
        total = 0
        for pid in self.pids():
            for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total += int(stat.read_text().split()[0])
        return total

    def rss_kb(self):
        """Resident memory: of each process what is its own, and of the biggest what it shares."""
        anonymous, shared = [], []
        for pid in self.pids():
            status = Path(f"/proc/{pid}/status").read_text()
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            anonymous.append(int(fields["RssAnon"].split()[0]))
            shared.append(int(fields["RssFile"].split()[0]) + int(fields["RssShmem"].split()[0]))
        return sum(anonymous) + max(shared)

    def running(self):
        return self._popen.poll() is None

    def output(self, within_s):
        """The last line that the program wrote before it ended, which it is to do by itself."""
        try:
            failed = self._popen.wait(within_s) != 0
        except subprocess.TimeoutExpired:
            self.stop()
            failed = True
        text = self.log.read_text()
        if failed:
            raise SystemExit(f"{self.name} failed\n{text[-2000:]}")
        return text.splitlines()[-1]

    def stop(self):
        if self.running():
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()

    def wait_for(self, done, what):
        """Waits until done() is true; the program's log explains if it never is."""
        until = time.monotonic() + START_S
        while not done():
            if not self.running() or time.monotonic() > until:
                raise SystemExit(f"{self.name}: no {what}\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def wait_port(self, port):
        self.wait_for(lambda: answers(port), f"listener on port {port}")

    def wait_log(self, text):
        self.wait_for(lambda: text in self.log.read_text(), f"line with {text!r}")


def answers(port):
    with socket.socket() as s:
        return s.connect_ex((HOST, port)) == 0


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def raise_descriptors():
    """As many as the kernel lets us have; children inherit it. Returns the number."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def cores():
    """The core of the peers, and the core of load and backend."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit("two cores are needed: one for the peers, one for load and backend")
    return usable[0], usable[1]
