# SPDX-License-Identifier: Apache-2.0
"""A second, independent reader of HTTP/1 requests, as strict as the relay's front must be.

Written from RFC 9110, RFC 9112 and the rules of tests/conformance/http/README.md (marked [S1] to
[S29] there and here), never from the C. It is slow and plain on purpose: it sees all bytes of a
connection at once and says which messages they are.

    for event in read(data): ...      Request | Refusal, at most one Refusal, and that last
    verdict = judge(data, keys)       what the relay has to answer: verdict.answers, verdict.end

Where the rules leave a choice of status (two limits and a syntax error in one message: which one
a reader meets first depends on how it reads) the answer holds all statuses that are right.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

LINE_MAX = 8192  # request line without its CRLF [S7]
HEAD_MAX = 16384  # all field lines with their CRLFs, without the request line and the empty line
FIELDS_MAX = 100
NAME_MAX = 255
BODY_MAX = 65536
CHUNK_LINE_MAX = 4096  # chunk size, extensions and CRLF
TRAILER_MAX = 4096  # the whole trailer section with its empty line
EMPTY_LINES_MAX = 2
SIZE_DIGITS_MAX = 8  # hexadecimal digits of a chunk's size
U64_MAX = 2**64 - 1

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
TOKEN_RE = re.compile(TOKEN)
METHOD = rb"[A-Z_-]+"  # [S4]
LINE_RE = re.compile(rb"(" + METHOD + rb") ([\x21-\x22\x24-\x7e]+) HTTP/1\.([01])")
# The value's own spaces and tabs at both ends are cut off afterwards.
FIELD_RE = re.compile(rb"(" + TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)")
PARTIAL_FIELD_RE = re.compile(rb"(" + TOKEN + rb"(:[\t\x20-\x7e\x80-\xff]*\r?)?|\r)?")
DNS_RE = re.compile(rb"[0-9A-Za-z._-]{1,255}")
HOST_RE = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]+))?")
ABSOLUTE_RE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
CHUNK_RE = re.compile(rb"([0-9A-Fa-f]+)(?:;[\t\x20-\x7e\x80-\xff]*)?")

FRAMING = (b"content-length", b"transfer-encoding")
METHODS = (b"GET", b"HEAD", b"POST")


@dataclass
class Request:
    """A message whose head is right. `body` is None as long as it is not complete."""

    method: bytes
    target: bytes
    minor: int
    path: bytes
    query: bytes | None
    fields: list[tuple[bytes, bytes]]  # names in lower case
    start: int  # of the request line in the data
    head_end: int  # behind the head's empty line
    end: int | None = None  # behind the body
    body: bytes | None = None
    keep_alive: bool = True
    expects: str = ""  # "", "continue", "other"
    has_body: bool = False  # by its framing fields

    def value(self, name: bytes) -> bytes | None:
        for n, v in self.fields:
            if n == name:
                return v
        return None


@dataclass
class Refusal:
    """What makes the rest of the connection unreadable."""

    statuses: frozenset[int]
    why: str
    at: int  # where the message started
    method: bytes | None = None  # if the request line was right
    minor: int = 1
    request: Request | None = None  # if the head was right: the refusal is about the body


@dataclass
class Waiting:
    """The data ends inside a message. `doubt` if what is there of it cannot become right: a reader
    may refuse it now or when the line is complete."""

    at: int
    doubt: bool = False
    request: Request | None = None  # with a complete head


class Bad(Exception):
    def __init__(self, why: str, *statuses: int, method: bytes | None = None, minor: int = 1):
        super().__init__(why)
        self.why = why
        self.statuses = frozenset(statuses or (400,))
        self.method = method  # if the request line was right
        self.minor = minor


class Short(Exception):
    def __init__(self, doubt: bool = False):
        super().__init__()
        self.doubt = doubt


# --- parts of a message ----------------------------------------------------------------------


def take_line(data: bytes, at: int, limit: int, too_long: int) -> tuple[bytes, int]:
    """A line without its CRLF, and where the next one starts. Only CRLF ends a line: a CR or LF
    for itself is an error (RFC 9112 2.2 lets a recipient take a bare LF; we do not). `limit` is
    for the line without CRLF."""
    lf = data.find(b"\n", at)
    end = lf if lf >= 0 else len(data)
    line = data[at:end]
    bare_cr = b"\r" in line[:-1]
    if lf < 0 and not bare_cr and limit < len(line) <= limit + 2:
        raise Short(not line.endswith(b"\r") or len(line) > limit + 1)  # or a CRLF follows
    if len(line.removesuffix(b"\r")) > limit:
        syntax = bare_cr or (lf >= 0 and not line.endswith(b"\r"))
        raise Bad("line too long", *({400, too_long} if syntax else {too_long}))
    if bare_cr:
        raise Bad("bare CR")
    if lf < 0:
        raise Short()
    if not line.endswith(b"\r"):
        raise Bad("bare LF")
    return line[:-1], lf + 1


def host_ok(value: bytes) -> bool:
    """[S10] uri-host [":" port] (RFC 9110 7.2), narrower: no escapes, no user, no empty port."""
    m = HOST_RE.fullmatch(value)
    if m is None:
        return False
    host, port = m.groups()
    if port is not None and not (0 < number(port) <= 65535):
        return False
    if host.startswith(b"["):
        try:
            ipaddress.IPv6Address(host[1:-1].decode())
        except ValueError:
            return False
        return True
    return DNS_RE.fullmatch(host) is not None


def path_ok(path: bytes) -> bool:
    """[S14] No byte and no escape that two servers could read differently."""
    decoded = bytearray()
    at = 0
    while at < len(path):
        c = path[at]
        if c in b"\\#?" or not 0x21 <= c <= 0x7E:
            return False
        if c == 0x25:
            digits = path[at + 1 : at + 3]
            if re.fullmatch(rb"[0-9A-Fa-f]{2}", digits) is None:
                return False
            c = int(digits, 16)
            if c in b"/\\%" or not 0x20 <= c <= 0x7E:
                return False
            at += 2
        decoded.append(c)
        at += 1
    for segment in bytes(decoded).split(b"/"):
        if segment.split(b";")[0] in (b".", b".."):
            return False
    return path.startswith(b"/")


def split_target(target: bytes) -> tuple[bytes, bytes | None]:
    """[S12] Path and query of origin form or absolute form (RFC 9112 3.2.1, 3.2.2); the other two
    forms are of no use here."""
    if not target.startswith(b"/"):
        m = ABSOLUTE_RE.fullmatch(target)
        if m is None or not host_ok(m.group(1)) or not m.group(2).startswith(b"/"):
            raise Bad("target")
        target = m.group(2)
    path, mark, query = target.partition(b"?")
    if not path_ok(path):
        raise Bad("path")
    return path, query if mark else None


def number(digits: bytes) -> int:
    """Python's int() stops at 4300 digits."""
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= 20 else U64_MAX + 1


