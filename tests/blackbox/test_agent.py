# SPDX-License-Identifier: Apache-2.0
"""The real agent against a relay, a proxy and a server that are played by hand (fake_relay.py)."""

import base64
import contextlib
import json
import os
import signal
import socket
import struct
import threading

import pytest

import fake_relay as fake
from fake_relay import GOAWAY_DISABLED, GOAWAY_REPLACED, GOAWAY_SHUTDOWN, NO, POST, pack
from harness import HOST, Process, closed_port, merged, run, secret_file, wait_until, write_conf

SERIAL = "TNX-0001"
TOKEN = "tok" + "3nT" * 10
PASSWORD = "pw-of-the-server"
PROXY_PASSWORD = "pw:of@the/proxy"
DEVICES_PATH = "/thinknx-agent/devices"
BODY_BYTES_MAX = 65536  # forward.h: FORWARD_BODY_BYTES_MAX
DEVICE_ANSWERS_MAX = 4  # forward.h: FORWARD_ANSWERS_MAX
SLOW_MS = 30000  # retry.h: the slow end begins here


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identities")
    ca = fake.make_identity(folder, "ca")
    return {
        "ca": ca,
        "good": fake.make_identity(folder, "good", issuer=ca),
        "elsewhere": fake.make_identity(folder, "elsewhere", issuer=ca, names="DNS:other.example"),
        "stranger": fake.make_identity(folder, "stranger"),
    }


class Setup:
    """An agent, ready to be started, with a server; and whatever else a test adds."""

    def __init__(self, folder, identities):
        self.folder = folder
        self.identities = identities
        self.socket = folder / "status.sock"
        self.server = self.add(fake.FakeServer())
        self.agent = None
        self._parts = [self.server]
        secret_file(folder / "token", TOKEN)
        secret_file(folder / "password", PASSWORD)
        secret_file(folder / "proxy-password", PROXY_PASSWORD)

    _parts = ()

    def add(self, part):
        self._parts = [*self._parts, part]
        return part

    def relay(self, identity="good", **options):
        return self.add(fake.FakeRelay(self.identities[identity], **options))

    def configure(self, *urls, **changes):
        sections = {
            "relay": {
                "url": list(urls),
                "serial": SERIAL,
                "token_file": "token",
                "ca_file": self.identities["ca"].certificate,
            },
            "server": {"url": self.server.url},
            "timeouts": {"drain": "10"},
            "agent": {"log_level": "debug", "status_socket": self.socket},
        }
        return write_conf(self.folder / "agent.conf", merged(sections, changes))

    def start(self, *urls, variables=None, **changes):
        conf = self.configure(*urls, **changes)
        self.agent = Process("thinknx-agent", "run", "--config", conf, variables=variables)
        return self.agent

    def up(self, to=None, **changes):
        """Agent and relay, connected: gives the relay and the tunnel."""
        relay = to or self.relay()
        self.start(relay.url(), **changes)
        tunnel = relay.tunnel().greet()
        self.agent.wait_log("tunnel up")
        return relay, tunnel

    def status(self):
        conf = self.folder / "agent.conf"
        return json.loads(run("thinknx-agent", "status", "--json", "--config", conf).stdout)

    def stop(self):
        """Ends the agent; requests in flight are cut, because nobody plays the relay any more."""
        if self.agent in Process.alive:
            if self.agent.running():
                self.agent.signal(signal.SIGTERM)
                self.agent.wait_log("msg=ending")
                self.agent.signal(signal.SIGTERM)
            self.agent.wait_end()

    def close(self):
        log = ""
        try:
            self.stop()
            log = self.agent.log.text() if self.agent else ""
        finally:
            if self.agent:
                self.agent.kill()
            for part in self._parts:
                part.close()
        pair = f"{SERIAL}:{TOKEN}".encode()
        for secret in (TOKEN, PASSWORD, PROXY_PASSWORD, base64.b64encode(pair).decode()):
            assert secret not in log


@pytest.fixture
def setup(tmp_path, identities):
    made = Setup(tmp_path, identities)
    yield made
    made.close()


def retry_ms(match):
    return int(match.group("ms"))


# Upgrade


