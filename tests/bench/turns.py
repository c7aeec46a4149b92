# SPDX-License-Identifier: Apache-2.0
"""Ratios of peers, as exact as a shared machine allows: the load of each peer is there all the time
and stands still (SIGSTOP) but for its turns of a quarter of a second, which alternate. What the
machine's neighbours do lasts longer than two turns and so hits both; what differs is the peers.

Two processes of one program differ too, by a few hundredths, for as long as they run: by where
their memory lies. So all are started anew several times, and what is sure of a ratio is told from
what differs between the starts.

Requests a second and processor time only: a load that stood still has no latency to tell."""

import itertools
import json
import math
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

import ours
import table
from processes import Process
from speed import END_S, HERE, NEW, OPENERS, OPENING_S, Bench

TURN_S = 0.25
SETTLE_S = 0.06  # until a load that goes on is in full swing
REST_S = 0.04  # for what is on its way when a load is stopped
LOAD_S = 3600  # a load lasts so long unless it is ended
FIGURES = ("per_s", "cpu_us")
SURE = 0.95  # of the cases the true median is between the bounds
STARTS_MIN = 6  # of fewer not even the lowest and the highest are as sure


class Load:
    """One peer's, at rest."""

    def __init__(self, bench, peer, load):
        self.peer = peer
        if load == NEW:
            command = [ours.binary("bench_clients"), "open", peer.port, bench.path(peer), OPENERS]
            command.append(LOAD_S)
            warm_up_s = 1
        else:
            command = ["wrk", "-t1", f"-c{load}", f"-d{LOAD_S}s", "--timeout", "60s"]
            command += ["-s", HERE / "wrk.lua", bench.url(peer)]
            warm_up_s = 1 + int(load) * OPENING_S
        # What stands still takes no SIGTERM.
        command = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--", *command]
        environment = {"TARGETS": str(peer.paths)} if peer.paths else {}
        name = f"load-{peer.port}-{load}"
        self.process = Process(name, bench.load_core, bench.folder, *command, **environment)
        time.sleep(warm_up_s)
        self.send(signal.SIGSTOP)

    def send(self, number):
        for pid in self.process.pids():
            os.kill(pid, number)

    def turn(self, bench):
        """Requests a second, microseconds of the peer's processor time for each, and which part of
        their core load and backend used."""
        self.send(signal.SIGCONT)
        time.sleep(SETTLE_S)
        watched = [*self.peer.processes, bench.backend, self.process]
        before = bench.reading(watched)
        time.sleep(TURN_S)
        after = bench.reading(watched)
        self.send(signal.SIGSTOP)
        time.sleep(REST_S)
        if not self.process.running():
            raise SystemExit(f"{self.peer.label}: the load has ended")
        n, us, *spent_us = (b - a for a, b in zip(before, after))
        n = max(1, n - 1)  # the second question
        return {
            "per_s": n / (us / 1e6),
            "cpu_us": sum(spent_us[:-2]) / n,
            "load_core": sum(spent_us[-2:]) / us,
        }

    def end(self):
        """None of its requests may have failed."""
        self.send(signal.SIGCONT)
        time.sleep(SETTLE_S)  # else a thread may get it that does not wait for it
        self.send(signal.SIGINT)
        said = json.loads(self.process.output(END_S))
        if said["failed"] or not said["requests"]:
            raise SystemExit(f"{self.peer.label}: {said}")


def measure(bench, load, turns):
    """{label: [what each turn gave]}"""
    peers = list(bench.peers.values())
    loads = [Load(bench, peer, load) for peer in peers]
    given = {peer.label: [] for peer in peers}
    for i in range(turns):
        # Forth and back, so that nobody is always behind the same one.
        for each in loads if i % 2 == 0 else reversed(loads):
            given[each.peer.label].append(each.turn(bench))
    for each in loads:
        each.end()
    return given


def of_start(turns):
    """All turns of a start taken together. No medians: a peer that now and then stands still, as
    nginx with ssh -R does, has turns of two kinds, and its rate is that of both."""
    per_s = [turn["per_s"] for turn in turns]
    spent = [turn["per_s"] * turn["cpu_us"] for turn in turns]
    return {
        "per_s": statistics.mean(per_s),
        "cpu_us": sum(spent) / sum(per_s),
        "load_core": statistics.mean(turn["load_core"] for turn in turns),
    }


