# SPDX-License-Identifier: Apache-2.0
"""Large answers through the tunnel: who reads slowly, or not at all, keeps nobody else waiting.
tests/load/bodies.py measures it with many of them."""

import concurrent.futures
import contextlib
import sys
import time

import pytest

from fake_relay import FakeServer
from harness import ROOT, request

sys.path.insert(0, str(ROOT / "tests" / "load"))

from bodies import LARGE_BYTES, SMALL_BYTES, Server, piece  # noqa: E402

# Three times as many as the agent has connections to the server by default (max_connections), within
# what it lets wait for slow callers beside them (max_paused).
READERS = 24
READ_TO_THE_END = 3
SMALL_CALLS = 20


@pytest.fixture
def large(start_building):
    """A building with the default settings, whose server gives pieces of random bytes."""
    server = Server()
    yield start_building(auth="none", agent={"server": {"url": server.url}})
    server.shutdown()
    server.server_close()


def ask(building, connection, n_bytes, seed):
    target = building.path(f"system/serverStatus?bytes={n_bytes}&seed={seed}")
    connection.send(request(target))


def small_calls(building):
    """The seconds that each of them takes."""
    took = []
    with building.connect() as c:
        for seed in range(SMALL_CALLS):
            begun = time.monotonic()
            ask(building, c, SMALL_BYTES, seed)
            assert c.answer().body == piece(SMALL_BYTES, seed)
            took.append(time.monotonic() - begun)
    return sorted(took)


def read_rest(connection, seed):
    expected = piece(LARGE_BYTES, seed)
    at = 0
    while at < LARGE_BYTES:
        part = connection.some(65536)
        assert part and part == expected[at : at + len(part)], f"other bytes for {seed} at {at}"
        at += len(part)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_whose_length_the_server_does_not_know_comes_whole(start_building, version):
    """In chunks, and to an older client up to the close."""
    server = FakeServer()
    try:
        building = start_building(auth="none", agent={"server": {"url": server.url}})
        with building.connect() as c:
            c.send(request(building.path("system/serverStatus"), version=version))
            asked = server.request()
            asked.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               b"Transfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n")
            asked.sock.sendall(b"3\r\n:1}\r\n0\r\n\r\n")
            asked.answered.set()
            answer = c.answer()
            assert (answer.status, answer.body) == (200, b'{"a":1}')
            assert (answer.values("Transfer-Encoding") == ["chunked"]) == (version == "1.1")
            assert not answer.values("Content-Length")
    finally:
        server.close()


def test_slow_readers_of_large_answers_keep_small_calls_fast(large):
    with contextlib.ExitStack() as stack:
        readers = []
        for seed in range(READERS):
            reader = stack.enter_context(large.connect())
            ask(large, reader, LARGE_BYTES, seed)
            readers.append(reader)
        for reader in readers:
            reader.wait_for(b"\r\n\r\n")  # and reads no further
        took = small_calls(large)
        assert took[len(took) * 3 // 4] < 0.5, f"most small calls took up to {took[len(took) * 3 // 4]:.2f} s"
        assert took[-1] < 3, f"a small call took {took[-1]:.2f} s"
        # They were not given up for the others.
        with concurrent.futures.ThreadPoolExecutor(READ_TO_THE_END) as pool:
            list(pool.map(read_rest, readers[:READ_TO_THE_END], range(READ_TO_THE_END)))
        assert small_calls(large)[SMALL_CALLS // 2] < 0.5
