# SPDX-License-Identifier: Apache-2.0
"""Browsers that leave in the middle: of a call that they simulate, of the stream of live requests.
Nothing is done twice, nothing is kept for them, everybody else is served."""

import json
import os
import socket
import struct

import pytest

import harness
import tools
from admin_api import PREFIX, Admin, admin_of
from browser import Browser
from harness import HOST, SERIAL, Connection

LIGHT = "1lzPszHWAEuvzxtXBMkzWQ"
CALLS_MAX = 64  # operations under way at once (API_CALLS_MAX)
STREAMS_MAX = 16  # live logs (API_STREAMS_MAX)
SESSIONS_MAX = 64  # connections to the admin listener (ADMIN_SESSIONS_MAX)
VISITS_MAX = 32  # browsers of the agent's pages at once (PAGES_VISITS_MAX)
ADMIN = {"admin": {"listen": f"{HOST}:0"}}
# Executes at once, answers when all is over.
SILENT = ["--answer-delay-ms", "60000"]
NO_RETRY = {"timeouts": {"server": 60, "server_fb": 60}}


def leave(connection, how):
    """As a closed tab does, or as a crashed one."""
    if how == "reset":
        linger = struct.pack("ii", 1, 0)
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()


def begin(admin, method, path, body=b"", fields=()):
    """A request whose answer nobody has read yet."""
    c = Connection(admin.address)
    lines = [f"{method} {PREFIX}{path} HTTP/1.1", f"Host: {admin.host}", *fields]
    if method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    c.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return c


def simulate(admin, token, query):
    body = json.dumps({"controller": "power", "query": query}).encode()
    return begin(admin, "POST", f"/servers/{SERIAL}/call", body, [f"X-Csrf-Token: {token}"])


def switched(building):
    return sum(1 for c in building.commands() if c["controller"] == "power")


def assert_switched(building, n):
    """The simulator notes a call before it executes it."""
    harness.wait_until(lambda: switched(building) >= n, "executed")
    assert switched(building) == n


def test_calls_that_nobody_waits_for_are_made_once_and_keep_no_room(start_building):
    """More of them than there is room for; each is left when the building has it."""
    building = start_building(auth="none", simulator=SILENT, relay={**ADMIN, **NO_RETRY})
    admin = admin_of(building.relay)
    token = admin.token()
    for i in range(CALLS_MAX + 6):
        mark = f"guid={LIGHT}&cmd=1&mark={i}x"
        with_browser = simulate(admin, token, mark)
        building.wait_call(mark)
        leave(with_browser, "reset")
    assert_switched(building, CALLS_MAX + 6)
    sent = admin.get("/audit?what=call.send&last=1000")
    assert len(sent) == CALLS_MAX + 6
    assert admin.get(f"/servers/{SERIAL}")["tunnel"]["tunnel_up"]


def test_connections_that_say_nothing_keep_others_out_only_while_they_last(tmp_path):
    relay = harness.Relay(tmp_path / "relay", ADMIN).start()
    try:
        admin = admin_of(relay)
        silent = [Connection(admin.address) for _ in range(SESSIONS_MAX)]
        with Connection(admin.address) as beyond:
            assert beyond.rest() == b""
        silent.pop().close()

        def answers():
            try:
                return admin.send("GET", "/healthz").status == 200
            except (AssertionError, ConnectionError):
                return False

        harness.wait_until(answers, "answered")
        for c in silent:
            c.close()
        harness.wait_until(lambda: answers() and answers(), "answered again")
        relay.process.stop()
    finally:
        relay.process.kill()


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_call_is_not_made_again_for_a_browser_that_left(start_building, how):
    building = start_building(auth="none", simulator=["--answer-delay-ms", "300"], relay=ADMIN)
    admin = admin_of(building.relay)
    token = admin.token()
    start = building.relay.process.log.count()
    for i in range(4):
        mark = f"guid={LIGHT}&cmd=1&mark={how}{i}"
        with_browser = simulate(admin, token, mark)
        building.wait_call(mark)
        leave(with_browser, how)
    if how == "closed":  # half-closed, as far as TCP can tell: their answers come, to nobody
        for _ in range(4):
            start, _ = building.relay.process.log.wait(lambda line: "operator's call" in line, start, "its line")
            start += 1
    answer = admin.post(f"/servers/{SERIAL}/call", {"controller": "powerstatus", "query": f"guid={LIGHT}"})
    assert json.loads(answer["body"])["status"] == 1
    assert_switched(building, 4)
    assert building.get(building.path("system/serverStatus")).status == 200


