# SPDX-License-Identifier: Apache-2.0
"""The admin API: every operation as its document says, and nothing for those who have no business
there."""

import concurrent.futures
import gzip
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios

import pytest

import harness
import examples
from admin_api import DOCUMENT, PREFIX, Admin, admin_of, check, operation_of, untrusting
from fake_agent import FakeAgent, pack_goaway, pack_response
from fake_relay import DATA, END, GOAWAY_SHUTDOWN, REQUEST, RESET, pack
from harness import HOST, SERIAL, Connection

ADMIN = {"admin": {"listen": f"{HOST}:0"}}
LIGHT = "1lzPszHWAEuvzxtXBMkzWQ"
CALL_BODY_BYTES_MAX = 256 * 1024  # call.h
PASSWORD = "correct horse battery"
HOUSE = json.loads((harness.ROOT / "tests" / "simulator" / "house.json").read_text())


@pytest.fixture(scope="module")
def building(tmp_path_factory):
    made = harness.Building(tmp_path_factory.mktemp("building"), relay=ADMIN)
    yield made
    try:
        made.stop()
    finally:
        made.kill()


@pytest.fixture
def admin(building):
    return admin_of(building.relay)


@pytest.fixture
def relay(tmp_path):
    """relay(settings) starts a relay alone, and gives it."""
    made = []

    def start(admin_settings=None):
        conf = {"admin": {"listen": f"{HOST}:0", **(admin_settings or {})}}
        one = harness.Relay(tmp_path / f"relay-{len(made)}", conf)
        made.append(one)
        one.start()
        return one

    yield start
    for one in made:
        one.process.stop()


def add_operator(relay, name="alice", password=PASSWORD):
    harness.run("thinknx-relay", "operator", "add", name, "--config", relay.conf, stdin=f"{password}\n")


# --- the document -----------------------------------------------------------------------------


