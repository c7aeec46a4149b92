# SPDX-License-Identifier: Apache-2.0
"""Measures: requests a second and latency with wrk, new connections a second and idle connections
with `bench_clients`. Each peer in turn, round after round, so that what else happens on the machine
hits all of them alike.

Requests are those that the backend has answered in a window in the middle of the load: the handshakes
that the load begins with are measured as new connections and nowhere else. Latency is wrk's, of the
whole load."""

import contextlib
import http.client
import json
import math
import re
import subprocess
import time
from pathlib import Path

import ours
from peers import ANSWER, COUNTS, nginx
from processes import HOST, Process, cores, free_port

HERE = Path(__file__).resolve().parent
WARM_UP_S = 1  # before the window, and for each connection so much more:
OPENING_S = 0.004  # twice what a handshake takes the slowest peer
COOL_DOWN_S = 0.3  # behind it: the load ends in its own time
NOTHING = contextlib.nullcontext()
END_S = 30  # for the load to end once its time is over
NEW = "new"  # in place of a number of connections: one for each request
OPENERS = 16  # threads that open connections one after another
IDLE_CLIENTS = 2000
FAKE_KEY = "/0123456789abcdef0123456789abcdef" + ours.CALL


def light_backend(folder, core, port):
    program = ours.binary("bench_backend")
    process = Process("backend", core, folder, program, port, ANSWER)
    process.wait_port(port)
    return process


def nginx_backend(folder, core, port):
    return nginx("backend", folder, core, port, tls=False)


BACKENDS = {"light": light_backend, "nginx": nginx_backend}


class Bench:
    """Peers and backend, up and ready, in `folder`."""

    def __init__(self, folder, kinds, backend="light"):
        self.core, self.load_core = cores()
        self.folder = folder
        ours.run_relay("init", "--dir", folder, "--host", HOST)  # for its certificate
        port = free_port()
        self.backend = BACKENDS[backend](folder, self.load_core, port)
        self._counts = http.client.HTTPConnection(HOST, port, timeout=END_S)
        self.peers = {name: kind(folder, self.core, port) for name, kind in kinds.items()}

    def __enter__(self):
        try:
            for peer in self.peers.values():
                peer.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for peer in self.peers.values():
            peer.stop()
        self.backend.stop()

    def url(self, peer):
        target = peer.target() if hasattr(peer, "target") else FAKE_KEY
        return f"https://{HOST}:{peer.port}{target}"

    def _answered(self):
        """Requests that the backend has answered so far, ours among them, and when that was."""
        asked = time.monotonic()
        self._counts.request("GET", COUNTS)
        text = self._counts.getresponse().read().decode()
        # "accepts handled requests" of nginx, and below it the numbers
        n = int(re.search(r"^ \d+ \d+ (\d+)", text, re.M)[1])
        return n, (asked + time.monotonic()) / 2 * 1e6

    def reading(self, processes):
        """Answered so far, when, and microseconds that each process has used."""
        return [*self._answered(), *(p.cpu_ns() / 1000 for p in processes)]

    def measure(
        self, peer, what, seconds, command, *, connections, meanwhile=NOTHING, by_backend=True,
        **environment
    ):
        """One sample: what was answered in a window of so many seconds, who used how much processor
        time in it, and what the load itself says. `command` gets the seconds that it is to run for
        in place of {}; `meanwhile` is a context manager around the window. Where it is not the
        backend that answers, the load's own rate is taken, which its few handshakes lower a little."""
        warm_up_s = WARM_UP_S + connections * OPENING_S
        lasts = warm_up_s + seconds + COOL_DOWN_S
        command = [str(word).format(math.ceil(lasts)) for word in command]
        load = Process("load", self.load_core, self.folder, *command, **environment)
        watched = [*peer.processes, self.backend, load]
        time.sleep(warm_up_s)
        with meanwhile:
            before = self.reading(watched)
            time.sleep(seconds)
            after = self.reading(watched)
        said = json.loads(load.output(END_S))
        n, us, *spent_us = (b - a for a, b in zip(before, after))
        n -= 1  # the second question
        if said["failed"] or not said["requests"]:
            raise SystemExit(f"{peer.label}, {what}: {said}")
        if not by_backend:
            n = said["requests"] * us / said["us"]
        own = spent_us[: len(peer.processes)]
        sample = {
            "peer": peer.label,
            "what": what,
            "per_s": n / (us / 1e6),
            "cpu_us": {p.name: spent / n for p, spent in zip(peer.processes, own)},
            "cpu_us_sum": sum(own) / n,
            "peer_busy": sum(own) / us,
            "backend_busy": spent_us[-2] / us,
            "load_busy": spent_us[-1] / us,
        }
        return sample | {key: said[key] for key in ("p50_us", "p99_us") if key in said}

    def requests(self, peer, connections, seconds, meanwhile=NOTHING):
        command = ["wrk", "-t1", f"-c{connections}", "-d{}s", "--timeout", "10s"]
        command += ["-s", HERE / "wrk.lua", self.url(peer)]
        what = f"{connections} connections"
        return self.measure(
            peer, what, seconds, command, connections=connections, meanwhile=meanwhile
        )

    def openings(self, peer, seconds, meanwhile=NOTHING):
        """A new connection with a full handshake for each request."""
        command = [ours.binary("bench_clients"), "open", peer.port, self.path(peer), OPENERS, "{}"]
        what = "new connections"
        return self.measure(
            peer, what, seconds, command, connections=OPENERS, meanwhile=meanwhile
        )

    def loaded(self, peer, load, seconds, meanwhile=NOTHING):
        """A number of connections, or NEW."""
        if load == NEW:
            return self.openings(peer, seconds, meanwhile)
        return self.requests(peer, int(load), seconds, meanwhile)

    def path(self, peer):
        return self.url(peer).partition(str(peer.port))[2]

    @contextlib.contextmanager
    def idle(self, port, path, n):
        """n kept connections, after a request on each, while the block runs."""
        command = [ours.binary("bench_clients"), "keep", str(port), path, str(n)]
        command = ["/usr/bin/taskset", "-c", str(self.load_core), *command]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            if process.stdout.readline() != b"kept\n":
                raise SystemExit(f"{n} connections to port {port} cannot be opened")
            yield
            process.stdin.close()
            process.wait()

    def memory(self, peer):
        """Resident kB: now, and of one idle client more. That is the difference between twice as
        many and as many, because the first ones also bring what is allocated once."""
        by_process = {p.name: p.rss_kb() for p in peer.processes}
        with self.idle(peer.port, self.path(peer), IDLE_CLIENTS):
            some = peer.rss_kb()
            with self.idle(peer.port, self.path(peer), IDLE_CLIENTS):
                twice = peer.rss_kb()
        return {
            "peer": peer.label,
            "what": "memory",
            "rss_kb": sum(by_process.values()),
            "by_process": by_process,
            "connection_kb": (twice - some) / IDLE_CLIENTS,
        }


def run(bench, rounds, connections, seconds):
    """All samples. Memory comes first, while nothing has grown yet, and again when all is done."""
    samples = []
    for peer in bench.peers.values():
        samples.append(bench.memory(peer))
    for _ in range(rounds):
        for n in connections:
            samples += [bench.requests(peer, n, seconds) for peer in bench.peers.values()]
        samples += [bench.openings(peer, seconds) for peer in bench.peers.values()]
    for peer in bench.peers.values():
        samples.append({"peer": peer.label, "what": "after load", "rss_kb": peer.rss_kb()})
    return samples