def starts(folder, kinds, loads, options, told=None):
    """Each load in each of so many starts: {load: [{label: [what each turn gave]}]}. `told` is
    called with each Bench once everything runs."""
    given = {load: [] for load in loads}
    for i in range(options.starts):
        # Forth and back here too: who is started first may lie better in memory.
        order = dict(kinds if i % 2 == 0 else reversed(kinds.items()))
        with tempfile.TemporaryDirectory(dir=folder) as place:
            with Bench(Path(place), order, options.backend) as bench:
                if told:
                    told(bench)
                for load in loads:
                    given[load].append(measure(bench, load, options.turns))
    return given


def n_outside(n):
    """How many values of n may be left out at each end, so that between the others the true median
    is as surely as it should be (order statistics)."""
    k, tail = 0, 1
    while 2 * tail <= (1 - SURE) * 2**n:
        k += 1
        tail += math.comb(n, k)
    return max(0, k - 1)


def interval(values):
    """Median, and the bounds between which the true one is in 95 of 100 cases."""
    ordered, n = sorted(values), len(values)
    low = n_outside(n)
    return statistics.median(ordered), ordered[low], ordered[n - 1 - low]


def shown(values, digits):
    middle, low, high = (f"{v:.{digits}f}" for v in interval(values))
    return f"{middle} [{low}..{high}]"


def verdict(values, bound, load_core):
    """Of a rate; `load_core` is how busy ours kept the load's core."""
    middle, low, high = interval(values)
    if len(values) < STARTS_MIN:
        return "too few starts"
    if load_core > table.LOAD_IS_FULL:
        return "the load's own limit"
    if middle >= bound:
        return "reached" if low >= bound else "reached, within the error"
    return "NOT REACHED" if high < bound else "NOT REACHED, within the error"


def ratios(begun, mine, theirs):
    """Of each start."""
    pairs = list(zip(figures(begun, mine), figures(begun, theirs)))
    return {f: [a[f] / b[f] for a, b in pairs] for f in FIGURES}


def figures(begun, label):
    """Of each start."""
    return [of_start(given[label]) for given in begun]


def cost(begun, label):
    return shown([start["cpu_us"] for start in figures(begun, label)], 1)


def share(begun, label):
    """Of the load's core."""
    return statistics.median(start["load_core"] for start in figures(begun, label))


def rows_of(load, begun):
    """A row for each pair of ours and another."""
    own = [label for label in begun[0] if label.startswith("relay")]
    loaded = f"{load} connections"
    bounds = {
        peer: bound
        for what, figure, peer, bound, _ in table.TARGETS
        if (what, figure) == (loaded, "per_s")
    }
    rows = []
    for mine, peer in itertools.product(own, (label for label in begun[0] if label not in own)):
        found = ratios(begun, mine, peer)
        bound = bounds.get(peer)
        rows.append(
            [
                loaded,
                mine,
                peer,
                f">= {bound}" if bound else "",
                shown(found["per_s"], 2),
                verdict(found["per_s"], bound, share(begun, mine)) if bound else "",
                shown(found["cpu_us"], 2),
                cost(begun, mine),
                cost(begun, peer),
                table.percent([share(begun, mine)]),
                table.percent([share(begun, peer)]),
            ]
        )
    return rows


def rows_beside_first(load, begun):
    """A row for each peer but the first, which all are compared with."""
    first, *others = begun[0]
    rows = []
    for label in others:
        found = ratios(begun, label, first)
        times = (cost(begun, name) for name in (label, first))
        ratio = (shown(found[figure], 3) for figure in FIGURES)
        rows.append([f"{load} connections", label, first, *ratio, *times])
    return rows


def compare(load, begun):
    """The table of one load, each peer beside the first."""
    heading = ["load", "what", "beside", "requests/s", "CPU per request", "us", "us beside"]
    return [heading, *rows_beside_first(load, begun)]


def table_of(load, begun):
    heading = ["load", "ours", "peer", "target", "requests/s", "", "CPU per request", "ours, us"]
    return [[*heading, "peer's, us", "load's core", "peer's"], *rows_of(load, begun)]
