# SPDX-License-Identifier: Apache-2.0
"""Measures: requests a second and latency with wrk, new connections a second and idle connections
with `bench_clients`. Each peer in turn, round after round, so that what else happens on the machine
hits all of them alike."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import ours
from peers import nginx
from processes import HOST, cores, free_port

HERE = Path(__file__).resolve().parent
OPENERS = 16  # threads that open connections one after another
IDLE_CLIENTS = 2000
FAKE_KEY = "/0123456789abcdef0123456789abcdef" + ours.CALL


class Bench:
    """Peers and backend, up and ready, in `folder`."""

    def __init__(self, folder, kinds):
        self.core, self.load_core = cores()
        self.folder = folder
        ours.run_relay("init", "--dir", folder, "--host", HOST)  # for its certificate
        port = free_port()
        self.backend = nginx("backend", folder, self.load_core, port, tls=False)
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

    def _load(self, command, **environment):
        """Runs a load generator on its core to its end; what it prints, and its own CPU seconds."""
        done = subprocess.Popen(
            ["/usr/bin/taskset", "-c", str(self.load_core), *map(str, command)],
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        text = done.stdout.read()
        _, status, usage = os.wait4(done.pid, 0)
        if status != 0:
            raise SystemExit(f"{command[0]} failed")
        return json.loads(text.splitlines()[-1]), usage.ru_utime + usage.ru_stime

    def measure(self, peer, what, command, **environment):
        """One sample: what the load says, and who used how much processor time meanwhile."""
        watched = [*peer.processes, self.backend]
        before = {p.name: p.cpu_ns() for p in watched}
        started = time.monotonic()
        said, load_cpu_s = self._load(command, **environment)
        wall_s = time.monotonic() - started
        spent_us = {p.name: (p.cpu_ns() - before[p.name]) / 1000 for p in watched}
        if said["failed"] or not said["requests"]:
            raise SystemExit(f"{peer.label}, {what}: {said}")
        n = said["requests"]
        sample = {
            "peer": peer.label,
            "what": what,
            "per_s": n / (said["us"] / 1e6),
            "cpu_us": {p.name: spent_us[p.name] / n for p in peer.processes},
            "cpu_us_sum": sum(spent_us[p.name] for p in peer.processes) / n,
            "peer_busy": sum(spent_us[p.name] for p in peer.processes) / 1e6 / wall_s,
            "backend_busy": spent_us[self.backend.name] / 1e6 / wall_s,
            "load_busy": load_cpu_s / wall_s,
        }
        return sample | {key: said[key] for key in ("p50_us", "p99_us") if key in said}

    def requests(self, peer, connections, seconds):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["-s", HERE / "wrk.lua", self.url(peer)]
        return self.measure(peer, f"{connections} connections", command)

    def openings(self, peer, seconds):
        """A new connection with a full handshake for each request."""
        command = [ours.binary("bench_clients"), "open", peer.port, self._path(peer)]
        return self.measure(peer, "new connections", [*command, OPENERS, seconds])

    def _path(self, peer):
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
        with self.idle(peer.port, self._path(peer), IDLE_CLIENTS):
            some = peer.rss_kb()
            with self.idle(peer.port, self._path(peer), IDLE_CLIENTS):
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