def test_upgrade_request_carries_serial_and_token(setup):
    relay, tunnel = setup.up()
    upgrade = tunnel.upgrade
    assert upgrade.line == "GET /tunnel HTTP/1.1"
    assert upgrade.value("host") == f"{HOST}:{relay.port}"
    pair = base64.b64encode(f"{SERIAL}:{TOKEN}".encode()).decode()
    assert upgrade.value("authorization") == f"Basic {pair}"
    assert upgrade.value("upgrade").lower() == "websocket"
    assert upgrade.value("sec-websocket-version") == "13"
    assert upgrade.value("sec-websocket-protocol") == "thinknx-tunnel.v1"
    assert not upgrade.values("sec-websocket-extensions")
    assert relay.names == [None]  # no server name for an address
    low, high = struct.unpack_from("<HH", tunnel.hello.payload)
    assert low <= 1 <= high
    assert b"thinknx-agent/" in tunnel.hello.payload


def test_server_name_is_sent_and_checked(setup):
    relay = setup.relay()
    setup.start(relay.url("localhost"))
    tunnel = relay.tunnel().greet()
    assert relay.names == ["localhost"]
    assert tunnel.upgrade.value("host") == f"localhost:{relay.port}"


def test_v6_address(setup):
    relay = setup.relay(family=socket.AF_INET6)
    setup.start(relay.url("[::1]"))
    assert relay.tunnel().greet().upgrade.value("host") == f"[::1]:{relay.port}"
    assert relay.names == [None]


