# SPDX-License-Identifier: Apache-2.0
"""What surrounds an agent, made of the standard library: a relay, an HTTP proxy and a Thinknx
server that a test plays by hand, step by step, with whatever misbehaviour it wants to show.

The relay checks what it receives as strictly as it can: a masked, unfragmented binary message of
whole frames, and nothing else. Every wait has a deadline."""

import base64
import contextlib
import dataclasses
import hashlib
import queue
import socket
import ssl
import struct
import subprocess
import threading

from harness import DEADLINE, HOST

SUBPROTOCOL = "thinknx-tunnel.v1"
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# proto/wire/frame.h
HELLO, WELCOME, REQUEST, HANDED, RESPONSE, DATA, RESET, WINDOW = range(1, 9)
PING, PONG, GOAWAY, CONTROL, CONTROL_REPLY = range(9, 14)
END = 0x01
# proto/wire/head.h
GET, HEAD, POST = 1, 2, 3
NO, YES, UNKNOWN = 0, 1, 2
RESET_CLIENT_GONE, RESET_UNREACHABLE, RESET_BAD_ANSWER, RESET_OVERLOADED, RESET_REFUSED = 2, 4, 5, 6, 7
GOAWAY_SHUTDOWN, GOAWAY_REPLACED, GOAWAY_DISABLED, GOAWAY_VERSION, GOAWAY_PROTOCOL, GOAWAY_EXHAUSTED = range(1, 7)

MESSAGE_BYTES_MAX = 65536  # proto/websocket/websocket.h
OP_BINARY, OP_CLOSE, OP_PING, OP_PONG = 2, 8, 9, 10


class Closed(Exception):
    """The agent closed the connection."""


@dataclasses.dataclass
class Frame:
    stream: int
    type: int
    flags: int
    payload: bytes


@dataclasses.dataclass
class Upgrade:
    line: str
    fields: list  # (lower-case name, value)

    def values(self, name):
        return [v for n, v in self.fields if n == name]

    def value(self, name):
        (value,) = self.values(name)
        return value


def pack(type_, stream=0, payload=b"", flags=0):
    return struct.pack("<IBBH", stream, type_, flags, len(payload)) + payload


def pack_message(data, opcode=OP_BINARY):
    """A websocket message."""
    head = bytes([0x80 | opcode])
    if len(data) < 126:
        head += bytes([len(data)])
    elif len(data) < 65536:
        head += struct.pack(">BH", 126, len(data))
    else:
        head += struct.pack(">BQ", 127, len(data))
    return head + data


def cut_messages(frames):
    """Messages of whole frames, as long as a message may be; what is short enough stays as it is."""
    while len(frames) > MESSAGE_BYTES_MAX:
        n = 0
        while True:
            (length,) = struct.unpack_from("<H", frames, n + 6)
            if n + 8 + length > MESSAGE_BYTES_MAX:
                break
            n += 8 + length
        yield frames[:n]
        frames = frames[n:]
    yield frames


def pack_request(stream, path, query=None, method=GET, body=None, fields=(), request_id="rq-1"):
    """The REQUEST, and the DATA of its body."""
    q = (query or "").encode()
    payload = struct.pack(
        "<BBBBIIHH",
        method,
        query is not None,
        len(fields),
        len(request_id),
        30000,
        len(body or b""),
        len(path),
        len(q),
    )
    payload += path.encode() + q + request_id.encode()
    for name, value in fields:
        payload += struct.pack("<HH", len(name), len(value)) + name.encode() + value.encode()
    frames = pack(REQUEST, stream, payload, 0 if body else END)
    pieces = [body[i : i + 16000] for i in range(0, len(body), 16000)] if body else []
    for i, piece in enumerate(pieces):
        frames += pack(DATA, stream, piece, END if i + 1 == len(pieces) else 0)
    return frames


@dataclasses.dataclass
class Response:
    status: int
    body_bytes: int
    fields: list
    body: bytes = b""

    @classmethod
    def unpack(cls, payload):
        status, n, _, _, length = struct.unpack_from("<HBBIQ", payload)
        at, fields = 16, []
        for _ in range(n):
            a, b = struct.unpack_from("<HH", payload, at)
            fields.append((payload[at + 4 : at + 4 + a].decode(), payload[at + 4 + a : at + 4 + a + b].decode()))
            at += 4 + a + b
        return cls(status, length, fields)


