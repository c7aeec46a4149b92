# SPDX-License-Identifier: Apache-2.0
"""Peers of another version, broken and hostile ones: each program against the other side played by
hand (PROTOCOL.md 10, 11, 12)."""

import contextlib
import signal
import socket
import struct

import pytest

import fake_relay as fake
from admin_api import admin_of
from fake_agent import FakeAgent, pack_goaway, pack_hello, pack_message, pack_response, upgrade
from fake_relay import CONTROL, DATA, END, HANDED, PING, PONG, REQUEST, RESET, RESPONSE, WELCOME
from fake_relay import WINDOW, pack
from harness import DEADLINE, HOST, SERIAL, Building, request, wait_until

STATUS = "system/serverStatus"
PROTOCOL, VERSION = fake.GOAWAY_PROTOCOL, fake.GOAWAY_VERSION


@pytest.fixture(scope="module")
def building(tmp_path_factory):
    """Its own agent is never started."""
    patience = {"timeouts": {"offline_grace": 20, "server": 30, "server_fb": 30}}
    made = Building(tmp_path_factory.mktemp("building"), start=False, relay=patience)
    yield made
    try:
        made.stop()
    finally:
        made.kill()


@contextlib.contextmanager
def agent_of(building, **hello):
    with FakeAgent(building) as agent:
        agent.version = agent.greet(**hello)
        yield agent


@contextlib.contextmanager
def asked(building, agent, call=STATUS, **how):
    """A client's connection whose request has reached the agent, and that request's frame."""
    with building.connect() as c:
        c.send(request(building.path(call), **how))
        yield c, agent.recv(REQUEST)


# Version skew: the relay, and agents of the next and the previous version


@pytest.mark.parametrize("low, high", [(1, 1), (1, 2), (0, 1), (0, 65535)])
def test_an_agent_of_another_version_is_served_in_the_common_one(building, low, high):
    with agent_of(building, low=low, high=high, extra=b"what a later version adds") as agent:
        assert agent.version == 1
        with asked(building, agent) as (c, frame):
            agent.send(pack_response(frame.stream, body=b"{}", extra=b"more"))
            assert c.answer().body == b"{}"


@pytest.mark.parametrize("low, high", [(2, 3), (0, 0)])
def test_an_agent_without_a_common_version_is_told(building, low, high):
    with FakeAgent(building) as agent:
        agent.send(pack_hello(low=low, high=high))
        assert agent.wait_closed() == (4009, [VERSION])


def test_what_a_newer_agent_says_besides_is_skipped(building):
    with FakeAgent(building) as agent:
        agent.send(pack(77, 3, b"before the handshake"))
        agent.greet()
        agent.send(pack(fake.CONTROL_REPLY + 1, 9, b"an event"), pack(200, 0, b"x" * 28672, 0xFF))
        agent.send(pack(PING, 0, b"12345678and more", 0xFE))
        assert agent.recv(PONG).payload == b"12345678"
        with asked(building, agent) as (c, frame):
            agent.send(pack(HANDED, frame.stream, b"when", 0xFE))
            agent.send(pack(RESET, frame.stream, struct.pack("<HBBI", 999, 9, 0, 0)))
            answer = c.answer()
            assert (answer.json()["reason"], answer.json()["delivered"]) == ("internal", True)


def test_an_operation_from_the_future_is_answered(building):
    with agent_of(building) as agent:
        agent.send(pack(CONTROL, 1, struct.pack("<HH", 99, 0) + b"{}"))
        reply = agent.recv(fake.CONTROL_REPLY)
        assert struct.unpack_from("<H", reply.payload) == (1,)


def test_an_agent_may_speak_without_waiting_for_the_upgrade(building):
    with FakeAgent(building, first=pack_message(pack_hello())) as agent:
        agent.recv(WELCOME)
        with asked(building, agent) as (c, frame):
            agent.send(pack_response(frame.stream, body=b"{}"))
            assert c.answer().body == b"{}"


# Answers of every shape: what follows on the connection is the next one

UNKNOWN = 2**64 - 1


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_of_unknown_length_comes_whole(building, version):
    """In chunks to HTTP/1.1, up to the close to older clients."""
    with agent_of(building) as agent, asked(building, agent, version=version) as (c, frame):
        agent.send(pack_response(frame.stream, length=UNKNOWN, end=False))
        for piece in (b"first,", b"", b"second"):
            agent.send(pack(DATA, frame.stream, piece), pack(PING, 0, b"12345678"))
            agent.recv(PONG)  # the relay has passed the piece on, if there was one
        agent.send(pack(DATA, frame.stream, b"", END))
        answer = c.answer()
        assert (answer.status, answer.body) == (200, b"first,second")
        assert (answer.values("Transfer-Encoding") == ["chunked"]) == (version == "1.1")
        assert_goes_on(building, agent, c, version == "1.1")