def test_every_operation_answers_as_its_document_says(building, admin):
    assert admin.get("/session") == {
        "login_required": False,
        "operator": "local",
        "csrf": admin.token(),
        "public_url": harness.PUBLIC_URL,
        "version": admin.get("/session")["version"],
        "role": "relay",
    }
    kit = admin.post("/servers", {"serial": "NEW-1", "name": "A house", "command_rate": 5}, expect=201)
    assert "NEW-1" in kit["agent_conf"] and kit["ca_pem"].startswith("-----BEGIN CERTIFICATE")
    assert admin.get("/servers/NEW-1")["command_burst"] == 5
    changed = admin.post("/servers/NEW-1", {"name": "Another", "may_enable_keys": False})
    assert (changed["name"], changed["may_enable_keys"], changed["command_rate"]) == ("Another", False, 5)
    assert admin.post("/servers/NEW-1/token")["token"] != kit["token"]
    assert admin.post("/servers/NEW-1/disable")["state"] == "disabled"
    assert admin.post("/servers/NEW-1/enable")["state"] == "enabled"

    scope = {"read_only": True, "cidrs": ["127.0.0.0/8"]}
    made = admin.post(f"/servers/{SERIAL}/keys", {"label": "test", "rate": 7, "expires": "30d", "scope": scope}, 201)
    assert building.get(building.path(f"powerstatus?guid={LIGHT}", made["key"])).status == 200
    assert building.get(building.path(f"power?guid={LIGHT}&cmd=1", made["key"])).status == 403
    (key,) = [k for k in admin.get(f"/servers/{SERIAL}/keys") if k["id"] == made["id"]]
    assert (key["label"], key["rate"], key["burst"], key["scope"]) == ("test", 7, 14, scope)
    change = {"label": None, "rate": None, "expires": None, "scope": {"read_only": None, "controllers": ["power"]}}
    changed = admin.post(f"/keys/{made['id']}", change)
    assert (changed["label"], changed["rate"], changed["burst"], changed["expires_at"]) == ("", None, None, None)
    assert changed["scope"] == {"cidrs": scope["cidrs"], "controllers": ["power"]}
    assert building.get(building.path(f"power?guid={LIGHT}&cmd=1", made["key"])).status == 200
    assert admin.post(f"/keys/{made['id']}", {"scope": None, "burst": 9, "rate": 3})["scope"] is None
    # The form sends back what it was shown.
    fast = admin.post(f"/keys/{made['id']}", {"rate": 600000, "burst": None})
    admin.post(f"/keys/{made['id']}", {"label": "fast", "rate": fast["rate"], "burst": fast["burst"]})
    next_one = admin.post(f"/keys/{made['id']}/rotate", {"overlap_s": 0}, 201)
    assert building.get(building.path("system/serverStatus", next_one["key"])).status == 200
    admin.post(f"/keys/{next_one['id']}/revoke")
    assert building.get(building.path("system/serverStatus", next_one["key"])).status == 403
    assert {k["id"] for k in admin.get("/keys")} >= {made["id"], next_one["id"], building.key_id}

    server = [s for s in admin.get("/servers") if s["serial"] == SERIAL][0]
    assert server["tunnel"]["tunnel_up"] and sum(server["calls"]) >= 4
    assert admin.get(f"/servers/{SERIAL}/history")[-1]["up"] is True

    n = sum(len(room["devices"]) for room in HOUSE["rooms"])
    assert admin.post(f"/servers/{SERIAL}/devices", {"rooms": HOUSE["rooms"]})["devices"] == n
    rooms = admin.get(f"/servers/{SERIAL}/devices")["rooms"]
    assert [r["name"] for r in rooms] == [r["name"] for r in HOUSE["rooms"]]
    assert admin.get("/servers/NEW-1/devices") == {"rooms": [], "source": "none", "problem": None}

    call = admin.post(f"/servers/{SERIAL}/call", {"controller": "power", "query": f"guid={LIGHT}&cmd=1&fb"})
    assert (call["status"], call["delivered"], json.loads(call["body"])["status"]) == (200, True, 1)
    call = admin.post(f"/servers/{SERIAL}/call", {"controller": "powerstatus", "query": "guid=nobody"})
    assert (call["status"], json.loads(call["body"])) == (404, {"error": "device not found"})

    latest = admin.get(f"/requests?serial={SERIAL}")
    assert (latest[0]["client"], latest[0]["controller"]) == ("operator:local", "powerstatus")
    rows = admin.get("/audit?last=50")
    assert rows[0]["what"] == "call.send" and LIGHT in rows[0]["detail"]
    assert all(r["refused"] for r in admin.get("/audit?refused=1"))
    admin.post("/servers/NEW-1/remove")
    assert admin.get("/limits")["key"] == {"rate": 100000, "burst": 100000}
    assert admin.get("/relay")["client_leg"] == "ok" and admin.get("/relay")["client_rtt_us"] > 0
    assert admin.get("/openapi.json") == DOCUMENT
    assert len(admin.get("/kit.json")["paths"]) == 37
    assert admin.post("/session/end") == {"ended": True}
    every = {(m.upper(), p) for p, item in DOCUMENT["paths"].items() for m in item}
    assert every - admin.seen == {("GET", "/requests/live"), ("POST", "/session")}, "not shown here"


def test_the_kit_document_describes_the_building_s_answers(building, admin):
    """Made from the table of controllers: held against what the simulated server answers."""
    kit = admin.get("/kit.json")
    for example in examples.EXAMPLES:
        operation = kit["paths"]["/" + example.controller]["get"]
        parameters = [kit["components"]["parameters"][p["$ref"].rpartition("/")[2]] if "$ref" in p else p
                      for p in operation["parameters"]]
        given = dict(p.partition("=")[::2] for p in example.target.partition("?")[2].split("&") if p)
        names = {p["name"] for p in parameters}
        assert {p["name"] for p in parameters if p.get("required")} <= set(given), str(example)
        # The vendor's example of trigger has a cmd, which is ignored.
        assert set(given) - names <= {"cmd"}, str(example)
        answer = building.curl_target(example.target)
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        check(schema, answer.json())
        for p in parameters:
            if p["name"] in ("cmd", "val", "value"):
                check(p["schema"], json.loads(given[p["name"]]))