def open_stream(admin):
    c = begin(admin, "GET", f"/requests/live?serial={SERIAL}")
    head = c._until(b"\r\n\r\n")
    return c, int(head.split()[1])


def test_live_logs_that_are_left_make_room_for_others(start_building):
    building = start_building(auth="none", relay={**ADMIN, "relay": {"workers": 1}})
    admin = admin_of(building.relay)
    for turn in range(3):
        streams = [open_stream(admin) for _ in range(STREAMS_MAX)]
        assert [status for _, status in streams] == [200] * STREAMS_MAX
        one_more, status = open_stream(admin)
        assert status == 503
        one_more.close()
        assert building.get(building.path(f"powerstatus?guid={LIGHT}")).status == 200
        for c, _ in streams[:4]:  # in the middle of an event
            c._until(b"powerstatus")
        for i, (c, _) in enumerate(streams):
            leave(c, ("closed", "reset")[(i + turn) % 2])

        def is_room():
            c, status = open_stream(admin)
            c.close()
            return status == 200

        harness.wait_until(is_room, "room for a live log")
    assert building.get(building.path("system/serverStatus")).status == 200


def test_live_logs_that_nobody_reads_hold_up_nobody(start_building):
    building = start_building(auth="none", relay={**ADMIN, "relay": {"workers": 1}})
    admin = admin_of(building.relay)
    stalled = []
    for _ in range(STREAMS_MAX - 1):
        c = begin(admin, "GET", "/requests/live")
        c._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.append(c)
    reader, _ = open_stream(admin)
    target = building.path(f"powerstatus?guid={LIGHT}")
    with building.connect() as c:
        for _ in range(5):
            c.send(harness.request(target) * 200)
            assert {c.answer().status for _ in range(200)} == {200}
    assert building.get(building.path("groups/none")).status == 404
    reader._until(b"groups/none")
    assert admin.get("/limits")
    for i, c in enumerate((*stalled, reader)):
        leave(c, ("closed", "reset")[i % 2])
    assert open_stream(admin)[1] == 200


def test_the_agent_s_pages_forget_a_browser_that_left(start_building):
    building = start_building(auth="none", simulator=SILENT, agent={"pages": {"listen": f"{HOST}:0"}})
    port = building.agent.process.wait_log(r"msg=pages host=127.0.0.1 port=([0-9]+)")[1]
    site = Admin((HOST, int(port)))
    token = site.send("GET", PREFIX + "/session").json()["csrf"]
    for i in range(VISITS_MAX + 4):
        mark = f"guid={LIGHT}&cmd=1&mark={i}x"
        with_browser = simulate(site, token, mark)
        building.wait_call(mark)
        leave(with_browser, "reset")
    assert site.send("GET", PREFIX + "/status").status == 200
    assert_switched(building, VISITS_MAX + 4)


@tools.needs(os.path.exists("/usr/bin/chromium"), "Debian's chromium is not installed")
def test_a_real_browser_leaves_in_the_middle_and_comes_back(start_building):
    building = start_building(auth="none", simulator=["--answer-delay-ms", "1000"], relay=ADMIN)
    admin = admin_of(building.relay)
    admin.post(f"/servers/{SERIAL}/devices",
               {"rooms": [{"name": "Hall", "devices": [{"class": "light", "guid": LIGHT, "name": "Lamp"}]}]})
    page = f"http://{HOST}:{admin.address[1]}/#!"
    with Browser() as browser:
        browser.open(f"{page}/building/{SERIAL}/kit")
        browser.click("button.leaf", "Lamp")
        browser.click("form[data-controller=power] button.primary", "Simulate")
        building.wait_call(f"power?guid={LIGHT}&cmd=1")
        browser.open("about:blank")
        browser.open(f"{page}/requests")
        browser.find(".pill.good", "live")
        browser.open("about:blank")
        browser.open(f"{page}/requests")
        browser.find("tbody tr", "operator:local")
        assert not browser.errors()
    assert_switched(building, 1)
