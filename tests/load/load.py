# SPDX-License-Identifier: Apache-2.0
"""Constant load on a relay, and restarts of the relay under it. Used by the programs beside it and
by tests/blackbox/test_tunnel_life.py."""

import collections
import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))

import harness  # noqa: E402
from harness import DEADLINE, HOST  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Processes whose parent ends become our children, so that we can wait for them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def wait_gone(pid, deadline=DEADLINE):
    """Waits for the end of a process, whoever's child it is."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = select.select([fd], [], [], deadline)
    finally:
        os.close(fd)
    assert ready, f"process {pid} still runs after {deadline:g} s"


class Load:
    """`connections` clients, each a thread with one keep-alive connection, make `rate` requests a
    second together. A client that is told `Connection: close` opens a new connection for its next
    request, as every HTTP client does. An answer other than 200, or none, is a failure."""

    def __init__(self, address, context, target, connections, rate):
        self._address = address
        self._context = context
        self._target = target
        self._interval = connections / rate
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.outcomes = collections.Counter()
        self.failures = []  # (seconds since the start, what)
        self.latencies = []  # seconds
        self.n_connections = 0
        self._changed = threading.Condition(self._lock)
        self.started = time.monotonic()
        self._threads = [
            threading.Thread(target=self._client, args=(i,), name=f"client {i}", daemon=True)
            for i in range(connections)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._ending.set()
        for thread in self._threads:
            thread.join(DEADLINE * 2)
            assert not thread.is_alive(), f"{thread.name} hangs"

    @property
    def n_done(self):
        with self._lock:
            return len(self.latencies)

    def wait_done(self, n, deadline=DEADLINE):
        """Waits until n more requests have ended."""
        with self._changed:
            wanted = len(self.latencies) + n
            assert self._changed.wait_for(lambda: len(self.latencies) >= wanted, deadline), (
                f"not {n} more requests within {deadline:g} s"
            )

    def percentile(self, share):
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    def describe(self):
        seconds = time.monotonic() - self.started
        n = len(self.latencies)
        lines = [f"{n} requests in {seconds:.1f} s ({n / seconds:.0f}/s)"]
        lines += [f"{self.n_connections} connections opened"]
        lines += [f"{count} x {outcome}" for outcome, count in self.outcomes.most_common()]
        shares = (0.5, 0.9, 0.99, 0.999, 1.0)
        shown = (f"p{share * 100:g} {self.percentile(share) * 1000:.1f}" for share in shares)
        lines.append("latency, ms: " + "  ".join(shown))
        lines += [f"failed at {at:.2f} s: {what}" for at, what in self.failures[:20]]
        return "\n".join(lines)

    def _client(self, i):
        connection = None
        due = time.monotonic() + self._interval * (i / max(1, len(self._threads)))
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval, time.monotonic() - self._interval)
            begun = time.monotonic()
            try:
                if connection is None:
                    connection = harness.Connection(self._address, self._context)
                    with self._lock:
                        self.n_connections += 1
                answer = connection.request(self._target)
                outcome = str(answer.status)
                if answer.status != 200:
                    outcome += " " + answer.body.decode("latin-1")[:120].strip()
                closing = answer.values("Connection") == ["close"]
            except (OSError, AssertionError) as e:
                outcome, closing = f"no answer: {e!r}"[:200], True
            if closing and connection is not None:
                connection.close()
                connection = None
            self._note(begun, outcome)
        if connection is not None:
            connection.close()

    def _note(self, begun, outcome):
        now = time.monotonic()
        with self._changed:
            self.latencies.append(now - begun)
            self.outcomes[outcome] += 1
            if outcome != "200":
                self.failures.append((begun - self.started, outcome))
            self._changed.notify_all()


class Succession:
    """The relays of a building, each in place of the one before it. Call adopt_orphans() before
    anything is started. The building's own relay process is the first; they share its log. `conf`
    are the settings that the building was made with."""

    def __init__(self, building, conf=None):
        self.building = building
        relay = building.relay
        relay.configure(harness.merged(conf or {}, fixed_ports(relay)))
        self._log = relay.process.log
        self._pids = [relay.process.pid]

    @property
    def pid(self):
        return self._pids[-1]

    def replace(self, deadline=DEADLINE):
        """SIGUSR2: the relay starts its successor. Returns when the old one has ended."""
        start = self._log.count()
        old = self.pid
        os.kill(old, signal.SIGUSR2)
        self._log.wait(lambda line: "taking over" in line, start, "takeover")
        self._pids.append(json.loads(self.building.relay.runtime_file.read_text())["pid"])
        assert self.pid != old
        wait_gone(old, deadline)

    def close(self):
        """Ends the last one cleanly; the first one's process object then ends as usual."""
        for pid in self._pids[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(AssertionError):
                wait_gone(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def fixed_ports(relay):
    """Settings that make the next relay listen where this one does."""
    return {
        "https": {"listen": f"{HOST}:{relay.https[1]}"},
        "http": {"listen": f"{HOST}:{relay.http[1]}"},
    }
