# SPDX-License-Identifier: Apache-2.0
"""A key that is refused says nothing about why, neither by its answer nor by the time that takes;
and one that is revoked is refused at once, on open connections too."""

import datetime
import json
import secrets
import socket
import statistics
import string
import time

import pytest

import harness

ALPHABET = string.ascii_letters + string.digits
OTHER_SERIAL = "TNX-0002"
# Of each kind. Taken in turn, so that a busy moment meets all of them.
SAMPLES = 300
# Medians of identical work on a busy machine differ by less; a look into the database, or hashing
# with a salt, would cost many times as much.
TIME_RATIO = 1.5
REVOKED_WITHIN = 0.5  # seconds; the machine may be busy: the best of a few tries must be in time
REVOCATIONS = 5


class Keys:
    """A building, and a key of each kind that is refused."""

    def __init__(self, building):
        self.building = building
        relay = building.relay
        good = building.key
        self.refused = {
            "unknown": "".join(secrets.choice(ALPHABET) for _ in good),
            "near": good[:-1] + ("a" if good[-1] != "a" else "b"),
            "short": good[:-1],
            "long": good + "a",
            "one": "a",
            "malformed": "-._~!$&'()*+,;=:@",
            "escaped": "%41" * 8,
            "swapped": good.swapcase(),
            "huge": "a" * 4000,
        }
        revoked = relay.command("key", "enable", harness.SERIAL)
        relay.command("key", "revoke", revoked["id"])
        self.refused["revoked"] = revoked["key"]
        relay.command("server", "add", OTHER_SERIAL)
        self.refused["disabled"] = relay.command("key", "enable", OTHER_SERIAL)["key"]
        relay.command("server", "disable", OTHER_SERIAL)
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        when = soon.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.refused["expired"] = relay.command("key", "enable", harness.SERIAL, "--expires",
                                                when)["key"]

    def wait_refused(self):
        """The relay takes changes over in their order: when it knows the last key, it knows all of
        the others, and refuses none of them for being new."""
        last = self.building.relay.command("key", "enable", harness.SERIAL)["key"]
        with self.building.connect() as c:
            until = time.monotonic() + harness.DEADLINE
            while c.request(self.path(last)).status != 200:
                assert time.monotonic() < until
            for name, key in self.refused.items():
                until = time.monotonic() + harness.DEADLINE
                while c.request(self.path(key)).status != 403:
                    assert time.monotonic() < until, f"{name} is not refused"
        return self

    def path(self, key):
        return self.building.path("system/serverStatus", key)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    made = harness.Building(tmp_path_factory.mktemp("keys"), auth="none")
    try:
        yield Keys(made).wait_refused()
        made.stop()
    finally:
        made.kill()


def visible(answer):
    """All that a stranger sees but what is new in each answer."""
    fields = [(n, v if n.lower() not in ("x-request-id", "date") else "")
              for n, v in answer.fields]
    return answer.version, answer.status, fields, answer.body


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_refused_keys_get_one_and_the_same_answer(keys, method):
    seen = {}
    for name, key in keys.refused.items():
        for target in (keys.path(key), f"/{key}", f"/{key}/", f"/{key}/anything?a=b"):
            with keys.building.connect() as c:
                answer = c.request(target, method, body=b"a=b" if method == "POST" else b"")
            assert len(answer.value("X-Request-Id")) == 16
            seen[name, target] = visible(answer)
    assert len(set(map(repr, seen.values()))) == 1, seen
    assert next(iter(seen.values()))[1] == 403


def test_refused_keys_take_the_same_time(keys):
    """Those that are as long as a good one; what a longer line costs is no secret."""
    names = ["unknown", "near", "swapped", "revoked", "disabled", "expired", "short"]
    requests = {name: harness.request(keys.path(keys.refused[name])) for name in names}
    took = {name: [] for name in names}
    with keys.building.connect() as c:
        for round_number in range(SAMPLES):
            # Each kind follows each other one.
            shift = round_number % len(names)
            for name in names[shift:] + names[:shift]:
                start = time.perf_counter()
                c.send(requests[name])
                assert c.answer().status == 403
                took[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) * 1e6 for name, times in took.items()}
    spread = max(medians.values()) / min(medians.values())
    assert spread < TIME_RATIO, {name: f"{us:.0f} us" for name, us in medians.items()}


def test_a_refused_key_is_not_in_the_log(keys):
    log = keys.building.relay.process.log.text()
    for name, key in keys.refused.items():
        if len(key) > 8:
            assert key not in log, name