def list_has(value: bytes, member: bytes) -> bool:
    return member in [part.strip(b" \t").lower() for part in value.split(b",")]


def take_fields(data: bytes, at: int) -> tuple[list[tuple[bytes, bytes]], int, Bad | None]:
    """The header section. A field that is wrong does not end the reading, since a reader that
    collects the whole head first may meet a limit before it meets the error: both are right [S2].
    """
    fields: list[tuple[bytes, bytes]] = []
    start = at
    faults: set[int] = set()
    count = 0
    while True:
        # A line alone cannot be longer than the section.
        try:
            line, after = take_line(data, at, HEAD_MAX - (at - start), 431)
        except Bad as bad:
            if PARTIAL_FIELD_RE.fullmatch(data[at : start + HEAD_MAX].partition(b"\n")[0]) is None:
                faults.add(400)
            raise Bad(bad.why, *bad.statuses, *faults) from None
        except Short as short:
            doubt = bool(faults) or PARTIAL_FIELD_RE.fullmatch(data[at:]) is None
            raise Short(short.doubt or doubt) from None
        if line == b"":
            return fields, after, Bad("fields", *faults) if faults else None
        if after - start > HEAD_MAX:
            raise Bad("head too large", 431, *faults)
        count += 1
        if count > FIELDS_MAX:
            faults.add(431)
        m = FIELD_RE.fullmatch(line)
        if m is None or (m.group(1).lower() in (*FRAMING, b"host") and b"\t" in m.group(2)):
            faults.add(400)  # a tab in Host or a framing field: [S10] [S17] [S19]
        else:
            fields.append((m.group(1).lower(), m.group(2).strip(b" \t")))
            if len(m.group(1)) > NAME_MAX:
                faults.add(431)
        at = after


