# SPDX-License-Identifier: Apache-2.0
"""The three real programs as processes, and plain clients towards them.

Nothing here knows the programs' insides: a program is its command line, its files, its log and
its sockets. Every wait is for an event (a line, an answer, an end) and has a deadline; nothing
sleeps. All listeners are on port 0 of 127.0.0.1, so any number of buildings run side by side."""

import base64
import contextlib
import dataclasses
import json
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import known_secrets

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("TNX_BUILD", ROOT / "build" / "release"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD
# For one event. Never reached when all is well, so generous towards a busy machine.
DEADLINE = float(os.environ.get("TNX_DEADLINE", "20"))

SERIAL = "TNX-0001"
USER = "service"
HOST = "127.0.0.1"
PUBLIC_URL = "https://relay.example"

SANITIZER_REPORT = re.compile(r"Sanitizer|runtime error:|WARNING: ThreadSanitizer|^==\d+==", re.M)
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "exitcode=99:halt_on_error=0",
}


def environment():
    """Ours, plus what the one who runs the tests wants to say to the sanitizers."""
    given = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    return {**ENVIRONMENT, **given}


def binary(name):
    path = BUILD / "bin" / name
    if not path.exists():
        raise AssertionError(f"{path} is not built (TNX_BUILD={BUILD})")
    return str(path)


def assert_clean(text, who):
    found = SANITIZER_REPORT.search(text)
    assert not found, f"{who}: sanitizer report\n{text[found.start():][:8000]}"


def run(name, *arguments, expect=0, cwd=None, stdin=None, variables=None):
    """Runs one of the programs to its end; asserts its exit code (one of several, if a tuple).
    `variables` are added to its environment."""
    done = subprocess.run(
        [binary(name), *map(str, arguments)],
        cwd=cwd,
        env={**environment(), **(variables or {})},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=DEADLINE,
        check=False,
    )
    assert_clean(done.stderr, name)
    known_secrets.keep_of_command(arguments, stdin, done.stdout)
    shown = f"{name} {' '.join(map(str, arguments))}\nstdout: {done.stdout}\nstderr: {done.stderr}"
    expected = expect if isinstance(expect, tuple) else (expect,)
    assert done.returncode in expected, f"exit code {done.returncode}, not {expect}\n{shown}"
    return done


def wait_until(found, what, deadline=DEADLINE):
    """Asks again and again; what is asked is a program, which has no event to wait for."""
    until = time.monotonic() + deadline
    while not found():
        assert time.monotonic() < until, f"not {what} within {deadline:g} s"


class Lines:
    """The lines of a stream, read by a thread as they come, with waiting for one of them."""

    def __init__(self, stream, name):
        self.name = name
        self._stream = stream
        self._lines = []
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()

    def _read(self):
        with self._stream:
            for raw in self._stream:
                with self._changed:
                    self._lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def count(self):
        with self._changed:
            return len(self._lines)

    def since(self, start=0):
        with self._changed:
            return self._lines[start:]

    def text(self):
        return "\n".join(self.since())

    def wait(self, found, start=0, what="a line", deadline=DEADLINE):
        """The first line from `start` on for which found(line) is true, as (index, line)."""
        until = time.monotonic() + deadline
        with self._changed:
            while True:
                for i in range(start, len(self._lines)):
                    if found(self._lines[i]):
                        return i, self._lines[i]
                start = max(start, len(self._lines))
                if self._ended:
                    raise AssertionError(f"{self.name} ended without {what}\n{self.tail()}")
                left = until - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"{self.name}: no {what} within {deadline:g} s\n{self.tail()}"
                    )
                self._changed.wait(left)

    def tail(self, n=40):
        return "\n".join(self._lines[-n:])

    def join(self):
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), f"{self.name}: somebody still holds its stream"


