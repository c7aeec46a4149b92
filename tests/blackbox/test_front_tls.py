# SPDX-License-Identifier: Apache-2.0
"""TLS of the relay as a client sees it: versions, resumption, certificates by name, and new
certificates while connections are open. Also its listeners: several of them, and IPv6."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

import harness
from harness import HOST

CLIENT_HELLO = 0x01
HANDSHAKE_RECORD = 0x16
# The relay looks at its certificate files every 5 s.
LOOK = 5
SMALL_FLOOD = 40  # connections


def context_for(ca, low=None, high=None):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["http/1.1"])
    if low is not None:
        context.minimum_version, context.maximum_version = low, high
    return context


def openssl(*arguments, text=""):
    done = subprocess.run(["/usr/bin/openssl", *map(str, arguments)], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          timeout=harness.DEADLINE)
    return done.stdout


def make_certificate(folder, name, *hosts):
    """A self-signed certificate and its key, as NAME-cert.pem and NAME-key.pem."""
    names = ",".join(f"DNS:{host}" for host in hosts)
    out = openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                  "-keyout", folder / f"{name}-key.pem", "-out", folder / f"{name}-cert.pem",
                  "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}")
    assert (folder / f"{name}-cert.pem").exists(), out
    return folder / f"{name}-cert.pem", folder / f"{name}-key.pem"


def fingerprint(path):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first_pem(path))).hexdigest()


def first_pem(path):
    end = "-----END CERTIFICATE-----\n"
    return path.read_text().partition(end)[0] + end


def offered(address, name=None):
    """The fingerprint of the certificate that a client gets who asks for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(address, harness.DEADLINE) as raw:
        with context.wrap_socket(raw, server_hostname=name) as tls:
            return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    """A relay alone: nobody needs a building here. Its loose key gets 403."""
    made = harness.Relay(tmp_path_factory.mktemp("relay") / "relay")
    yield from running(made)


@pytest.fixture
def start_relay(tmp_path):
    with contextlib.ExitStack() as stack:
        def start(conf=None, prepare=None):
            made = harness.Relay(tmp_path / "relay", conf)
            if prepare is not None:
                prepare(made)
            stack.enter_context(contextlib.contextmanager(running)(made))
            return made

        yield start


def running(made):
    try:
        yield made.start()
        made.process.stop()
    finally:
        made.process.kill()


def assert_serves(connection):
    """The relay reads and answers on it."""
    assert connection.request("/unknown").status == 403


# --- versions and policy ------------------------------------------------------------------------