def take_chunked(data: bytes, at: int) -> tuple[bytes, int]:
    """The chunked coding (RFC 9112 7.1); trailers are checked and dropped."""
    body = b""
    while True:
        try:
            line, at = take_line(data, at, CHUNK_LINE_MAX - 2, 400)
        except Short as short:
            partial = data[at:]
            ok = re.fullmatch(rb"([0-9A-Fa-f]{1,8}(;[\t\x20-\x7e\x80-\xff]*)?\r?)?", partial)
            raise Short(short.doubt or ok is None) from None
        m = CHUNK_RE.fullmatch(line)
        if m is None or len(m.group(1)) > SIZE_DIGITS_MAX:
            raise Bad("chunk line")
        size = int(m.group(1), 16)
        if len(body) + size > BODY_MAX:
            raise Bad("body too large", 413)
        if size == 0:
            break
        chunk = data[at : at + size]
        tail = data[at + size : at + size + 2]
        if len(chunk) < size:
            raise Short()
        if not b"\r\n".startswith(tail):
            raise Bad("chunk end")
        if len(tail) < 2:
            raise Short()
        body += chunk
        at += size + 2
    start = at
    error = None
    while True:
        try:
            line, after = take_line(data, at, TRAILER_MAX - 2 - (at - start), 400)
        except Short as short:
            doubt = error is not None or PARTIAL_FIELD_RE.fullmatch(data[at:]) is None
            raise Short(short.doubt or doubt) from None
        if line == b"":
            if error:
                raise error
            return body, after
        if after - start > TRAILER_MAX - 2:
            raise Bad("trailers too long")
        m = FIELD_RE.fullmatch(line)
        # [S23] a trailer that would change the framing or the routing (RFC 9110 6.5.1)
        if m is None or m.group(1).lower() in (*FRAMING, b"host"):
            error = Bad("trailer")
        at = after


# --- messages --------------------------------------------------------------------------------


def line_prefix_ok(partial: bytes) -> bool:
    """True if `partial` can be the beginning of a right request line."""
    m = re.fullmatch(METHOD + rb"(?: (?:[\x21\x22\x24-\x7e]+( .*)?)?)?", partial)
    if m is None:
        return False
    rest = m.group(1)
    return rest is None or any(v.startswith(rest) for v in (b" HTTP/1.0\r", b" HTTP/1.1\r"))


def take_head(data: bytes, at: int) -> Request:
    for _ in range(EMPTY_LINES_MAX):
        if data.startswith(b"\r\n", at):
            at += 2
    if data[at:] in (b"", b"\r"):
        raise Short()
    start = at
    try:
        line, at = take_line(data, at, LINE_MAX, 414)
    except Bad as bad:
        if 414 in bad.statuses and not line_prefix_ok(data[start : start + LINE_MAX]):
            raise Bad(bad.why, 400, 414) from None
        raise
    except Short as short:
        raise Short(short.doubt or not line_prefix_ok(data[start:])) from None
    m = LINE_RE.fullmatch(line)
    if m is None:
        raise Bad("request line", 400, *limits_behind(data, at))
    method, target, minor = m.group(1), m.group(2), int(m.group(3))
    try:
        if method == b"CONNECT":
            raise Bad("CONNECT")  # [S13]
        path, query = split_target(target)
    except Bad as bad:
        raise Bad(bad.why, 400, *limits_behind(data, at), method=method, minor=minor) from None
    try:
        fields, at, error = take_fields(data, at)
        r = Request(method, target, minor, path, query, fields, start, at)
        if error and 431 not in error.statuses:
            raise error
        try:
            judge_fields(r)
        except Bad as bad:
            raise Bad(bad.why, *bad.statuses, *(error.statuses if error else ())) from None
        if error:
            raise error
    except Bad as bad:
        raise Bad(bad.why, *bad.statuses, method=method, minor=minor) from None
    return r


def limits_behind(data: bytes, at: int) -> set[int]:
    """431 if the fields behind a request line that is wrong are too many or too long [S2]."""
    try:
        _, _, error = take_fields(data, at)
    except Bad as bad:
        error = bad
    except Short:
        error = None
    return {431} & error.statuses if error else set()