def test_live_requests_come_as_events(building, admin):
    with Connection(admin.address) as c:
        c.send(f"GET {PREFIX}/requests/live?serial={SERIAL} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = c._until(b"\r\n\r\n").decode()
        assert "200 OK" in head and "text/event-stream" in head
        mark = f"powerstatus?guid={LIGHT}"
        assert building.get(building.path(mark)).status == 200
        while True:
            line = c._until(b"\n\n")
            if line.startswith(b":"):
                continue  # keeps the connection alive
            event = json.loads(line.removeprefix(b"data: "))
            if event["controller"] == "powerstatus" and event["key"] == building.key_id:
                break
    check(DOCUMENT["components"]["schemas"]["request"], event)


def test_what_is_refused_says_why(admin):
    assert admin.get("/servers/NOBODY", expect=404)["reason"] == "not_found"
    assert admin.post("/servers", {"serial": SERIAL}, expect=409)["reason"] == "exists"
    assert admin.post("/servers", {"serial": "a/b"}, expect=400)["reason"] == "bad_request"
    assert "unknown member" in admin.post("/servers", {"serial": "X", "nmae": "y"}, expect=400)["error"]
    assert admin.post(f"/servers/{SERIAL}/keys", {"rate": -1}, expect=400)["reason"] == "bad_request"
    assert admin.post(f"/servers/{SERIAL}/keys", {"scope": {"nonsense": 1}}, expect=400)
    key = admin.post(f"/servers/{SERIAL}/keys", {}, 201)["id"]
    for change in ({}, {"rate": "5"}, {"burst": 5}, {"expires": "2001-01-01"}, {"scope": {"nonsense": 1}},
                   {"scope": {"cidrs": []}}, {"scope": 1}, {"key": "A" * 32}, {"label": "a\nb"}):
        assert admin.post(f"/keys/{key}", change, expect=400)["reason"] == "bad_request", change
    assert admin.post("/keys/k_999999", {"label": "x"}, expect=404)["reason"] == "not_found"
    assert admin.post("/keys/nonsense", {"label": "x"}, expect=400)
    admin.post(f"/keys/{key}/revoke")
    assert admin.post(f"/keys/{key}", {"label": "x"}, expect=409)["reason"] == "wrong_state"
    assert admin.post(f"/servers/{SERIAL}/call", {"controller": "../x"}, expect=400)
    assert admin.post(f"/servers/{SERIAL}/call", {"controller": "power", "query": "a b"}, expect=400)
    assert admin.post(f"/servers/{SERIAL}/devices", {"rooms": [{"name": "x"}]}, expect=400)
    assert admin.get("/audit?last=0", expect=400)
    for path in ("", "/keys", "/history", "/devices"):
        assert admin.get(f"/servers/NOBODY{path}", expect=404)["reason"] == "not_found", path
    for path in ("", "/token", "/enable", "/disable", "/remove", "/keys"):
        assert admin.post(f"/servers/NOBODY{path}", {}, expect=404)["reason"] == "not_found", path
    for verb in ("revoke", "rotate"):
        assert admin.post(f"/keys/k_999999/{verb}", {}, expect=404)["reason"] == "not_found"
        assert admin.post(f"/keys/nonsense/{verb}", {}, expect=400)["reason"] == "bad_request"
    for path, body in (
        ("/servers", {"serial": 5}),
        ("/servers", {"serial": "X-1", "may_enable_keys": "yes"}),
        (f"/servers/{SERIAL}", {"name": ["x"]}),
        (f"/servers/{SERIAL}/keys", {"expires": "soon"}),
        (f"/servers/{SERIAL}/call", {"controller": 5}),
        (f"/servers/{SERIAL}/call", {"controller": "power", "value": 1}),
    ):
        assert admin.post(path, body, expect=400)["reason"] == "bad_request", body
    assert admin.get("/servers/a~b", expect=400)["reason"] == "bad_request"


def test_a_call_to_a_building_that_is_away_is_not_parked(admin):
    admin.post("/servers", {"serial": "AWAY-1"}, expect=201)
    answer = admin.post("/servers/AWAY-1/call", {"controller": "system/serverStatus"}, expect=503)
    assert answer["reason"] == "server_offline"
    admin.post("/servers/AWAY-1/disable")
    answer = admin.post("/servers/AWAY-1/call", {"controller": "system/serverStatus"}, expect=409)
    assert answer["reason"] == "wrong_state"
    admin.post("/servers/AWAY-1/remove")


def test_a_new_token_is_not_made_when_it_could_not_be_told(relay):
    """The configuration that says to what URL the agent is to go is broken."""
    one = relay()
    admin = admin_of(one)
    kit = admin.post("/servers", {"serial": "NEW-1"}, expect=201)
    conf = one.conf.read_text()
    one.conf.write_text(conf + "[frob]\n")
    told = admin.post("/servers/NEW-1/token", expect=400)
    assert told["reason"] == "bad_request" and "frob" in told["error"]
    assert admin.post("/servers", {"serial": "NEW-2"}, expect=400)["reason"] == "bad_request"
    one.conf.write_text(conf)
    assert admin.post("/servers/NEW-1/token")["token"] != kit["token"]
    assert [r["what"] for r in admin.get("/audit")] == ["server.token", "server.add"]


def test_an_operator_s_calls_keep_the_building_s_limits(tmp_path):
    """Those that protect it: commands a second, and calls under way."""
    limits = {"limits": {"in_flight_per_server": 1, "set_rate": 1, "set_burst": 1}}
    building = harness.Building(tmp_path / "limited", start=False, relay={**ADMIN, **limits})
    try:
        admin = admin_of(building.relay)
        with FakeAgent(building) as agent, building.connect() as c:
            agent.greet()
            c.send(harness.request(building.path("system/serverStatus")))
            under_way = agent.recv(REQUEST).stream
            status = {"controller": "system/serverStatus"}
            assert admin.post(f"/servers/{SERIAL}/call", status, 503)["reason"] == "overloaded"
            command = {"controller": "power", "query": "guid=a&cmd=1"}
            assert admin.post(f"/servers/{SERIAL}/call", command, 503)["reason"] == "overloaded"
            assert admin.post(f"/servers/{SERIAL}/call", command, 429)["reason"] == "rate_limited"
            agent.send(pack_response(under_way, body=b"{}"))
            assert c.answer().status == 200
            # What comes behind a request, while it is under way, is not read.
            with Connection(admin.address) as browser:
                fields = [JSON, f"X-Csrf-Token: {admin.token()}"]
                body = json.dumps(status).encode()
                browser.send(harness.request(f"{PREFIX}/servers/{SERIAL}/call", "POST", fields, body))
                under_way = agent.recv(REQUEST).stream
                browser.send(harness.request("/healthz"))
                assert admin.send("GET", "/healthz").status == 200
                agent.send(pack_response(under_way, body=b"{}"))
                assert browser.answer().json()["body"] == "{}"
                assert browser.rest() == b""
        building.stop()
    finally:
        building.kill()


def test_what_becomes_of_an_operator_s_call_is_told_as_it_is(tmp_path):
    building = harness.Building(tmp_path / "told", start=False, relay=ADMIN)
    long = b"x" + "é".encode() * (CALL_BODY_BYTES_MAX // 2)
    pieces = [long[at : at + 16000] for at in range(0, len(long), 16000)]
    answers = [
        (lambda s: [pack_response(s, status=204)], (204, None, True, "")),
        (lambda s: [pack_response(s, body=b"\xff")], (200, None, True, None)),  # no text
        (lambda s: [pack_response(s, body=b"a", fields=[(b"Content-Type", b"text/\xe9")])], (200, None, True, "a")),
        (lambda s: [pack_response(s, length=len(long), end=False)] + [pack(DATA, s, piece) for piece in pieces],
         (200, None, True, long[: CALL_BODY_BYTES_MAX - 1].decode())),  # where it is cut stands half an é
        (lambda s: [pack_response(s, length=2**64 - 1, end=False), pack(DATA, s, b"a"), pack(DATA, s, b"b", END)],
         (200, None, True, "ab")),
        (lambda s: [pack(RESET, s, struct.pack("<HBB", 6, 0, 0))], (503, "overloaded", False, "")),
        (lambda s: [pack_goaway(GOAWAY_SHUTDOWN)], (502, "tunnel_lost", "unknown", "")),
    ]
    try:
        admin = admin_of(building.relay)
        admin.token()
        with FakeAgent(building) as agent, concurrent.futures.ThreadPoolExecutor(1) as browser:
            agent.greet()
            for answer, expected in answers:
                called = browser.submit(admin.post, f"/servers/{SERIAL}/call", {"controller": "system/serverStatus"})
                for frame in answer(agent.recv(REQUEST).stream):
                    agent.send(frame)
                if expected[1] == "tunnel_lost":
                    agent.sock.close()
                told = called.result(harness.DEADLINE)
                assert tuple(told[k] for k in ("status", "reason", "delivered", "body")) == expected
                assert told["truncated"] == (expected[3] is not None and len(expected[3]) > 2)
        building.stop()
    finally:
        building.kill()


def test_a_call_that_the_server_does_not_answer_is_told_in_time(tmp_path):
    slow = harness.Building(tmp_path / "slow", relay={**ADMIN, "timeouts": {"server": 1}})
    try:
        admin = admin_of(slow.relay)
        slow.simulator.process.signal(signal.SIGSTOP)
        call = admin.post(f"/servers/{SERIAL}/call", {"controller": "power", "query": f"guid={LIGHT}&cmd=1"})
        assert (call["status"], call["reason"]) == (504, "server_timeout")
        assert call["delivered"] is True and not call["body"]
        slow.simulator.process.signal(signal.SIGCONT)
        slow.stop()
    finally:
        slow.kill()


# --- who may ----------------------------------------------------------------------------------

JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    "fields, status",
    [
        ([], 403),  # no JSON: what a plain form can send
        ([JSON], 403),  # no token
        ([JSON, "X-Csrf-Token: " + "A" * 32], 403),
        ([JSON, "TOKEN", "Origin: http://evil.example"], 403),
        ([JSON, "TOKEN", "Origin: null"], 403),
        ([JSON, "TOKEN", "Sec-Fetch-Site: cross-site"], 403),
        ([JSON, "TOKEN", "Sec-Fetch-Site: same-site"], 403),
        ([JSON, "TOKEN"], 409),  # a program of this machine; the server is there already
        ([JSON, "TOKEN", "ORIGIN", "Sec-Fetch-Site: same-origin"], 409),
    ],
)
def test_no_other_site_can_change_anything(admin, fields, status):
    known = {"TOKEN": f"X-Csrf-Token: {admin.token()}", "ORIGIN": f"Origin: {admin.origin}"}
    fields = [known.get(f, f) for f in fields]
    answer = admin.send("POST", PREFIX + "/servers", {"serial": SERIAL}, fields)
    assert answer.status == status, answer.body


def test_no_other_site_can_change_a_key(building, admin):
    """The key's own path is as shut as all others."""
    path = f"{PREFIX}/keys/{building.key_id}"
    for fields in ([JSON], [JSON, f"X-Csrf-Token: {admin.token()}", "Origin: http://evil.example"]):
        assert admin.send("POST", path, {"scope": {"read_only": True}}, fields).status == 403
    assert building.get(building.path(f"power?guid={LIGHT}&cmd=0")).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.0.2.1", "localhost.evil"])
def test_another_name_for_our_address_is_refused(admin, host):
    other = Admin(admin.address, host=f"{host}:{admin.address[1]}")
    for path in ("/", PREFIX + "/servers", PREFIX + "/session"):
        assert other.send("GET", path).status == 421
    assert other.send("GET", "/healthz").status == 200


def test_other_sites_cannot_read(admin):
    for fields in (["Origin: http://evil.example"], ["Sec-Fetch-Site: cross-site"]):
        assert admin.send("GET", PREFIX + "/servers", fields=fields).status == 403


def test_hostile_input_ends_in_a_refusal_and_harms_nobody(admin):
    for data in (
        b"GET /api/v1/servers HTTP/1.1\r\n\r\n",
        b"GET /api/v1/servers HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n",
        b"POST /api/v1/servers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"GET /api/v1/../healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/v1/servers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ):
        with Connection(admin.address) as c:
            c.send(data)
            c._socket.shutdown(socket.SHUT_WR)
            rest = c.rest()
            assert rest == b"" or re.match(rb"HTTP/1.1 4[0-9][0-9] ", rest), rest
    fields = [JSON, f"X-Csrf-Token: {admin.token()}"]
    for body in (b"", b"[]", b"{", b'{"serial":"a","serial":"b"}', b'{"serial":"a\\u0000b"}', b"\xff",
                 b"[" * 5000, b'{"serial":' + b'"' + b"A" * 70000 + b'"}'):
        assert admin.send("POST", PREFIX + "/servers", body, fields).status == 400
    assert admin.send("GET", PREFIX + "/servers/" + "A" * 200).status == 414
    assert admin.send("PUT", PREFIX + "/servers").status == 405
    for path in (PREFIX + "/nothing", "/api/v2/servers", "/nothing"):
        assert admin.send("GET", path).status == 404
    for path in ("/", "/metrics", "/readyz"):
        assert admin.send("PUT", path).status == admin.send("POST", path, {}).status == 405
    assert admin.get("/servers")


def test_a_body_may_come_when_it_is_asked_for_and_nothing_behind_it_is_read(admin):
    body = json.dumps({"serial": SERIAL}).encode()
    with Connection(admin.address) as c:
        lines = [f"POST {PREFIX}/servers HTTP/1.1", f"Host: {admin.host}", JSON, f"X-Csrf-Token: {admin.token()}",
                 f"Content-Length: {len(body)}", "Expect: 100-continue"]
        c.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert c.answer().status == 100
        c.send(body[:3])
        c.send(body[3:] + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (c.answer().status, c.rest()) == (409, b"")


def test_only_the_names_that_are_given_are_ours(relay):
    one = relay({"host": "pages.example"})
    for host, status in (("pages.example", 200), ("PAGES.example:9090", 200), ("other.example", 421)):
        other = Admin(admin_of(one).address, host=host)
        assert other.send("GET", PREFIX + "/servers").status == status, host


def test_no_secret_is_shown_a_second_time(building, admin):
    made = admin.post(f"/servers/{SERIAL}/keys", {"label": "once"}, 201)
    assert made["key"] not in json.dumps(admin.post(f"/keys/{made['id']}", {"label": "twice"}))
    kit = admin.post("/servers", {"serial": "ONCE-1"}, 201)
    secrets = (made["key"], kit["token"], building.key, building.token, building.password)
    for method, path in sorted((m, p) for p, i in DOCUMENT["paths"].items() for m in i):
        if method == "get" and path != "/requests/live":
            path = path.replace("{serial}", SERIAL)
            text = admin.send("GET", PREFIX + path).body.decode()
            assert operation_of("GET", path) and not any(s in text for s in secrets), path
    log = building.relay.process.log.text()
    assert not any(s in log for s in secrets)
    admin.post("/servers/ONCE-1/remove")


# --- the login --------------------------------------------------------------------------------


def test_an_operator_logs_in_and_out(relay):
    one = relay({"login": "always"})
    add_operator(one)
    alice = admin_of(one)
    assert alice.get("/session")["operator"] is None
    assert alice.get("/servers", expect=401)["reason"] == "login_required"
    assert alice.log_in("alice", "wrong wrong wrong", expect=401)["reason"] == "login_refused"
    assert alice.log_in("nobody", PASSWORD, expect=401)["reason"] == "login_refused"
    assert alice.log_in("alice", PASSWORD)["operator"] == "alice"
    assert re.fullmatch(r"tnx_login=[A-Za-z0-9]{32}", alice.cookie)
    assert alice.get("/servers") == []
    alice.post("/servers", {"serial": "HERS-1"}, expect=201)
    rows = alice.get("/audit")
    assert ("operator:alice", "server.add") in [(r["who"], r["what"]) for r in rows]
    (refused,) = [r for r in rows if r["what"] == "operator.login" and r["refused"]]
    assert (refused["who"], refused["object"]) == (f"browser:{HOST}", "alice")
    # Another browser's token is of no use with this cookie, nor this one's without it.
    forged = ["Content-Type: application/json", "X-Csrf-Token: " + "B" * 32]
    assert alice.send("POST", PREFIX + "/servers", {"serial": "X-1"}, forged).status == 403
    assert alice.get("/session")["operator"] == "alice"  # the page is loaded anew
    cookie = alice.cookie
    alice.post("/session/end")
    alice.cookie = cookie
    alice.get("/servers", expect=401)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(relay):
    one = relay({"login": "always"})
    add_operator(one)
    alice = admin_of(one)
    body = {"name": "alice", "password": PASSWORD}
    answer = alice.send("POST", PREFIX + "/session", body, [JSON, f"Origin: {alice.origin}"])
    assert "HttpOnly" in answer.value("Set-Cookie") and "SameSite=Strict" in answer.value("Set-Cookie")


def test_wrong_passwords_lock_the_name(relay):
    one = relay({"login": "always"})
    add_operator(one)
    alice = admin_of(one)
    for _ in range(5):
        alice.log_in("alice", "wrong wrong wrong", expect=401)
    assert alice.log_in("alice", PASSWORD, expect=429)["reason"] == "locked"
    (row,) = one.command("operator", "list")
    assert row["failures"] == 5 and row["locked_until"]
    harness.run("thinknx-relay", "operator", "password", "alice", "--config", one.conf, stdin="another password\n")
    assert alice.log_in("alice", "another password")["operator"] == "alice"


def test_many_attempts_to_log_in_are_slowed_down_and_none_is_counted_for_nothing(relay):
    one = relay({"login": "always"})
    add_operator(one)
    alice = admin_of(one)
    for body in ({"name": 5, "password": PASSWORD}, {"name": "alice", "password": PASSWORD * 20}, {"name": "alice"}):
        reason = alice.post("/session", body, expect=401 if len(body) == 1 else 400)["reason"]
        assert reason == ("login_refused" if len(body) == 1 else "bad_request")
    with concurrent.futures.ThreadPoolExecutor(6) as browsers:
        # Two passwords are compared at once.
        at_once = list(browsers.map(lambda _: try_log_in(one), range(6)))
    assert set(at_once) <= {(200, None), (429, "rate_limited")} and at_once.count((200, None)) >= 2
    # Ten attempts in a row, then two a second.
    harness.wait_until(lambda: try_log_in(one, 5) == (429, "rate_limited"), "slowed down")
    harness.wait_until(lambda: try_log_in(one) == (200, None), "let in again")
    (row,) = one.command("operator", "list")
    assert row["failures"] == 0


def try_log_in(relay, name="alice"):
    browser = admin_of(relay)
    fields = [JSON, f"Origin: {browser.origin}"]
    answer = browser.send("POST", PREFIX + "/session", {"name": name, "password": PASSWORD}, fields)
    return answer.status, answer.json().get("reason")


def test_a_password_is_typed_without_being_shown_or_comes_from_a_file(relay, tmp_path):
    one = relay({"login": "always"})
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    command = [harness.binary("thinknx-relay"), "operator", "add", "alice", "--config", one.conf]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as asking:
        screen = b""
        while b"Password: " not in screen:
            screen += os.read(keyboard, 1000)
        os.write(keyboard, PASSWORD.encode() + b"\n")
        assert asking.wait(harness.DEADLINE) == 0
    screen += os.read(keyboard, 1000)
    assert b"alice" in screen and PASSWORD.encode() not in screen
    assert termios.tcgetattr(terminal) == before
    os.close(keyboard)
    os.close(terminal)
    secret = harness.secret_file(tmp_path / "password", "from a file it comes")
    harness.run("thinknx-relay", "operator", "add", "bob", "--password-file", secret, "--config", one.conf)
    assert try_log_in(one) == (200, None)
    assert admin_of(one).log_in("bob", "from a file it comes")["operator"] == "bob"


def test_operators_are_shown_as_a_table_too(relay):
    one = relay()
    add_operator(one)
    shown = harness.run("thinknx-relay", "operator", "list", "--config", one.conf).stdout.splitlines()
    assert shown[0].split()[0] == "NAME" and shown[1].split()[0] == "alice", shown


def test_a_removed_operator_is_out_at_once(relay):
    one = relay({"login": "always"})
    add_operator(one)
    alice = admin_of(one)
    alice.log_in("alice", PASSWORD)
    assert alice.get("/servers") == []
    one.command("operator", "remove", "alice")
    alice.get("/servers", expect=401)


def test_passwords_and_names_are_checked(relay):
    one = relay()
    for name, password in (("Alice", PASSWORD), ("", PASSWORD), ("bob", "short"), ("bob", "")):
        harness.run("thinknx-relay", "operator", "add", name, "--config", one.conf, stdin=f"{password}\n", expect=2)
    done = harness.run("thinknx-relay", "operator", "add", "bob", "--config", one.conf, stdin="", expect=2)
    assert "no password" in done.stderr
    assert one.command("operator", "list") == []
    assert PASSWORD.encode() not in b"".join(p.read_bytes() for p in one.folder.glob("relay.db*"))


def test_beyond_loopback_pages_need_tls_and_a_login(relay, tmp_path):
    plain = relay({"listen": "0.0.0.0:0"})
    assert admin_of(plain).send("GET", PREFIX + "/servers").status == 403
    assert admin_of(plain).send("GET", "/healthz").status == 200
    one = relay({"listen": "0.0.0.0:0", "tls": "yes"})
    add_operator(one)
    alice = admin_of(one, untrusting())
    alice.get("/servers", expect=401)
    alice.log_in("alice", PASSWORD)
    assert alice.get("/servers") == []


@pytest.mark.parametrize(
    "codings, is_small",
    [
        (None, False),
        ("gzip", True),
        ("br;q=1, GZIP ;q=0.5", True),
        ("br, deflate", False),
        ("identity, gzip;q=0", False),
    ],
)
def test_pages_come_compressed_to_those_who_take_it(admin, codings, is_small):
    plain = admin.send("GET", "/app.js")
    answer = admin.send("GET", "/app.js", fields=[f"Accept-Encoding: {codings}"] if codings else [])
    assert answer.values("Content-Encoding") == (["gzip"] if is_small else [])
    assert answer.value("Vary") == "Accept-Encoding"
    assert (gzip.decompress(answer.body) if is_small else answer.body) == plain.body
    assert (len(answer.body) < len(plain.body)) == is_small
