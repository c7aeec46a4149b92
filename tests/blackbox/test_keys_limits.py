# SPDX-License-Identifier: Apache-2.0
"""Rates: exact at the limit, honest about when to come again, one limit apart from the other."""

import math
import re
import secrets
import string
import time

import pytest

import harness
from harness import SERIAL

STATUS = "system/serverStatus"
COMMAND = "system/sendKNXbit?group=1/2/3&value=1"
OTHER_SERIAL = "TNX-0002"
BURST = 20


def unknown_key():
    return "".join(secrets.choice(string.ascii_letters) for _ in range(32))


def new_key(building, *options, serial=SERIAL):
    """A key that the relay knows already."""
    made = building.relay.command("key", "enable", serial, *options)["key"]
    last = building.relay.command("key", "enable", serial)["key"]
    until = time.monotonic() + harness.DEADLINE
    with building.connect() as c:
        while c.request(building.path(STATUS, last)).status == 403:
            assert time.monotonic() < until
    return made


def flood(building, path, n, method="GET", fields=(), body=b""):
    """Makes n calls in a row on one connection; the answers, and how long it took."""
    with building.connect() as c:
        start = time.monotonic()
        c.send(harness.request(path, method, fields, body) * n)
        answers = [c.answer(method) for _ in range(n)]
        return answers, time.monotonic() - start


def assert_limited(answer, burst, per_s, name):
    """RFC 9110 10.2.3, and draft-ietf-httpapi-ratelimit-headers."""
    told = answer.json()
    assert (answer.status, told["reason"], told["delivered"]) == (429, "rate_limited", False)
    wait_s = int(answer.value("Retry-After"))
    assert 1 <= wait_s <= math.ceil(1 / per_s)
    window_s = math.ceil(burst / per_s)
    assert answer.value("RateLimit-Policy") == f'"{name}";q={burst};w={window_s}'
    assert answer.value("RateLimit") == f'"{name}";r=0;t={wait_s}'
    assert answer.value("Cache-Control") == "no-store"


def split(answers):
    return ([a for a in answers if a.status == 200], [a for a in answers if a.status == 429])


def test_a_key_gets_its_burst_and_then_its_rate(start_building):
    building = start_building(auth="none")
    key = new_key(building, "--rate", 1, "--burst", BURST)
    other = new_key(building, "--rate", 1, "--burst", BURST)
    answers, took = flood(building, building.path(STATUS, key), BURST + 10)
    served, limited = split(answers)
    # One a second comes back while it lasts, which is not at all on a machine that is idle.
    assert BURST <= len(served) <= BURST + int(took) and len(served + limited) == BURST + 10
    # Exactly those within the burst are served first.
    assert [a.status for a in answers[:BURST]] == [200] * BURST
    assert_limited(limited[-1], BURST, 1, "key")
    # The neighbour's bucket is its own.
    assert split(flood(building, building.path(STATUS, other), BURST)[0])[1] == []
    # Who comes again as told is served. One connection would end at its 10,000th request, which a
    # fast machine reaches within the second.
    path, until = building.path(STATUS, key), time.monotonic() + harness.DEADLINE
    while (answer := building.get(path)).status == 429:
        assert int(answer.value("Retry-After")) == 1 and time.monotonic() < until


def test_a_refused_call_costs_the_building_nothing(start_building):
    building = start_building(auth="none")
    key = new_key(building, "--rate", 1, "--burst", 3)
    with building.watch() as seen:
        served, limited = split(flood(building, building.path(COMMAND, key), 30)[0])
    assert len(seen) == len(served) and len(limited) >= 30 - 3 - 5
    assert len(building.commands()) == len(served)


def test_the_default_rate_is_the_configurations_and_can_be_changed_while_it_runs(start_building):
    building = start_building(auth="none", relay={"limits": {"key_rate": 1, "key_burst": 5}})
    answers, _ = flood(building, building.path(STATUS), 20)
    assert_limited(split(answers)[1][-1], 5, 1, "key")
    start = building.relay.process.log.count()
    building.relay.configure({"limits": {"key_rate": 100000, "key_burst": 100000}})
    building.relay.process.signal(harness.signal.SIGHUP)
    building.relay.process.wait_log("configuration reloaded", start)
    until = time.monotonic() + harness.DEADLINE
    while split(flood(building, building.path(STATUS), 50)[0])[1]:
        assert time.monotonic() < until