@pytest.mark.parametrize(
    "status, sentence",
    [(401, r"relay refused the agent token \(401\)"), (403, r"relay refused this agent.*\(403\)")],
)
def test_refused_goes_to_the_slow_end(setup, status, sentence):
    relay = setup.relay(answer=lambda _: b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
    agent = setup.start(relay.url())
    line = agent.wait_log(rf'class=refused reason="{sentence}.*" retry_ms=(?P<ms>\d+)')
    assert SLOW_MS <= retry_ms(line) <= 60000
    (state,) = setup.status()["relays"]
    assert state["state"] == "waiting" and "refused" in state["last_error"]


def test_other_answers_are_named(setup):
    relay = setup.relay(answer=lambda _: b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    agent = setup.start(relay.url())
    line = agent.wait_log(r"class=failed .*upgrade with status 503.* retry_ms=(?P<ms>\d+)")
    assert retry_ms(line) <= 1000


def test_redirects_are_not_followed(setup):
    other = setup.relay()
    target = f"https://{HOST}:{other.port}/tunnel".encode()
    relay = setup.relay(
        answer=lambda _: b"HTTP/1.1 307 Go\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n"
    )
    agent = setup.start(relay.url())
    agent.wait_log("upgrade with status 307")
    relay.upgrades.get()
    relay.upgrades.get(timeout=fake.DEADLINE)  # it comes back instead
    assert other.n_handshakes == 0


@pytest.mark.parametrize("subprotocol", [None, "thinknx-tunnel.v2"])
def test_wrong_subprotocol(setup, subprotocol):
    relay = setup.relay(subprotocol=subprotocol)
    setup.start(relay.url()).wait_log("class=failed")


# Certificates: the token does not leave


@pytest.mark.parametrize(
    "identity, reason",
    [("stranger", "does not verify: self-signed"), ("elsewhere", "does not verify: IP address mismatch")],
)
def test_bad_certificate(setup, identity, reason):
    relay = setup.relay(identity)
    agent = setup.start(relay.url())
    agent.wait_log(rf"relay not reached.*class=failed.*certificate of {HOST} {reason}")
    assert relay.upgrades.empty()


def test_certificate_of_another_name(setup):
    relay = setup.relay("elsewhere")
    setup.start(relay.url("localhost")).wait_log("certificate of localhost .*: hostname mismatch")
    assert relay.upgrades.empty()


def test_system_roots_do_not_know_us(setup):
    relay = setup.relay()
    setup.start(relay.url(), relay={"url": [relay.url()], "ca_file": None}).wait_log("does not verify")
    assert relay.upgrades.empty()


def as_base64(pin):
    return "sha256//" + base64.b64encode(bytes.fromhex(pin)).decode()


@pytest.mark.parametrize("form", [str, str.upper, as_base64])
def test_pin_replaces_the_chain(setup, form):
    relay = setup.relay("stranger")
    pins = ["00" * 32, form(setup.identities["stranger"].pin)]
    setup.up(relay, relay={"url": [relay.url()], "ca_file": None, "pin_sha256": pins})


def test_pin_mismatch(setup):
    relay = setup.relay("stranger")
    agent = setup.start(
        relay.url(), relay={"url": [relay.url()], "ca_file": None, "pin_sha256": "00" * 32}
    )
    agent.wait_log(f"is not the pinned one, its SHA-256 is {setup.identities['stranger'].pin}")
    assert relay.upgrades.empty()


def test_pin_beside_the_chain(setup):
    relay = setup.relay()
    agent = setup.start(relay.url(), relay={"url": [relay.url()], "pin_sha256": "00" * 32})
    agent.wait_log("is not the pinned one")
    stranger = setup.relay("stranger")
    setup.configure(
        stranger.url(),
        relay={"url": [stranger.url()], "pin_sha256": setup.identities["stranger"].pin},
    )
    agent.signal(signal.SIGHUP)
    agent.wait_log("does not verify")
    assert relay.upgrades.empty() and stranger.upgrades.empty()


def test_pin_and_chain_both_good(setup):
    relay = setup.relay()
    pin = setup.identities["good"].pin
    setup.up(relay, relay={"url": [relay.url()], "pin_sha256": pin})


# Unreachable


def test_connection_refused(setup):
    with closed_port() as port:
        agent = setup.start(f"wss://{HOST}:{port}")
        agent.wait_log(f"cannot connect to {HOST}:{port}: connection refused")
        for _ in range(15):  # however often: nobody was reached
            line = agent.wait_log(r"class=unreachable.*retry_ms=(?P<ms>\d+)", agent.log.count())
            assert retry_ms(line) <= 1250


def test_name_does_not_resolve(setup):
    setup.start("wss://relay.invalid").wait_log("class=unreachable.*cannot resolve relay.invalid")


def test_not_tls(setup):
    relay = setup.add(fake.FakeServer())  # answers nothing that is TLS
    agent = setup.start(f"wss://{HOST}:{relay.port}")
    relay.handle = lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
    agent.wait_log("class=failed.*TLS handshake with .* failed: ")


def test_listener_goes_between_probe_and_connection(setup):
    """The address answers the race, and refuses libwebsockets: its lost handle must not matter."""
    relay = setup.relay()
    relay.handle = lambda sock: relay.stop_listening()
    agent = setup.start(relay.url())
    agent.wait_log("connection refused")


# Proxy


def proxied(setup, relay, proxy, **more):
    return setup.start(
        relay.url("localhost"),
        relay={"url": [relay.url("localhost")], "proxy": f"http://localhost:{proxy.port}", **more},
    )


WITH_PASSWORD = {"proxy_user": "me", "proxy_password_file": "proxy-password"}


def test_through_a_proxy(setup):
    relay = setup.relay()
    proxy = setup.add(fake.FakeProxy(relay.port, f"me:{PROXY_PASSWORD}"))
    proxied(setup, relay, proxy, **WITH_PASSWORD)
    tunnel = relay.tunnel().greet()
    assert tunnel.upgrade.value("host") == f"localhost:{relay.port}"
    assert not tunnel.upgrade.values("proxy-authorization")
    assert relay.names == ["localhost"]
    assert proxy.requests.get().line == f"CONNECT localhost:{relay.port} HTTP/1.1"
    tunnel.request(1, "/api/V1/power")
    setup.server.request().answer(b"through")
    assert tunnel.response(1).body == b"through"


def test_proxy_without_password(setup):
    relay = setup.relay()
    proxy = setup.add(fake.FakeProxy(relay.port))
    proxied(setup, relay, proxy)
    relay.tunnel().greet()
    assert not proxy.requests.get().values("proxy-authorization")


@pytest.mark.parametrize(
    "more, sentence", [({}, "may want proxy_user"), (WITH_PASSWORD, "wrong proxy_user or password")]
)
def test_proxy_refuses(setup, more, sentence):
    relay = setup.relay()
    proxy = setup.add(fake.FakeProxy(relay.port, "me:another"))
    proxied(setup, relay, proxy, **more).wait_log(f"class=proxy.*{sentence}")
    assert relay.n_handshakes == 0


def test_behind_a_proxy_a_broken_relay_is_a_broken_relay(setup):
    relay = setup.add(fake.SilentRelay())
    relay.handle = lambda sock: sock.sendall(b"no TLS at all, and more of it" * 10)
    proxy = setup.add(fake.FakeProxy(relay.port))
    relay.url = lambda host: f"wss://{host}:{relay.port}"
    proxied(setup, relay, proxy).wait_log("class=failed.*TLS handshake with .* failed: ")


def test_a_dead_proxy_is_found_again_like_a_relay(setup):
    with closed_port() as port:
        agent = setup.start("wss://localhost", relay={"url": ["wss://localhost"], "proxy": f"http://{HOST}:{port}"})
        agent.wait_log(f"class=unreachable.*cannot connect to {HOST}:{port}: connection refused")


def test_environment_proxy_is_ignored(setup, monkeypatch):
    proxy = setup.add(fake.FakeProxy(1))
    monkeypatch.setattr("harness.environment", lambda: dict(os.environ, http_proxy=f"{HOST}:{proxy.port}"))
    setup.up()
    assert proxy.requests.empty()


# Requests


def test_get(setup):
    _, tunnel = setup.up()
    tunnel.request(1, "/api/V1/power", "id=1&&fb", fields=[("Accept", "*/*")])
    request = setup.server.request()
    assert request.line == "GET /api/V1/power?id=1&&fb HTTP/1.1"
    request.answer(b'{"value":1}', fields=[("X-One", "1")])
    answer = tunnel.response(1)
    assert (answer.status, answer.body) == (200, b'{"value":1}')
    assert ("x-one", "1") in [(n.lower(), v) for n, v in answer.fields]


def test_post_body_arrives_whole(setup):
    _, tunnel = setup.up()
    body = os.urandom(60000)
    tunnel.request(1, "/api/v1/power", method=POST, body=body)
    request = setup.server.request()
    assert request.line == "POST /api/v1/power HTTP/1.1" and request.body == body
    request.answer()
    assert tunnel.response(1).status == 200


def test_large_answer_beside_a_small_one(setup):
    _, tunnel = setup.up()
    body = os.urandom(10_000_000)
    tunnel.request(1, "/api/V1/a")
    threading.Thread(target=setup.server.request().answer, args=(body,)).start()
    tunnel.request(3, "/api/V1/b")
    setup.server.request().answer(b"small")
    assert tunnel.response(3).body == b"small"  # the large one waits for credit
    assert tunnel.response(1).body == body


def test_a_relay_that_takes_no_device_list_makes_the_agent_hold_few(setup):
    devices = setup.folder / "house.csv"
    devices.write_text("room,class,guid,name,dimmable\n" + "Hall,light,abc,Lamp,yes\n" * 4500)
    _, tunnel = setup.up(server={"devices": devices})
    streams = range(1, 2 * DEVICE_ANSWERS_MAX, 2)
    for stream in streams:
        tunnel.request(stream, DEVICES_PATH)
    # No credit is given, so all of them stay under way. One more is refused unread.
    tunnel.frames += [tunnel.recv(fake.RESPONSE, stream=stream) for stream in streams]
    devices.unlink()
    for stream in range(101, 301, 2):
        tunnel.request(stream, DEVICES_PATH)
    for stream in range(101, 301, 2):
        assert tunnel.reset(stream) == (fake.RESET_OVERLOADED, NO)
    assert "device file unusable" not in setup.agent.log.text()
    # Calls are served beside them.
    tunnel.request(303, "/api/V1/power")
    setup.server.request().answer(b"42")
    assert tunnel.response(303).body == b"42"
    # One that is given up, or is taken whole, makes room.
    tunnel.send(pack(fake.RESET, streams[0], struct.pack("<HBB", fake.RESET_CLIENT_GONE, 2, 0)))
    tunnel.request(305, DEVICES_PATH)
    assert tunnel.response(305).status == 503  # there is no file any more
    assert len(json.loads(tunnel.response(streams[1]).body)["rooms"][0]["devices"]) == 4500
    for stream in (307, 309):
        tunnel.request(stream, DEVICES_PATH)
        assert tunnel.response(stream).status == 503


def test_path_outside_the_api_is_refused(setup):
    _, tunnel = setup.up()
    for i, path in enumerate(("/", "/index.html", "/api/V2/power", "/API/V1/power", "/api/V1")):
        tunnel.request(2 * i + 1, path)
        assert tunnel.reset(2 * i + 1) == (fake.RESET_REFUSED, NO)
    assert setup.server.requests.empty()


def test_what_no_agent_takes_is_refused(setup):
    """A body that is announced too large, before it comes; and anything but a question for the devices."""
    _, tunnel = setup.up()
    large = fake.pack_request(1, "/api/V1/power", method=POST, body=bytes(BODY_BYTES_MAX + 1))
    (length,) = struct.unpack_from("<H", large, 6)
    tunnel.send(large[: 8 + length])
    assert tunnel.reset(1) == (fake.RESET_REFUSED, NO)
    tunnel.request(3, DEVICES_PATH, method=POST)
    assert tunnel.reset(3) == (fake.RESET_REFUSED, NO)
    tunnel.request(5, "/api/V1/power", method=POST, body=bytes(BODY_BYTES_MAX))
    request = setup.server.request()
    assert len(request.body) == BODY_BYTES_MAX
    request.answer()
    assert tunnel.response(5).status == 200
    assert setup.server.requests.empty()


def test_server_unreachable(setup):
    setup.server.stop_listening()
    _, tunnel = setup.up()
    tunnel.request(1, "/api/V1/power")
    assert tunnel.reset(1) == (fake.RESET_UNREACHABLE, NO)
    assert setup.status()["server"]["state"] == "failing"
    setup.agent.wait_log('msg="server fails" class=server_unreachable')


def test_client_gone_cancels_the_call(setup):
    _, tunnel = setup.up()
    tunnel.request(1, "/api/V1/power")
    request = setup.server.request()
    tunnel.send(pack(fake.RESET, 1, struct.pack("<HBB", fake.RESET_CLIENT_GONE, 2, 0)))
    request.wait_cancelled()


def test_lost_tunnel_cancels_and_does_not_repeat(setup):
    relay, tunnel = setup.up()
    tunnel.request(1, "/api/V1/power", "val=1")
    request = setup.server.request()
    tunnel.drop()
    setup.agent.wait_log("tunnel lost.*class=dropped")
    request.wait_cancelled()
    tunnel = relay.tunnel().greet()
    tunnel.request(1, "/api/V1/next")
    request = setup.server.request()
    assert "next" in request.line
    request.answer()
    assert tunnel.response(1).status == 200


# Life of a tunnel


def test_dropped_tunnel_comes_back_at_once(setup):
    relay, tunnel = setup.up()
    tunnel.drop()
    line = setup.agent.wait_log(r"class=dropped.*retry_ms=(?P<ms>\d+)")
    assert retry_ms(line) <= 1000
    relay.tunnel().greet()


def test_silent_relay_is_declared_dead(setup):
    relay = setup.relay()
    setup.start(relay.url())
    tunnel = relay.tunnel().greet(ping_idle_ms=300, reply_deadline_ms=300)
    tunnel.recv(fake.PING)  # and no PONG
    setup.agent.wait_log("class=dropped.*does not answer any more")
    relay.tunnel().greet()


def test_pings_are_answered(setup):
    _, tunnel = setup.up()
    tunnel.send(pack(fake.PING, 0, b"12345678"))
    assert tunnel.recv(fake.PONG).payload == b"12345678"


def test_no_welcome(setup):
    """The mux's own deadline is 10 s; here the relay hangs up before."""
    relay = setup.relay()
    setup.start(relay.url())
    relay.tunnel().close(1011)
    setup.agent.wait_log(r"class=failed.*relay closed the tunnel \(code 1011\)")


def test_goaway_opens_the_new_tunnel_while_the_old_one_drains(setup):
    relay, old = setup.up()
    old.request(1, "/api/V1/slow")
    slow = setup.server.request()
    old.goaway(GOAWAY_SHUTDOWN)
    setup.agent.wait_log("tunnel draining.*class=moved")
    new = relay.tunnel().greet(generation=8)
    new.request(1, "/api/V1/quick")
    setup.server.request().answer(b"quick")
    assert new.response(1).body == b"quick"
    slow.answer(b"slow")
    assert old.response(1).body == b"slow"
    assert old.wait_closed() == 1001
    setup.agent.wait_log("tunnel drained")
    (state,) = setup.status()["relays"]
    assert state["state"] == "open" and state["tunnel"] == 8 and state["draining"] == 0


@pytest.mark.parametrize(
    "reason, sentence, kind",
    [
        (GOAWAY_REPLACED, "another agent with this serial connected", "replaced"),
        (GOAWAY_DISABLED, "relay has disabled or removed this server", "refused"),
    ],
)
def test_goaway_that_is_meant(setup, reason, sentence, kind):
    _, tunnel = setup.up()
    tunnel.goaway(reason)
    line = setup.agent.wait_log(rf'class={kind} reason="{sentence}" retry_ms=(?P<ms>\d+)')
    assert retry_ms(line) >= SLOW_MS
    assert tunnel.wait_closed() == 1001


@pytest.mark.parametrize(
    "reason, sentence, kind",
    [
        (fake.GOAWAY_EXHAUSTED, "the tunnel's stream numbers are used up", "moved"),
        (fake.GOAWAY_PROTOCOL, "relay says that we broke the protocol", "dropped"),
    ],
)
def test_goaway_after_which_the_agent_is_back_at_once(setup, reason, sentence, kind):
    relay, tunnel = setup.up()
    tunnel.goaway(reason)
    line = setup.agent.wait_log(rf'class={kind} reason="{sentence}" retry_ms=(?P<ms>\d+)')
    assert retry_ms(line) <= 1000
    relay.tunnel().greet()
    assert tunnel.wait_closed() == 1001


@pytest.mark.parametrize(
    "frame, said",
    [
        (pack(fake.GOAWAY, 0, struct.pack("<HHI", GOAWAY_REPLACED, 0, 0)), "another agent with this serial"),
        (None, r"relay closed the tunnel \(code 1011\)"),
    ],
    ids=["goaway", "close"],
)
def test_what_comes_with_the_answer_to_the_upgrade_counts(setup, frame, said):
    """The one read that brings the answer brings this as well."""
    close = fake.pack_message(struct.pack(">H", 1011), fake.OP_CLOSE)
    relay = setup.relay(behind=close if frame is None else fake.pack_message(frame))
    setup.start(relay.url())
    setup.agent.wait_log(said)


def test_a_ping_is_answered_before_a_close_and_never_behind_it(setup):
    """RFC 6455 5.5.1: nothing follows a close frame."""
    _, tunnel = setup.up()
    close = fake.pack_message(struct.pack(">H", 1011), fake.OP_CLOSE)
    tunnel.sock.sendall(fake.pack_message(b"last", fake.OP_PING) + close)
    assert tunnel.wait_closed() == 1000
    assert tunnel.pongs == [b"last"]
    with pytest.raises((fake.Closed, OSError)):
        tunnel.recv_message()


@pytest.mark.parametrize("then", [b"", fake.pack_message(pack(fake.PING, 0, b"12345678"))], ids=["alone", "more"])
def test_fault_is_told(setup, then):
    """Also if more comes with it: that is not read."""
    relay, tunnel = setup.up()
    tunnel.sock.sendall(fake.pack_message(pack(fake.DATA, 99, b"of a stream that never was")) + then)
    assert tunnel.wait_closed() == 4000 + 4
    goaways = [f for f in tunnel.frames if f.type == fake.GOAWAY]
    assert [struct.unpack_from("<H", f.payload)[0] for f in goaways] == [fake.GOAWAY_PROTOCOL]
    assert not [f for f in tunnel.frames if f.type == fake.PONG]
    setup.agent.wait_log("class=dropped.*tunnel protocol broken: ")
    relay.tunnel().greet()


# A relay of the version before or after


def test_what_a_newer_relay_adds_is_skipped(setup):
    relay = setup.relay()
    setup.start(relay.url())
    tunnel = relay.tunnel().greet(extra=b"what version 2 adds")
    tunnel.send(pack(15, 0, b"a type of version 2", 0xFF), pack(fake.PING, 0, b"12345678more", 0xFE))
    assert tunnel.recv(fake.PONG).payload == b"12345678"
    tunnel.request(1, "/api/V1/power")
    setup.server.request().answer(b"as ever")
    assert tunnel.response(1).body == b"as ever"
    tunnel.goaway(99)  # counts as SHUTDOWN
    setup.agent.wait_log("tunnel draining.*class=moved")
    relay.tunnel().greet()


@pytest.mark.parametrize("version", [0, 2])
def test_a_version_that_was_not_offered_is_refused(setup, version):
    relay = setup.relay()
    setup.start(relay.url())
    tunnel = relay.tunnel().greet(version=version)
    assert tunnel.wait_closed() == 4000 + 9
    setup.agent.wait_log("relay not reached")


def test_no_common_version_is_told_and_the_agent_waits(setup):
    relay = setup.relay()
    setup.start(relay.url())
    tunnel = relay.tunnel()
    tunnel.recv(fake.HELLO)
    tunnel.goaway(fake.GOAWAY_VERSION)
    tunnel.close(4000 + 9)
    line = setup.agent.wait_log(r'class=refused reason="relay speaks no common version.* retry_ms=(?P<ms>\d+)')
    assert retry_ms(line) >= SLOW_MS


def test_text_message_is_refused(setup):
    _, tunnel = setup.up()
    tunnel.send_message(b"hello", opcode=1)
    assert tunnel.wait_closed() == 1003
    setup.agent.wait_log("class=dropped.*sent a text message")


def test_websocket_ping_is_answered(setup):
    _, tunnel = setup.up()
    tunnel.send_message(b"abc", fake.OP_PING)
    assert tunnel.recv_message() == (fake.OP_PONG, b"abc")


def test_two_relays_at_once(setup):
    relays = setup.relay(), setup.relay()
    setup.start(*(r.url() for r in relays))
    for relay in relays:
        tunnel = relay.tunnel().greet()
        tunnel.request(1, "/api/V1/power")
        setup.server.request().answer(b"both")
        assert tunnel.response(1).body == b"both"


def test_one_dead_relay_does_not_hold_up_the_other(setup):
    silent = setup.add(fake.SilentRelay())
    relay = setup.relay()
    setup.start(f"wss://{HOST}:{silent.port}", relay.url())
    silent.connected.acquire(timeout=fake.DEADLINE)
    relay.tunnel().greet()


# Ends


def test_ends_idle(setup):
    _, tunnel = setup.up()
    setup.agent.signal(signal.SIGTERM)
    tunnel.recv(fake.GOAWAY)
    tunnel.goaway(GOAWAY_SHUTDOWN)  # the relay's answer
    assert tunnel.wait_closed() == 1001
    setup.agent.wait_end()
    assert not setup.socket.exists()


def test_end_waits_for_requests_in_flight(setup):
    _, tunnel = setup.up()
    tunnel.request(1, "/api/V1/first")
    first = setup.server.request()
    setup.agent.signal(signal.SIGTERM)
    tunnel.recv(fake.GOAWAY)
    tunnel.request(3, "/api/V1/crossed-the-goaway")
    crossed = setup.server.request()
    tunnel.goaway(GOAWAY_SHUTDOWN)
    crossed.answer(b"2")
    first.answer(b"1")
    assert (tunnel.response(1).body, tunnel.response(3).body) == (b"1", b"2")
    assert tunnel.wait_closed() == 1001
    setup.agent.wait_end()


def test_drain_has_an_end(setup):
    _, tunnel = setup.up(timeouts={"drain": "0.2"})
    tunnel.request(1, "/api/V1/power")
    request = setup.server.request()
    setup.agent.signal(signal.SIGINT)
    tunnel.recv(fake.GOAWAY)
    tunnel.goaway(GOAWAY_SHUTDOWN)
    setup.agent.wait_end()
    request.wait_cancelled()


def test_second_signal_ends_at_once(setup):
    _, tunnel = setup.up(timeouts={"drain": "600"})
    tunnel.request(1, "/api/V1/power")
    request = setup.server.request()
    setup.agent.signal(signal.SIGTERM)
    tunnel.recv(fake.GOAWAY)
    setup.agent.signal(signal.SIGTERM)
    setup.agent.wait_end()
    request.wait_cancelled()


def test_signals_during_the_end_are_no_death(setup):
    """However many come, up to the last instruction: the exit code is the agent's own."""
    setup.up()
    while setup.agent.running():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            setup.agent.signal(number)
    setup.agent.wait_end()


def test_ends_while_waiting(setup):
    with closed_port() as port:
        setup.start(f"wss://{HOST}:{port}").wait_log("connection refused")
        setup.agent.stop()


def test_ends_while_resolving(setup):
    setup.start("wss://relay.invalid").wait_log("msg=started")
    setup.agent.stop()


def test_ends_during_the_tls_handshake(setup):
    silent = setup.add(fake.SilentRelay())
    setup.start(f"wss://{HOST}:{silent.port}")
    silent.connected.acquire(timeout=fake.DEADLINE)
    assert [leg["state"] for leg in setup.status()["relays"]] == ["connecting"]
    setup.agent.stop()


def test_ends_during_the_upgrade(setup):
    relay = setup.relay(answer=lambda _: b"")
    relay.answer = lambda upgrade: relay.upgrades.get() and b"HTTP/1.1 101"
    setup.start(relay.url())
    setup.agent.wait_log("msg=started")
    setup.agent.stop()


def test_ends_before_the_welcome(setup):
    relay = setup.relay()
    setup.start(relay.url())
    relay.tunnel().recv(fake.HELLO)
    setup.agent.stop()


def test_ends_with_a_download_in_flight(setup):
    _, tunnel = setup.up(timeouts={"drain": "0.2"})
    tunnel.request(1, "/api/V1/a")
    request = setup.server.request()

    def answer():
        with contextlib.suppress(OSError):
            request.answer(os.urandom(10_000_000))

    threading.Thread(target=answer, daemon=True).start()
    tunnel.recv(fake.RESPONSE)
    setup.agent.stop()


def test_killed_server_and_relay_then_end(setup):
    relay, tunnel = setup.up()
    tunnel.request(1, "/api/V1/a")
    setup.server.request()
    relay.stop_listening()
    tunnel.drop()
    setup.agent.wait_log("tunnel lost")
    setup.agent.stop()


# Reload


def test_reload_takes_a_new_token(setup):
    relay = setup.relay(
        answer=lambda u: None
        if TOKEN not in base64.b64decode(u.value("authorization").split()[1]).decode()
        else b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
    )
    agent = setup.start(relay.url())
    agent.wait_log("class=refused")
    secret_file(setup.folder / "token", "another-token")
    agent.signal(signal.SIGHUP)
    relay.tunnel().greet()
    agent.wait_log("configuration reloaded")


def test_reload_keeps_what_works_when_the_file_is_wrong(setup):
    _, tunnel = setup.up()
    setup.configure("ws://relay.example")
    setup.agent.signal(signal.SIGHUP)
    setup.agent.wait_log(r"not reloaded, the old one stays.*agent.conf:2: \[relay\] url: ")
    tunnel.request(1, "/api/V1/power")
    setup.server.request().answer()
    assert tunnel.response(1).status == 200


def test_reload_changes_relay_and_server(setup):
    first, old = setup.up()
    old.request(1, "/api/V1/slow")
    slow = setup.server.request()
    second = setup.relay()
    other = setup.add(fake.FakeServer())
    setup.configure(second.url(), server={"url": other.url})
    setup.agent.signal(signal.SIGHUP)
    new = second.tunnel().greet()
    new.request(1, "/api/V1/power")
    other.request().answer(b"other")
    assert new.response(1).body == b"other"
    old.recv(fake.GOAWAY)
    at_agent = setup.agent.log.count()
    setup.agent.signal(signal.SIGHUP)  # the old one goes on draining
    setup.agent.wait_log("configuration reloaded", at_agent)
    states = {leg["relay"]: leg["state"] for leg in setup.status()["relays"]}
    assert states == {first.url(): "draining", second.url(): "open"}
    old.goaway(GOAWAY_SHUTDOWN)
    slow.answer(b"slow")
    assert old.response(1).body == b"slow"
    assert old.wait_closed() == 1001
    # The old one is on the list until its end is complete, a moment after it is closed.
    wait_until(lambda: [r["relay"] for r in setup.status()["relays"]] == [second.url()], "one relay")
    assert first.n_handshakes == 1


def test_reload_with_another_serial_dials_anew(setup):
    relay, old = setup.up()
    setup.configure(relay.url(), relay={"url": [relay.url()], "serial": "TNX-0002"})
    setup.agent.signal(signal.SIGHUP)
    pair = base64.b64encode(f"TNX-0002:{TOKEN}".encode()).decode()
    new = relay.tunnel().greet()
    assert new.upgrade.value("authorization") == f"Basic {pair}"
    old.recv(fake.GOAWAY)
    old.goaway(GOAWAY_SHUTDOWN)
    assert old.wait_closed() == 1001
    assert setup.status()["serial"] == "TNX-0002"


def test_reload_keeps_an_unchanged_tunnel(setup):
    relay, tunnel = setup.up()
    setup.agent.signal(signal.SIGHUP)
    setup.agent.wait_log("configuration reloaded")
    tunnel.request(1, "/api/V1/power")
    setup.server.request().answer()
    assert tunnel.response(1).status == 200
    assert relay.n_handshakes == 1