def values(r: Request, name: bytes) -> list[bytes]:
    return [v for n, v in r.fields if n == name]


def judge_fields(r: Request) -> None:
    hosts = values(r, b"host")
    if len(hosts) != 1 or not host_ok(hosts[0]):
        raise Bad("host")
    absolute = ABSOLUTE_RE.fullmatch(r.target)
    if absolute and absolute.group(1).lower() != hosts[0].lower():
        raise Bad("another host")
    if list_has(b",".join(values(r, b"connection")), b"upgrade"):
        if list_has(b",".join(values(r, b"upgrade")), b"websocket"):
            if len(values(r, b"sec-websocket-key")) != 1:
                raise Bad("half a websocket handshake")  # [S26]
    lengths = values(r, b"content-length")
    codings = values(r, b"transfer-encoding")
    if codings:
        if len(codings) > 1 or codings[0].lower() != b"chunked" or r.minor == 0 or lengths:
            raise Bad("transfer-encoding")
    if lengths:
        if len(lengths) > 1 or re.fullmatch(rb"[0-9]+", lengths[0]) is None:
            raise Bad("content-length")
        if number(lengths[0]) > U64_MAX:
            raise Bad("content-length")
    r.has_body = bool(codings) or (bool(lengths) and number(lengths[0]) > 0)
    # [S18] content on GET and HEAD means nothing but trouble (RFC 9110 9.3.1)
    if r.has_body and r.method in (b"GET", b"HEAD"):
        raise Bad("content")
    if lengths and number(lengths[0]) > BODY_MAX:
        raise Bad("body too large", 413)
    for value in values(r, b"expect"):
        r.expects = "continue" if value.lower() == b"100-continue" else "other"
        if r.expects == "other":
            break
    if len(values(r, b"expect")) > 1:
        r.expects = "other"
    if r.expects == "other":
        raise Bad("expect", 417)
    if r.minor == 0 or not r.has_body:
        r.expects = ""
    options = b",".join(values(r, b"connection"))
    if list_has(options, b"close"):
        r.keep_alive = False
    else:
        r.keep_alive = r.minor == 1 or list_has(options, b"keep-alive")


def take_body(data: bytes, r: Request) -> None:
    at = r.head_end
    if values(r, b"transfer-encoding"):
        r.body, r.end = take_chunked(data, at)
        return
    lengths = values(r, b"content-length")
    size = number(lengths[0]) if lengths else 0
    if len(data) - at < size:
        raise Short()
    r.body, r.end = data[at : at + size], at + size


def read(data: bytes):
    """The messages in `data`, up to the first that cannot be read or is not complete. What follows
    a message that closes the connection is not looked at."""
    at = 0
    while at < len(data):
        r = None
        try:
            r = take_head(data, at)
            take_body(data, r)
        except Bad as bad:
            method = r.method if r else bad.method
            yield Refusal(bad.statuses, bad.why, at, method, r.minor if r else bad.minor, r)
            return
        except Short as short:
            yield Waiting(at, short.doubt, r)
            return
        yield r
        if not r.keep_alive:
            return
        at = r.end


# --- what the relay makes of them ------------------------------------------------------------


@dataclass
class Answer:
    statuses: frozenset[int]  # of which one comes; any, if it is the building's own
    reason: str | None  # of an answer that the relay makes itself, if there is but one
    forwarded: bool
    method: bytes | None  # if it could be read
    minor: int = 1
    interim: str = "never"  # 100 Continue before it: "never", "may", "must"
    request: Request | None = None


REASONS = {400: "bad_request", 403: "key_refused", 404: "no_such_path",
           405: "method_not_allowed", 413: "too_large", 414: "too_large",
           417: "expectation_failed", 431: "too_large"}


@dataclass
class Verdict:
    answers: list[Answer] = field(default_factory=list)
    # "open"; "closed"; "waiting" for more; "doubt": waiting, or a 400 and closed; "early": the
    # last answer is given now or when the body is there
    end: str = "open"
    # After so many answers the connection may be closed instead: the body of a refused request
    # need not be read [S3].
    cuts: list[int] = field(default_factory=list)

    def cut(self, count: int) -> Verdict:
        return Verdict(self.answers[:count], "closed")

    @property
    def executed(self) -> list[Request]:
        return [a.request for a in self.answers if a.forwarded]


