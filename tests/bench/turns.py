# SPDX-License-Identifier: Apache-2.0
"""Ratios of peers, as exact as a shared machine allows: the load of each peer is there all the time
and stands still (SIGSTOP) but for its turns of a quarter of a second, which alternate. What the
machine's neighbours do lasts longer than two turns and so hits both; what differs is the peers.

Requests a second and processor time only: a load that stood still has no latency to tell."""

import itertools
import json
import os
import signal
import statistics
import time

import ours
import table
from processes import Process
from speed import HERE, OPENERS, OPENING_S

TURN_S = 0.25
SETTLE_S = 0.06  # until a load that goes on is in full swing
REST_S = 0.04  # for what is on its way when a load is stopped
NEW = "new"  # in place of a number of connections: one for each request
FIGURES = ("per_s", "cpu_us")


class Load:
    """One peer's, at rest."""

    def __init__(self, bench, peer, load, lasts_s):
        self.peer = peer
        if load == NEW:
            command = [ours.binary("bench_clients"), "open", peer.port, bench.path(peer), OPENERS]
            command.append(lasts_s)
            warm_up_s = 1
        else:
            command = ["wrk", "-t1", f"-c{load}", f"-d{lasts_s}s", "--timeout", "60s"]
            command += ["-s", HERE / "wrk.lua", bench.url(peer)]
            warm_up_s = 1 + int(load) * OPENING_S
        environment = {"TARGETS": str(peer.paths)} if peer.paths else {}
        name = f"load-{peer.port}-{load}"
        self.process = Process(name, bench.load_core, bench.folder, *command, **environment)
        time.sleep(warm_up_s)
        self.send(signal.SIGSTOP)

    def send(self, number):
        for pid in self.process.pids():
            os.kill(pid, number)

    def turn(self, bench):
        """Requests a second, and microseconds of processor time for each."""
        self.send(signal.SIGCONT)
        time.sleep(SETTLE_S)
        before = bench.reading(self.peer.processes)
        time.sleep(TURN_S)
        after = bench.reading(self.peer.processes)
        self.send(signal.SIGSTOP)
        time.sleep(REST_S)
        n, us, *spent_us = (b - a for a, b in zip(before, after))
        n = max(1, n - 1)  # the second question
        return {"per_s": n / (us / 1e6), "cpu_us": sum(spent_us) / n}

    def check(self, within_s):
        """Waits for its end: none of its requests may have failed."""
        said = json.loads(self.process.output(within_s))
        if said["failed"] or not said["requests"]:
            raise SystemExit(f"{self.peer.label}: {said}")


def measure(bench, load, turns):
    """{label: [what each turn gave]}"""
    peers = list(bench.peers.values())
    turn_s = TURN_S + SETTLE_S + REST_S
    lasts_s = int(turns * len(peers) * turn_s * 1.1 + len(peers) * 4 + 5)
    loads = [Load(bench, peer, load, lasts_s) for peer in peers]
    given = {peer.label: [] for peer in peers}
    for i in range(turns):
        # Forth and back, so that nobody is always behind the same one.
        for each in loads if i % 2 == 0 else reversed(loads):
            given[each.peer.label].append(each.turn(bench))
    for each in loads:
        each.send(signal.SIGCONT)
    for each in loads:
        each.check(lasts_s)
    return given


def interval(values):
    """Median, and the bounds between which the true one is in 95 of 100 cases (order statistics)."""
    ordered, n = sorted(values), len(values)
    low = max(0, int(n / 2 - 0.98 * n**0.5))
    return statistics.median(ordered), ordered[low], ordered[n - 1 - low]


def shown(values, digits):
    middle, low, high = (f"{v:.{digits}f}" for v in interval(values))
    return f"{middle} [{low}..{high}]"


def verdict(values, bound):
    middle, low, high = interval(values)
    if middle >= bound:
        return "reached" if low >= bound else "reached, within the error"
    return "NOT REACHED" if high < bound else "NOT REACHED, within the error"


def ratios(given, own, peer):
    return {f: [a[f] / b[f] for a, b in zip(given[own], given[peer])] for f in FIGURES}


def rows_of(load, given):
    """A row for each pair of ours and another."""
    own = [label for label in given if label.startswith("relay")]
    loaded = f"{load} connections"
    bounds = {
        peer: bound
        for what, figure, peer, bound, _ in table.TARGETS
        if (what, figure) == (loaded, "per_s")
    }
    rows = []
    for mine, peer in itertools.product(own, (label for label in given if label not in own)):
        found = ratios(given, mine, peer)
        bound = bounds.get(peer)
        rows.append(
            [
                loaded,
                mine,
                peer,
                f">= {bound}" if bound else "",
                shown(found["per_s"], 2),
                verdict(found["per_s"], bound) if bound else "",
                shown(found["cpu_us"], 2),
                shown([t["cpu_us"] for t in given[mine]], 1),
                shown([t["cpu_us"] for t in given[peer]], 1),
            ]
        )
    return rows


def rows_beside_first(load, given):
    """A row for each peer but the first, which all are compared with."""
    first, *others = given
    rows = []
    for label in others:
        found = ratios(given, label, first)
        times = (shown([t["cpu_us"] for t in given[name]], 1) for name in (label, first))
        ratio = (shown(found[figure], 3) for figure in FIGURES)
        rows.append([f"{load} connections", label, first, *ratio, *times])
    return rows


def compare(bench, load, turns):
    """The table of one load, each peer beside the first."""
    heading = ["load", "what", "beside", "requests/s", "CPU per request", "us", "us beside"]
    return [heading, *rows_beside_first(load, measure(bench, load, turns))]


def run(bench, load, turns):
    """The table of one load."""
    heading = ["load", "ours", "peer", "target", "requests/s", "", "CPU per request"]
    return [[*heading, "ours, us", "peer's, us"], *rows_of(load, measure(bench, load, turns))]
