# SPDX-License-Identifier: Apache-2.0
"""RFC 6455 framing, as a table of cases, against both ends: a relay that a hostile agent sends
them to, and an agent that a hostile relay sends them to. Each case names the RFC's section.

Outcomes: GOES_ON, a ping behind it is answered; a number, the close code that is sent."""

import base64
import os
import struct

import pytest

import fake_relay as fake
from harness import HOST, SERIAL, Building, Connection
from test_agent import identities, setup  # noqa: F401 (fixtures)

GOES_ON, ENDS = "goes on", "ends without a close frame"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
# A frame of the tunnel that any state takes: of a type which is not known yet, and skipped.
UNKNOWN = 200
MASK = b"\x11\x22\x33\x44"


def skipped(n):
    """Frames of the tunnel in exactly n bytes (0, or 8 and more) that mean nothing."""
    out = b""
    while n > 28000:
        out += fake.pack(UNKNOWN, payload=bytes(16000))
        n -= 16008
    return out + (fake.pack(UNKNOWN, payload=bytes(n - 8)) if n else b"")


def frame(op, payload=b"", fin=1, rsv=0, form=None, length=None, masked=None):
    """What makes one frame once it is known who sends it. `form` is the width of the length, in
    bits; `length` what it says; `masked` None is as it should be."""

    def build(by_client):
        mask = by_client if masked is None else masked == by_client
        n = len(payload) if length is None else length
        width = form or (7 if n < 126 else 16 if n < 65536 else 64)
        head = bytes([fin << 7 | rsv << 4 | op])
        short = {7: n, 16: 126, 64: 127}[width]
        head += bytes([short | (0x80 if mask else 0)])
        head += {7: b"", 16: struct.pack(">H", n & 0xFFFF), 64: struct.pack(">Q", n)}[width]
        if not mask:
            return head + payload
        return head + MASK + bytes(b ^ MASK[i % 4] for i, b in enumerate(payload))

    return build


WRONG = False  # masked by who must not, unmasked by who must


def close(code, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


M = skipped(40)
HALF = (M[:13], M[13:])

# (name, section, frames, outcome)
CASES = (
    ("empty-message", "5.6", [frame(BINARY)], GOES_ON),
    ("message", "5.6", [frame(BINARY, M)], GOES_ON),
    ("length-125", "5.2", [frame(BINARY, skipped(125))], GOES_ON),
    ("length-126", "5.2", [frame(BINARY, skipped(126))], GOES_ON),
    ("length-16-bits", "5.2", [frame(BINARY, skipped(20000))], GOES_ON),
    ("length-65535", "5.2", [frame(BINARY, skipped(65535))], GOES_ON),
    ("length-64-bits", "5.2", [frame(BINARY, skipped(65536))], GOES_ON),
    ("length-16-not-minimal", "5.2", [frame(BINARY, M, form=16)], 1002),
    ("length-64-not-minimal", "5.2", [frame(BINARY, M, form=64)], 1002),
    ("length-top-bit", "5.2", [frame(BINARY, M, form=64, length=1 << 63)], 1002),
    ("length-too-large", "5.2", [frame(BINARY, M, form=64, length=1 << 40)], 1009),
    ("masked-by-the-wrong-end", "5.1", [frame(BINARY, M, masked=WRONG)], 1002),
    ("ping-masked-by-the-wrong-end", "5.1", [frame(PING, b"x", masked=WRONG)], 1002),
    *((f"reserved-bit-{bit}", "5.2", [frame(BINARY, M, rsv=bit)], 1002) for bit in (1, 2, 4)),
    ("reserved-bit-of-a-ping", "5.2", [frame(PING, b"x", rsv=4)], 1002),
    *((f"opcode-{op}", "5.2", [frame(op, M)], 1002) for op in (3, 4, 5, 6, 7)),
    *((f"opcode-{op}", "5.2", [frame(op, b"x")], 1002) for op in (11, 12, 13, 14, 15)),
    ("text", "5.6", [frame(TEXT, b"hello")], 1003),
    ("text-bad-utf8", "8.1", [frame(TEXT, b"\xc3\x28")], 1003),
    (
        "fragments",
        "5.4",
        [frame(BINARY, HALF[0], fin=0), frame(CONTINUATION, HALF[1])],
        GOES_ON,
    ),
    (
        "empty-fragments",
        "5.4",
        [
            frame(BINARY, b"", fin=0),
            frame(CONTINUATION, HALF[0], fin=0),
            frame(CONTINUATION, b"", fin=0),
            frame(CONTINUATION, HALF[1], fin=0),
            frame(CONTINUATION),
        ],
        GOES_ON,
    ),
    (
        "ping-between-fragments",
        "5.4",
        [frame(BINARY, HALF[0], fin=0), frame(PING, b"mid"), frame(CONTINUATION, HALF[1])],
        GOES_ON,
    ),
    ("stray-continuation", "5.4", [frame(CONTINUATION, M)], 1002),
    ("message-inside-a-message", "5.4", [frame(BINARY, M, fin=0), frame(BINARY, M)], 1002),
    (
        "text-inside-a-message",
        "5.4",
        [frame(BINARY, M, fin=0), frame(TEXT, b"x")],
        1002,
    ),
    (
        "fragments-too-large",
        "5.4",
        [frame(BINARY, skipped(65000), fin=0), frame(CONTINUATION, skipped(1000))],
        1009,
    ),
    ("ping-125", "5.5", [frame(PING, bytes(125))], GOES_ON),
    ("ping-126", "5.5", [frame(PING, bytes(126))], 1002),
    ("ping-fragmented", "5.5", [frame(PING, b"x", fin=0)], 1002),
    ("pong-unasked", "5.5.3", [frame(PONG, b"x")], GOES_ON),
    ("pong-126", "5.5", [frame(PONG, bytes(126))], 1002),
    ("close-fragmented", "5.5", [frame(CLOSE, b"\x03\xe8", fin=0)], 1002),
    ("close-empty", "5.5.1", [frame(CLOSE)], 1000),
    *((f"close-{c}", "7.4", [close(c)], 1000) for c in (1000, 1001, 1003, 1011, 3000, 4999)),
    *(
        (f"close-{c}-reserved", "7.4", [close(c)], 1002, ENDS)
        for c in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)
    ),
    ("close-half-a-code", "5.5.1", [frame(CLOSE, b"\x03")], 1002),
    ("close-reason", "5.5.1", [close(1000, "grüß".encode())], 1000),
    ("close-bad-utf8", "8.1", [close(1000, b"\xc3\x28")], 1002),
    ("close-126", "5.5", [close(1000, b"a" * 124)], 1002),
    ("message-behind-a-close", "5.5.1", [close(1000), frame(BINARY, M)], 1000),
)