def recv_exactly(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        if not piece:
            raise Closed
        data += piece
    return data


def recv_head(sock):
    """Up to and with the empty line; byte by byte, so that nothing behind it is lost."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += recv_exactly(sock, 1)
        assert len(data) < 16384
    line, *rest = data.decode("latin-1").split("\r\n")[:-2]
    return Upgrade(line, [(n.lower(), v.strip()) for n, v in (r.split(":", 1) for r in rest)])


class Tunnel:
    """The relay's end of an upgraded connection."""

    def __init__(self, sock, upgrade):
        self.sock = sock
        self.upgrade = upgrade
        self.close_code = None
        self.frames = []  # received, not yet asked for
        self.pongs = []  # payloads of websocket pongs
        self.hello = None

    # websocket

    def send_message(self, data, opcode=OP_BINARY):
        self.sock.sendall(pack_message(data, opcode))

    def recv_message(self):
        """(opcode, payload) of the next message."""
        first, second = recv_exactly(self.sock, 2)
        assert first & 0xF0 == 0x80, "fragmented, or with extension bits"
        assert second & 0x80, "not masked"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", recv_exactly(self.sock, 2))
        elif length == 127:
            (length,) = struct.unpack(">Q", recv_exactly(self.sock, 8))
        mask = recv_exactly(self.sock, 4)
        data = recv_exactly(self.sock, length)
        key = int.from_bytes((mask * (length // 4 + 1))[:length], "big") if length else 0
        plain = (int.from_bytes(data, "big") ^ key).to_bytes(length, "big") if length else b""
        return first & 0x0F, plain

    # frames

    def _take_message(self):
        opcode, data = self.recv_message()
        if opcode == OP_CLOSE:
            self.close_code = struct.unpack(">H", data[:2])[0] if data else 0
            with contextlib.suppress(OSError):
                self.send_message(data[:2], OP_CLOSE)
            raise Closed
        assert opcode in (OP_BINARY, OP_PONG), opcode
        if opcode == OP_PONG:
            self.pongs.append(data)
        at = 0
        while opcode == OP_BINARY and at < len(data):
            stream, type_, flags, length = struct.unpack_from("<IBBH", data, at)
            assert at + 8 + length <= len(data), "a frame is cut"
            self.frames.append(Frame(stream, type_, flags, data[at + 8 : at + 8 + length]))
            at += 8 + length

    def recv(self, *types, stream=None):
        """The next frame of one of these types; others are kept, PINGs are answered."""
        while True:
            for i, frame in enumerate(self.frames):
                if frame.type in types and stream in (None, frame.stream):
                    return self.frames.pop(i)
                if frame.type == PING and PING not in types:
                    self.frames.pop(i)
                    self.send(pack(PONG, 0, frame.payload))
                    break
            else:
                self._take_message()

    def send(self, *frames):
        for message in cut_messages(b"".join(frames)):
            self.send_message(message)

    def greet(self, ping_idle_ms=20000, reply_deadline_ms=10000, generation=7, version=1, extra=b""):
        """HELLO and WELCOME."""
        self.hello = self.recv(HELLO)
        times = (ping_idle_ms, reply_deadline_ms)
        payload = struct.pack("<HHIIIQQIIB", version, 0, 512, 65536, 512 * 65536, 0, generation, *times, 9)
        self.send(pack(WELCOME, 0, payload + b"fake/0.01" + extra))
        return self

    def request(self, stream, path, *args, **kwargs):
        self.send(pack_request(stream, path, *args, **kwargs))

    def response(self, stream):
        """The whole answer; credit is given as the body comes."""
        frame = self.recv(RESPONSE, RESET, stream=stream)
        assert frame.type == RESPONSE, ("reset", frame.payload)
        answer = Response.unpack(frame.payload)
        pieces = []
        while not frame.flags & END:
            frame = self.recv(DATA, RESET, stream=stream)
            assert frame.type == DATA, ("reset", frame.payload)
            pieces.append(frame.payload)
            if frame.payload:
                credit = struct.pack("<I", len(frame.payload))
                self.send(pack(WINDOW, stream, credit), pack(WINDOW, 0, credit))
        answer.body = b"".join(pieces)
        return answer

    def reset(self, stream):
        """(reason, delivered) of the RESET that must be the stream's next."""
        frame = self.recv(RESPONSE, RESET, stream=stream)
        assert frame.type == RESET, frame
        return struct.unpack_from("<HB", frame.payload)

    def goaway(self, reason, retry_after_ms=0):
        self.send(pack(GOAWAY, 0, struct.pack("<HHI", reason, 0, retry_after_ms)))

    def wait_closed(self):
        """Reads until the agent closes; returns its close code, None without a close frame."""
        with contextlib.suppress(Closed, ConnectionError, ssl.SSLError):
            while True:
                self._take_message()
        return self.close_code

    def close(self, code):
        self.send_message(struct.pack(">H", code), OP_CLOSE)

    def drop(self):
        """RST, as a cut line or a killed relay looks like."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw = socket.socket(fileno=self.sock.detach())
        raw.close()


class Server:
    """Accepts connections at a port of its own, each handled by a thread."""

    def __init__(self, family=socket.AF_INET, host=None, port=0):
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host or ("::1" if family == socket.AF_INET6 else HOST), port))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]
        self._open = []
        self.error = None  # of a handler: the test's end asserts that there was none
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(DEADLINE)
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            self.handle(sock)
        except (OSError, Closed):
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def handle(self, sock):
        raise NotImplementedError

    def stop_listening(self):
        # close alone would leave the accept going
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self):
        self.stop_listening()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.close()
        if self.error:
            raise self.error


@dataclasses.dataclass
class Identity:
    """A certificate with its key."""

    certificate: str
    key: str
    pin: str = ""  # SHA-256 of the public key, hexadecimal


class FakeRelay(Server):
    """`answer(upgrade)` gives the bytes that answer an upgrade, or None for the right ones; `behind`
    are sent with those, in the same TLS record."""

    def __init__(
        self,
        identity,
        answer=None,
        family=socket.AF_INET,
        subprotocol=SUBPROTOCOL,
        host=None,
        port=0,
        behind=b"",
    ):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(identity.certificate, identity.key)
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.sni_callback = self._on_name
        self.names = []  # server name indications, None = there was none
        self.answer = answer
        self.behind = behind
        self.subprotocol = subprotocol
        self.upgrades = queue.Queue()  # all upgrade requests
        self._tunnels = queue.Queue()
        self.n_handshakes = 0
        super().__init__(family, host, port)

    def _on_name(self, _sock, name, _context):
        self.names.append(name)

    def handle(self, sock):
        tls = self.context.wrap_socket(sock, server_side=True)
        self.n_handshakes += 1
        self._open.append(tls)
        assert tls.selected_alpn_protocol() == "http/1.1"
        upgrade = recv_head(tls)
        self.upgrades.put(upgrade)
        other = self.answer(upgrade) if self.answer else None
        if other is not None:
            tls.sendall(other)
            tls.close()
            return
        accept = hashlib.sha1((upgrade.value("sec-websocket-key") + WEBSOCKET_GUID).encode())
        tls.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + b"Sec-WebSocket-Accept: "
            + base64.b64encode(accept.digest())
            + (f"\r\nSec-WebSocket-Protocol: {self.subprotocol}" if self.subprotocol else "").encode()
            + b"\r\n\r\n"
            + self.behind
        )
        self._tunnels.put(Tunnel(tls, upgrade))

    def tunnel(self, deadline=DEADLINE):
        """The next connection that was upgraded."""
        try:
            return self._tunnels.get(timeout=deadline)
        except queue.Empty:
            raise AssertionError(f"no tunnel within {deadline:g} s") from None

    def url(self, host=HOST):
        return f"wss://{host}:{self.port}"


class SilentRelay(Server):
    """Accepts, and says nothing."""

    def __init__(self):
        self.connected = threading.Semaphore(0)
        super().__init__()

    def handle(self, sock):
        if sock.recv(1):  # not of a mere probe
            self.connected.release()
            while sock.recv(4096):
                pass


class FakeProxy(Server):
    """An HTTP proxy for CONNECT; with `credentials` ("user:password") it insists on them."""

    def __init__(self, to_port, credentials=None):
        self.to_port = to_port
        self.credentials = credentials
        self.requests = queue.Queue()
        super().__init__()

    def handle(self, sock):
        request = recv_head(sock)
        self.requests.put(request)
        wanted = self.credentials and base64.b64encode(self.credentials.encode()).decode()
        given = request.values("proxy-authorization")
        if wanted and [g.split(" ")[1] for g in given] != [wanted]:
            sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            sock.close()
            return
        other = socket.create_connection((HOST, self.to_port))
        self._open.append(other)
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self._pump, args=(other, sock), daemon=True).start()
        self._pump(sock, other)

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class FakeServer(Server):
    """A Thinknx server. Each request waits in `requests` for the test's answer."""

    @dataclasses.dataclass
    class Request:
        sock: socket.socket
        line: str
        fields: list
        body: bytes
        answered: threading.Event

        def answer(self, body=b"{}", status="200 OK", fields=()):
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\n"
            head += "".join(f"{n}: {v}\r\n" for n, v in fields)
            self.sock.sendall(head.encode() + b"\r\n" + body)
            self.answered.set()

        def wait_cancelled(self):
            """The agent closes the connection under the unanswered request."""
            with contextlib.suppress(ConnectionError):
                assert self.sock.recv(1) == b""

    def __init__(self):
        self.requests = queue.Queue()
        super().__init__()

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def handle(self, sock):
        while True:
            head = recv_head(sock)
            length = int((head.values("content-length") or ["0"])[0])
            body = recv_exactly(sock, length) if length else b""
            request = self.Request(sock, head.line, head.fields, body, threading.Event())
            self.requests.put(request)
            request.answered.wait(DEADLINE)

    def request(self):
        try:
            return self.requests.get(timeout=DEADLINE)
        except queue.Empty:
            raise AssertionError("the server was asked nothing") from None


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_identity(folder, name, *options, issuer=None, names="DNS:localhost,IP:127.0.0.1,IP:::1"):
    """A certificate, self-signed unless it has an issuer."""
    certificate, key, public = (folder / f"{name}.{end}" for end in ("pem", "key", "der"))
    signer = ["-CA", issuer.certificate, "-CAkey", issuer.key] if issuer else []
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", key, "-out", certificate, "-subj", f"/CN={name}"),
        *("-addext", f"subjectAltName={names}", *signer, *options),
    )
    openssl("pkey", "-in", key, "-pubout", "-outform", "DER", "-out", public)
    return Identity(str(certificate), str(key), hashlib.sha256(public.read_bytes()).hexdigest())
