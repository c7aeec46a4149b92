# SPDX-License-Identifier: Apache-2.0
"""Proxies in front of the relay: only the word of listed ones is taken, and then it counts
everywhere. 127.0.0.2 is the proxy; everybody else on this machine is a stranger."""

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time

import pytest

import harness
from harness import HOST

PROXY = "127.0.0.2"
CLIENT = "192.0.2.1"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HANDSHAKE = 1.0  # seconds; of the test that waits for it
EARLY = 0.2  # seconds that a clock may be early


def v1(host=CLIENT, port=4711):
    family = "TCP6" if ":" in host else "TCP4"
    return f"PROXY {family} {host} {host} {port} 443\r\n".encode()


def v2(host=CLIENT, port=4711, command=0x21, tlvs=b""):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    rest = packed + packed + struct.pack("!HH", port, 443) + tlvs
    kind = 0x21 if ":" in host else 0x11
    return SIGNATURE + struct.pack("!BBH", command, kind, len(rest)) + rest


LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


class Proxied(harness.Connection):
    """A connection from `source` that begins with `header`, then TLS if there is a context."""

    def __init__(self, address, context=None, header=b"", source=PROXY):
        # Not super().__init__(): the source, and what comes before TLS.
        # pylint: disable=super-init-not-called
        self._socket = socket.create_connection(address, harness.DEADLINE, (source, 0))
        self._unread = b""
        try:
            self._socket.sendall(header)
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=HOST)
        except BaseException:
            self._socket.close()
            raise


class Front:
    """A building, with a plain listener beside the HTTPS one, and the proxy's ways in."""

    def __init__(self, building):
        self.building = building
        relay = building.relay
        self.addresses = {
            "https": relay.https,
            "http": relay.http,
            "plain": (HOST, harness.bound_port(json.loads(relay.runtime_file.read_text()),
                                               "plain")),
        }
        self.log = relay.process.log

    def connect(self, listener="https", header=b"", source=PROXY):
        context = self.building.relay.tls_context() if listener == "https" else None
        return Proxied(self.addresses[listener], context, header, source)

    def status_path(self, key=None):
        return self.building.path("system/serverStatus", key)

    def logged_client(self, connection, fields=(), target=None):
        """Makes a call; its answer, and the client that the access log names."""
        start = self.log.count()
        answer = connection.request(target or self.status_path(), fields=fields)
        wanted = f"id={answer.value('X-Request-Id')} "
        _, line = self.log.wait(lambda line: "msg=request" in line and wanted in line, start,
                                "access line")
        return answer, re.search(r'client="?([^ "]*)', line)[1]


def settings(protocol, **limits):
    return {
        "https": {"plain_listen": f"{HOST}:0"},
        "proxy": {"protocol": protocol, "trusted": PROXY},
        "limits": limits,
    }


def module_front(tmp_path_factory, protocol):
    made = harness.Building(tmp_path_factory.mktemp(protocol), auth="none",
                            relay=settings(protocol))
    try:
        yield Front(made)
        made.stop()
    finally:
        made.kill()


@pytest.fixture(scope="module")
def by_header(tmp_path_factory):
    yield from module_front(tmp_path_factory, "proxy")


@pytest.fixture(scope="module")
def by_field(tmp_path_factory):
    yield from module_front(tmp_path_factory, "forwarded")


@pytest.fixture
def start_front(start_building):
    return lambda protocol, **limits: Front(
        start_building(auth="none", relay=settings(protocol, **limits)))


# --- a header before the connection -------------------------------------------------------------


@pytest.mark.parametrize("listener", ["https", "plain"])
@pytest.mark.parametrize("header, client", [
    (v1(), f"{CLIENT}:4711"),
    (v1("2001:db8::1", 1), "[2001:db8::1]:1"),
    (v2(), f"{CLIENT}:4711"),
    (v2("2001:db8::1", 1), "[2001:db8::1]:1"),
    (v2(tlvs=b"\x01\x00\x02h2"), f"{CLIENT}:4711"),
    (b"PROXY UNKNOWN\r\n", "unknown"),
    (SIGNATURE + b"\x21\x00\x00\x00", "unknown"),
], ids=["v1", "v1-ipv6", "v2", "v2-ipv6", "v2-tlv", "v1-unknown", "v2-unspec"])
def test_the_header_names_the_client(by_header, listener, header, client):
    with by_header.connect(listener, header) as c:
        for _ in range(2):
            answer, logged = by_header.logged_client(c)
            assert (answer.status, logged) == (200, client)


def test_a_proxy_that_speaks_for_itself_is_the_client(by_header):
    with by_header.connect(header=LOCAL) as c:
        answer, logged = by_header.logged_client(c)
    assert answer.status == 200
    assert logged.startswith(f"{PROXY}:")


@pytest.mark.parametrize("header", [v1(), v2()], ids=["v1", "v2"])
def test_a_header_may_come_in_pieces_and_together_with_what_follows(by_header, header):
    request = harness.request(by_header.status_path())
    for cut in range(1, len(header) + 1):
        with by_header.connect("plain", header[:cut]) as c:
            c.send(header[cut:] + request)
            assert c.answer().status == 200


