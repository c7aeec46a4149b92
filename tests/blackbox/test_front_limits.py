# SPDX-License-Identifier: Apache-2.0
"""What a flood may take: connections in all and per address, descriptors, memory. Afterwards all is
as before."""

import contextlib
import datetime
import os
import resource
import select
import signal
import socket
import ssl
import threading
import time

import pytest

import harness
from harness import HOST

WRITE = 1.0  # seconds; of the clients that do not read
LATE = 10.0  # seconds that a busy machine may be late
BIG_BODY = 2 << 20  # far more than all windows and buffers on the way hold
NON_READERS = 12
# What the clients that do not read may cost together: windows and buffers, not their bodies.
UNREAD_BYTES = 12 << 20
FEW_DESCRIPTORS = 64
MANY_HEADS = 300  # WORKER_SPARE_REQUESTS is 256


@pytest.fixture
def start_relay(tmp_path):
    made = []

    def start(**conf):
        relay = harness.Relay(tmp_path / f"relay-{len(made)}", conf)
        made.append(relay)
        return relay.start()

    yield start
    try:
        for relay in made:
            relay.process.stop()
    finally:
        for relay in made:
            relay.process.kill()


def connect(address, source=HOST):
    return socket.create_connection(address, harness.DEADLINE, (source, 0))


def is_dropped(sock):
    """Waits until the relay has ended the connection, without a byte."""
    sock.settimeout(harness.DEADLINE)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def serves(relay, source=HOST):
    """A whole call from that address: True if it was answered, False if the relay ended it."""
    try:
        with connect(relay.https, source) as raw:
            with relay.tls_context().wrap_socket(raw, server_hostname=HOST) as tls:
                tls.sendall(b"GET /unknown HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                return tls.recv(12) == b"HTTP/1.1 403"
    except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
        return False


def wait_served(relay, source=HOST):
    """Until what has ended is counted back."""
    until = time.monotonic() + harness.DEADLINE
    while not serves(relay, source):
        assert time.monotonic() < until, "the relay serves nobody any more"


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# --- caps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["https", "http"])
def test_connections_per_address_are_capped(start_relay, listener):
    relay = start_relay(limits={"connections_per_address": 5})
    address = getattr(relay, listener)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(address)) for _ in range(5)]
        for _ in range(3):
            with connect(address) as one_more:
                assert is_dropped(one_more)
        # All of the listeners count together; another address is not shut out.
        assert not serves(relay)
        assert serves(relay, "127.0.0.2")
        held[0].close()
        wait_served(relay)
    wait_served(relay)


def test_connections_are_capped_in_all(start_relay):
    relay = start_relay(limits={"connections": 8})
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(relay.https, f"127.0.0.{n}")) for n in range(2, 10)]
        for n in range(10, 13):
            with connect(relay.https, f"127.0.0.{n}") as one_more:
                assert is_dropped(one_more)
        held[3].close()
        wait_served(relay, "127.0.0.10")
    wait_served(relay)


def test_a_connection_too_many_costs_no_handshake(start_relay):
    """A thousand of them are gone before TLS, and leave nothing behind."""
    relay = start_relay(limits={"connections_per_address": 1})
    with connect(relay.https):
        before = descriptors(relay.process.pid)
        cpu = relay.process.cpu_seconds()
        for _ in range(1000):
            with connect(relay.https) as one_more:
                assert is_dropped(one_more)
        assert descriptors(relay.process.pid) <= before + 3
        # A handshake takes a millisecond and more, with the sanitizers several.
        assert relay.process.cpu_seconds() - cpu < 1.0
    wait_served(relay)


def test_ipv6_addresses_count_by_their_network(start_relay):
    """::1 is the only one there is here; that it is capped apart from IPv4 is what shows."""
    relay = start_relay(https={"listen": [f"{HOST}:0", "[::1]:0"]},
                        limits={"connections_per_address": 2})
    port = int(relay.runtime_file.read_text().partition("[::1]:")[2].partition('"')[0])
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(("::1", port), harness.DEADLINE))
        with socket.create_connection(("::1", port), harness.DEADLINE) as one_more:
            assert is_dropped(one_more)
        assert serves(relay)


