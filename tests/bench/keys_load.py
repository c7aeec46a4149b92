#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Requests per second through relay, agent and simulated building when a relay has few keys and when
it has very many, all of them in use: each request takes one at random.

    tests/bench/keys_load.py [--keys 1000,1000000] [--rounds 7] [--seconds 4]

Needs wrk and a release build. The relays stand side by side and are loaded in turn, so that each
round compares like with like. Prints the start and memory of each, then medians and their ratio."""

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import statistics
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("TNX_BUILD", str(HERE.parents[1] / "build" / "release"))
os.environ.setdefault("TNX_DEADLINE", "60")
sys.path.insert(0, str(HERE.parent / "blackbox"))

import harness  # noqa: E402

CALL = "api/V1/system/serverStatus"
CONNECTIONS = 50
# Of very many keys, wrk takes so many: more than any cache holds.
USED_MAX = 200000
LETTERS = string.ascii_letters + string.digits


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", default="1000,1000000")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    return parser.parse_args()


def add_keys(path, n):
    """Rows as the command writes them, without its process for each; every tenth key has a scope.
    Returns the texts of those that are used."""
    source = random.Random(n)
    used = []

    def rows():
        for i in range(n):
            text = "".join(source.choices(LETTERS, k=32))
            if i % max(1, n // USED_MAX) == 0:
                used.append(text)
            yield hashlib.sha256(text.encode()).digest(), '{"read_only":true}' * (i % 10 == 0)

    with sqlite3.connect(path) as db:
        db.executemany(
            "INSERT INTO keys (server_id, hash, scope, created_at, created_by)"
            " VALUES (1, ?, ?, 1, 'bench')",
            rows(),
        )
    db.close()
    return used


def status_kb(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(name)


def start_simulator(runtime):
    """A simulated building that writes nothing down, and its URL."""
    process = harness.Process(
        "thinknx-simulator", "--listen", f"{harness.HOST}:0", "--runtime-file", runtime
    )
    process.wait_log("listening")
    port = harness.bound_port(json.loads(runtime.read_text()), "listen")
    return process, f"http://{harness.HOST}:{port}"


class Loaded:
    """A building whose relay has n keys."""

    def __init__(self, folder, n):
        self.n = n
        self.targets = folder / f"targets-{n}"
        # Not the building's own, whose log of requests is read while they come.
        self.simulator, url = start_simulator(folder / f"simulator-{n}")
        self.building = harness.Building(
            folder / f"keys-{n}", auth="none", agent={"server": {"url": url}}, start=False
        )
        relay = self.building.relay
        relay.process.stop()
        used = add_keys(relay.folder / "relay.db", n)
        self.targets.write_text("".join(f"/{key}/{CALL}\n" for key in used))
        conf = {
            "https": {"listen": f"{harness.HOST}:{relay.https[1]}"},
            "limits": {"key_rate": 1000000, "key_burst": 1000000},
        }
        relay.configure(conf)
        started = time.monotonic()
        relay.start()
        self.start_s = time.monotonic() - started
        self.rss_kb = status_kb(relay.process.pid, "VmRSS")
        self.building.start_agent()
        # One line per request would have us read them all.
        relay.configure({**conf, "relay": {"log_level": "warn"}})
        relay.process.signal(signal.SIGHUP)
        self.samples = []

    def end(self):
        self.building.kill()
        self.simulator.kill()

    def cpu_s(self):
        fields = Path(f"/proc/{self.building.relay.process.pid}/stat").read_text()
        fields = fields.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, seconds):
        port = self.building.relay.https[1]
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", HERE / "wrk.lua"]
        before = self.cpu_s()
        done = subprocess.run(
            [*command, f"https://{harness.HOST}:{port}/"],
            env={**os.environ, "TARGETS": str(self.targets)},
            capture_output=True,
            text=True,
            check=True,
        )
        cpu_s = self.cpu_s() - before
        told = json.loads(done.stdout.strip().splitlines()[-1])
        if told["failed"]:
            raise SystemExit(f"{self.n} keys: {told['failed']} requests failed")
        rate = told["requests"] * 1e6 / told["us"]
        self.samples.append((rate, cpu_s * 1e6 / told["requests"], told["p50_us"], told["p99_us"]))


def show(all_loaded):
    first = all_loaded[0]
    print("keys      start_s  rss_kb   requests/s  relay_us  p50_us  p99_us  ratio")
    for loaded in all_loaded:
        columns = [statistics.median(column) for column in zip(*loaded.samples)]
        ratio = statistics.median(
            mine[0] / its[0] for mine, its in zip(loaded.samples, first.samples)
        )
        print(
            f"{loaded.n:<9} {loaded.start_s:<8.2f} {loaded.rss_kb:<8} {columns[0]:<11.0f} "
            f"{columns[1]:<9.1f} {columns[2]:<7.0f} {columns[3]:<7.0f} {ratio:.3f}"
        )


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-keys-") as folder:
        loaded = []
        try:
            for n in map(int, options.keys.split(",")):
                loaded.append(Loaded(Path(folder), n))
            for one in loaded:
                one.load(1)
                one.samples.clear()
            for _ in range(options.rounds):
                for one in loaded:
                    one.load(options.seconds)
            show(loaded)
        finally:
            for one in loaded:
                one.end()


if __name__ == "__main__":
    main()
