# SPDX-License-Identifier: Apache-2.0
"""However long the line or the relay was away: the building is online again within 3 s of its return.

    TNX_OUTAGES="40 41 42 43" TNX_SHORT_OUTAGES="2 5 8" pytest -s tests/blackbox/test_tunnel_outage.py

takes as many outages, of so many seconds each, as are given, and prints how long each return took."""

import os
import threading
import time

import pytest

import bad_network
import own_network
from cutter import Cutter
from harness import DEADLINE, HOST, Building
from network import NEAR, Network
from own_network import Dns, in_own_network, unshare_mounts, use_names

# Long enough that waits which double from attempt to attempt would be far beyond BACK.
OUTAGES = [float(s) for s in os.environ.get("TNX_OUTAGES", "40").split()]
# Too short for a tunnel to be given up.
SHORT_OUTAGES = [float(s) for s in os.environ.get("TNX_SHORT_OUTAGES", "3.9 7 11").split()]
# Between the calls that go on meanwhile, seconds.
CALL_EVERY = 0.25
BACK = 3
NAME = "relay.test"
STATUS = "system/serverStatus"
# The first failure of an outage, one for another reason a minute later, and one in ten minutes.
LINES_MAX = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 2 * sum(OUTAGES) + 2 * sum(SHORT_OUTAGES))]


def one_outage(building, seconds, begin, end):
    """Takes the line away by `begin`, and gives it back by `end`."""
    relay, agent = building.relay.process, building.agent.process
    agent.wait_log("tunnel up")
    at_relay, at_agent = relay.log.count(), agent.log.count()
    begin()
    relay.wait_log("tunnel closed", at_relay)
    agent.wait_log("tunnel lost", at_agent)
    threading.Event().wait(seconds)
    at_relay = relay.log.count()
    end()
    begun = time.monotonic()
    relay.wait_log("tunnel up", at_relay, BACK)
    assert building.get(building.path(STATUS)).status == 200
    took = time.monotonic() - begun
    lines = [line for line in agent.log.since(at_agent) if "relay not reached" in line]
    attempts = int(agent.wait_log(r'msg="tunnel up".* attempts=(\d+)', at_agent)[1])
    print(f"away {seconds:g} s: back after {took:.2f} s, {attempts} attempts, {len(lines)} lines in the log")
    assert took < BACK
    assert 1 <= len(lines) <= LINES_MAX, "\n".join(lines)
    return took


class Callers:
    """Calls that go on, each on a connection of its own, whether those before are answered or not."""

    def __init__(self, building):
        self._building = building
        self._ending = threading.Event()
        self._answered = threading.Condition()
        self._answers = []  # (begun, ended), of those that the building gave
        self._calls = []
        self._thread = threading.Thread(target=self._go_on)
        self._thread.start()

    def _go_on(self):
        while not self._ending.wait(CALL_EVERY):
            self._calls.append(threading.Thread(target=self._call))
            self._calls[-1].start()

    def _call(self):
        begun = time.monotonic()
        if self._building.get(self._building.path(STATUS)).status == 200:
            with self._answered:
                self._answers.append((begun, time.monotonic()))
                self._answered.notify_all()

    def first_since(self, moment):
        """When the first call that began then or later was answered."""

        def ends():
            return [ended for begun, ended in self._answers if begun >= moment]

        with self._answered:
            assert self._answered.wait_for(ends, DEADLINE)
            return min(ends())

    def end(self):
        self._ending.set()
        self._thread.join()
        for call in self._calls:
            call.join()


def one_short_outage(building, network, seconds):
    callers = Callers(building)
    try:
        callers.first_since(0)
        network.dead = (True, True)
        threading.Event().wait(seconds)
        network.heal()
        healed = time.monotonic()
        took = callers.first_since(healed) - healed
    finally:
        network.heal()
        callers.end()
    print(f"away {seconds:g} s amid calls: back after {took:.2f} s")
    return took


@own_network.needed
@in_own_network
def test_back_within_3_s_after_an_outage_too_short_to_end_the_tunnel(tmp_path):
    """Requests were on their way: TCP, which repeats them later and later, is not waited for."""
    network = Network()
    building = bad_network.build(tmp_path / "building", network, relay={}, agent={})
    try:
        building.start_agent()
        took = [one_short_outage(building, network, seconds) for seconds in SHORT_OUTAGES]
        building.stop()
    finally:
        building.kill()
        network.close()
    assert max(took) < BACK


@own_network.needed
@in_own_network
def test_back_within_3_s_after_a_line_that_swallowed_everything(tmp_path):
    """Real packets, the questions to DNS among them, vanish without a word."""
    network = Network()
    _dns = Dns(NEAR, relay=[NEAR])
    network.in_far(unshare_mounts)
    network.in_far(lambda: use_names(tmp_path, nameserver=NEAR))
    building = bad_network.build(tmp_path / "building", network)
    conf = building.agent.conf
    conf.write_text(conf.read_text().replace(f"wss://{NEAR}", f"wss://{NAME}"))
    try:
        building.start_agent()
        for seconds in OUTAGES:
            one_outage(building, seconds, lambda: setattr(network, "dead", (True, True)), network.heal)
        building.stop()
    finally:
        building.kill()
        network.close()


def test_back_within_3_s_after_a_port_that_refused(tmp_path):
    """As a relay whose process is away, or a router that rejects."""
    with Cutter() as line:
        url = {"relay": {"url": f"wss://{HOST}:{line.port}"}}
        building = Building(tmp_path / "building", agent=url, start=False)
        try:
            line.target = building.relay.https
            building.start_agent()
            for seconds in OUTAGES:
                one_outage(building, seconds, lambda: (line.refuse(), line.cut()), line.resume)
            building.stop()
        finally:
            building.kill()