def assert_goes_on(building, agent, c, goes_on=True):
    if not goes_on:
        assert c.rest() == b""
        return
    c.send(request(building.path(STATUS)))
    agent.send(pack_response(agent.recv(REQUEST).stream, body=b"next"))
    assert c.answer().body == b"next"


@pytest.mark.parametrize("method, status, length", [
    ("GET", 200, 0), ("GET", 200, UNKNOWN), ("GET", 204, 0), ("GET", 204, UNKNOWN), ("GET", 304, 0),
    ("HEAD", 200, 0), ("HEAD", 200, UNKNOWN), ("POST", 204, 0),
])
def test_an_answer_without_a_body_is_whole(building, method, status, length):
    with agent_of(building) as agent, asked(building, agent, method=method) as (c, frame):
        agent.send(pack_response(frame.stream, status=status, length=length))
        answer = c.answer(method)
        assert (answer.status, answer.body) == (status, b"")
        assert_goes_on(building, agent, c)


@pytest.mark.parametrize("number, status, word", [
    (1, 500, "internal"),
    (2, 500, "internal"),
    (3, 504, "server_timeout"),
    (4, 502, "server_unreachable"),
    (5, 502, "bad_answer"),
    (6, 503, "overloaded"),
    (7, 502, "agent_refused"),
    (8, 503, "server_offline"),
    (9, 502, "server_auth"),
    (10, 500, "internal"),  # no number of the protocol
])
@pytest.mark.parametrize("delivered", [fake.NO, fake.YES])
def test_each_reason_why_there_is_no_answer_has_a_word(building, number, status, word, delivered):
    with agent_of(building) as agent, asked(building, agent) as (c, frame):
        agent.send(pack(RESET, frame.stream, struct.pack("<HBB", number, delivered, 0)))
        answer = c.answer()
        told = answer.json()
        assert (answer.status, told["reason"], told["delivered"]) == (status, word, delivered == fake.YES)
        assert bool(answer.values("Retry-After")) == (status == 503)
        assert_goes_on(building, agent, c)


