#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fuzzes for long, in pieces, the target with the least time of a processor next, and keeps account.

    tests/fuzz/effort.py [MINUTES] [--until CPU-MINUTES] [--jobs N]

Runs for MINUTES by the clock (default 60), or until each target has CPU-MINUTES (default 30). What each
has had is kept in tests/fuzz/effort.json: user and system time of the target's own process, which is what
counts beside other work, and the inputs tried. New inputs that reach more are kept in build/fuzz/corpus.
Pieces run with the lowest priority that there is; start it with setsid(1) where others work beside it: the
kernel gives each session its share first (autogroup, sched(7)). MINUTES 0 prints the table. A target that finds something
(build/fuzz/found) is left alone for the rest of the run, whose exit code is 1.
"""

import argparse
import contextlib
import json
import math
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build" / "fuzz"
LEDGER = FUZZ / "effort.json"
PIECE_S = 120
INPUT_TIMEOUT_S = 900  # by the clock: at this priority a busy machine stops a target for minutes
MEMORY_MIB = 2048
MAX_LEN = os.environ.get("TNX_FUZZ_MAX_LEN", "70000")


def targets():
    return sorted(path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.c"))


class Ledger:
    """CPU seconds and inputs of each target; written after each piece."""

    def __init__(self):
        kept = json.loads(LEDGER.read_text()) if LEDGER.exists() else {}
        self.rows = {t: kept.get(t, {"cpu_s": 0, "inputs": 0}) for t in targets()}
        self.busy = set()
        self.failed = set()
        self.lock = threading.Lock()

    def next(self, until_s):
        """The target with the least time, and the seconds that it still wants; None if none does."""
        with self.lock:
            taken = self.busy | self.failed
            free = [t for t in self.rows if t not in taken and self.rows[t]["cpu_s"] < until_s]
            if not free:
                return None
            target = min(free, key=lambda t: self.rows[t]["cpu_s"])
            self.busy.add(target)
            return target, until_s - self.rows[target]["cpu_s"]

    def add(self, target, cpu_s, inputs):
        with self.lock:
            self.busy.discard(target)
            row = self.rows[target]
            row["cpu_s"] = round(row["cpu_s"] + cpu_s, 1)
            row["inputs"] += inputs
            new = LEDGER.with_suffix(".new")
            new.write_text(json.dumps(self.rows, indent=1, sort_keys=True) + "\n")
            new.replace(LEDGER)

    def table(self):
        lines = ["| target | CPU-minutes | inputs tried |", "|---|---|---|"]
        for target, row in sorted(self.rows.items()):
            lines.append(f"| `{target}` | {row['cpu_s'] / 60:.1f} | {row['inputs']:,} |")
        return "\n".join(lines)


def lower_session():
    """Priorities count within a session; one of our own, and nobody else's, is lowered as a whole.
    A courtesy: not every kernel and container lets us."""
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text("19")


def low_priority():
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def piece(target, seconds):
    """(CPU seconds, inputs tried, whether nothing was found)."""
    for folder in (BUILD / "found" / target, BUILD / "corpus" / target):
        folder.mkdir(parents=True, exist_ok=True)
    command = [
        BUILD / "bin" / f"fuzz_{target}",
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={MAX_LEN}",
        "-print_final_stats=1",
        f"-artifact_prefix={BUILD / 'found' / target}/",
    ]
    dictionary = FUZZ / f"{target}.dict"
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    command += [BUILD / "corpus" / target, FUZZ / "corpus" / target]
    with open(BUILD / f"{target}.log", "wb") as log:
        child = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=low_priority
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    text = (BUILD / f"{target}.log").read_text(errors="replace")
    tried = re.search(r"^stat::number_of_executed_units: *(\d+)", text, re.M)
    return usage.ru_utime + usage.ru_stime, int(tried[1]) if tried else 0, child.returncode == 0


def work(ledger, end, until_s):
    while time.monotonic() < end:
        found = ledger.next(until_s)
        if found is None:
            return
        target, wanted_s = found
        seconds = max(1, min(PIECE_S, math.ceil(wanted_s) + 1, int(end - time.monotonic())))
        cpu_s, inputs, fine = piece(target, seconds)
        ledger.add(target, cpu_s, inputs)
        print(f"{target}: {cpu_s:.0f} s of CPU, {inputs} inputs", flush=True)
        if not fine:
            print(f"{target}: FOUND something, see {BUILD}/{target}.log", flush=True)
            ledger.failed.add(target)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("minutes", nargs="?", type=float, default=60, help="by the clock")
    options.add_argument("--until", type=float, default=30, help="CPU-minutes of each target")
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="side by side")
    asked = options.parse_args()
    ledger = Ledger()
    if asked.minutes > 0:
        subprocess.run([FUZZ / "run", "0"], check=True, stdout=subprocess.DEVNULL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        lower_session()
        end = time.monotonic() + asked.minutes * 60
        workers = [
            threading.Thread(target=work, args=(ledger, end, asked.until * 60))
            for _ in range(asked.jobs)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    print(ledger.table())
    return 1 if ledger.failed else 0


if __name__ == "__main__":
    sys.exit(main())