class Process:
    """One running program. Its stdout and stderr together are `log`, in which no secret may be: at its
    end, however it comes, all that are known are looked for."""

    alive = []  # all that were started and not yet ended, for the report of a failed test

    def __init__(self, name, *arguments, cwd=None, variables=None):
        self.name = name
        # setpriv execs the program, so the pid is the program's; should the test runner be killed
        # outright, the kernel takes its children along.
        command = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--", binary(name)]
        self._popen = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=cwd,
            env={**environment(), **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.log = Lines(self._popen.stdout, name)
        Process.alive.append(self)

    @property
    def pid(self):
        return self._popen.pid

    def resident_bytes(self):
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)[1]) * 1024

    def cpu_seconds(self):
        """User and system time so far."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def running(self):
        return self._popen.poll() is None

    def wait_log(self, pattern, start=0, deadline=DEADLINE):
        """Waits for a line that matches `pattern`; returns the match."""
        wanted = re.compile(pattern)
        _, line = self.log.wait(wanted.search, start, f"line matching /{pattern}/", deadline)
        return wanted.search(line)

    def signal(self, number):
        self._popen.send_signal(number)

    def wait_end(self, expect=0, deadline=DEADLINE):
        """Waits for the end; asserts its exit code (one of several, if a tuple), that no sanitizer
        complained and that no secret is in the log."""
        try:
            code = self._popen.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} still runs after {deadline:g} s\n{self.log.tail()}"
            ) from None
        self._forget()
        text = self.log.text()
        assert_clean(text, self.name)
        known_secrets.assert_none_in(text, self.name)
        expected = expect if isinstance(expect, tuple) else (expect,)
        assert code in expected, f"{self.name}: exit code {code}, not {expect}\n{self.log.tail()}"

    def stop(self):
        """SIGTERM, and a clean end. Nothing if it has ended already by wait_end or kill."""
        if self in Process.alive:
            if self.running():
                self.signal(signal.SIGTERM)
            self.wait_end()

    def kill(self):
        """SIGKILL, without asking how it was; only for secrets."""
        if self in Process.alive:
            self._popen.kill()
            self._popen.wait()
            self._forget()
            known_secrets.assert_none_in(self.log.text(), self.name)

    def _forget(self):
        self.log.join()
        Process.alive.remove(self)


def write_conf(path, sections):
    """Writes an INI file; a value that is a list is written once per item, None leaves it out."""
    out = []
    for section, keys in sections.items():
        out.append(f"[{section}]")
        for key, value in keys.items():
            for item in value if isinstance(value, list) else [value]:
                if item is not None:
                    out.append(f"{key} = {item}")
        out.append("")
    # In one step: commands may be reading it.
    new = path.with_name(f"{path.name}.new")
    new.write_text("\n".join(out))
    new.rename(path)
    return path


def merged(sections, changes):
    result = {name: dict(keys) for name, keys in sections.items()}
    for name, keys in (changes or {}).items():
        result.setdefault(name, {}).update(keys)
    return {name: keys for name, keys in result.items() if keys}


def secret_file(path, text):
    path.write_text(known_secrets.keep(text, path.name) + "\n")
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def closed_port(port=0):
    """A port (any, or the given one) at which nobody listens and that nobody is given by chance,
    while one of our programs may still take it: they set the same socket options."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind((HOST, port))
        yield s.getsockname()[1]


