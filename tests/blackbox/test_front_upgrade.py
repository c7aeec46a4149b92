# SPDX-License-Identifier: Apache-2.0
"""The agents' door on the public port: a handshake that is refused ends the connection, and nothing
that was sent behind it is read, neither as frames nor as requests."""

import base64

import pytest

import fake_agent
import harness

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
PROTOCOL = "Sec-WebSocket-Protocol: thinknx-tunnel.v1"
VERSION = "Sec-WebSocket-Version: 13"
UPGRADE = ["Connection: Upgrade", "Upgrade: websocket"]


def login(serial=harness.SERIAL, token="A" * 32):
    return "Authorization: Basic " + base64.b64encode(f"{serial}:{token}".encode()).decode()


# What the client sends, and the status that it gets.
REFUSED = {
    "nobody": ([*UPGRADE, KEY, VERSION, PROTOCOL], 401),
    "wrong token": ([*UPGRADE, KEY, VERSION, PROTOCOL, login()], 401),
    "unknown serial": ([*UPGRADE, KEY, VERSION, PROTOCOL, login("nobody")], 401),
    "empty credentials": ([*UPGRADE, KEY, VERSION, PROTOCOL, "Authorization: Basic "], 401),
    "no base64": ([*UPGRADE, KEY, VERSION, PROTOCOL, "Authorization: Basic !!!!"], 401),
    "only padding": ([*UPGRADE, KEY, VERSION, PROTOCOL, "Authorization: Basic ===="], 401),
    "other scheme": ([*UPGRADE, KEY, VERSION, PROTOCOL, "Authorization: Bearer abcd"], 401),
    "huge": ([*UPGRADE, KEY, VERSION, PROTOCOL, login(token="A" * 6000)], 401),
    "old version": ([*UPGRADE, KEY, "Sec-WebSocket-Version: 8", PROTOCOL], 426),
    "no version": ([*UPGRADE, KEY, PROTOCOL], 426),
    "no key": ([*UPGRADE, VERSION, PROTOCOL], 400),
    "short key": ([*UPGRADE, "Sec-WebSocket-Key: YQ==", VERSION, PROTOCOL], 400),
    "no protocol": ([*UPGRADE, KEY, VERSION], 400),
    "other protocol": ([*UPGRADE, KEY, VERSION, "Sec-WebSocket-Protocol: chat"], 400),
    "body": ([*UPGRADE, KEY, VERSION, PROTOCOL, login(), "Content-Length: 5"], 400),
}


@pytest.mark.parametrize("fields, status", REFUSED.values(), ids=REFUSED.keys())
def test_nothing_behind_a_refused_handshake_is_read(building, fields, status):
    hidden = harness.request(building.path("system/serverStatus?hidden"))
    with building.watch() as seen, building.connect() as c:
        c.send(harness.request("/tunnel", fields=fields) + hidden)
        answer = c.answer()
        assert answer.status == status
        assert "close" in answer.values("Connection")
        assert c.rest() == b""
    assert seen == []
    if status == 426:
        assert answer.values("Upgrade") == ["websocket"]
        assert answer.values("Connection") == ["upgrade", "close"]


@pytest.mark.parametrize("fields", [
    [], ["Connection: Upgrade", "Upgrade: h2c"], ["Upgrade: websocket"], ["Connection: Upgrade"]],
    ids=["plain", "h2c", "no connection", "no upgrade"])
def test_without_a_websocket_the_door_is_a_key_that_nobody_has(building, fields):
    with building.connect() as c:
        answer = c.request("/tunnel", fields=fields)
        assert (answer.status, answer.json()["reason"]) == (403, "key_refused")
        assert c.request(building.path("system/serverStatus")).status == 200


def test_a_handshake_behind_a_call_opens_a_tunnel_that_is_read(start_building):
    building = start_building(auth="none")
    call = harness.request(building.path("system/serverStatus"))
    with building.connect() as c:
        c.send(call + fake_agent.upgrade(building.token))
        assert c.answer().status == 200
        assert c.answer().status == 101
        c.send(fake_agent.pack_message(fake_agent.pack_hello()))
        building.relay.process.wait_log('msg="tunnel up" .* agent=fake-agent/0 ')


def test_guessing_tokens_is_slowed_down(start_building):
    building = start_building(auth="none", relay={"limits": {"refused_rate": 1,
                                                             "refused_burst": 3}})
    fields = [*UPGRADE, KEY, VERSION, PROTOCOL, login()]
    answers = [building.get("/tunnel", fields=fields) for _ in range(12)]
    assert [a.status for a in answers[:3]] == [401] * 3
    limited = [a for a in answers if a.status == 429]
    assert limited and int(limited[0].value("Retry-After")) >= 1
    # Calls and the agent that is there go on.
    assert building.get(building.path("system/serverStatus")).status == 200
