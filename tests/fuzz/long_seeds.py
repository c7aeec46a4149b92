#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes seeds of fuzz_request, fuzz_response and fuzz_websocket that are longer than what is taken: each
limit once within and once beyond. The fuzzer does not find such lengths by itself.

    tests/fuzz/long_seeds.py FOLDER     (FOLDER/request, FOLDER/response, FOLDER/websocket)
"""

import sys
from pathlib import Path

LINE, HEAD, BODY, MESSAGE, KEPT = 8192, 16384, 65536, 65536, 4096  # proto/http, proto/websocket/websocket.h
HOST = b"Host: relay.example\r\n"


def fields(n_bytes):
    """So many bytes of fields."""
    line = b"X-%03d: " + b"v" * 200 + b"\r\n"
    lines = b"".join(line % i for i in range(n_bytes // 209))
    return lines + b"Z: " + b"z" * max(1, n_bytes - len(lines) - 5) + b"\r\n"


def request():
    start = b"GET /K/api/V1/power HTTP/1.1\r\n" + HOST
    post = b"POST /K/api/V1/power HTTP/1.1\r\n" + HOST
    for name, more in (("within", -200), ("beyond", 200)):
        path = b"/K/api/V1/" + b"p" * (LINE + more)
        yield f"line_{name}", b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        yield f"head_{name}", start + fields(HEAD + more - len(start)) + b"\r\n"
        yield f"body_{name}", post + b"Content-Length: %d\r\n\r\n" % (BODY + more) + b"b" * (BODY + more)


def response():
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
    for name, n_bytes in (("kept", KEPT + 200), ("within", HEAD - 200), ("beyond", HEAD + 200)):
        yield f"head_{name}", start + fields(n_bytes - len(start)) + b"\r\nok" + start + b"\r\nok"
    chunk = b"1000\r\n" + b"c" * 0x1000 + b"\r\n"
    yield "chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 12 + b"0\r\n\r\n"


def frame(first, payload):
    """Masked with zeros, as a client's; its length in 64 bits."""
    return bytes([first, 0xFF]) + len(payload).to_bytes(8, "big") + bytes(4) + payload


def websocket():
    yield "message_within", frame(0x82, b"m" * (MESSAGE - 1)) + frame(0x82, b"n")
    yield "message_beyond", frame(0x82, b"m" * (MESSAGE + 1))
    half = b"f" * (MESSAGE // 2 + 100)
    yield "fragments_beyond", frame(0x02, half) + frame(0x80, half)


def main():
    # What stands before the stream: how it is cut into pieces.
    for target, seeds, before in (
        ("request", request, b"\x3f"), ("response", response, b"\x00\x3f"), ("websocket", websocket, b"\x3f")
    ):
        folder = Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, stream in seeds():
            (folder / f"long_{name}").write_bytes(before + stream)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