def test_a_revoked_key_is_refused_on_an_open_connection(keys):
    relay = keys.building.relay
    took = []
    while min(took, default=REVOKED_WITHIN) >= REVOKED_WITHIN and len(took) < REVOCATIONS:
        made = relay.command("key", "enable", harness.SERIAL)
        path = keys.path(made["key"])
        with keys.building.connect() as c:
            harness.wait_until(lambda c=c, path=path: c.request(path).status == 200, "live")
            relay.command("key", "revoke", made["id"])
            revoked = time.monotonic()
            harness.wait_until(lambda c=c, path=path: c.request(path).status != 200, "refused")
            took.append(time.monotonic() - revoked)
            assert c.request(path).json()["reason"] == "key_refused"
            # The connection itself is none the worse.
            assert c.request(keys.path(keys.building.key)).status == 200
    assert min(took) < REVOKED_WITHIN, took


def test_a_key_that_is_revoked_while_a_body_comes_is_refused(keys):
    """Nothing of it is executed, though the key was good when the head came."""
    relay = keys.building.relay
    made = relay.command("key", "enable", harness.SERIAL)
    path = keys.building.path("system/sendKNXfloat4bytes?group=1/0/1&value=1", made["key"])
    with keys.building.connect() as c, keys.building.connect() as other:
        harness.wait_until(lambda: other.request(keys.path(made["key"])).status == 200, "live")
        whole = harness.request(path, "POST", ["Expect: 100-continue"], b"x=1")
        c.send(whole[:-3])
        assert c.answer().status == 100
        c.send(whole[-3:-1])
        relay.command("key", "revoke", made["id"])
        harness.wait_until(lambda: other.request(keys.path(made["key"])).status == 403, "revoked")
        c.send(whole[-1:])
        answer = c.answer()
        told = answer.json()
        assert (answer.status, told["reason"], told["delivered"]) == (403, "key_refused", False)
        assert c.request(keys.path(keys.building.key)).status == 200
    assert keys.building.commands() == []


def test_pipelined_calls_behind_a_revocation_are_refused(keys):
    """Those that were sent before but are looked at after it."""
    relay = keys.building.relay
    made = relay.command("key", "enable", harness.SERIAL)
    with keys.building.connect() as c:
        until = time.monotonic() + harness.DEADLINE
        while c.request(keys.path(made["key"])).status != 200:
            assert time.monotonic() < until
        relay.command("key", "revoke", made["id"])
        with keys.building.connect() as other:
            while other.request(keys.path(made["key"])).status == 200:
                assert time.monotonic() < until
        c.send(harness.request(keys.path(made["key"])) * 20)
        assert [c.answer().status for _ in range(20)] == [403] * 20


def test_the_server_of_a_key_cannot_be_told_when_it_is_disabled_under_way(keys):
    """A disabled server's keys are refused like unknown ones, not reported as offline."""
    relay = keys.building.relay
    with keys.building.connect() as c:
        unknown = visible(c.request(keys.path(keys.refused["unknown"])))
        assert visible(c.request(keys.path(keys.refused["disabled"]))) == unknown
        relay.command("server", "enable", OTHER_SERIAL)
        until = time.monotonic() + harness.DEADLINE
        while c.request(keys.path(keys.refused["disabled"])).status == 403:
            assert time.monotonic() < until
        assert c.request(keys.path(keys.refused["disabled"])).json()["reason"] == "server_offline"
        relay.command("server", "disable", OTHER_SERIAL)
        while (answer := c.request(keys.path(keys.refused["disabled"]))).status != 403:
            assert time.monotonic() < until
        assert visible(answer) == unknown


@pytest.mark.parametrize("delay_ms, server_s, status", [
    (300, 10, 200),
    (60000, 10, None),  # it may be gone: not waited for longer than 2 s
    (60000, 1, 504),
])
def test_a_half_closed_plain_client_gets_its_answer(start_building, delay_ms, server_s, status):
    """Behind a terminator that passes the end of a client's requests on (TCP FIN)."""
    building = start_building(auth="none", simulator=("--answer-delay-ms", f"{delay_ms}"),
                              relay={"https": {"plain_listen": f"{harness.HOST}:0"},
                                     "timeouts": {"server": server_s}})
    runtime = json.loads(building.relay.runtime_file.read_text())
    with harness.Connection((harness.HOST, harness.bound_port(runtime, "plain"))) as c:
        begun = time.monotonic()
        c.send(harness.request(building.path("system/serverStatus")))
        c._socket.shutdown(socket.SHUT_WR)  # pylint: disable=protected-access
        if status is not None:
            assert c.answer().status == status
        assert c.rest() == b""
        if status is None:
            assert time.monotonic() - begun >= 1.9
            building.relay.process.wait_log("status=499 reason=client_gone")