@pytest.mark.parametrize("version, name", [
    (ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_tls_1_2_and_1_3_are_served(relay, version, name):
    with harness.Connection(relay.https, context_for(relay.ca, version, version)) as c:
        assert c._socket.version() == name  # pylint: disable=protected-access
        assert c._socket.selected_alpn_protocol() == "http/1.1"  # pylint: disable=protected-access
        assert_serves(c)


def client_hello(version):
    """A client that knows nothing newer than `version`, and nothing else wrong with it."""
    suites = bytes.fromhex("c02bc02fc009c013c00ac014009c002f0035")
    groups = bytes.fromhex("000a00080006001d00170018") + bytes.fromhex("000b00020100")
    algorithms = bytes.fromhex("000d000c000a04030804040105030603")
    extensions = groups + algorithms
    body = version + os.urandom(32) + b"\0" + len(suites).to_bytes(2, "big") + suites + b"\1\0"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = bytes([CLIENT_HELLO]) + len(body).to_bytes(3, "big") + body
    return bytes([HANDSHAKE_RECORD, 3, 1]) + len(message).to_bytes(2, "big") + message


@pytest.mark.parametrize("version, served", [
    (b"\3\0", False), (b"\3\1", False), (b"\3\2", False), (b"\3\3", True)],
    ids=["ssl3", "tls1.0", "tls1.1", "tls1.2"])
def test_older_versions_are_refused(relay, version, served):
    """By bytes of our own: OpenSSL here would not even try."""
    with harness.Connection(relay.https) as c:
        c.send(client_hello(version))
        first = c._exactly(1)[0]  # pylint: disable=protected-access
        if served:
            assert first == HANDSHAKE_RECORD
            return
        # A fatal alert, handshake_failure (SSL 3) or protocol_version, and the end.
        alert = bytes([first]) + c.rest()
        assert alert[0] == 0x15 and alert[-2:] in (b"\x02\x28", b"\x02\x46")


def test_a_client_cannot_renegotiate(relay):
    arguments = ["s_client", "-connect", f"{HOST}:{relay.https[1]}", "-tls1_2", "-CAfile",
                 relay.ca, "-legacy_renegotiation"]
    said = openssl(*arguments, text="R\nGET /unknown HTTP/1.1\nHost: a\n\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said or "403" not in said
    # Others did not suffer.
    with harness.Connection(relay.https, relay.tls_context()) as c:
        assert_serves(c)


def test_a_client_that_wants_http_2_alone_gets_no_protocol(relay):
    context = context_for(relay.ca)
    context.set_alpn_protocols(["h2"])
    with harness.Connection(relay.https, context) as c:
        assert c._socket.selected_alpn_protocol() is None  # pylint: disable=protected-access
        assert_serves(c)


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0" * 64,
], ids=["http", "h2c", "zeros"])
def test_plain_bytes_on_the_tls_port_end_without_a_request(relay, data):
    with harness.Connection(relay.https) as c:
        c.send(data)
        seen = c.rest()
    # Nothing, or an alert; never an answer to what was no request of ours.
    assert seen == b"" or seen[0] == 0x15
    assert "status=400" not in relay.process.log.text()


def test_https_tells_browsers_to_stay_with_it_and_http_does_not(relay):
    with harness.Connection(relay.https, relay.tls_context()) as c:
        value = c.request("/unknown").value("Strict-Transport-Security")
    assert int(value.partition("max-age=")[2].split(";")[0]) >= 31536000 // 2
    with harness.Connection(relay.http) as c:
        assert not c.request("/unknown").values("Strict-Transport-Security")


# --- resumption ---------------------------------------------------------------------------------


def resumable(relay, context, session=None):
    """A connection that has made a call; so TLS 1.3's ticket has come too."""
    raw = socket.create_connection(relay.https, harness.DEADLINE)
    c = harness.Connection.__new__(harness.Connection)
    # pylint: disable=protected-access
    c._socket = context.wrap_socket(raw, server_hostname=HOST, session=session)
    c._unread = b""
    assert_serves(c)
    return c


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=["tls1.2", "tls1.3"])
def test_a_session_is_resumed_by_its_ticket(relay, version):
    # pylint: disable=protected-access
    context = context_for(relay.ca, version, version)
    with resumable(relay, context) as c:
        assert not c._socket.session_reused
        ticket = c._socket.session
    assert ticket.has_ticket
    for _ in range(3):
        with resumable(relay, context, ticket) as c:
            assert c._socket.session_reused


@pytest.mark.parametrize("version", VERSIONS, ids=["tls1.2", "tls1.3"])
def test_a_ticket_outlives_a_reload(start_relay, version):
    # pylint: disable=protected-access
    relay = start_relay()
    context = context_for(relay.ca, version, version)
    with resumable(relay, context) as c:
        ticket = c._socket.session
    reload(relay, "configuration reloaded")
    with resumable(relay, context, ticket) as c:
        assert c._socket.session_reused


@pytest.mark.parametrize("version", VERSIONS, ids=["tls1.2", "tls1.3"])
def test_a_ticket_is_taken_by_every_worker(start_relay, version):
    """The kernel spreads the connections: that all of them meet one worker is next to impossible."""
    # pylint: disable=protected-access
    relay = start_relay({"relay": {"workers": 4}})
    context = context_for(relay.ca, version, version)
    with resumable(relay, context) as c:
        ticket = c._socket.session
    for _ in range(24):
        with resumable(relay, context, ticket) as c:
            assert c._socket.session_reused


# --- certificates -------------------------------------------------------------------------------


def reload(relay, message):
    start = relay.process.log.count()
    relay.process.signal(signal.SIGHUP)
    relay.process.wait_log(message, start)


def replace(folder, name, pair):
    """Puts a pair in the place of NAME's, the key first, each at once."""
    for source, suffix in ((pair[1], "key"), (pair[0], "cert")):
        temporary = folder / f"{suffix}.new"
        shutil.copy(source, temporary)
        temporary.rename(folder / f"{name}{suffix}.pem")


def test_clients_get_the_certificate_of_the_name_they_ask_for(start_relay):
    def prepare(relay):
        for name, hosts in (("a", ["a.example"]), ("b", ["b.example", "*.b.example"])):
            make_certificate(relay.folder, name, *hosts)

    relay = start_relay({"https": {
        "certificate": ["cert.pem", "a-cert.pem", "b-cert.pem"],
        "private_key": ["key.pem", "a-key.pem", "b-key.pem"]}}, prepare)
    prints = {name: fingerprint(relay.folder / f"{name}cert.pem") for name in ("", "a-", "b-")}
    for name, wanted in {"a.example": "a-", "A.EXAMPLE": "a-", "b.example": "b-",
                         "x.b.example": "b-", "x.y.b.example": "", "localhost": "",
                         "unknown.example": "", None: ""}.items():
        assert offered(relay.https, name) == prints[wanted], name


def new_pair(relay, tmp_path):
    return make_certificate(tmp_path, "new", "localhost", "new.example")


def wait_offered(relay, wanted):
    """The workers take the new one over at about the time of the log's line."""
    for _ in range(50):
        if offered(relay.https) == wanted:
            return
    raise AssertionError("the certificate stays")


def test_sighup_brings_a_new_certificate_and_disturbs_nobody(start_relay, tmp_path):
    relay = start_relay()
    old, pair = fingerprint(relay.folder / "cert.pem"), new_pair(relay, tmp_path)
    with contextlib.ExitStack() as stack:
        live = [stack.enter_context(harness.Connection(relay.https, relay.tls_context()))
                for _ in range(3)]
        for c in live:
            assert_serves(c)
        # One in the middle of a request.
        live[2].send(b"GET /unknown HTTP/1.1\r\nHo")
        assert offered(relay.https) == old
        replace(relay.folder, "", pair)
        reload(relay, "configuration reloaded")
        wait_offered(relay, fingerprint(pair[0]))
        live[2].send(b"st: a\r\n\r\n")
        assert live[2].answer().status == 403
        for _ in range(2):
            for c in live:
                assert_serves(c)


def test_a_new_file_is_noticed_without_a_signal(start_relay, tmp_path):
    relay = start_relay()
    pair = new_pair(relay, tmp_path)
    with harness.Connection(relay.https, relay.tls_context()) as live:
        assert_serves(live)
        start = relay.process.log.count()
        replace(relay.folder, "", pair)
        relay.process.wait_log("certificates reloaded", start, harness.DEADLINE + LOOK)
        wait_offered(relay, fingerprint(pair[0]))
        assert_serves(live)


def break_pair(relay, kind, tmp_path):
    certificate, key = relay.folder / "cert.pem", relay.folder / "key.pem"
    if kind == "garbage":
        certificate.write_text("nonsense\n")
    elif kind == "cut":
        certificate.write_text(certificate.read_text()[:200])
    elif kind == "gone":
        certificate.unlink()
    elif kind == "other key":
        shutil.copy(new_pair(relay, tmp_path)[1], key)
    else:
        key.write_text("")


@pytest.mark.parametrize("kind", ["garbage", "cut", "gone", "other key", "empty key"])
def test_a_broken_new_certificate_is_refused_and_the_old_one_kept(start_relay, kind, tmp_path):
    relay = start_relay()
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("cert.pem", "key.pem"):
        shutil.copy(relay.folder / name, kept / name)
    old = fingerprint(relay.folder / "cert.pem")
    with harness.Connection(relay.https, relay.tls_context()) as live:
        assert_serves(live)
        break_pair(relay, kind, tmp_path)
        # By the signal or by the look at the files, whichever comes first.
        reload(relay, r"level=error .*refused, the old one stays.*(cert|key)\.pem")
        assert_serves(live)
        for _ in range(3):
            assert offered(relay.https) == old
        # A good one is taken afterwards.
        pair = make_certificate(tmp_path, "good", "localhost")
        replace(relay.folder, "", pair)
        reload(relay, "configuration reloaded")
        wait_offered(relay, fingerprint(pair[0]))
        assert_serves(live)


def test_a_flood_of_handshakes_during_reloads_is_served(start_relay, tmp_path):
    relay = start_relay()
    pairs = [new_pair(relay, tmp_path), make_certificate(tmp_path, "second", "localhost")]
    good = {fingerprint(relay.folder / "cert.pem"), *(fingerprint(pair[0]) for pair in pairs)}
    for n in range(SMALL_FLOOD):
        if n % 10 == 0:
            replace(relay.folder, "", pairs[n // 10 % 2])
            relay.process.signal(signal.SIGHUP)
        assert offered(relay.https) in good


# --- listeners ----------------------------------------------------------------------------------


def runtime_addresses(relay, name):
    runtime = json.loads(relay.runtime_file.read_text())
    return [(host.strip("[]"), int(port))
            for host, _, port in (text.rpartition(":") for text in runtime[name])]


def test_several_listeners_serve_alike_ipv6_too(start_relay):
    relay = start_relay({"https": {"listen": [f"{HOST}:0", f"{HOST}:0", "[::1]:0"]},
                         "http": {"listen": [f"{HOST}:0", "[::1]:0"]}})
    https, http = runtime_addresses(relay, "https"), runtime_addresses(relay, "http")
    assert [host for host, _ in https] == [HOST, HOST, "::1"]
    assert [host for host, _ in http] == [HOST, "::1"]
    assert len({port for _, port in https}) == 3
    for address in https:
        with harness.Connection(address, relay.tls_context()) as c:
            assert_serves(c)
    for address in http:
        with harness.Connection(address) as c:
            assert c.request("/a").status == 301


def test_a_client_over_ipv6_is_logged_as_such(start_relay):
    relay = start_relay({"https": {"listen": [f"{HOST}:0", "[::1]:0"]}})
    with harness.Connection(runtime_addresses(relay, "https")[1], relay.tls_context()) as c:
        port = c._socket.getsockname()[1]  # pylint: disable=protected-access
        assert_serves(c)
    relay.process.wait_log(rf'msg=request .*client="?\[::1\]:{port}')