def test_a_cap_can_be_changed_while_it_runs(start_relay):
    relay = start_relay(limits={"connections_per_address": 1})
    with connect(relay.https):
        assert not serves(relay)
        start = relay.process.log.count()
        relay.configure({"limits": {"connections_per_address": 2}})
        relay.process.signal(harness.signal.SIGHUP)
        relay.process.wait_log("configuration reloaded", start)
        wait_served(relay)


def test_a_higher_cap_in_all_lets_more_addresses_in(start_relay):
    relay = start_relay(limits={"connections": 3})
    start = relay.process.log.count()
    relay.configure({"limits": {"connections": 10}})
    relay.process.signal(harness.signal.SIGHUP)
    relay.process.wait_log("configuration reloaded", start)
    with contextlib.ExitStack() as stack:
        for n in range(2, 9):
            wait_served(relay, f"127.0.0.{n}")  # the workers hear of it about when the log does
            stack.enter_context(connect(relay.https, f"127.0.0.{n}"))


# --- descriptors --------------------------------------------------------------------------------


def test_running_out_of_descriptors_is_survived(start_building):
    building = start_building(auth="none")
    pid = building.relay.process.pid
    with building.connect() as live:
        path = building.path("system/serverStatus")
        assert live.request(path).status == 200
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, FEW_DESCRIPTORS))
        with contextlib.ExitStack() as stack:
            flood = [stack.enter_context(connect(building.relay.https))
                     for _ in range(3 * FEW_DESCRIPTORS)]
            # Those that do not fit are turned away, not left waiting.
            assert is_dropped(flood[-1])
            # What was open goes on.
            for _ in range(3):
                assert live.request(path).status == 200
        wait_served(building.relay)
        assert live.request(path).status == 200
        # And once more, with the descriptors used up by real clients.
        with contextlib.ExitStack() as stack:
            for _ in range(2 * FEW_DESCRIPTORS):
                stack.enter_context(connect(building.relay.https))
        wait_served(building.relay)
        assert live.request(path).status == 200
    # Also for agents and new clients.
    assert building.get(building.path("system/serverStatus")).status == 200


# --- more requests at a time than are kept for the next ones ------------------------------------


def test_more_requests_than_the_relay_keeps_come_and_go_and_come_again(start_relay):
    relay = start_relay(limits={"connections_per_address": 2 * MANY_HEADS})
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            half = [stack.enter_context(harness.Connection(relay.http)) for _ in range(MANY_HEADS)]
            for c in half:
                c.send(f"GET /unknown HTTP/1.1\r\nHost: {HOST}\r\n".encode())
            assert serves(relay)
            for c in half:
                c.send(b"\r\n")
            assert {c.answer().status for c in half} == {301}
    assert serves(relay)


# --- heads that do not end ----------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["https", "http"])
def test_a_head_that_grows_and_never_ends_is_cut_and_the_relay_lives(start_relay, listener):
    """Its request line has been judged, its buffer has moved since, and the log tells of it."""
    relay = start_relay(timeouts={"head": 1})
    context = relay.tls_context() if listener == "https" else None
    with harness.Connection(getattr(relay, listener), context) as c:
        c.send(b"DELETE /unknown HTTP/1.1\r\nHost: a\r\n")
        for n in range(12):
            c.send(f"X-{n}: {'a' * 1000}\r\n".encode())
        assert c.answer().status == 408
    relay.process.wait_log(r"msg=request .*status=408")
    assert serves(relay)


def test_the_log_of_a_relay_that_ended_has_every_request_it_answered(start_relay):
    """The last ones were still waiting to be written together."""
    relay = start_relay()
    with harness.Connection(relay.https, relay.tls_context()) as c:
        for n in range(30):
            c.send(harness.request(f"/unknown-{n}/api/V1/power"))
            assert c.answer().status in (401, 403, 404, 429)
        relay.process.signal(signal.SIGTERM)
        relay.process.wait_log("msg=draining")
        relay.process.signal(signal.SIGTERM)  # at once
        relay.process.wait_end()
    assert relay.process.log.text().count("msg=request") == 30


