#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Is the relay's front at least as strict as HAProxy and nginx? Sends the whole corpus to both and
compares how many messages of each entry they let through with how many the relay does.

Usage: tests/conformance/http/peers.py          needs the packages nginx-light and haproxy

An entry that lets more through than either of them must be in LENIENT below, with the reason, or
the command fails. Prints how often each of the three was the strictest."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import corpus  # noqa: E402

HOST = "127.0.0.1"
THREADS = 32
PATIENCE = 10.0  # seconds; for what must come
QUIET = 1.0  # seconds without a byte: nothing more will come
# Of messages that are well-formed.
WELL_FORMED = (403, 404, 405)
PASSED = b"x-passed: 1"

# Where the relay is more lenient than one of the two, and why that is right.
CLOSE = "nginx closes at any Connection that has `close` inside; RFC 9112 9.6 knows the word alone"
LENIENT = {
    "persist-not-closed": CLOSE,
    "persist-not-xclose": CLOSE,
    "persist-not-quoted": CLOSE,
    "persist-not-param": CLOSE,
}

NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
    client_max_body_size 64k; large_client_header_buffers 8 16k; keepalive_requests 100000;
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://{host}:{backend}; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host relay.example;
        }}
    }}
}}
"""
HAPROXY = """\
global
    maxconn 512
    tune.bufsize 65536
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout http-request 20s
listen front
    bind {host}:{port}
    server one {host}:{backend}
"""


class Backend(socketserver.ThreadingTCPServer):
    """Takes every request that a peer passes on, and says so in its answer."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self):
        super().__init__((HOST, 0), Serve)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Serve(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError, ValueError, OverflowError):
            while self.one():
                pass

    def one(self):
        line = self.rfile.readline()
        if not line:
            return False
        length, chunked = 0, False
        while (field := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = field.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            chunked |= name.lower() == b"transfer-encoding"
        if chunked:
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                self.rfile.read(size + 2)
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
        self.rfile.read(length)
        body = b"" if line.startswith(b"HEAD ") else b"ok"
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + PASSED + b"\r\nx-line: " + line.strip()[-200:]
                         + b"\r\nContent-Length: 2\r\n\r\n" + body)
        return True


@contextlib.contextmanager
def peer(name, template, folder, backend):
    with socket.create_server((HOST, 0)) as s:
        port = s.getsockname()[1]
    conf = folder / f"{name}.conf"
    conf.write_text(template.format(folder=folder, host=HOST, port=port, backend=backend))
    option = "-c" if name == "nginx" else "-f"
    program = shutil.which(name, path="/usr/sbin:/usr/bin")
    if program is None:
        sys.exit(f"{name} is missing: apt-get install {name}{'-light' * (name == 'nginx')}")
    with subprocess.Popen([program, option, str(conf)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_listening(port, process)
            yield port
        finally:
            process.terminate()


def wait_listening(port, process):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), PATIENCE):
            return
        time.sleep(0.05)
    sys.exit("a peer does not start")


def read_all(sock, mark):
    """What comes until the probe is answered, the end, or silence."""
    seen = b""
    sock.settimeout(QUIET)
    with contextlib.suppress(OSError):
        while mark not in seen:
            data = sock.recv(65536)
            if not data:
                break
            seen += data
    return seen


def passed_by_peer(port, entry, names):
    """How many messages of the entry, and of the probe behind it, reached the backend."""
    mark = secrets.token_hex(8).encode()
    probe = b"GET /" + mark + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.create_connection((HOST, port), PATIENCE) as sock:
        with contextlib.suppress(OSError):
            parts = entry.expand(names).parts
            for number, part in enumerate(parts):
                if number > 0:
                    read_all(sock, b"100 Continue")
                sock.sendall(part)
            if entry.connection != "waiting":
                sock.sendall(probe)
        return read_all(sock, mark).lower().count(PASSED)


def passed_by_relay(entry):
    """The same by the corpus' word, which the relay is held to by the tests. Peers know no keys, so
    what is refused for its key or path counts as passed, unless the connection ends with it."""
    def passed(outcome):
        finals = [a for a in outcome.answers if a.status >= 200]
        if finals and finals[-1].reason and entry.connection == "closed":
            finals.pop()
        return sum(a.reason == "" or a.status in WELL_FORMED for a in finals)

    return max(map(passed, entry.outcomes)) + (entry.connection in ("open", "either"))


def main():
    entries = corpus.load()
    names = corpus.Names("K" * 32, "B" * 32, f"{HOST}:443", "31/7/255")
    passed = {}
    with tempfile.TemporaryDirectory() as text, Backend() as backend:
        folder = Path(text)
        for name, template in (("nginx", NGINX), ("haproxy", HAPROXY)):
            with peer(name, template, folder, backend.server_address[1]) as port:
                with ThreadPoolExecutor(THREADS) as pool:
                    passed[name] = list(pool.map(
                        lambda e, p=port: passed_by_peer(p, e, names), entries))
        backend.shutdown()
    return judge(entries, passed)


def judge(entries, passed):
    stricter, laxer, bad = {name: 0 for name in passed}, {name: 0 for name in passed}, []
    for number, entry in enumerate(entries):
        ours = passed_by_relay(entry)
        for name, counts in passed.items():
            stricter[name] += ours < counts[number]
            laxer[name] += ours > counts[number]
            if ours > counts[number] and entry.id not in LENIENT:
                bad.append(f"{entry.id} ({entry.title}): the relay passes {ours}, "
                           f"{name} {counts[number]}")
    for name in passed:
        print(f"{len(entries)} entries; the relay is stricter than {name} in {stricter[name]}, "
              f"more lenient in {laxer[name]}")
    print("\n".join(bad))
    stale = set(LENIENT) - {e.id for e in entries}
    if stale:
        print(f"no entries of the corpus: {sorted(stale)}")
    return 1 if bad or stale else 0


if __name__ == "__main__":
    sys.exit(main())
