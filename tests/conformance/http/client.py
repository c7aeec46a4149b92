# SPDX-License-Identifier: Apache-2.0
"""A client that sends bytes as they are, cut as it is told, and reads answers strictly: it is the
relay's own output, so every oddity in it is an error."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

PATIENCE = 40.0  # seconds; for what must come
QUIET = 0.4  # seconds; for what must not come
PAUSE = 0.001  # seconds between two pieces, so that they are read one by one
PIECES_MAX = 300

STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\x20-\x7e]*)")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x20-\x7e\x80-\xff]*)")


class Broken(Exception):
    """The relay sent something that is no answer."""


@dataclass
class Answer:
    status: int
    fields: list[tuple[str, str]]
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        return [v for n, v in self.fields if n == name.lower()]

    @property
    def id(self) -> str:
        return "".join(self.values("x-request-id"))


@dataclass
class Observed:
    """What came back. `end`: "open" (the probe was answered, and last), "closed" (with the TLS
    closure alert), "cut" (without it), "reset", "quiet" (nothing more within QUIET)."""

    answers: list[Answer] = field(default_factory=list)
    end: str = ""


def pieces_whole(data: bytes) -> Iterator[bytes]:
    yield data


def pieces_halves(data: bytes) -> Iterator[bytes]:
    middle = len(data) // 2
    yield data[:middle]
    yield data[middle:]


def pieces_cr(data: bytes) -> Iterator[bytes]:
    """Cut behind every CR, where a line's end is half there."""
    cuts = [m.end() for m in re.finditer(rb"\r", data)][:PIECES_MAX]
    start = 0
    for cut in [*cuts, len(data)]:
        yield data[start:cut]
        start = cut


def pieces_bytes(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]


CUTS = {"whole": pieces_whole, "halves": pieces_halves, "cr": pieces_cr, "bytes": pieces_bytes}


class Client:
    """One connection; TLS with `context`, plain without."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None,
                 receive_bytes: int = 0):
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=address[0],
                                       suppress_ragged_eofs=False)
        self.socket = sock
        self.unread = b""
        self.end = ""  # how it ended, once it has
        self.lost = False  # the peer takes no more

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def send(self, data: bytes, cut: str = "whole") -> None:
        """Sends, as long as the peer takes it: a refused request need not be read to its end."""
        for number, piece in enumerate(CUTS[cut](data)):
            if self.lost or not piece:
                continue
            if number > 0:
                time.sleep(PAUSE)
            try:
                self.socket.sendall(piece)
            except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                self.lost = True

    def more(self, patience: float) -> bool:
        """Reads once. False at the end; TimeoutError if nothing comes."""
        if self.end:
            return False
        self.socket.settimeout(patience)
        try:
            data = self.socket.recv(65536)
        except ssl.SSLEOFError:
            self.end = "cut"
        except ConnectionResetError:
            self.end = "reset"
        else:
            if data:
                self.unread += data
                return True
            self.end = "closed"
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def need(self, wanted: bytes | int, patience: float) -> bytes | None:
        """Takes so many bytes, or those up to and with a mark. None at the connection's end."""
        while True:
            if isinstance(wanted, int):
                size = wanted if len(self.unread) >= wanted else -1
            else:
                found = self.unread.find(wanted)
                size = found + len(wanted) if found >= 0 else -1
            if size >= 0:
                part, self.unread = self.unread[:size], self.unread[size:]
                return part
            if not self.more(patience):
                if self.unread:
                    raise Broken(f"ended inside an answer: {self.unread[:200]!r}")
                return None

    def answer(self, method: bytes | None = b"GET", patience: float = PATIENCE) -> Answer | None:
        """One answer, an interim one too; None at the connection's end. `method` is the request's;
        None if it was none."""
        head = self.need(b"\r\n\r\n", patience)
        if head is None:
            return None
        lines = head[:-4].split(b"\r\n")
        m = STATUS.fullmatch(lines[0])
        if m is None:
            raise Broken(f"status line {lines[0][:200]!r}")
        answer = Answer(int(m.group(1)), [])
        for line in lines[1:]:
            m = FIELD.fullmatch(line)
            if m is None:
                raise Broken(f"field {line[:200]!r}")
            answer.fields.append((m.group(1).decode().lower(), m.group(2).decode("latin-1")))
        self.body(answer, method, patience)
        return answer

    def body(self, answer: Answer, method: bytes | None, patience: float) -> None:
        lengths, codings = answer.values("content-length"), answer.values("transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise Broken(f"framed twice: {answer.fields}")
        if answer.status < 200 or answer.status in (204, 304):
            if lengths or codings:
                raise Broken(f"{answer.status} with a body: {answer.fields}")
        elif method == b"HEAD":
            pass
        elif codings:
            if codings != ["chunked"]:
                raise Broken(f"coding {codings}")
            self.chunks(answer, patience)
        elif lengths:
            if re.fullmatch(r"[0-9]{1,9}", lengths[0]) is None:
                raise Broken(f"length {lengths}")
            size = int(lengths[0])
            # Without a method that could be read, the relay may take it for HEAD or not.
            body = self.need(size, patience) if method is None else self.sure(size, patience)
            answer.body = body or b""
        else:
            while self.more(patience):
                pass
            answer.body, self.unread = self.unread, b""

    def sure(self, wanted: bytes | int, patience: float) -> bytes:
        part = self.need(wanted, patience)
        if part is None:
            raise Broken("ended inside an answer")
        return part

    def chunks(self, answer: Answer, patience: float) -> None:
        while True:
            line = self.sure(b"\r\n", patience)
            if re.fullmatch(rb"[0-9A-Fa-f]{1,8}\r\n", line) is None:
                raise Broken(f"chunk size {line[:100]!r}")
            size = int(line, 16)
            chunk = self.sure(size + 2, patience)
            if chunk[size:] != b"\r\n":
                raise Broken(f"chunk end {chunk[size:]!r}")
            if size == 0:
                return
            answer.body += chunk[:size]


@dataclass
class Probe:
    """A request that shows where the messages before it end: its answer has its id."""

    data: bytes
    id: str

    @staticmethod
    def of(target: str, host: str, mark: str) -> Probe:
        text = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {mark}\r\n\r\n"
        return Probe(text.encode(), mark)


def talk(client: Client, parts: tuple[bytes, ...], cut: str, methods: list[bytes | None],
         probe: Probe | None, quiet: bool) -> Observed:
    """Sends the parts and then the probe, and reads all answers. Before each part but the first
    an interim answer is waited for. `methods` are those of the requests that will be answered.
    With `quiet` nothing more is expected to come, and the connection to stay."""
    seen = Observed()
    methods = list(methods)

    def read(patience: float) -> Answer | None:
        answer = client.answer(methods[0] if methods else b"GET", patience)
        if answer is None:
            seen.end = client.end
        elif probe is not None and answer.id == probe.id and answer.status == 200:
            seen.end = "open"  # with another status, what came before has spoilt it
        else:
            seen.answers.append(answer)
            if answer.status >= 200 and methods:
                methods.pop(0)
        return answer

    for number, part in enumerate(parts):
        while number > 0 and not seen.end:
            answer = read(PATIENCE)
            if answer is None or answer.status < 200:
                break
        client.send(part, cut)
    if probe is not None:
        client.send(probe.data)
    while not seen.end:
        try:
            read(QUIET if quiet and not methods else PATIENCE)
        except TimeoutError:
            seen.end = "quiet"
    return seen