def test_a_request_is_logged_with_the_time_of_its_end(start_relay):
    relay = start_relay()
    before = time.time()
    with harness.Connection(relay.https, relay.tls_context()) as c:
        assert c.request("/unknown/api/V1/power").status == 403
        written = relay.process.wait_log(r"time=(\S+) level=info msg=request ")[1]
    logged = datetime.datetime.fromisoformat(written).timestamp()
    assert before - 0.001 <= logged <= time.time()  # it has whole milliseconds


# --- clients that do not read -------------------------------------------------------------------


@pytest.fixture(scope="module")
def big_building(tmp_path_factory):
    """Its server gives 2 MiB to whoever asks, and has a connection for everybody: each of those who
    do not read holds one until it is cut."""
    with pytest.MonkeyPatch.context() as patch:
        # What AddressSanitizer keeps of freed memory would hide what the relay keeps.
        options = harness.environment()["ASAN_OPTIONS"]
        patch.setenv("ASAN_OPTIONS", f"{options}:quarantine_size_mb=1")
        made = harness.Building(tmp_path_factory.mktemp("big"), auth="none",
                                simulator=("--big-body", str(BIG_BODY)),
                                relay={"timeouts": {"write": WRITE}},
                                agent={"server": {"max_connections": 2 * NON_READERS}})
    try:
        yield made
        made.stop()
    finally:
        made.kill()


class NonReader(threading.Thread):
    """Asks for a big body and reads nothing; notes when the relay has cut it."""

    def __init__(self, building):
        super().__init__(daemon=True)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(harness.DEADLINE)
        raw.connect(building.relay.https)
        self.tls = building.relay.tls_context().wrap_socket(raw, server_hostname=HOST)
        self.tls.sendall(harness.request(building.path("system/serverStatus")))
        self.cut_after = None
        self._begun = time.monotonic()
        self.start()

    def run(self):
        until = self._begun + harness.DEADLINE
        with contextlib.suppress(OSError):
            while time.monotonic() < until:
                self._wait_hangup()
        self.cut_after = time.monotonic() - self._begun
        self.tls.close()

    def _wait_hangup(self):
        poll = select.poll()
        poll.register(self.tls, select.POLLRDHUP)
        if poll.poll(1000):
            raise OSError


def test_clients_that_ask_for_big_bodies_and_do_not_read_are_bounded_and_cut(big_building):
    relay = big_building.relay.process
    before = relay.resident_bytes()
    clients = [NonReader(big_building) for _ in range(NON_READERS)]
    most = before
    while any(c.is_alive() for c in clients):
        most = max(most, relay.resident_bytes())
        clients[0].join(0.02)
        if not clients[0].is_alive():
            for c in clients:
                c.join()
    assert most - before < UNREAD_BYTES, f"{(most - before) >> 20} MiB more"
    for c in clients:
        assert c.cut_after < WRITE + LATE, f"cut after {c.cut_after:.1f} s"
    # Others are served, and get the whole of it.
    answer = big_building.get(big_building.path("system/serverStatus"))
    assert answer.status == 200 and len(answer.body) >= BIG_BODY


def test_a_client_that_reads_is_served_while_others_do_not(big_building):
    clients = [NonReader(big_building) for _ in range(NON_READERS)]
    answer = big_building.get(big_building.path("system/serverStatus"))
    assert answer.status == 200 and len(answer.body) >= BIG_BODY
    for c in clients:
        c.join()


def test_memory_is_steady_when_floods_come_again(big_building):
    relay = big_building.relay.process
    levels = []
    for _ in range(4):
        clients = [NonReader(big_building) for _ in range(NON_READERS)]
        for c in clients:
            c.join()
        levels.append(relay.resident_bytes())
    # The first fills what the allocator keeps.
    assert levels[-1] < levels[0] + (8 << 20), levels