def test_commands_are_limited_per_building_and_status_calls_are_not(start_building):
    building = start_building(auth="none")
    building.relay.command("server", "change", SERIAL, "--command-rate", 1, "--command-burst", 4)
    first, second = new_key(building), new_key(building)
    start = time.monotonic()
    answers = [flood(building, building.path(COMMAND, key), 10)[0] for key in (first, second)]
    took = time.monotonic() - start
    served, limited = split(sum(answers, []))
    # Both keys together, for there is one bus.
    assert 4 <= len(served) <= 4 + 1 + int(took)
    assert_limited(limited[-1], 4, 1, "commands")
    assert len(building.commands()) == len(served)
    # What reads is served all the same; a form is a command too, and so is what nobody knows.
    with building.connect() as c:
        for _ in range(50):
            assert c.request(building.path(STATUS, first)).status == 200
        statuses = [c.request(building.path("system/sendKNXbit", first), "POST",
                              ("Content-Type: application/x-www-form-urlencoded",),
                              b"group=1/2/3&value=1").status for _ in range(5)]
        assert 429 in statuses
        assert 429 in [c.request(building.path("unknown", first)).status for _ in range(5)]


def test_one_buildings_commands_do_not_use_up_anothers(start_building):
    building = start_building(auth="none", relay={"limits": {"set_rate": 1, "set_burst": 2}})
    building.relay.command("server", "add", OTHER_SERIAL)
    other = new_key(building, serial=OTHER_SERIAL)
    assert split(flood(building, building.path(COMMAND), 10)[0])[1]
    with building.connect() as c:
        assert c.request(building.path(COMMAND, other)).json()["reason"] == "server_offline"


def test_requests_in_flight_to_a_building_are_bounded(start_building):
    building = start_building(auth="none", simulator=["--feedback-delay-ms", "3000"],
                              relay={"limits": {"in_flight_per_server": 3}})
    slow = "power?guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1&fb&n={}."
    waiting = []
    try:
        for n in range(3):
            waiting.append(building.connect())
            waiting[-1].send(harness.request(building.path(slow.format(n))))
            building.wait_call(f"&n={n}.")
        answer = building.get(building.path(STATUS))
        told = answer.json()
        assert (answer.status, told["reason"], told["delivered"]) == (503, "overloaded", False)
        assert int(answer.value("Retry-After")) >= 1
        assert [c.answer().status for c in waiting] == [200] * 3
        assert building.get(building.path(STATUS)).status == 200
    finally:
        for c in waiting:
            c.close()


def test_guessing_is_slowed_down_and_good_keys_are_not(start_building):
    building = start_building(auth="none",
                              relay={"limits": {"refused_rate": 1, "refused_burst": 5}})
    with building.connect() as c:
        start = time.monotonic()
        answers = [c.request(building.path(STATUS, unknown_key())) for _ in range(15)]
        took = time.monotonic() - start
        refused = [a for a in answers if a.status == 403]
        assert 5 <= len(refused) <= 5 + int(took)
        assert [a.status for a in answers[:5]] == [403] * 5
        assert_limited(answers[-1], 5, 1, "refused-keys")
        # Only failures count, from wherever they come.
        for _ in range(20):
            assert c.request(building.path(STATUS)).status == 200
        # A 429 does not tell whether there is such a key: one that was revoked gets it as well.
        revoked = building.relay.command("key", "enable", SERIAL)
        building.relay.command("key", "revoke", revoked["id"])
        path = building.path(STATUS, revoked["key"])
        until = time.monotonic() + harness.DEADLINE
        while c.request(path).status != 429:
            assert time.monotonic() < until


def test_a_good_key_does_not_use_up_the_guesses(start_building):
    building = start_building(auth="none",
                              relay={"limits": {"refused_rate": 1, "refused_burst": 5}})
    with building.connect() as c:
        for _ in range(50):
            assert c.request(building.path(STATUS)).status == 200
        assert [c.request(building.path(STATUS, unknown_key())).status
                for _ in range(5)] == [403] * 5


@pytest.mark.parametrize("target", ["unknown", "power?guid=a&cmd=1"])
def test_limits_are_counted(start_building, target):
    building = start_building(auth="none", relay={"admin": {"listen": f"{harness.HOST}:0"}})
    key = new_key(building, "--rate", 1, "--burst", 1)
    limited = split(flood(building, building.path(target, key), 10)[0])[1]
    runtime = harness.json.loads(building.relay.runtime_file.read_text())
    with harness.Connection((harness.HOST, harness.bound_port(runtime, "admin"))) as c:
        text = c.request("/metrics").body.decode()
    found = re.search(r"^thinknx_relay_rate_limited_total (\d+)$", text, re.M)
    assert found and int(found[1]) == len(limited), text
