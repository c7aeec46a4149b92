# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, stuck, idle or do not read are cut on time, by the clock and not by their
last byte, while a good client is served."""

import contextlib
import multiprocessing
import os
import select
import socket
import ssl
import sys
import time

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "conformance" / "http"))

import client  # noqa: E402
import front as fronts  # noqa: E402

# Each different from the others, so that it shows which of them was applied.
HANDSHAKE, HEAD, BODY, IDLE, WRITE = 3.0, 1.5, 2.0, 4.0, 2.0
LATE = 5.0  # seconds that a busy machine may be late
EARLY = 0.2  # seconds that a clock may be early
DRIP = 0.1  # seconds between two bytes of a slow client
# What ten clients that do not read may cost; generous, because of the sanitizers.
UNREAD_BYTES = 32 << 20
GOOD_LATENCY = 1.0  # seconds, for most calls; a stuck loop would take the timeouts above


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    timeouts = {"handshake": HANDSHAKE, "head": HEAD, "body": BODY, "idle": IDLE, "write": WRITE}
    with pytest.MonkeyPatch.context() as patch:
        # What AddressSanitizer keeps of freed memory would hide what the relay keeps.
        options = harness.environment()["ASAN_OPTIONS"]
        patch.setenv("ASAN_OPTIONS", f"{options}:quarantine_size_mb=1")
        made = fronts.Front(tmp_path_factory.mktemp("front"), relay={"timeouts": timeouts})
    yield made
    try:
        made.stop()
    finally:
        made.kill()


def call(front, connection, n):
    """One call; the seconds that it took."""
    start = time.monotonic()
    connection.send(front.probe(f"good-{n}").data)
    answer = connection.answer()
    if answer is None or answer.status != 200 or answer.id != f"good-{n}":
        raise client.Broken(f"call {n}: {answer}")
    return time.monotonic() - start


def call_until_told(front, pipe):
    """Calls again and again, on one kept connection and on fresh ones, at least five times."""
    latencies = []
    try:
        with front.connect() as kept:
            while len(latencies) < 5 or not pipe.poll(0.02):
                latencies.append(call(front, kept, len(latencies)))
                if len(latencies) % 10 == 5:
                    with front.connect() as fresh:
                        latencies.append(call(front, fresh, len(latencies)))
        pipe.send((latencies, ""))
    except Exception as why:  # pylint: disable=broad-except
        pipe.send((latencies, repr(why)))


@contextlib.contextmanager
def good_client(front):
    """Runs one during the block, and asserts that it did not notice. It has a process of its own,
    so that the bad clients' threads do not slow it down."""
    ours, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=call_until_told, args=(front, its))
    process.start()
    try:
        yield
        ours.send("end")
        assert ours.poll(client.PATIENCE), "the good client hangs"
        latencies, failure = ours.recv()
    finally:
        process.join(1)
        process.kill()
        process.join()
    assert not failure, failure
    latencies.sort()
    most = latencies[len(latencies) * 3 // 4]
    assert most < GOOD_LATENCY, f"one call in four took {most:.2f} s or more"
    assert latencies[-1] < LATE, f"the good client waited {latencies[-1]:.2f} s"


def drip(send, pieces, ended):
    """Sends a piece now and then until the peer has had enough."""
    for piece in pieces:
        if ended():
            return
        try:
            send(piece)
        except OSError:
            return


def assert_on_time(start, limit):
    took = time.monotonic() - start
    assert limit - EARLY <= took <= limit + LATE, f"cut after {took:.2f} s, the limit is {limit} s"


def drip_and_read(connection, pieces):
    """Drips while it waits; the answer, or None if there was none."""
    dripping = iter(pieces)
    while True:
        try:
            return connection.answer(patience=DRIP)
        except TimeoutError:
            with contextlib.suppress(StopIteration):
                connection.send(next(dripping))


def assert_408_and_closed(connection, answer):
    assert answer is not None and answer.status == 408
    assert not fronts.own_answer_faults(answer, "client_timeout", True)
    assert "close" in answer.values("connection")
    assert connection.answer() is None


def client_hello(context):
    """The first bytes of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def wait_end(sock, pieces=()):
    """Drips pieces until the peer ends the connection; what it sent before."""
    seen = b""
    dripping = iter(pieces)
    sock.settimeout(DRIP)
    until = time.monotonic() + client.PATIENCE
    while time.monotonic() < until:
        try:
            data = sock.recv(4096)
            if not data:
                return seen
            seen += data
        except TimeoutError:
            with contextlib.suppress(StopIteration, OSError):
                sock.sendall(next(dripping))
        except ConnectionResetError:
            return seen
    raise AssertionError("the connection was not ended")


# --- handshakes ---------------------------------------------------------------------------------


def test_a_connection_without_a_handshake_is_cut(front):
    with good_client(front), socket.create_connection(front.address) as s:
        start = time.monotonic()
        wait_end(s)
        assert_on_time(start, HANDSHAKE)


def test_a_handshake_byte_by_byte_is_cut(front):
    hello = client_hello(front.context)
    with good_client(front), socket.create_connection(front.address) as s:
        start = time.monotonic()
        wait_end(s, [hello[i : i + 1] for i in range(len(hello))])
        assert_on_time(start, HANDSHAKE)


def test_half_a_handshake_is_cut(front):
    hello = client_hello(front.context)
    with good_client(front), socket.create_connection(front.address) as s:
        start = time.monotonic()
        s.sendall(hello)
        wait_end(s)
        assert_on_time(start, HANDSHAKE)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 100,
                                  b"\x16\x03\x01\xff\xff" + b"x" * 2000, b"\x80\x2e\x01\0\x02"])
def test_what_is_no_tls_ends_cleanly(front, data):
    """A 400, an alert, or nothing; and not later than a stuck handshake."""
    with socket.create_connection(front.address) as s:
        start = time.monotonic()
        s.sendall(data)
        seen = wait_end(s)
        assert seen == b"" or seen[0] == 0x15 or seen.startswith(b"HTTP/1.1 400 ")
        assert time.monotonic() - start <= HANDSHAKE + LATE


# --- heads and bodies ---------------------------------------------------------------------------


def head(front, method="GET", *fields):
    target = front.probe("slow").data.split(b" ")[1].decode()
    lines = [f"{method} {target} HTTP/1.1", f"Host: {front.host}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n"


def test_a_head_byte_by_byte_is_cut(front):
    data = head(front) * 20
    with good_client(front), front.connect() as c:
        start = time.monotonic()
        answer = drip_and_read(c, [data[i : i + 1] for i in range(len(data))])
        assert_on_time(start, HEAD)
        assert_408_and_closed(c, answer)


def test_a_head_field_by_field_is_cut(front):
    """Slowloris."""
    with good_client(front), front.connect() as c:
        c.send(head(front))
        start = time.monotonic()
        answer = drip_and_read(c, [b"X-A: b\r\n"] * 1000)
        assert_on_time(start, HEAD)
        assert_408_and_closed(c, answer)


def test_empty_lines_do_not_buy_time(front):
    with good_client(front), front.connect() as c:
        start = time.monotonic()
        c.send(b"\r\n\r\n" + head(front)[:10])
        answer = drip_and_read(c, [])
        assert_on_time(start, HEAD)
        assert_408_and_closed(c, answer)


def test_a_second_head_has_its_own_time(front):
    with good_client(front), front.connect() as c:
        c.send(head(front) + b"\r\n")
        assert c.answer().status == 200
        time.sleep(HEAD / 2)
        start = time.monotonic()
        c.send(head(front))
        answer = drip_and_read(c, [b"X-A: b\r\n"] * 1000)
        assert_on_time(start, HEAD)
        assert_408_and_closed(c, answer)


def test_a_head_in_pieces_but_in_time_is_served(front):
    data = head(front) + b"\r\n"
    size = len(data) // 5 + 1
    with front.connect() as c:
        for at in range(0, len(data), size):
            c.send(data[at : at + size])
            time.sleep(HEAD / 10)
        assert c.answer().status == 200


def set_target(names):
    return names.placeholder("POST").decode()


def form_head(names, front, framing):
    lines = [f"POST {set_target(names)} HTTP/1.1", f"Host: {front.host}",
             "Content-Type: application/x-www-form-urlencoded", framing, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("kind", ["sized", "chunked", "silent", "extension", "trailers"])
def test_a_slow_body_is_cut_and_not_executed(front, kind):
    names = front.names()
    form = f"group={names.group}&value=66".encode()
    framing, pieces = {
        "sized": ("Content-Length: 600",
                  [form[i : i + 1] for i in range(len(form))] + [b"&"] * 570),
        "silent": ("Content-Length: 600", []),
        "chunked": ("Transfer-Encoding: chunked",
                    [b"1\r\n" + form[i : i + 1] + b"\r\n" for i in range(len(form))]
                    + [b"1\r\n&\r\n"] * 500),
        "extension": ("Transfer-Encoding: chunked", [b"%x;" % len(form)] + [b"x"] * 1000),
        "trailers": ("Transfer-Encoding: chunked",
                     [b"%x\r\n%s\r\n0\r\n" % (len(form), form)] + [b"X: y\r\n"] * 1000),
    }[kind]
    with good_client(front), front.connect() as c:
        c.send(form_head(names, front, framing))
        start = time.monotonic()
        answer = drip_and_read(c, pieces)
        assert_on_time(start, BODY)
        assert_408_and_closed(c, answer)
    with front.watch():
        pass
    assert front.commands().get(names.group, []) == []


def test_a_body_that_waits_for_100_and_never_comes_is_cut(front):
    names = front.names()
    with good_client(front), front.connect() as c:
        c.send(form_head(names, front, "Content-Length: 30\r\nExpect: 100-continue"))
        start = time.monotonic()
        assert c.answer().status == 100
        answer = drip_and_read(c, [])
        assert_on_time(start, BODY)
        assert_408_and_closed(c, answer)


def push_until_lost(connection):
    """Sends on until the peer takes no more."""
    until = time.monotonic() + client.PATIENCE
    while not connection.lost:
        assert time.monotonic() < until, "still takes what is sent"
        connection.send(b"x" * 100)
        time.sleep(DRIP)


def test_a_refused_client_cannot_hold_its_connection(front):
    """What still comes is dropped for a second, so that the answer is not lost to a reset, but not
    for ever."""
    with good_client(front), front.connect() as c:
        c.send(b"GET / HTTP/9.9\r\n")
        start = time.monotonic()
        assert c.answer().status == 400
        assert c.answer() is None and c.end == "closed"
        push_until_lost(c)
        assert 1 - EARLY <= time.monotonic() - start <= 1 + LATE


def test_a_refused_key_cannot_hold_its_body(front):
    with good_client(front), front.connect() as c:
        start = time.monotonic()
        c.send(f"POST /{front.bad_key}/x HTTP/1.1\r\nHost: {front.host}\r\n"
               "Content-Length: 60000\r\n\r\n".encode())
        answer = drip_and_read(c, [b"x"] * 1000)
        assert answer.status in (403, 408)
        push_until_lost(c)
        assert time.monotonic() - start <= BODY + 1 + LATE


# --- idle connections ---------------------------------------------------------------------------


def read_to_end(connection):
    """All answers until the connection is ended."""
    answers = []
    while True:
        answer = connection.answer()
        if answer is None:
            return answers
        answers.append(answer)


def assert_ended_idle(start, answers):
    """A 408 before the end is right (RFC 9110 15.5.9), and so is none."""
    assert_on_time(start, IDLE)
    assert [a.status for a in answers] in ([], [408])


def test_a_connection_without_a_request_is_ended(front):
    with good_client(front), front.connect() as c:
        start = time.monotonic()
        answers = read_to_end(c)
        took = time.monotonic() - start
        # Whether a first request that does not begin is idle or slow is a matter of taste.
        assert min(HEAD, IDLE) - EARLY <= took <= max(HEAD, IDLE) + LATE
        assert [a.status for a in answers] in ([], [408])


def test_an_idle_connection_is_ended(front):
    with good_client(front), front.connect() as c:
        c.send(head(front) + b"\r\n")
        assert c.answer().status == 200
        start = time.monotonic()
        assert_ended_idle(start, read_to_end(c))


def test_empty_lines_do_not_keep_a_connection(front):
    with good_client(front), front.connect() as c:
        c.send(head(front) + b"\r\n")
        assert c.answer().status == 200
        start = time.monotonic()
        c.send(b"\r\n")
        time.sleep(IDLE / 2)
        c.send(b"\r\n")
        answers = read_to_end(c)
        took = time.monotonic() - start
        assert took <= IDLE + HEAD + LATE
        assert [a.status for a in answers] in ([], [408])


def test_a_busy_connection_is_not_idle(front):
    with front.connect() as c:
        until = time.monotonic() + IDLE + 1
        while time.monotonic() < until:
            c.send(head(front) + b"\r\n")
            assert c.answer().status == 200
            time.sleep(IDLE / 4)


# --- clients that do not read -------------------------------------------------------------------


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def push_unread(connection, data):
    """Sends over and over without reading, until the peer ends the connection: True. False if it
    does not."""
    sock = connection.socket
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    until = time.monotonic() + client.PATIENCE
    while time.monotonic() < until:
        try:
            sock.send(data)
        except (ssl.SSLWantWriteError, BlockingIOError):
            pass
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            return True
        if poll.poll(20):
            return True
    return False


def push_what_fits(connection, data):
    """Sends until the peer takes no more; gives what is left. (A thread of its own may not send:
    two threads in one TLS connection break it.)"""
    sock = connection.socket
    timeout = sock.gettimeout()
    sock.setblocking(False)
    try:
        while data:
            data = data[sock.send(data[:16384]) :]
    except (ssl.SSLWantWriteError, BlockingIOError):
        pass
    finally:
        sock.settimeout(timeout)
    return data


def unread_request(front, kind):
    if kind == "refused":
        return f"GET /{front.bad_key} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    return front.probe("unread").data


@pytest.mark.parametrize("kind", ["building", "refused"])
def test_a_client_that_reads_late_gets_all_its_answers(front, kind):
    """It is paused, not cut, when more answers than fit anywhere are due to it: 1.7 MB."""
    count = 4000
    with front.connect(4096) as c:
        left = push_what_fits(c, memoryview(unread_request(front, kind) * count))
        time.sleep(WRITE / 2)
        statuses = []
        for _ in range(count):
            statuses.append(c.answer().status)
            left = push_what_fits(c, left)
        assert set(statuses) == {403 if kind == "refused" else 200}


@pytest.mark.parametrize("kind", ["building", "refused"])
def test_clients_that_do_not_read_are_paused_and_cut(front, kind):
    """Each pipelines without end. What waits for it is bounded, and so is the time."""
    relay = front.building.relay.process
    request = unread_request(front, kind)
    with good_client(front), contextlib.ExitStack() as stack:
        connections = [stack.enter_context(front.connect(4096)) for _ in range(10)]
        before = relay.resident_bytes()
        cut = front.each(lambda c: push_unread(c, request * 100), connections)
        grown = relay.resident_bytes() - before
        assert all(cut), f"{cut.count(False)} of {len(cut)} still connected"
        assert grown < UNREAD_BYTES, f"{grown >> 10} KiB more"


# --- floods -------------------------------------------------------------------------------------


def test_a_flood_of_idle_and_slow_clients_is_survived(front):
    """150 idle after the handshake, 75 stuck in it, 75 in their heads, with a good client."""
    pid = front.building.relay.process.pid
    with good_client(front):
        calm = descriptors(pid)
        with contextlib.ExitStack() as stack:
            bare = [stack.enter_context(socket.create_connection(front.address))
                    for _ in range(75)]
            tls = front.each(lambda _: front.connect(), range(225), threads=8)
            for c in tls:
                stack.enter_context(c)
            for c in tls[150:]:
                c.send(head(front))
            start = time.monotonic()
            front.each(read_to_end, tls, threads=225)
            front.each(wait_end, bare, threads=75)
            assert time.monotonic() - start <= max(HANDSHAKE, HEAD, IDLE) + LATE
        until = time.monotonic() + LATE
        while descriptors(pid) > calm + 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert descriptors(pid) <= calm + 3


# --- half-closed clients ------------------------------------------------------------------------


def test_a_client_that_closes_its_half_before_it_reads_gets_all_its_answers(front):
    """However much of them waits by then: each is as long as its request."""
    request = harness.request("/" + "a" * 4000)
    for count in range(1, 100, 6):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            s.settimeout(client.PATIENCE)
            s.connect(front.building.relay.http)
            s.sendall(request * count)
            s.shutdown(socket.SHUT_WR)
            seen = b""
            while data := s.recv(65536):
                seen += data
            assert seen.count(b"HTTP/1.1 301 ") == count and seen.endswith(b"\r\n\r\n")


def test_a_client_that_has_closed_its_half_is_answered(front):
    """close_notify and FIN behind the request; the answer still comes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = front.context.wrap_bio(incoming, outgoing, server_hostname=front.address[0])
    with socket.create_connection(front.address, timeout=client.PATIENCE) as s:

        def step(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        s.sendall(outgoing.read())
                    data = s.recv(65536)
                    if not data:
                        raise AssertionError("ended without an answer") from None
                    incoming.write(data)

        step(tls.do_handshake)
        tls.write(front.probe("half").data)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        s.sendall(outgoing.read())
        s.shutdown(socket.SHUT_WR)
        text = step(lambda: tls.read(65536))
        assert text.startswith(b"HTTP/1.1 200 ")
