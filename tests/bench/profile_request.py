# SPDX-License-Identifier: Apache-2.0
"""Where the processor time of a request goes: samples of perf, by the library that was running, as
microseconds of what the process took for a request. Time of a system call is the kernel's."""

import contextlib
import signal
import statistics
import subprocess

from table import spread

PEERS = ("nginx1", "ours")
SLOWER = "ssh"  # has no profile of its own: how many times its requests are ours?
SAMPLES_PER_S = 4000
KERNEL = "[kernel"
TLS = ("libcrypto", "libssl")
OWN = "its own code"
COLUMNS = ("kernel", "TLS", "libc", OWN, "other libraries")


def column_of(library, symbol, program):
    """llhttp is a library too, though it is compiled into the program."""
    if symbol.startswith("llhttp"):
        return "other libraries"
    if library.startswith(KERNEL):
        return "kernel"
    if library.startswith(TLS):
        return "TLS"
    if library.startswith(("libc.", "[vdso]")):
        return "libc"
    return OWN if library == program else "other libraries"


def shares(file, program):
    """Of all samples in perf's file: which part was in which column."""
    report = subprocess.run(
        ["perf", "report", "-i", file, "--no-children", "-F", "sample,dso,sym", "-g", "none"],
        check=True, capture_output=True, text=True,
    )
    samples = dict.fromkeys(COLUMNS, 0)
    for line in report.stdout.splitlines():
        if line.strip() and not line.startswith("#"):
            n, library, _, symbol = line.split()[:4]
            samples[column_of(library, symbol, program)] += int(n)
    total = max(1, sum(samples.values()))
    return {column: n / total for column, n in samples.items()}


def file_of(bench, process):
    return bench.folder / f"perf.{process.name}"


@contextlib.contextmanager
def watched(bench, processes):
    """Samples of all of them while the block runs."""
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(SAMPLES_PER_S), "-g"]
    watchers = []
    for process in processes:
        pids = ",".join(map(str, process.pids()))
        to = ["-o", file_of(bench, process), "-p", pids]
        watchers.append(subprocess.Popen([*command, *to], stderr=subprocess.DEVNULL))
    try:
        yield
    finally:
        for watcher in watchers:
            watcher.send_signal(signal.SIGINT)
            watcher.wait()


def sample(bench, peer, load, seconds):
    """Requests a second and cost first, without perf, which has a cost of its own; then who it is
    spent by."""
    plain = bench.loaded(peer, load, seconds)
    cost_us = plain["cpu_us"]
    bench.loaded(peer, load, seconds, watched(bench, peer.processes))
    split = {}
    for p in peer.processes:
        program = "nginx" if p.name.startswith("nginx") else f"thinknx-{p.name}"
        part = shares(file_of(bench, p), program)
        split[p.name] = {c: part[c] * cost_us[p.name] for c in COLUMNS}
    return plain["per_s"], split


def rows(rounds):
    """Medians, in microseconds a request; a list of samples for each process."""
    table = [["", *COLUMNS, "all"]]
    for name, samples in rounds.items():
        medians = [statistics.median(s[c] for s in samples) for c in COLUMNS]
        sums = [sum(s.values()) for s in samples]
        table.append([name, *(f"{m:.1f}" for m in medians), spread(sums, 1)])
    return table


def without_own_code(rounds):
    """Of each round: what kernel and libraries take for ours, beside all that the peer takes."""
    theirs, *ours = rounds.values()
    return [
        sum(sum(s.values()) - s[OWN] for s in same_round) / sum(peer.values())
        for peer, *same_round in zip(theirs, *ours)
    ]


def at_most(rates, slower, rounds):
    """Of each round: how many times the slower peer's requests a second ours would be, if our own
    code took no time at all."""
    _, *ours = rounds.values()
    found = []
    for rate, slow, *same_round in zip(rates, slower, *ours):
        spent = sum(sum(s.values()) for s in same_round)
        own = sum(s[OWN] for s in same_round)
        found.append(rate / slow * spent / (spent - own))
    return found


def run(bench, rounds, load, seconds):
    """The table's rows, and what they say."""
    found, rates, slower = {}, [], []
    for _ in range(rounds):
        for name in PEERS:
            per_s, splits = sample(bench, bench.peers[name], load, seconds)
            for process, split in splits.items():
                found.setdefault(process, []).append(split)
        rates.append(per_s)
        slower.append(bench.loaded(bench.peers[SLOWER], load, seconds)["per_s"])
    share = spread(without_own_code(found), 2)
    ratios = spread([a / b for a, b in zip(rates, slower)], 2)
    most = spread(at_most(rates, slower, found), 2)
    label = bench.peers[SLOWER].label
    return rows(found), (
        f"Without our own code: {share} of all that nginx takes.\n"
        f"Requests a second beside {label}: {ratios}; if our own code took no time, {most}."
    )