def test_the_redirect_listener_takes_the_header_too(by_header):
    with by_header.connect("http", v1()) as c:
        answer, logged = by_header.logged_client(c, target="/a?b")
    assert (answer.status, logged) == (301, f"{CLIENT}:4711")


@pytest.mark.parametrize("header", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    b"PROXY UNKNOWN " + b"a" * 94 + b"\r\n",
    SIGNATURE + b"\x21\x11\x00\x0b" + b"a" * 11,
    SIGNATURE + b"\x21\x11\xff\xff",
    b"\x16\x03\x01\x02\x00",
], ids=["http", "v1-short", "v1-long", "v2-short", "v2-long", "tls"])
@pytest.mark.parametrize("listener", ["https", "plain", "http"])
def test_without_a_good_header_a_proxys_connection_is_closed(by_header, listener, header):
    start = by_header.log.count()
    with Proxied(by_header.addresses[listener], None, header) as c:
        assert c.rest() == b""
    by_header.building.relay.process.wait_log("no valid PROXY header", start)


def test_a_strangers_header_is_not_taken(by_header):
    with by_header.connect("plain", v1(), source=HOST) as c:
        assert c.answer().status == 400
    with pytest.raises((ssl.SSLError, OSError)), by_header.connect(header=v1(), source=HOST):
        pass
    with by_header.connect(source=HOST) as c:
        _, logged = by_header.logged_client(c)
    assert logged.startswith(f"{HOST}:")


def test_fields_say_nothing_where_a_header_does(by_header):
    with by_header.connect(header=v1()) as c:
        _, logged = by_header.logged_client(c, ["X-Forwarded-For: 203.0.113.9"])
    assert logged == f"{CLIENT}:4711"


def test_a_header_that_does_not_come_is_not_waited_for(start_building):
    changes = settings("proxy") | {"timeouts": {"handshake": HANDSHAKE}}
    front = Front(start_building(auth="none", relay=changes))
    with front.connect("plain", v1()[:-1]) as c, front.connect("plain") as silent:
        assert c.rest() == silent.rest() == b""


