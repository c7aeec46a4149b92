#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A building in use for as long as asked: calls of all kinds at a steady rate while the line breaks,
a second agent comes and goes, keys are made and revoked and relay and agent reload. Memory and
descriptors of relay and agent, one process each from beginning to end, are sampled. The exit code is 1 if
one of them grows, a call fails that nothing explains, a program complains, or the run says too little: the
tunnel was up for less than UP of the time, fewer than UP of the calls went well, or fewer than DONE of
those that were asked for were made.

    TNX_BUILD=build/release tests/load/soak.py SECONDS [--rate 100] [--every 5] [--csv F] [--svg F]

Growth of memory is the slope of a straight line through the samples of the last two thirds of the run
(least squares), times their duration. It may be RSS_KIB, and RSS_KIB_PER_HOUR on top for the time it took.

Descriptors come and go with the calls, with the connections that the agent keeps for the next ones, and
with the tunnel, so samples of two parts of a run may well differ by some. They are judged where nothing of
this is open: within seconds of the last call there may be FDS more than before the first one.
"""

import argparse
import collections
import contextlib
import csv
import datetime
import itertools
import json
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from load import Load, harness
from soak_plot import plot

sys.path.insert(0, str(Path(harness.__file__).parent))
from cutter import Cutter  # noqa: E402
from harness import HOST, SERIAL, Agent, Building, Connection, run, secret_file, wait_until  # noqa: E402

RSS_KIB = 512
RSS_KIB_PER_HOUR = 512
FDS = 1
UP = 0.8
DONE = 0.5
CLIENTS = 8
GUID = "1lzPszHWAEuvzxtXBMkzWQ"
# Commands and status calls, with feedback, by POST, and some that are refused.
CALLS = (
    (f"powerstatus?guid={GUID}", "GET", b""),
    (f"power?guid={GUID}&cmd=1&fb", "GET", b""),
    ("power", "POST", f"guid={GUID}&cmd=0".encode()),
    ("system/serverStatus", "HEAD", b""),
    ("system/sendKNXbit?group=1/0/1&value=1", "GET", b""),
    ("nothing", "GET", b""),
)
FORM = ["Content-Type: application/x-www-form-urlencoded"]


class MixedLoad(Load):
    """As Load; each client goes through CALLS. A failure is what no restart explains."""

    def __init__(self, building, rate):
        self._paths = [(building.path(call), method, body) for call, method, body in CALLS]
        self._next = itertools.count()
        relay = building.relay
        super().__init__(relay.https, relay.tls_context(), "", CLIENTS, rate)

    def _one(self, connection):
        target, method, body = self._paths[next(self._next) % len(self._paths)]
        return connection.request(target, method, FORM if body else (), body)

    def _client(self, i):
        connection, due = None, time.monotonic() + self._interval * i / CLIENTS
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval, time.monotonic() - self._interval)
            begun = time.monotonic()
            try:
                self.n_connections += connection is None
                connection = connection or Connection(self._address, self._context)
                answer = self._one(connection)
                outcome = str(answer.status)
                closing = answer.values("Connection") == ["close"]
            except (OSError, AssertionError) as e:
                outcome, closing = f"no answer: {e!r}"[:120], True
            if connection is not None and (closing or random.random() < 0.02):
                connection.close()
                connection = None
            self._note(begun, outcome)
        if connection is not None:
            connection.close()


def second_agent(building):
    """As the first, from the same files."""
    agent = Agent(building.folder / "rival", {})
    text = building.agent.conf.read_text()
    agent.conf.write_text(text.replace(building.agent.status_socket, agent.status_socket))
    for name in ("agent.token", "password"):
        secret_file(agent.folder / name, (building.agent.folder / name).read_text().strip())
    return agent


def has_tunnel(agent):
    """As the agent itself says."""
    status = run("thinknx-agent", "status", "--json", "--config", agent.conf, expect=(0, 1)).stdout
    return all(relay["state"] == "open" for relay in json.loads(status)["relays"])


class Trouble:
    """Every so many seconds the next of what happens to a building, once it has a tunnel. Not in a thread of
    its own: a program ends with the thread that started it."""

    def __init__(self, building, line, every):
        self.building, self.line, self.every = building, line, every
        self._rival = second_agent(building)
        self.happened = collections.Counter()
        self._next = time.monotonic() + every
        kinds = (self.cut, self.key, self.stall, self.reload, self.silence, self.rival)
        self._kinds = itertools.cycle(kinds)

    def step(self):
        """Does what is due."""
        if time.monotonic() < self._next:
            return
        kind = next(self._kinds)
        wait_until(lambda: has_tunnel(self.building.agent), "a tunnel")
        kind()
        self.happened[kind.__name__] += 1
        self._next = time.monotonic() + self.every

    def cut(self):
        assert self.line.cut(), "there was nothing to cut"

    def stall(self):
        self.line.stall()
        time.sleep(1)
        self.line.resume()

    def silence(self):
        """A stall until the agent gives its tunnel up."""
        agent = self.building.agent.process
        start = agent.log.count()
        self.line.stall()
        agent.wait_log(r"tunnel (is silent|lost)", start)
        self.line.resume()

    def key(self):
        """Enabled, rotated, used and revoked."""
        relay = self.building.relay
        made = relay.command("key", "enable", SERIAL)
        new = relay.command("key", "rotate", made["id"])
        relay.command("key", "revoke", new["id"])
        relay.command("key", "list")

    def reload(self):
        self.building.relay.process.signal(signal.SIGHUP)

    def rival(self):
        """A second agent of the same building comes and goes: the newest one has the tunnel. The first, which
        would stay away for up to a minute (agent/tunnel/retry.h), is told to reload, as an operator would
        (docs/operations.md), so that it is back at once and is the same process all the time."""
        agent = self.building.agent.process
        replaced = agent.log.count()
        self._rival.start()
        agent.wait_log(r"tunnel draining.*class=replaced", replaced)
        self._rival.process.stop()
        back = agent.log.count()
        agent.signal(signal.SIGHUP)
        agent.wait_log(r"tunnel up", back)


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        rss = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
    return rss, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def at_rest(building, most=None):
    """The descriptors of relay and agent with a tunnel and without calls. `most`: waits until there are not
    more than these, in vain if some were lost."""
    parts = (building.relay, building.agent)

    def look():
        return {part.process.name: status_of(part.process.pid)[1] for part in parts}

    def quiet():
        few = most is None or all(n <= most[name] for name, n in look().items())
        return few and has_tunnel(building.agent)

    with contextlib.suppress(AssertionError):
        wait_until(quiet, "at rest")
    return look()


class Samples:
    """Of relay and agent: RSS in KiB and descriptors."""

    def __init__(self):
        self.begun = time.monotonic()
        self.rows = collections.defaultdict(list)  # name -> [(seconds, rss, fds)]

    def take(self, building):
        at = time.monotonic() - self.begun
        processes = (building.relay.process, building.agent.process)
        seen = [(process.name, status_of(process.pid)) for process in processes]
        for name, (rss, fds) in seen:
            self.rows[name].append((at, rss, fds))

    def write(self, path):
        with open(path, "w", encoding="ascii", newline="") as f:
            out = csv.writer(f, lineterminator="\n")
            out.writerow(("program", "seconds", "rss_kib", "descriptors"))
            for name, rows in self.rows.items():
                out.writerows((name, round(at, 1), rss, fds) for at, rss, fds in rows)


def growth(rows, column):
    """Of a straight line through the last two thirds, over their duration."""
    rows = rows[len(rows) // 3 :]
    n = len(rows)
    xs, ys = [r[0] for r in rows], [r[column] for r in rows]
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / spread if spread else 0
    return slope * (xs[-1] - xs[0])


def judge(samples, before, after):
    wrong = []
    for name, rows in samples.rows.items():
        if len(rows) < 10:
            wrong.append(f"{name}: only {len(rows)} samples")
            continue
        hours = (rows[-1][0] - rows[len(rows) // 3][0]) / 3600
        rss, most = growth(rows, 1), RSS_KIB + RSS_KIB_PER_HOUR * hours
        print(
            f"{name}: RSS {rows[0][1]} KiB at first, {rows[-1][1]} at last,"
            f" {max(r[1] for r in rows)} at most, growth {rss:+.0f} KiB of {most:.0f};"
            f" descriptors at rest {before[name]} before, {after[name]} after"
        )
        if rss > most:
            wrong.append(f"{name}: RSS grew by {rss:.0f} KiB")
        if after[name] > before[name] + FDS:
            wrong.append(f"{name}: {after[name] - before[name]} descriptors more at rest")
    return wrong


def failures(load):
    """Outcomes that a broken line and another agent do not explain."""
    explained = re.compile(r"502|503|504")
    return [(at, what) for at, what in load.failures if not explained.match(what)]


def share_up(lines, ended):
    """How much of the time until then an agent with this log had a tunnel, since its first one. Not by the
    samples: they are taken between the troubles."""
    event = re.compile(r'time=(\S+) .*msg="tunnel (?:(up|is heard again)|lost|is silent|draining)"')
    first, since, total = None, None, 0.0
    for match in filter(None, map(event.match, lines)):
        at = datetime.datetime.fromisoformat(match[1]).timestamp()
        first = first or at
        total += at - since if since else 0.0
        since = at if match[2] else None
    return (total + (ended - since if since else 0.0)) / (ended - first)


def says_too_little(options, up, load):
    """Nothing grows in a building that is away or that nobody calls."""
    wrong = []
    wanted, n_failed = options.rate * options.seconds, len(load.failures)
    print(f"the tunnel was up for {up:.1%} of the time")
    print(f"{load.n_done} calls of {wanted:.0f} were made, {n_failed} failed")
    if up < UP:
        wrong.append(f"the tunnel was up for {up:.1%} of the time only")
    if n_failed > (1 - UP) * load.n_done:
        wrong.append(f"{n_failed} of {load.n_done} calls failed")
    if load.n_done < DONE * wanted:
        wrong.append(f"{load.n_done} calls only, of {wanted:.0f}")
    return wrong


def soak(options, folder):
    settings = {"timeouts": {"ping_idle": 1, "reply_deadline": 1, "offline_grace": 3}}
    with Cutter() as line:
        url = {"relay": {"url": f"wss://{HOST}:{line.port}"}}
        building = Building(folder, relay=settings, agent=url, start=False)
        try:
            line.target = building.relay.https
            building.start_agent()
            return watch(options, building, line)
        finally:
            building.kill()


def watch(options, building, line):
    before = at_rest(building)
    samples, load = Samples(), MixedLoad(building, options.rate)
    trouble = Trouble(building, line, options.every)
    until = time.monotonic() + options.seconds
    step = min(5.0, options.seconds / 60)
    sample_at = time.monotonic()
    try:
        while time.monotonic() < until:
            if time.monotonic() >= sample_at:
                samples.take(building)
                sample_at += step
            trouble.step()
            time.sleep(min(step, options.every) / 4)
    finally:
        load.stop()
    up = share_up(building.agent.process.log.since(), time.time())
    after = at_rest(building, before)
    building.stop()
    load.failures = [(at, what) for at, what in load.failures if what != "404"]  # asked for
    print(load.describe())
    print("happened: " + ", ".join(f"{n} x {what}" for what, n in trouble.happened.items()))
    wrong = judge(samples, before, after) + says_too_little(options, up, load)
    wrong += [f"{at:.1f} s: {what}" for at, what in failures(load)[:20]]
    if options.csv:
        samples.write(options.csv)
    if options.svg:
        Path(options.svg).write_text(plot(samples.rows), encoding="ascii")
    for what in wrong:
        print(f"WRONG: {what}")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--rate", type=float, default=100, help="calls per second")
    parser.add_argument("--every", type=float, default=5, help="seconds between troubles")
    parser.add_argument("--csv", help="file for the samples")
    parser.add_argument("--svg", help="file for their plot")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tnx-soak-") as folder:
        return soak(options, Path(folder) / "building")


if __name__ == "__main__":
    sys.exit(main())
