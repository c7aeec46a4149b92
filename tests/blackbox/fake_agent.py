# SPDX-License-Identifier: Apache-2.0
"""An agent that a test plays by hand, frame by frame, towards the real relay: newer, older, broken
or hostile ones. The frames are those of fake_relay.py."""

import base64
import secrets
import socket
import ssl
import struct

from fake_relay import CONTROL_REPLY, DATA, END, GOAWAY, HELLO, OP_BINARY, OP_CLOSE, PING, PONG
from fake_relay import REQUEST, RESET, RESPONSE, SUBPROTOCOL, WELCOME, WINDOW
from fake_relay import Closed, Frame, pack, recv_exactly, recv_head
from harness import DEADLINE, HOST, SERIAL

FROM_RELAY = {WELCOME, REQUEST, DATA, RESET, WINDOW, PING, PONG, GOAWAY, CONTROL_REPLY}


def pack_hello(low=1, high=1, streams=512, window=65536, tunnel=33554432, capabilities=0, extra=b""):
    name = b"fake-agent/0"
    payload = struct.pack("<HHIIIQB", low, high, streams, window, tunnel, capabilities, len(name))
    return pack(HELLO, 0, payload + name + extra)


def pack_response(stream, status=200, body=b"", length=None, fields=(), extra=b"", end=True):
    """RESPONSE and, if there is a body, its DATA. end=False: more is to come."""
    length = len(body) if length is None else length
    payload = struct.pack("<HBBIQ", status, len(fields), 0, 0, length)
    for name, value in fields:
        payload += struct.pack("<HH", len(name), len(value)) + name + value
    frames = pack(RESPONSE, stream, payload + extra, 0 if body or not end else END)
    return frames + (pack(DATA, stream, body, END) if body else b"")


def pack_goaway(reason):
    return pack(GOAWAY, 0, struct.pack("<HHI", reason, 0, 0))


def pack_message(data, opcode=OP_BINARY):
    """Masked, as a client's must be."""
    mask = secrets.token_bytes(4)
    head = bytes([0x80 | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    else:
        head += struct.pack(">BH", 0x80 | 126, len(data))
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return head + mask + bytes(a ^ b for a, b in zip(data, key))


def upgrade(token, serial=SERIAL):
    """The request by which an agent's connection becomes a tunnel."""
    pair = base64.b64encode(f"{serial}:{token}".encode()).decode()
    return (
        f"GET /tunnel HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n"
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\nAuthorization: Basic {pair}\r\n\r\n".encode()
    )


class FakeAgent:
    """A connection that was upgraded; nothing is said on it yet but `first`, right behind the request."""

    def __init__(self, building, token=None, serial=SERIAL, first=b""):
        raw = socket.create_connection(building.relay.https, timeout=DEADLINE)
        self.sock = building.relay.tls_context().wrap_socket(raw, server_hostname=HOST)
        self.sock.sendall(upgrade(token or building.token, serial) + first)
        self.answer = recv_head(self.sock)
        self.frames = []
        self.close_code = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send_message(self, data, opcode=OP_BINARY):
        self.sock.sendall(pack_message(data, opcode))

    def send(self, *frames):
        self.send_message(b"".join(frames))

    def _take_message(self):
        first, length = recv_exactly(self.sock, 2)
        assert first & 0xF0 == 0x80, "fragmented, or with extension bits"
        assert length < 0x80, "masked"
        if length == 126:
            (length,) = struct.unpack(">H", recv_exactly(self.sock, 2))
        elif length == 127:
            (length,) = struct.unpack(">Q", recv_exactly(self.sock, 8))
        data = recv_exactly(self.sock, length)
        if first & 0x0F == OP_CLOSE:
            (self.close_code,) = struct.unpack(">H", data[:2])
            raise Closed
        assert first & 0x0F == OP_BINARY
        at = 0
        while at < len(data):
            stream, type_, flags, n = struct.unpack_from("<IBBH", data, at)
            assert at + 8 + n <= len(data), "a frame is cut"
            assert type_ in FROM_RELAY, type_
            self.frames.append(Frame(stream, type_, flags, data[at + 8 : at + 8 + n]))
            at += 8 + n

    def recv(self, *types):
        """The next frame of one of these types; others stay in `frames`."""
        while True:
            for i, frame in enumerate(self.frames):
                if frame.type in types:
                    return self.frames.pop(i)
            self._take_message()

    def greet(self, **hello):
        """HELLO and WELCOME; gives the version that the relay chose."""
        self.send(pack_hello(**hello))
        return struct.unpack_from("<H", self.recv(WELCOME).payload)[0]

    def wait_closed(self):
        """Reads to the end; gives the close code and the reasons of the GOAWAYs before it."""
        try:
            while True:
                self._take_message()
        except (Closed, ConnectionError, ssl.SSLError):
            pass
        goaways = [f for f in self.frames if f.type == GOAWAY]
        return self.close_code, [struct.unpack_from("<H", f.payload)[0] for f in goaways]