def test_connections_are_counted_for_the_client(start_front):
    front = start_front("proxy", connections_per_address=2)
    with contextlib.ExitStack() as stack:
        def connect(client):
            return stack.enter_context(front.connect("plain", v2(client)))

        held = [connect(CLIENT), connect(CLIENT)]
        for c in held:
            assert c.request(front.status_path()).status == 200
        assert connect(CLIENT).rest() == b""
        # Others behind the same proxy are not shut out, nor are its health checks.
        for client in ("192.0.2.2", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8:0:1::1"):
            assert connect(client).request(front.status_path()).status == 200
        for _ in range(3):
            local = stack.enter_context(front.connect("plain", LOCAL))
            assert local.request(front.status_path()).status == 200
        # IPv6 counts by /64.
        assert connect("2001:db8::2").request(front.status_path()).status == 200
        assert connect("2001:db8::3").rest() == b""
        # An ended one is given back.
        held[0].request(front.status_path(), fields=["Connection: close"])
        assert held[0].rest() == b""
        held[0].close()
        assert connect(CLIENT).request(front.status_path()).status == 200


def test_a_proxy_may_have_more_connections_than_one_client(start_front):
    front = start_front("forwarded", connections_per_address=2)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            c = stack.enter_context(front.connect("plain"))
            assert c.request(front.status_path()).status == 200


# --- fields in the request ----------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["https", "plain"])
@pytest.mark.parametrize("fields, client", [
    (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1:0"),
    (["X-Forwarded-For: 203.0.113.9, 192.0.2.1, 127.0.0.2"], "192.0.2.1:0"),
    (["Forwarded: for=\"[2001:db8::1]:4711\";proto=https"], "[2001:db8::1]:4711"),
    (["Forwarded: for=192.0.2.9", "X-Forwarded-For: 192.0.2.1"], "unknown"),
    (["X-Forwarded-For: nonsense"], "unknown"),
], ids=["list", "chain", "forwarded", "disagree", "nonsense"])
def test_the_fields_name_the_client(by_field, listener, fields, client):
    with by_field.connect(listener) as c:
        answer, logged = by_field.logged_client(c, fields)
        assert (answer.status, logged) == (200, client)


def test_each_request_has_its_own_client(by_field):
    with by_field.connect() as c:
        for client in ("192.0.2.1", "192.0.2.2"):
            assert by_field.logged_client(c, [f"X-Forwarded-For: {client}"])[1] == f"{client}:0"
        assert by_field.logged_client(c)[1].startswith(f"{PROXY}:")


def test_a_strangers_fields_are_not_taken(by_field):
    fields = ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1"]
    with by_field.connect(source=HOST) as c:
        assert by_field.logged_client(c, fields)[1].startswith(f"{HOST}:")


def test_the_fields_do_not_reach_the_building(by_field):
    fields = ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1"]
    with by_field.building.watch() as seen, by_field.connect() as c:
        assert c.request(by_field.status_path(), fields=fields).status == 200
    assert seen and "192.0.2.1" not in json.dumps(seen)


# --- what the address is good for ---------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["proxy", "forwarded"])
def test_a_keys_addresses_are_compared_with_the_clients(start_front, protocol):
    front = start_front(protocol)
    enabled = front.building.relay.command("key", "enable", harness.SERIAL,
                                           "--cidrs", "192.0.2.0/24,127.0.0.1")

    def status(client):
        if protocol == "proxy":
            header, fields = v1(client) if client else b"PROXY UNKNOWN\r\n", []
        else:
            header, fields = b"", [f"X-Forwarded-For: {client or 'unknown'}"]
        with front.connect("plain", header) as c:
            return c.request(front.status_path(enabled["key"]), fields=fields).status

    # The relay hears of the key a moment later.
    until = time.monotonic() + harness.DEADLINE
    while status("192.0.2.77") != 200:
        assert time.monotonic() < until
    assert status("203.0.113.1") == 403
    # Neither who is not known, nor the proxy for it.
    assert status(None) == 403
    with front.connect("plain", source=HOST) as c:
        assert c.request(front.status_path(enabled["key"])).status == 200


@pytest.mark.parametrize("protocol", ["proxy", "forwarded"])
def test_refused_keys_are_counted_for_the_client(start_front, protocol):
    front = start_front(protocol, refused_rate=1, refused_burst=2)

    def statuses(client, n):
        header = v1(client) if protocol == "proxy" else b""
        fields = [] if protocol == "proxy" else [f"X-Forwarded-For: {client}"]
        with front.connect("plain", header) as c:
            return [c.request("/unknown", fields=fields).status for _ in range(n)]

    assert 429 in statuses("192.0.2.1", 20)
    assert statuses("192.0.2.2", 1) == [403]


def test_a_reload_changes_whose_word_is_taken(start_front):
    front = start_front("none")
    relay = front.building.relay
    fields = ["X-Forwarded-For: 192.0.2.1"]
    with front.connect() as c:
        assert front.logged_client(c, fields)[1].startswith(f"{PROXY}:")
    start = front.log.count()
    relay.configure(settings("forwarded"))
    relay.process.signal(harness.signal.SIGHUP)
    relay.process.wait_log("configuration reloaded", start)
    # The workers hear of it about when the log does.
    for _ in range(50):
        with front.connect() as c:
            client = front.logged_client(c, fields)[1]
        if client == "192.0.2.1:0":
            break
    assert client == "192.0.2.1:0"


# --- behind a TLS terminator --------------------------------------------------------------------


class Terminator:
    """Ends TLS with the relay's certificate and passes on what is in it, as the proxy."""

    def __init__(self):
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._open = []
        self._threads = []

    def start(self, relay, port):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(relay.folder / "cert.pem", relay.folder / "key.pem")
        self._run(self._accept, context, (HOST, port))

    def _run(self, *work):
        thread = threading.Thread(target=work[0], args=work[1:], daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, context, target):
        with contextlib.suppress(OSError):
            while True:
                raw, address = self._listener.accept()
                self._open.append(raw)
                self._run(self._serve, context, raw, address, target)

    def _serve(self, context, raw, address, target):
        with contextlib.suppress(OSError):
            client = context.wrap_socket(raw, server_side=True)
            server = socket.create_connection(target, None, (PROXY, 0))
            self._open += [client, server]
            server.sendall(v2(*address))
            self._run(self._pump, server, client)
            self._pump(client, server)

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for s in self._open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        for thread in self._threads:
            thread.join(harness.DEADLINE)


def test_agents_and_clients_come_through_a_tls_terminator(start_building):
    terminator = Terminator()
    building = start_building(auth="none", start=False, relay=settings("proxy"),
                              agent={"relay": {"url": f"wss://{HOST}:{terminator.port}"}})
    front = Front(building)
    try:
        terminator.start(building.relay, front.addresses["plain"][1])
        building.start_agent()
        with harness.Connection((HOST, terminator.port), building.relay.tls_context()) as c:
            answer, logged = front.logged_client(c)
        assert answer.status == 200
        # The caller's own address, not the terminator's.
        assert logged.startswith(f"{HOST}:")
        tunnel = front.log.wait(lambda line: "tunnel up" in line)[1]
        assert f"address={HOST}:" in tunnel.replace('"', "")
    finally:
        building.agent.process.stop()
        terminator.close()


@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0", "192.0.2.1:8080", "[::]:8080"])
def test_a_plain_listener_is_for_this_machine_alone(tmp_path, address):
    relay = harness.Relay(tmp_path / "relay", {"https": {"plain_listen": address}})
    for command in ("check", "serve"):
        done = harness.run("thinknx-relay", command, "--config", relay.conf, expect=2)
        assert "plain_listen" in done.stderr
        assert "only an address of this machine" in done.stderr