class End:
    """A connection past its handshake, and what the other end answers on it."""

    def __init__(self, sock, by_client):
        self.sock = sock
        self.by_client = by_client

    def send(self, frames):
        self.sock.sendall(b"".join(build(self.by_client) for build in frames))

    def _read(self, n):
        return fake.recv_exactly(self.sock, n)

    def answer(self):
        """(opcode, payload) of the next frame; strict, whoever sends it."""
        first, second = self._read(2)
        assert first & 0x70 == 0, "extension bits"
        assert bool(second & 0x80) != self.by_client, "masked by the wrong end"
        n = second & 0x7F
        if n == 126:
            (n,) = struct.unpack(">H", self._read(2))
            assert n >= 126
        elif n == 127:
            (n,) = struct.unpack(">Q", self._read(8))
            assert n >= 65536
        mask = self._read(4) if second & 0x80 else bytes(4)
        return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(self._read(n)))

    def outcome(self):
        """What has become of it; the last thing that was sent is a ping with this payload."""
        try:
            self.send([frame(PING, b"still there?")])
            while True:
                op, payload = self.answer()
                if (op, payload) == (PONG, b"still there?"):
                    return GOES_ON
                if op == CLOSE:
                    return struct.unpack(">H", payload[:2])[0] if len(payload) > 1 else 1005
        except (fake.Closed, OSError):
            return ENDS


def upgrade_request(token):
    pair = base64.b64encode(f"{SERIAL}:{token}".encode()).decode()
    return (
        f"GET /tunnel HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
        f"Sec-WebSocket-Protocol: {fake.SUBPROTOCOL}\r\nAuthorization: Basic {pair}\r\n\r\n"
    ).encode()


def connect_as_agent(building):
    c = Connection(building.relay.https, building.relay.tls_context())
    c.send(upgrade_request(building.token))
    assert c.answer().status == 101
    sock = c._socket  # pylint: disable=protected-access
    end = End(sock, by_client=True)
    hello = struct.pack("<HHIIIQB", 1, 1, 16, 65536, 1 << 20, 0, 4) + b"test"
    end.send([frame(BINARY, fake.pack(fake.HELLO, payload=hello))])
    op, payload = end.answer()
    assert op == BINARY and payload[4] == fake.WELCOME
    return c, end


@pytest.fixture(scope="module")
def relay_alone(tmp_path_factory):
    made = Building(tmp_path_factory.mktemp("relay"), start=False)
    yield made
    try:
        made.stop()
    finally:
        made.kill()


IN_TURN = pytest.mark.parametrize("frames, expected", [pytest.param(c[2], c[3], id=c[0]) for c in CASES])


@IN_TURN
def test_relay(relay_alone, frames, expected):
    c, end = connect_as_agent(relay_alone)
    with c:
        end.send(frames)
        assert end.outcome() == expected


@IN_TURN
def test_agent(setup, frames, expected):  # noqa: F811
    _, tunnel = setup.up()
    end = End(tunnel.sock, by_client=False)
    end.send(frames)
    assert end.outcome() == expected