@dataclasses.dataclass
class Answer:
    status: int
    fields: list  # (name, value) as they came
    body: bytes
    version: str = "HTTP/1.1"

    def values(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def value(self, name):
        values = self.values(name)
        assert len(values) == 1, f"{len(values)} fields {name} in {self.fields}"
        return values[0]

    def json(self):
        value = json.loads(self.body)
        known_secrets.keep_made(value)
        return value


def parse_head(head):
    """Status line and fields of an answer; strict, since this is our own server's output."""
    lines = head.split(b"\r\n")
    match = re.fullmatch(rb"(HTTP/1\.[01]) ([1-5][0-9]{2}) ([\x20-\x7e]*)", lines[0])
    assert match, f"bad status line {lines[0]!r}"
    fields = []
    for line in lines[1:]:
        field = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*", line)
        assert field, f"bad field line {line!r}"
        fields.append((field[1].decode(), field[2].decode("latin-1")))
    return int(match[2]), fields, match[1].decode()


class Closed(AssertionError):
    """The peer ended the connection before what was to come had come whole."""


class Connection:
    """One raw connection: sends the bytes it is given, reads answers strictly. TLS if `context`."""

    def __init__(self, address, context=None, server_name=HOST):
        self._socket = socket.create_connection(address, timeout=DEADLINE)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname=server_name)
        self._unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def send(self, data):
        self._socket.sendall(data)

    def _more(self):
        data = self._socket.recv(65536)
        self._unread += data
        return data != b""

    def _until(self, mark):
        while mark not in self._unread:
            if not self._more():
                raise Closed(f"closed before {mark!r}: {self._unread!r}")
        part, _, self._unread = self._unread.partition(mark)
        return part

    def _exactly(self, length):
        while len(self._unread) < length:
            if not self._more():
                raise Closed(f"closed after {len(self._unread)} of {length} bytes")
        part, self._unread = self._unread[:length], self._unread[length:]
        return part

    def _chunks(self):
        body = b""
        while True:
            length = int(self._until(b"\r\n"), 16)
            if length == 0:
                break
            body += self._exactly(length)
            assert self._exactly(2) == b"\r\n"
        while self._until(b"\r\n"):
            pass
        return body

    def answer(self, method="GET"):
        """Reads one answer, also a 1xx one. `method` is the request's, HEAD has no body."""
        status, fields, version = parse_head(self._until(b"\r\n\r\n"))
        answer = Answer(status, fields, b"", version)
        lengths, codings = answer.values("Content-Length"), answer.values("Transfer-Encoding")
        assert len(lengths) + len(codings) <= 1, f"framed twice: {fields}"
        if method == "HEAD" or status < 200 or status in (204, 304):
            return answer
        if codings:
            assert codings == ["chunked"]
            answer.body = self._chunks()
        elif lengths:
            assert re.fullmatch("[0-9]+", lengths[0])
            answer.body = self._exactly(int(lengths[0]))
        else:
            answer.body = self.rest()
        return answer

    def request(self, target, method="GET", fields=(), body=b""):
        """Sends a well-formed request and reads its answer."""
        self.send(request(target, method, fields, body))
        return self.answer(method)

    def wait_for(self, mark):
        """Reads up to and with `mark`."""
        self._until(mark)

    def some(self, most):
        """What is there, or comes next, of up to `most` bytes; nothing at the end."""
        if not self._unread:
            self._unread = self._socket.recv(most)
        part, self._unread = self._unread[:most], self._unread[most:]
        return part

    def rest(self):
        """All that comes until the peer ends the connection."""
        with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
            while self._more():
                pass
        part, self._unread = self._unread, b""
        return part


