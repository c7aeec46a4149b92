#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many agents of one relay return at once: the relay is killed (-9) and started again. Prints how
long it takes until all are back, how often they tried in vain, how often they were refused, and what
the relay needed. Exit code 1 if one is not back in time.

    TNX_BUILD=build/release tests/load/storm.py [--agents 200] [--deadline 60] [--away 0]
"""

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

from load import fixed_ports, harness
from harness import HOST, Agent, Relay, Simulator, closed_port, secret_file

ATTEMPTS = re.compile(r'msg="tunnel up" .* attempts=(\d+)')


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--deadline", type=float, default=60, help="seconds until all must be back")
    parser.add_argument("--away", type=float, default=0, help="seconds that the relay is away")
    return parser.parse_args()


def serials(n):
    return [f"STORM-{i:04}" for i in range(n)]


class Ups:
    """Waits until each of the serials has a tunnel, by one relay's log."""

    PATTERN = re.compile(r'msg="tunnel up" serial=(\S+)')

    def __init__(self, log, wanted):
        self._log = log
        self._missing = set(wanted)
        self._at = 0

    def wait(self, deadline):
        """Seconds until the last one; how many are missing."""
        begun = time.monotonic()
        with contextlib.suppress(AssertionError):
            while self._missing:
                left = deadline - (time.monotonic() - begun)
                at, line = self._log.wait(self.PATTERN.search, self._at, "tunnel up", max(0, left))
                self._at = at + 1
                self._missing.discard(self.PATTERN.search(line)[1])
        return time.monotonic() - begun, len(self._missing)


def make_agents(relay, simulator, folder, names):
    agents = []
    for name in names:
        token = relay.command("server", "add", name)["token"]
        conf = {
            "relay": {
                "url": f"wss://{HOST}:{relay.https[1]}",
                "serial": name,
                "token_file": "agent.token",
                "ca_file": relay.ca,
            },
            "server": {"url": simulator.url, "auth": "none"},
        }
        agent = Agent(folder / name, conf)
        secret_file(folder / name / "agent.token", token)
        agents.append(agent)
    return agents


def failed_attempts(agent, mark):
    """Of one that is back; those of one that is not are in no line."""
    found = [match for line in agent.process.log.since(mark) if (match := ATTEMPTS.search(line))]
    return int(found[-1][1]) - 1 if found else 0


def lines(agents, marks):
    """What an outage costs in the journal."""
    return sum(len(agent.process.log.since(mark)) for agent, mark in zip(agents, marks))


def storm(options, relay, simulator, folder, agents):
    names = serials(options.agents)
    agents += make_agents(relay, simulator, folder, names)
    first = relay.process
    for agent in agents:
        agent.start()
    took, missing = Ups(first.log, names).wait(options.deadline)
    print(f"{options.agents} agents started: up after {took:.2f} s, {missing} missing", flush=True)
    marks = [agent.process.log.count() for agent in agents]
    # A building's own call, to see when a building is served again.
    with closed_port(relay.https[1]), closed_port(relay.http[1]):
        first.kill()
        relay.configure(fixed_ports(relay))
        threading.Event().wait(options.away)
        relay.start()
        took, missing = Ups(relay.process.log, names).wait(options.deadline)
    text = relay.process.log.text()
    attempts = [failed_attempts(agent, mark) for agent, mark in zip(agents, marks)]
    report = {
        "agents": options.agents,
        "back_after_s": round(took, 2),
        "missing": missing,
        "failed_attempts": sum(attempts),
        "failed_attempts_most": max(attempts),
        "log_lines_per_agent": round(lines(agents, marks) / len(agents), 1),
        "upgrades_refused": len(re.findall(r"status=(?:401|403|429|503)\b", text)),
        "relay_cpu_s": round(relay.process.cpu_seconds(), 2),
    }
    print(json.dumps(report))
    return 1 if missing else 0


def main():
    options = arguments()
    agents, relay, simulator = [], None, None
    with tempfile.TemporaryDirectory(prefix="tnx-storm-") as name:
        folder = Path(name)
        try:
            simulator = Simulator(folder / "server").start()
            relay = Relay(folder / "relay").start()
            return storm(options, relay, simulator, folder, agents)
        finally:
            for part in [*agents, relay, simulator]:
                if part is not None and part.process is not None:
                    part.process.kill()
            if simulator is not None:
                simulator.close()
            assert not harness.Process.alive


if __name__ == "__main__":
    sys.exit(main())
