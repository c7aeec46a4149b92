#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large bodies through one tunnel, with small calls beside them: downloads of 10 MB by clients that
read at once and by clients that read slowly, uploads at the limit of 64 KiB, all with the settings
that the programs have by default. Every body is another piece of random bytes and is compared. Exit
code 1 if a byte differs, a call fails, a small call in a hundred takes longer than --small-p99, or
the relay or the agent grew by more than --growth.

    TNX_BUILD=build/release tests/load/bodies.py [--seconds 20] [--fast 8] [--slow 24] [--uploads 4]
                                                 [--small 2] [--growth 8] [--small-p99 1000]
"""

import argparse
import hashlib
import http.server
import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

from load import harness
from harness import HOST, request

LARGE_BYTES = 10_000_000
UPLOAD_BYTES = 65536
SMALL_BYTES = 120
# A slow reader takes a piece, waits, takes the next one: some 300 kB/s.
SLOW_PIECE_BYTES = 16384
SLOW_PAUSE_S = 0.05
SAMPLE_S = 0.05
POOL = os.urandom(LARGE_BYTES + 65536)
MIB = 1 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--fast", type=int, default=8, help="clients that download at once")
    parser.add_argument("--slow", type=int, default=24, help="clients that read slowly")
    parser.add_argument("--uploads", type=int, default=4, help="clients that upload")
    parser.add_argument("--small", type=int, default=2, help="clients that make small calls")
    parser.add_argument("--growth", type=float, default=8, help="MiB that a program may grow by")
    parser.add_argument("--small-p99", type=float, default=1000, help="ms that a small call may take")
    return parser.parse_args()


def piece(n_bytes, seed):
    return POOL[seed % 65536 :][:n_bytes]


class Server(http.server.ThreadingHTTPServer):
    """In the place of the building's server: gives pieces of the pool, and the hash of what it gets."""

    daemon_threads = True
    request_queue_size = 128

    class RequestHandlerClass(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_):
            pass

        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            numbers = re.search(r"bytes=(\d+)&seed=(\d+)", self.path)
            self.answer(piece(*map(int, numbers.groups())) if numbers else b"{}")

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(hashlib.sha256(body).hexdigest().encode())

    def __init__(self):
        super().__init__((HOST, 0), self.RequestHandlerClass)
        self.url = f"http://{HOST}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # the agent hangs up when a client does


def resident_bytes(pid):
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024


class Memory:
    """Watches the resident memory of programs."""

    def __init__(self, **pids):
        self.pids = pids
        self.before = {name: resident_bytes(pid) for name, pid in pids.items()}
        self.most = dict(self.before)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._end.wait(SAMPLE_S):
            for name, pid in self.pids.items():
                self.most[name] = max(self.most[name], resident_bytes(pid))

    def stop(self):
        self._end.set()
        self._thread.join()

    def growth(self, name):
        return self.most[name] - self.before[name]


class Clients:
    """Threads that make calls until the end; what is wrong is in `wrong`."""

    def __init__(self, building, until):
        self.building = building
        self.until = until
        self.wrong = []
        self.n_done = {"fast": 0, "slow": 0, "upload": 0, "small": 0}
        self.small_s = []
        self._lock = threading.Lock()
        self._threads = []
        self._seed = 0

    def start(self, kind, count):
        for _ in range(count):
            thread = threading.Thread(target=self._run, args=(kind,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self):
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a client hangs"

    def _next_seed(self):
        with self._lock:
            self._seed += 1
            return self._seed

    def _run(self, kind):
        try:
            with self.building.connect() as c:
                while time.monotonic() < self.until:
                    begun = time.monotonic()
                    getattr(self, kind)(c, self._next_seed())
                    with self._lock:
                        self.n_done[kind] += 1
                        if kind == "small":
                            self.small_s.append(time.monotonic() - begun)
        except (OSError, AssertionError) as e:
            self.wrong.append(f"{kind}: {e!r}"[:300])

    def _get(self, c, n_bytes, seed):
        target = self.building.path(f"system/serverStatus?bytes={n_bytes}&seed={seed}")
        c.send(request(target))
        return piece(n_bytes, seed)

    def fast(self, c, seed):
        expected = self._get(c, LARGE_BYTES, seed)
        assert c.answer().body == expected, f"other bytes for {seed}"

    def slow(self, c, seed):
        expected = self._get(c, LARGE_BYTES, seed)
        c.wait_for(b"\r\n\r\n")
        at = 0
        while at < LARGE_BYTES:
            part = c.some(min(SLOW_PIECE_BYTES, LARGE_BYTES - at))
            assert part and part == expected[at : at + len(part)], f"other bytes for {seed} at {at}"
            at += len(part)
            if time.monotonic() < self.until:
                time.sleep(SLOW_PAUSE_S)

    def upload(self, c, seed):
        body = piece(UPLOAD_BYTES, seed)
        answer = c.request(self.building.path("system/serverStatus"), "POST", body=body)
        assert answer.body.decode() == hashlib.sha256(body).hexdigest(), f"other bytes for {seed}"

    def small(self, c, seed):
        expected = self._get(c, SMALL_BYTES, seed)
        assert c.answer().body == expected, f"other bytes for {seed}"


def percentile_ms(seconds, share):
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def phase(building, seconds, **counts):
    clients = Clients(building, time.monotonic() + seconds)
    for kind, count in counts.items():
        clients.start(kind, count)
    clients.join()
    return clients


def show_small(what, clients):
    shown = "  ".join(f"p{s * 100:g} {percentile_ms(clients.small_s, s):.1f}" for s in (0.5, 0.99, 1))
    print(f"small calls {what}, ms: {shown}  ({len(clients.small_s)} calls)", flush=True)


def run(options, building):
    alone = phase(building, min(3, options.seconds), small=options.small)
    show_small("alone", alone)
    # Each buffer has been made once, so that what is seen below is growth by load.
    phase(building, 0.5, fast=1, upload=1)
    memory = Memory(relay=building.relay.process.pid, agent=building.agent.process.pid)
    clients = phase(
        building,
        options.seconds,
        fast=options.fast,
        slow=options.slow,
        upload=options.uploads,
        small=options.small,
    )
    memory.stop()
    show_small("beside", clients)
    moved = LARGE_BYTES * (clients.n_done["fast"] + clients.n_done["slow"]) / 1e6
    print(f"done {clients.n_done}, {moved:.0f} MB down", flush=True)
    wrong = alone.wrong + clients.wrong
    for name in memory.pids:
        print(f"{name}: {memory.before[name] / MIB:.1f} MiB, at most {memory.most[name] / MIB:.1f} MiB")
        if memory.growth(name) > options.growth * MIB:
            wrong.append(f"{name} grew by {memory.growth(name) / MIB:.1f} MiB")
    p99 = percentile_ms(clients.small_s, 0.99)
    if p99 > options.small_p99:
        wrong.append(f"small calls took {p99:.0f} ms")
    for sentence in wrong:
        print(f"wrong: {sentence}")
    return 1 if wrong else 0


def main():
    options = arguments()
    server = Server()
    with tempfile.TemporaryDirectory(prefix="tnx-bodies-") as folder:
        agent = {"server": {"url": server.url}}
        building = harness.Building(Path(folder) / "building", auth="none", agent=agent)
        try:
            code = run(options, building)
            building.stop()
        finally:
            building.kill()
    return code


if __name__ == "__main__":
    sys.exit(main())