def request(target, method="GET", fields=(), body=b"", version="1.1"):
    """The bytes of a well-formed request."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {HOST}", *fields]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def curl(url, *options, ca=None, folder):
    """Calls `url` with curl as a user would; the URL goes out as it is written here."""
    head, body = folder / "curl.head", folder / "curl.body"
    for path in (head, body):
        path.unlink(missing_ok=True)
    command = ["/usr/bin/curl", "--disable", "--silent", "--show-error", "--globoff"]
    command += ["--path-as-is", "--max-time", f"{DEADLINE:g}", "-D", str(head), "-o", str(body)]
    if ca is not None:
        command += ["--cacert", str(ca)]
    done = subprocess.run(
        [*command, *options, url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"curl {url}: {done.stderr}"
    blocks = head.read_bytes().split(b"\r\n\r\n")
    assert blocks.pop() == b""
    status, fields, version = parse_head(blocks[-1])
    return Answer(status, fields, body.read_bytes() if body.exists() else b"", version)


class Simulator:
    """A simulated Thinknx server. Its log of requests is a pipe, read as it is written."""

    def __init__(self, folder, *options, auth="none", password=""):
        folder.mkdir(parents=True, exist_ok=True)
        runtime = folder / "simulator.json"
        fifo = folder / "requests"
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo)
        # Opened for both directions, so that neither side waits for the other to open it.
        self._write_end = os.open(fifo, os.O_RDWR)
        self.requests = Lines(open(fifo, "rb"), "simulator's requests")
        self.knx_log = folder / "knx.log"
        arguments = ["--runtime-file", runtime, "--request-log", fifo, "--knx-log", self.knx_log]
        if auth != "none":
            secret_file(folder / "server-password", password)
            arguments += ["--auth", auth, "--user", USER]
            arguments += ["--password-file", folder / "server-password"]
        self._runtime = runtime
        self._arguments = [*arguments, *options]
        self.address = f"{HOST}:0"
        self.process = None

    def start(self):
        self.process = Process("thinknx-simulator", "--listen", self.address, *self._arguments)
        self.process.wait_log(r"listening")
        self.port = bound_port(json.loads(self._runtime.read_text()), "listen")
        self.url = f"http://{HOST}:{self.port}"
        return self

    def close(self):
        """After the process: ends the log."""
        if self._write_end is not None:
            os.close(self._write_end)
            self._write_end = None
            self.requests.join()


def bound_port(runtime, name):
    """The port of a listener in a runtime file: the first address under `name`."""
    address = runtime[name]
    if isinstance(address, list):
        address = address[0]
    return int(address.rpartition(":")[2])


class Relay:
    """A relay with its own folder, database and certificate."""

    def __init__(self, folder, conf=None):
        self.folder = folder
        run("thinknx-relay", "init", "--dir", folder, "--host", "localhost", "--host", HOST)
        for name in ("ca.key", "key.pem"):
            known_secrets.keep_private_key(folder / name)
        self.ca = folder / "ca.pem"
        self.runtime_file = folder / "runtime.json"
        self.conf = folder / "relay.conf"
        self.settings = {
            "relay": {
                "database": "relay.db",
                "public_url": PUBLIC_URL,
                "runtime_file": "runtime.json",
            },
            "https": {
                "listen": f"{HOST}:0",
                "certificate": "cert.pem",
                "private_key": "key.pem",
            },
            "http": {"listen": f"{HOST}:0"},
            # The limits have tests of their own; here they would only make calls fail at random.
            "limits": {"key_rate": 100000, "key_burst": 100000, "refused_rate": 0},
            # The relay's own calls would stand in the simulator's log between those of a test.
            "timeouts": {"probe": 0},
        }
        self.configure(conf)
        self.variables = {}  # added to the environment of the next process
        self.process = None

    def configure(self, conf):
        write_conf(self.conf, merged(self.settings, conf))

    def command(self, *arguments):
        """Runs a command that prints JSON, and returns the object."""
        done = run("thinknx-relay", *arguments, "--json", "--config", self.conf)
        return json.loads(done.stdout)

    def start(self):
        self.runtime_file.unlink(missing_ok=True)
        self.process = Process(
            "thinknx-relay", "serve", "--config", self.conf, variables=self.variables
        )
        self.process.wait_log(r"msg=ready")
        runtime = json.loads(self.runtime_file.read_text())
        self.https = (HOST, bound_port(runtime, "https"))
        self.http = (HOST, bound_port(runtime, "http"))
        return self

    def wait_tunnel(self, start=0, serial=SERIAL):
        self.process.wait_log(rf"tunnel up.*{re.escape(serial)}", start)

    def tls_context(self):
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(["http/1.1"])
        return context


class Agent:
    """An agent with its own folder."""

    def __init__(self, folder, conf):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        # Not in the folder: a socket's path may have 107 bytes at most.
        self._sockets = tempfile.TemporaryDirectory(prefix="tnx-")
        self.status_socket = f"{self._sockets.name}/status"
        usual = {"agent": {"status_socket": self.status_socket}}
        self.conf = write_conf(folder / "agent.conf", merged(usual, conf))
        self.variables = {}  # added to the environment of the next process
        self.process = None

    def start(self):
        self.process = Process(
            "thinknx-agent", "run", "--config", self.conf, variables=self.variables
        )
        return self


class Building:
    """All three together: a key of this building works when the constructor returns.

    `simulator` are further options of the simulator, `relay` and `agent` settings by section that
    are added to the usual ones. With start=False the agent is ready but not started."""

    def __init__(self, folder, auth="digest", simulator=(), relay=None, agent=None, start=True):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.auth = auth
        self.password = "pw-" + secrets.token_hex(8)
        self._parts = []  # in the order of their start
        try:
            self._open(auth, simulator, relay, agent)
            if start:
                self.start_agent()
        except BaseException:
            self.kill()
            raise

    def _open(self, auth, simulator, relay, agent):
        self.simulator = Simulator(
            self.folder / "server", *simulator, auth=auth, password=self.password
        )
        self._parts.append(self.simulator)
        self.simulator.start()
        self.relay = Relay(self.folder / "relay", relay)
        self._parts.append(self.relay)
        self.token = self.relay.command("server", "add", SERIAL)["token"]
        enabled = self.relay.command("key", "enable", SERIAL)
        self.key, self.key_id = enabled["key"], enabled["id"]
        for pair in (f"{SERIAL}:{self.token}", f"{USER}:{self.password}"):
            known_secrets.keep(base64.b64encode(pair.encode()).decode(), "credentials (Basic)")
        self.ca = self.relay.ca
        self.relay.start()
        settings = {
            "relay": {
                "url": f"wss://{HOST}:{self.relay.https[1]}",
                "serial": SERIAL,
                "token_file": "agent.token",
                "ca_file": self.ca,
            },
            "server": {"url": self.simulator.url, "auth": auth},
        }
        if auth != "none":
            settings["server"] |= {"user": USER, "password_file": "password"}
        self.agent = Agent(self.folder / "agent", merged(settings, agent))
        self._parts.append(self.agent)
        secret_file(self.folder / "agent" / "agent.token", self.token)
        secret_file(self.folder / "agent" / "password", self.password)

    def serve_at(self, port):
        """Another simulator, at a port of ours, takes the place of the first one."""
        self.simulator.process.stop()
        self.simulator.address = f"{HOST}:{port}"
        self.simulator.start()

    def start_agent(self):
        start = self.relay.process.log.count()
        self.agent.start()
        self.relay.wait_tunnel(start)

    def path(self, call, key=None):
        """The path of a call: `call` is what follows /api/V1/."""
        return f"/{key or self.key}/api/V1/{call}"

    def url(self, call, key=None):
        return f"https://{HOST}:{self.relay.https[1]}{self.path(call, key)}"

    def curl(self, call, *options, key=None):
        return curl(self.url(call, key), *options, ca=self.ca, folder=self.folder)

    def curl_target(self, target, *options):
        """Calls what stands behind the key as it is ("/api/...")."""
        url = f"https://{HOST}:{self.relay.https[1]}/{self.key}{target}"
        return curl(url, *options, ca=self.ca, folder=self.folder)

    def commands(self):
        """What the building has executed so far, in order."""
        return [json.loads(line) for line in self.simulator.knx_log.read_text().splitlines()]

    def connect(self):
        """A raw TLS connection to the relay."""
        return Connection(self.relay.https, self.relay.tls_context())

    def connect_plain(self):
        """A raw connection to the relay's plain HTTP listener."""
        return Connection(self.relay.http)

    def get(self, target, method="GET", fields=(), body=b""):
        """One request on a connection of its own."""
        with self.connect() as c:
            return c.request(target, method, fields, body)

    @contextlib.contextmanager
    def watch(self):
        """Gives the list of the requests that the simulator gets inside the block (filled at its
        end). A call that is known to come marks both ends."""
        start, seen = self._mark(0) + 1, []
        yield seen
        end = self._mark(start)
        lines = self.simulator.requests.since(start)[: end - start]
        # Of the last mark, its refused first try may stand before it (digest).
        entries = map(json.loads, lines)
        seen += [entry for entry in entries if "?mark=" not in entry["target"]]

    def wait_call(self, mark, start=0):
        """Waits until the building got the call whose target has `mark`, credentials and all;
        returns the call's line number. `start` is the first line to look at."""
        def is_call(line):
            entry = json.loads(line)
            return mark in entry["target"] and (self.auth == "none" or entry["user"] is not None)

        return self.simulator.requests.wait(is_call, start, f"call with {mark}")[0]

    def _mark(self, start):
        """Makes a call and gives the number of its last line in the simulator's log."""
        mark = f"system/serverStatus?mark={secrets.token_hex(8)}"
        assert self.get(self.path(mark)).status == 200
        return self.wait_call(mark, start)

    def stop(self):
        """Ends agent, relay and simulator, each cleanly."""
        for part in reversed(self._parts):
            if part.process:
                part.process.stop()
        self.simulator.close()

    def kill(self):
        """What is still running ends now, all of it, whatever a log holds. Harmless after stop()."""
        with contextlib.ExitStack() as last_first:
            for part in self._parts:
                if isinstance(part, Simulator):
                    last_first.callback(part.close)
                if part.process:
                    last_first.callback(part.process.kill)