API_RE = re.compile(rb"/[^/]*/api/[Vv]1(/[^/]+)+")


def route(r: Request, keys: set[bytes]) -> int:
    """0 if the request is forwarded, else the status."""
    if r.path[1:].partition(b"/")[0] not in keys:
        return 403
    if API_RE.fullmatch(r.path) is None:
        return 404
    if r.method not in METHODS:
        return 405
    return 0


def made_by_relay(statuses: frozenset[int], method: bytes | None, minor: int,
                  interim: str = "never") -> Answer:
    reasons = {REASONS[status] for status in statuses}
    reason = reasons.pop() if len(reasons) == 1 else None
    return Answer(statuses, reason, False, method, minor, interim)


def answer_request(r: Request, status: int) -> Answer:
    if status:
        return made_by_relay(frozenset({status}), r.method, r.minor)
    interim = "may" if r.expects == "continue" else "never"
    return Answer(frozenset({200}), None, True, r.method, r.minor, interim, r)


def judge(data: bytes, keys: set[bytes]) -> Verdict:
    v = Verdict()
    for event in read(data):
        r = event if isinstance(event, Request) else event.request
        status = route(r, keys) if r is not None else 0
        # [S21] A refused one gets no 100, so nobody knows whether its body will come.
        body_unknown = status != 0 and r.expects == "continue"
        if isinstance(event, Request):
            v.answers.append(answer_request(r, status))
            # [S4] A method that is not served ends the connection.
            if not r.keep_alive or body_unknown or status == 405:
                v.end = "closed"
                return v
            if status and r.has_body:
                v.cuts.append(len(v.answers))
        elif isinstance(event, Refusal):
            # [S3] A refused key, path or method may be answered before the body is read.
            statuses = event.statuses | ({status} if status else set())
            interim = "may" if r is not None and not status and r.expects else "never"
            v.answers.append(made_by_relay(statuses, event.method, event.minor, interim))
            v.end = "closed"
            return v
        elif status:
            v.answers.append(answer_request(r, status))
            v.end = "closed" if body_unknown or status == 405 else "early"
        else:
            v.end = "doubt" if event.doubt else "waiting"
            if r is not None and r.expects and not event.doubt:
                # It may be left out once some of the body is there (RFC 9110 10.1.1).
                interim = "must" if r.head_end == len(data) else "may"
                v.answers.append(Answer(frozenset(), None, False, r.method, r.minor, interim))
    return v


# --- what the building is told to do ---------------------------------------------------------


def unescape(text: bytes) -> bytes:
    """%XX and "+" of a form. ValueError for a bad escape."""
    out = b""
    at = 0
    while at < len(text):
        if text[at : at + 1] == b"%":
            if re.fullmatch(rb"[0-9A-Fa-f]{2}", text[at + 1 : at + 3]) is None:
                raise ValueError("escape")
            out += bytes([int(text[at + 1 : at + 3], 16)])
            at += 3
        else:
            out += b" " if text[at : at + 1] == b"+" else text[at : at + 1]
            at += 1
    return out


def command(r: Request, group: bytes) -> int | None:
    """The value that a forwarded request makes system/sendKNXbyte send to `group`, as the
    simulator takes its parameters: query, then form; the last of a name counts."""
    parts = (r.query or b"").split(b"&")
    kind = b"".join(values(r, b"content-type")).partition(b";")[0].strip().lower()
    if list_has(b",".join(values(r, b"connection")), b"content-type"):
        kind = b""  # hop by hop, then: not forwarded
    if r.method == b"POST" and kind == b"application/x-www-form-urlencoded":
        parts += (r.body or b"").split(b"&")
    try:
        path = unescape(r.path.replace(b"+", b"%2B"))
        params = dict(map(unescape, p.partition(b"=")[::2]) for p in parts if p)
    except ValueError:
        return None
    value = params.get(b"value", b"")
    if re.search(rb"/api/[Vv]1/system/sendKNXbyte$", path) is None or params.get(b"group") != group:
        return None
    return int(value) if re.fullmatch(rb"[0-9]{1,9}", value) and int(value) <= 255 else None


def commands(v: Verdict, group: bytes) -> list[int]:
    """All of them, in order."""
    return [c for r in v.executed if (c := command(r, group)) is not None]