def late_reader(building):
    """A client that takes little before it reads."""
    sock = socket.socket()
    sock.settimeout(DEADLINE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.connect(building.relay.https)
    return building.relay.tls_context().wrap_socket(sock, server_hostname=HOST)


def refusals(building, start):
    """How many the relay has written by the time that it has looked at all that it will look at."""
    seen, now = None, -1
    while now != seen:
        for _ in range(3):
            assert building.get(f"/{building.key}/x").status == 404
        seen, now = now, sum("status=403" in line for line in building.relay.process.log.since(start))
    return now


def test_answers_that_are_read_late_do_not_disturb_the_call_behind_them(building):
    """As many of them as the relay goes on behind, but not so few that it forgets them at once."""
    log, refused = building.relay.process.log, request("/nobody/x")
    with agent_of(building) as agent:
        start = log.count()
        with late_reader(building) as c:
            c.sendall(refused * 3000)
            n = refusals(building, start) - 75
        assert 0 < n < 2000
        start = log.count()
        with late_reader(building) as c:
            c.sendall(refused * n + request(building.path(STATUS)))
            refusals(building, start)
            seen = b""
            while seen.count(b"key_refused") < n:
                seen += c.recv(65536)
            agent.send(pack_response(agent.recv(REQUEST).stream, body=b"behind them"))
            while not seen.endswith(b"behind them"):
                seen += c.recv(65536)
            assert (seen.count(b"HTTP/1.1 403 "), seen.count(b"HTTP/1.1 200 ")) == (n, 1)


# Broken and hostile agents: the tunnel is closed with the fault's name, and nobody else is touched

FAULTS = {
    "a frame too long for its type": ([struct.pack("<IBBH", 0, 99, 0, 28673)], 1, "frame"),
    "a frame cut by its message": ([pack(PING, 0, b"12345678")[:-1]], 1, "frame"),
    "a ping too short": ([pack(PING, 0, b"1234")], 2, "payload"),
    "a second hello": ([pack_hello()], 3, "order"),
    "what only a relay sends": ([pack(WELCOME, 0, bytes(41))], 3, "order"),
    "a request to the relay": ([fake.pack_request(1, "/api/V1/a")], 3, "order"),
    "an answer to nothing": ([pack_response(77)], 4, "stream"),
    "a window on a stream that never was": ([pack(WINDOW, 77, bytes(4))], 4, "stream"),
    "a ping on a stream": ([pack(PING, 1, b"12345678")], 4, "stream"),
    "credit beyond 2^31-1": ([pack(WINDOW, 0, b"\xff\xff\xff\x7f")] * 2, 5, "flow"),
    "calls beyond sixteen": (
        [b"".join(pack(CONTROL, i, struct.pack("<HH", 2, 0) + b"{}") for i in range(1, 40))],
        7,
        "streams",
    ),
    "a flood of cheap frames": ([pack(99, 0, b"x") * 1700] * 6, 8, "flood"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_agent_is_closed_with_the_name_of_its_fault(building, name):
    messages, number, word = FAULTS[name]
    start = building.relay.process.log.count()
    with agent_of(building) as agent:
        send_all(agent, messages)  # all of them fit into the sockets' buffers
        code, goaways = agent.wait_closed()
    building.relay.process.wait_log(rf'msg="tunnel closed".*reason="?{word}', start)
    assert code == 4000 + number
    assert goaways == [PROTOCOL]


def send_all(agent, messages):
    with contextlib.suppress(OSError):
        for message in messages:
            agent.send_message(message)


def test_an_agent_that_pings_and_does_not_read_is_closed(building):
    """What waits for it is bounded: more pongs than fit into the sockets' buffers."""
    start = building.relay.process.log.count()
    with agent_of(building) as agent, contextlib.suppress(OSError):
        while not any("tunnel closed" in line for line in building.relay.process.log.since(start)):
            agent.sock.sendall(pack_message(b"x" * 125, fake.OP_PING) * 500)
    building.relay.process.wait_log('msg="tunnel closed".*reason="pings are not answered', start)


def test_a_fault_answers_what_waits_and_says_what_is_known(building):
    """One was handed over, of the other nothing is known."""
    with agent_of(building) as agent:
        with asked(building, agent) as (first, a), asked(building, agent) as (second, _):
            agent.send(pack(HANDED, a.stream))
            agent.send(pack(DATA, 999, b"x"))
            assert agent.wait_closed() == (4004, [PROTOCOL])
            for c, delivered in ((first, True), (second, "unknown")):
                answer = c.answer()
                told = answer.json()
                assert (answer.status, told["reason"], told["delivered"]) == (502, "tunnel_lost", delivered)


@pytest.mark.parametrize(
    "frames",
    [
        lambda s: pack_response(s, status=100),
        lambda s: pack_response(s, status=999),
        lambda s: pack_response(s, fields=[(b"X", b"a\r\nHTTP/1.1 200 OK")]),
        lambda s: pack_response(s, fields=[(b"X y", b"a")]),
        lambda s: pack_response(s, body=b"1234", length=3),
        lambda s: pack(RESPONSE, s, b"\xc8\x00\x01", END),
    ],
    ids=["1xx", "999", "split", "name", "length", "cut"],
)
def test_an_unusable_answer_ends_its_stream_only(building, frames):
    with agent_of(building) as agent:
        with asked(building, agent) as (c, bad), asked(building, agent) as (other, good):
            agent.send(frames(bad.stream))
            reset = agent.recv(RESET)
            assert (reset.stream, *struct.unpack_from("<HB", reset.payload)) == (bad.stream, 5, fake.YES)
            agent.send(pack_response(good.stream, body=b"good"))
            assert other.answer().body == b"good"
            answer = c.answer()
            told = answer.json()
            assert (answer.status, told["reason"], told["delivered"]) == (502, "bad_answer", True)


def test_an_answer_that_goes_wrong_on_its_way_is_cut(building):
    """Its head has gone to the client: what is left is to close, so that nobody takes it as whole."""
    with agent_of(building) as agent, asked(building, agent) as (c, frame):
        agent.send(pack_response(frame.stream, length=9, end=False))
        agent.send(pack(DATA, frame.stream, b"1234"))
        c.wait_for(b"1234")
        agent.send(pack(DATA, frame.stream, b"567890"))
        assert c.rest() == b""
        assert agent.recv(RESET).stream == frame.stream


def test_fields_that_frame_are_the_relays_own(building):
    fields = [(b"Content-Length", b"999"), (b"Transfer-Encoding", b"chunked"), (b"Connection", b"x")]
    with agent_of(building) as agent:
        with asked(building, agent) as (c, frame):
            agent.send(pack_response(frame.stream, body=b"{}", fields=fields))
            answer = c.answer()
            assert answer.values("Content-Length") == ["2"] and answer.body == b"{}"
            assert not answer.values("Transfer-Encoding")


def test_late_frames_of_a_request_that_was_given_up_reach_nobody(building):
    with agent_of(building) as agent:
        with asked(building, agent) as (c, old):
            pass
        assert agent.recv(RESET).stream == old.stream
        with asked(building, agent) as (c, new):
            agent.send(pack_response(old.stream, body=b"late"), pack(RESET, old.stream, bytes(4)))
            agent.send(pack_response(new.stream, body=b"mine"))
            assert c.answer().body == b"mine"


def test_the_newest_tunnel_wins_and_the_older_learns_why(building):
    with agent_of(building) as old:
        with asked(building, old) as (c, frame), agent_of(building) as new:
            assert struct.unpack_from("<H", old.recv(fake.GOAWAY).payload) == (fake.GOAWAY_REPLACED,)
            old.send(pack_response(frame.stream, body=b"still mine"))
            assert c.answer().body == b"still mine"
            with asked(building, new) as (other, request_):
                new.send(pack_response(request_.stream, body=b"new"))
                assert other.answer().body == b"new"
            assert old.wait_closed() == (1001, [])


def test_what_never_left_is_served_by_the_next_agent(building):
    """Its GOAWAY crosses requests: those that it got it serves, the others go to the next one."""
    with agent_of(building) as old, building.connect() as c:
        old.send(pack_goaway(fake.GOAWAY_SHUTDOWN))
        old.recv(fake.GOAWAY)
        c.send(request(building.path(STATUS)))
        with agent_of(building) as new:
            new.send(pack_response(new.recv(REQUEST).stream, body=b"next"))
            assert c.answer().body == b"next"
            assert not [f for f in old.frames if f.type == REQUEST]


def test_an_agent_that_says_hello_behind_a_newer_one_is_turned_away(building):
    with FakeAgent(building) as old, agent_of(building) as new:
        old.send(pack_hello())
        assert old.wait_closed() == (1001, [fake.GOAWAY_REPLACED])
        with asked(building, new) as (c, frame):
            new.send(pack_response(frame.stream, body=b"new"))
            assert c.answer().body == b"new"


def test_a_key_that_is_revoked_while_its_call_waits_for_the_agent_is_refused(building):
    made = building.relay.command("key", "enable", SERIAL)
    target = building.path(STATUS, made["key"])
    with agent_of(building) as old, building.connect() as c:
        wait_until(lambda: building.get(f"/{made['key']}/x").status == 404, "live")
        old.send(pack_goaway(fake.GOAWAY_SHUTDOWN))
        old.recv(fake.GOAWAY)
        c.send(request(target))
        building.relay.command("key", "revoke", made["id"])
        wait_until(lambda: building.get(f"/{made['key']}/x").status == 403, "revoked")
        with agent_of(building) as new:
            answer = c.answer()
            told = answer.json()
            assert (answer.status, told["reason"], told["delivered"]) == (403, "key_refused", False)
            with asked(building, new) as (other, frame):
                new.send(pack_response(frame.stream, body=b"mine"))
                assert other.answer().body == b"mine"
            assert not [f for f in old.frames + new.frames if f.type == REQUEST]


def test_a_draining_relay_says_so_takes_no_agent_and_waits_for_answers(start_building):
    building = start_building(start=False, relay={"admin": {"listen": f"{HOST}:0"}})
    relay, admin = building.relay.process, admin_of(building.relay)
    with FakeAgent(building) as late, agent_of(building) as agent, building.connect() as half, \
            asked(building, agent) as (c, frame):
        half.send(upgrade(building.token)[:-20])
        assert admin.send("GET", "/readyz").body == b"ready\n"
        relay.signal(signal.SIGTERM)
        relay.wait_log("msg=draining")
        half.send(upgrade(building.token)[-20:])
        answer = half.answer()
        assert (answer.status, answer.value("Connection")) == (503, "close")
        late.send(pack_hello())
        assert late.wait_closed() == (1001, [fake.GOAWAY_SHUTDOWN])
        answer = admin.send("GET", "/readyz")
        assert (answer.status, answer.body) == (503, b"draining\n")
        told = admin.send("GET", "/status").json()["relay"]
        assert (told["client_leg"], told["draining"]) == ("draining", True)
        # The agent drains too: neither waits for the other.
        assert struct.unpack_from("<H", agent.recv(fake.GOAWAY).payload) == (fake.GOAWAY_SHUTDOWN,)
        agent.send(pack_goaway(fake.GOAWAY_SHUTDOWN))
        relay.wait_log("agent drains")
        agent.send(pack_response(frame.stream, body=b"still mine"))
        assert c.answer().body == b"still mine"
        relay.wait_end(deadline=5)


def test_a_server_that_is_disabled_during_the_handshake_is_told(building):
    with FakeAgent(building) as agent:
        building.relay.command("server", "disable", "TNX-0001")
        try:
            wait_until(lambda: FakeAgent(building).answer.line.split()[1] == "403", "disabled")
            assert agent.wait_closed() == (1001, [fake.GOAWAY_DISABLED])
        finally:
            building.relay.command("server", "enable", "TNX-0001")
            wait_until(lambda: FakeAgent(building).answer.line.split()[1] == "101", "enabled")
