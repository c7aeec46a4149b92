# SPDX-License-Identifier: Apache-2.0
"""What many buildings and many idle clients cost. The agents of many buildings are one process,
`bench_agents`; it and the load share a core, the relay has the other. And how long a relay with many
keys takes to start."""

import contextlib
import subprocess
import time
import types

import many
import ours
import table
from processes import HOST
from speed import HERE

CLIENTS = 5000
LOADED = 50  # connections under load
IDLE_S = 10
FIGURES = {"per_s": 0, "cpu_us_sum": 1, "p50_us": 0, "p99_us": 0}
BUSY = ("peer_busy", "load_busy")  # the core of load and agents is the first to be full


def many_servers(n):
    return lambda folder: many.add_servers(folder, n)


@contextlib.contextmanager
def relay_of(folder, core, prepare, **limits):
    """A relay in a folder of its own whose database prepare(folder) has filled; gives the relay,
    its port, and what prepare returned."""
    port = ours.prepare_relay(folder)
    ours.configure(folder, "limits", **limits)
    made = prepare(folder)
    relay = ours.start_relay(folder, core, port)
    try:
        yield relay, port, made
    finally:
        relay.stop()


@contextlib.contextmanager
def tunnels(folder, core, port, made):
    """All agents up while the block runs; gives the seconds it took."""
    (folder / "agents").write_text("".join(f"{serial} {token}\n" for serial, token, _ in made))
    command = ["/usr/bin/taskset", "-c", str(core), ours.binary("bench_agents"), str(port)]
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, folder / "agents"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        if process.stdout.readline() != b"up\n":
            raise SystemExit(f"{len(made)} tunnels cannot be opened")
        yield time.monotonic() - started
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


def memory(bench, n_tunnels):
    """Idle tunnels and idle clients on one relay."""
    rows = [["state", "relay RSS, kB", "each, kB"]]

    def note(state, n=0):
        kb = relay.rss_kb()
        rows.append([state, str(kb), f"{(kb - int(rows[-1][1])) / n:.1f}" if n else ""])

    folder = bench.folder / "memory"
    with relay_of(folder, bench.core, many_servers(n_tunnels), connections=20000) as started:
        relay, port, made = started
        note("no connection")
        with tunnels(folder, bench.load_core, port, made) as seconds:
            note(f"{n_tunnels} tunnels, opened in {seconds:.1f} s", n_tunnels)
            with bench.idle(port, "/" + made[-1][2] + ours.CALL, CLIENTS):
                note(f"and {CLIENTS} clients", CLIENTS)
                before = relay.cpu_ns()
                time.sleep(IDLE_S)
                share = (relay.cpu_ns() - before) / 1e7 / IDLE_S
                note(f"{IDLE_S} s later ({share:.1f} % of a core meanwhile)")
        note("all have gone")
    return rows


def sample(bench, relay, port, made, label, seconds):
    """Load over all keys at random."""
    paths = bench.folder / "paths"
    paths.write_text("".join(f"/{key}{ours.CALL}\n" for _, _, key in made))
    peer = types.SimpleNamespace(label=label, processes=[relay])
    command = ["wrk", "-t1", f"-c{LOADED}", "-d{}s", "-s", HERE / "wrk.lua"]
    command.append(f"https://{HOST}:{port}/")
    return bench.measure(
        peer, "", seconds, command, connections=LOADED, by_backend=False, TARGETS=str(paths)
    )


def servers(bench, counts, rounds, seconds):
    """Relays with more and more buildings, side by side, loaded in turn."""
    samples = []
    with contextlib.ExitStack() as stack:
        running = []
        for n in counts:
            folder = bench.folder / f"servers-{n}"
            limits = {"connections": 20000}
            started = stack.enter_context(relay_of(folder, bench.core, many_servers(n), **limits))
            stack.enter_context(tunnels(folder, bench.load_core, started[1], started[2]))
            running.append((f"{n} buildings", *started))
        for _ in range(rounds):
            for label, *started in running:
                samples.append(sample(bench, *started, label, seconds))
    return samples


def started(bench):
    """How long each relay took to start, and what it holds: {label: (seconds, kB)}"""
    return {p.label: (p.start_s, p.processes[0].rss_kb()) for p in bench.peers.values()}


def starts(found):
    """Of what `started` gave each time."""
    rows = [["relay", "start, s", "RSS, kB"]]
    for label in found[0]:
        seconds, kb = zip(*(each[label] for each in found))
        rows.append([label, table.spread(seconds, 2), table.spread(kb)])
    return rows


def ratios(samples):
    """What each can do, beside the first in the same round."""
    labels = table.ordered(samples, "peer")
    first = table.column(samples, labels[0], "", "per_s")
    rows = [["", "requests/s", f"of {labels[0]}", "relay us/request", "p50 us", "p99 us",
             "busy: relay", "load"]]
    for label in labels:
        own = {f: table.column(samples, label, "", f) for f in FIGURES}
        shares = [a / b for a, b in zip(own["per_s"], first)]
        cells = [table.spread(own[f], digits) for f, digits in FIGURES.items()]
        busy = [table.percent(table.column(samples, label, "", f)) for f in BUSY]
        rows.append([label, cells[0], table.spread(shares, 2), *cells[1:], *busy])
    return rows


def show(title, rows):
    print(f"\n### {title}\n")
    print("\n".join(table.lines_of(rows)), flush=True)
