# SPDX-License-Identifier: Apache-2.0
"""Programs that cannot start, or not reach each other, say why in a sentence; all end cleanly."""

import re
import resource
import signal
import socket
import subprocess

import pytest

from admin_api import PREFIX, admin_of
from harness import (
    HOST,
    PUBLIC_URL,
    ROOT,
    SERIAL,
    Agent,
    Connection,
    Process,
    Relay,
    closed_port,
    request,
    run,
    secret_file,
    write_conf,
)

LIGHT = "1lzPszHWAEuvzxtXBMkzWQ"
STATUS = f"powerstatus?guid={LIGHT}"
PROGRAMS = ("thinknx-relay", "thinknx-agent", "thinknx-simulator")


@pytest.fixture
def relay(tmp_path):
    """A relay that is ready to be started; what runs of it ends with the test."""
    made = Relay(tmp_path / "relay")
    yield made
    if made.process:
        made.process.kill()


@pytest.fixture
def agent(tmp_path):
    """agent(relay={...}, server={...}) starts an agent with these settings; it must end cleanly."""
    made = []

    def start(relay, server):
        folder = tmp_path / f"agent-{len(made)}"
        a = Agent(folder, {"relay": relay, "server": server})
        if not (folder / "agent.token").exists():
            secret_file(folder / "agent.token", "A" * 40)
        made.append(a)
        return a.start()

    yield start
    try:
        for a in made:
            a.process.stop()
    finally:
        for a in made:
            a.process.kill()


# --- command line -----------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_version_are_printed(program):
    assert re.search(rf"^{program} [0-9]+\.[0-9]+", run(program, "--version").stdout)
    assert re.search(rf"[Uu]sage: {program}", run(program, "--help").stdout)


@pytest.mark.parametrize("arguments", [[], ["serve", "superfluous"], ["check", "superfluous"], ["serve", "--frob"]])
def test_a_command_line_that_the_relay_does_not_understand_starts_nothing(arguments):
    done = run("thinknx-relay", *arguments, expect=2)
    assert done.stdout == "" and re.search("usage: thinknx-relay|superfluous", done.stderr)


def test_a_configuration_may_be_named_from_where_one_is(relay):
    done = run("thinknx-relay", "server", "add", SERIAL, "--out", "kit", "--config", "relay.conf", cwd=relay.folder)
    assert "ca.pem" in done.stdout
    assert (relay.folder / "kit" / "ca.pem").read_bytes() == relay.ca.read_bytes()
    assert "configuration ok" in run("thinknx-relay", "check", "--config", "relay.conf", cwd=relay.folder).stdout


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"]], ids=lambda a: a[0])
def test_a_wrong_command_line_is_a_usage_error(program, arguments):
    done = run(program, *arguments, expect=2)
    assert "nonsense" in done.stderr and done.stdout == ""


# --- configuration ----------------------------------------------------------------------------

RELAY_CONF = f"""\
[relay]
database = relay.db
public_url = {PUBLIC_URL}
[https]
listen = {HOST}:0
certificate = cert.pem
private_key = key.pem
[http]
listen = {HOST}:0
"""
AGENT_CONF = f"""\
[relay]
url = wss://{HOST}:443
serial = {SERIAL}
token_file = agent.token
[server]
url = http://{HOST}:5051
auth = none
"""

# program, line that is replaced (None: nothing is, the new one is added), new line, key or section
# that must be named
BAD_LINES = [
    ("relay", f"public_url = {PUBLIC_URL}", "public_ulr = https://x", "public_ulr"),
    ("relay", f"public_url = {PUBLIC_URL}", "public_url = ftp://x", "public_url"),
    ("relay", "database = relay.db", "database = a.db\ndatabase = b.db", "database"),
    ("relay", "database = relay.db", "", "database"),
    ("relay", f"listen = {HOST}:0", f"listen = {HOST}", "listen"),
    ("relay", f"listen = {HOST}:0", f"listen = {HOST}:70000", "listen"),
    ("relay", "[http]", "[htpp]", "htpp"),
    ("relay", None, "[limits]\nkey_rate = many", "key_rate"),
    ("relay", None, "[limits]\nkey_rate = -1", "key_rate"),
    ("relay", None, "[timeouts]\nserver = 5x", "server"),
    ("relay", None, "no key and no value", ""),
    ("agent", f"url = wss://{HOST}:443", f"url = ws://{HOST}:443", "url"),
    ("agent", f"url = wss://{HOST}:443", f"url = https://{HOST}:443", "url"),
    ("agent", f"serial = {SERIAL}", "", "serial"),
    ("agent", f"serial = {SERIAL}", f"seriel = {SERIAL}", "seriel"),
    ("agent", "auth = none", "auth = kerberos", "auth"),
    ("agent", f"url = http://{HOST}:5051", f"url = gopher://{HOST}", "url"),
    ("agent", "[server]", "[sever]", "sever"),
    ("agent", None, "max_connections = 0", "max_connections"),
]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("program, old, new, named", BAD_LINES)
def test_a_bad_configuration_names_file_line_and_key(tmp_path, relay, program, command, old, new, named):
    good = RELAY_CONF if program == "relay" else AGENT_CONF
    folder = relay.folder if program == "relay" else tmp_path
    bad = good + new if old is None else good.replace(old, new, 1)
    conf = folder / "bad.conf"
    conf.write_text(bad + "\n")
    secret_file(folder / "agent.token", "A" * 40)
    if program == "relay" and command == "run":
        command = "serve"
    done = run(f"thinknx-{program}", command, "--config", conf, expect=2)
    assert "bad.conf" in done.stderr and named in done.stderr
    if new:
        line = bad.splitlines().index(new.splitlines()[-1]) + 1
        # A section that nobody knows may be noticed at its head or at its first key.
        lines = {line, line + 1} if new.startswith("[") and "\n" not in new else {line}
        found = re.search(r"bad\.conf:(\d+)", done.stderr)
        assert found and int(found[1]) in lines, done.stderr
    assert_one_sentence(done.stderr)


def assert_one_sentence(text):
    """One line, with a reason in words, not a dump."""
    lines = text.strip().splitlines()
    assert len(lines) == 1 and len(lines[0]) < 400, text


@pytest.mark.parametrize("program, command", [("relay", "serve"), ("agent", "run")])
def test_a_configuration_that_is_not_there_is_named(tmp_path, program, command):
    done = run(f"thinknx-{program}", command, "--config", tmp_path / "none.conf", expect=2)
    assert "none.conf" in done.stderr and "No such file" in done.stderr


@pytest.mark.parametrize("program", ["relay", "agent"])
def test_a_good_configuration_passes_its_check(tmp_path, relay, program):
    folder = relay.folder if program == "relay" else tmp_path
    conf = folder / "good.conf"
    conf.write_text(RELAY_CONF if program == "relay" else AGENT_CONF)
    secret_file(folder / "agent.token", "A" * 40)
    run(f"thinknx-{program}", "check", "--config", conf)


def test_init_makes_a_configuration_that_passes_its_check(tmp_path):
    folder = tmp_path / "new"
    done = run("thinknx-relay", "init", "--dir", folder, "--host", "localhost")
    assert "serve" in done.stdout + done.stderr, "it should say what to do next"
    run("thinknx-relay", "check", "--config", folder / "relay.conf")


def test_init_does_not_overwrite_anything(relay):
    before = {path.name: path.read_bytes() for path in relay.folder.iterdir()}
    run("thinknx-relay", "init", "--dir", relay.folder, "--host", "localhost", expect=1)
    assert {path.name: path.read_bytes() for path in relay.folder.iterdir()} == before


# --- what a relay needs -----------------------------------------------------------------------


@pytest.mark.parametrize("section", ["https", "http"])
def test_a_port_that_is_taken_is_named(relay, section):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        address = f"{HOST}:{taken.getsockname()[1]}"
        relay.configure({section: {"listen": address}})
        done = run("thinknx-relay", "serve", "--config", relay.conf, expect=1)
    assert address in done.stderr and "in use" in done.stderr


def test_an_address_that_there_is_not_is_named(relay):
    nowhere = "a" * 64  # longer than a label may be: no DNS is asked
    relay.configure({"https": {"listen": f"{nowhere}:0"}})
    done = run("thinknx-relay", "serve", "--config", relay.conf, expect=1)
    assert f"cannot listen on {nowhere}:0: " in done.stderr


def test_a_relay_that_shares_its_port_with_another_says_so(tmp_path, relay):
    relay.start()
    other = Relay(tmp_path / "other", {"https": {"listen": f"{HOST}:{relay.https[1]}"}})
    try:
        other.start()
        other.process.wait_log(rf"level=warn .*another relay listens here too.*{relay.https[1]}")
        assert "another relay" not in relay.process.log.text()
        other.process.stop()
    finally:
        if other.process:
            other.process.kill()
    relay.process.stop()


def test_too_few_descriptors_for_the_connections_are_told(relay):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard > 10000000:
        pytest.skip("there are enough here for all that may be configured")
    relay.configure({"limits": {"connections": 10000000}})
    relay.start()
    relay.process.wait_log(r"level=warn .*file descriptors .*wanted=10000064")
    relay.process.stop()


def test_a_relay_takes_all_the_descriptors_it_may_have(relay):
    """A shell gives 1024, of which it would run out long before [limits] connections is reached."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    try:
        relay.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE) == (before[1], before[1])
    relay.process.stop()


@pytest.mark.parametrize("key, name", [("certificate", "cert.pem"), ("private_key", "key.pem")])
@pytest.mark.parametrize("damage", ["missing", "empty", "not PEM"])
def test_an_unreadable_certificate_or_key_is_named(relay, key, name, damage):
    path = relay.folder / "damaged.pem"
    if damage != "missing":
        path.write_text("" if damage == "empty" else "hello\n")
    relay.configure({"https": {key: "damaged.pem"}})
    for command in ("check", "serve"):
        done = run("thinknx-relay", command, "--config", relay.conf, expect=(1, 2))
        assert "damaged.pem" in done.stderr


def test_a_key_of_another_certificate_is_refused(tmp_path, relay):
    other = Relay(tmp_path / "other")
    relay.configure({"https": {"private_key": other.folder / "key.pem"}})
    done = run("thinknx-relay", "serve", "--config", relay.conf, expect=(1, 2))
    assert "key.pem" in done.stderr


def test_a_database_that_is_none_is_named(relay):
    (relay.folder / "other.db").write_text("this is no database, but it is long enough" * 100)
    relay.configure({"relay": {"database": "other.db"}})
    done = run("thinknx-relay", "serve", "--config", relay.conf, expect=(1, 2))
    assert "other.db" in done.stderr


def test_commands_work_while_the_relay_runs_and_while_it_does_not(relay):
    relay.command("server", "add", "A-1")
    relay.start()
    relay.command("server", "add", "A-2")
    assert relay.command("key", "enable", "A-2")["url"].startswith(PUBLIC_URL + "/")
    relay.process.stop()
    relay.command("key", "enable", "A-1", "--label", "third")
    assert {s["serial"] for s in relay.command("server", "list")} == {"A-1", "A-2"}
    assert [k["serial"] for k in relay.command("key", "list")] == ["A-2", "A-1"]


def test_a_key_for_a_server_that_nobody_added_is_refused(relay):
    done = run("thinknx-relay", "key", "enable", "TNX-9", "--config", relay.conf, expect=1)
    assert "TNX-9" in done.stderr


# --- what an agent meets ----------------------------------------------------------------------


def settings(port, **changes):
    return {
        "url": f"wss://{HOST}:{port}",
        "serial": SERIAL,
        "token_file": "agent.token",
        **changes,
    }


NO_SERVER = {"url": f"http://{HOST}:5051", "auth": "none"}


def test_an_agent_with_a_wrong_token_says_so_and_does_not_hammer(relay, agent):
    relay.command("server", "add", SERIAL)
    relay.start()
    a = agent(settings(relay.https[1], ca_file=relay.ca), NO_SERVER)
    a.process.wait_log(r"(?i)token|refused")
    assert "A" * 40 not in a.process.log.text()
    assert a.process.running()
    relay.process.wait_log("(?i)(refus|token)")
    relay.process.stop()


def test_an_agent_waits_for_a_relay_that_is_not_there_yet(tmp_path, relay, agent):
    token = relay.command("server", "add", SERIAL)["token"]
    relay.start()
    port = relay.https[1]
    with closed_port(port):
        relay.process.stop()
        secret = secret_file(tmp_path / "token", token)
        a = agent(settings(port, ca_file=relay.ca, token_file=secret), NO_SERVER)
        found = a.process.wait_log(rf".*{HOST}:{port}.*refused.*|.*refused.*{HOST}:{port}.*")
        relay.configure({"https": {"listen": f"{HOST}:{port}"}})
        relay.start().wait_tunnel()  # it has kept trying
    assert found
    relay.process.stop()


def test_an_agent_does_not_talk_to_a_relay_whose_certificate_it_cannot_verify(tmp_path, relay, agent):
    other = Relay(tmp_path / "other")
    token = relay.command("server", "add", SERIAL)["token"]
    relay.start()
    a = agent(settings(relay.https[1], ca_file=other.ca), NO_SERVER)
    a.process.wait_log(r"(?i)certificate")
    assert a.process.running()
    assert "tunnel up" not in relay.process.log.text() and token not in a.process.log.text()
    relay.process.stop()


def test_an_agent_without_its_token_file_does_not_start(tmp_path):
    folder = tmp_path / "agent"
    a = Agent(folder, {"relay": settings(443), "server": NO_SERVER})
    done = run("thinknx-agent", "run", "--config", a.conf, expect=(1, 2))
    assert "agent.token" in done.stderr


def test_an_agent_says_that_its_server_is_unreachable_and_serves_it_when_it_is_back(start_building):
    with closed_port() as port:
        building = start_building(agent={"server": {"url": f"http://{HOST}:{port}"}})
        assert building.curl(STATUS).status == 502
        building.agent.process.wait_log(rf"{HOST}:{port}")
        # The same agent, as soon as something answers there.
        building.serve_at(port)
        assert building.curl(STATUS).status == 200


def test_an_agent_with_a_wrong_password_says_so_and_the_caller_is_told(start_building):
    building = start_building(start=False)
    secret_file(building.agent.folder / "password", "wrong")
    building.start_agent()
    answer = building.curl(STATUS)
    assert (answer.status, answer.json()["reason"]) == (502, "server_auth")
    assert answer.json()["delivered"] is False
    building.agent.process.wait_log(r"(?i)password|credentials|authentic")
    assert building.agent.process.running()


# --- the end ----------------------------------------------------------------------------------


def test_sigterm_ends_an_idle_building_cleanly(start_building):
    building = start_building()
    assert building.curl(STATUS).status == 200
    building.stop()


def in_flight(building, n):
    """n calls, each on a connection of its own, that have reached the building."""
    connections = [building.connect() for _ in range(n)]
    for i, c in enumerate(connections):
        c.send(request(building.path(f"power?guid={LIGHT}&cmd=1&fb&call={i}.")))
    for i in range(n):
        building.wait_call(f"&call={i}.")
    return connections


@pytest.mark.parametrize("first, workers", [("relay", 1), ("agent", 1), ("relay", 4)])
def test_sigterm_lets_calls_in_flight_finish(start_building, first, workers):
    """And then each worker's loop closes with no handle left, or the program aborts."""
    building = start_building(simulator=["--feedback-delay-ms", "600"],
                              relay={"relay": {"workers": workers}})
    connections = in_flight(building, 8)
    getattr(building, first).process.stop()
    for c in connections:
        answer = c.answer()
        assert (answer.status, answer.json()["status"]) == (200, 1)
        c.close()


@pytest.mark.parametrize("first", ["relay", "agent", "simulator"])
def test_sigterm_ends_in_time_though_a_server_never_answers(start_building, first):
    building = start_building(
        simulator=["--answer-delay-ms", "60000"],
        relay={"timeouts": {"drain": "0.5"}},
        agent={"timeouts": {"drain": "0.5"}},
    )
    connections = in_flight(building, 8)
    getattr(building, first).process.stop()
    for c in connections:
        answer = c.answer()
        assert answer.status in (502, 503, 504)
        # The building has it: nobody may be told that it was not delivered.
        assert answer.json()["delivered"] in (True, "unknown")
        c.close()


def test_sigterm_with_idle_and_half_open_connections_ends_cleanly(start_building):
    building = start_building(relay={"timeouts": {"head": 1, "handshake": 1}})
    idle, half, raw = building.connect(), building.connect(), building.connect_plain()
    handshaking = socket.create_connection(building.relay.https)
    assert idle.request(building.path(STATUS)).status == 200
    half.send(b"GET / HTTP/1.1\r\nHo")
    raw.send(b"GE")
    building.stop()
    for c in (idle, half, raw, handshaking):
        c.close()


def test_a_second_sigterm_does_no_harm(start_building):
    building = start_building()
    for part in (building.agent, building.relay):
        part.process.signal(15)
        part.process.signal(15)
        part.process.wait_end()


def unread(address, pieces):
    """A connection on which these bytes were sent; its answers are not read, and hardly fit anywhere."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.connect(address)
    sock.sendall(pieces)
    return sock


@pytest.mark.parametrize("by", ["the limit", "a second signal"])
def test_sigterm_ends_in_time_whatever_clients_leave_undone(start_building, by):
    """Half a head, half a body, answers that nobody reads; on the pages' listener too."""
    drain = "1.3" if by == "the limit" else "30"  # longer than what an idle client gets
    building = start_building(relay={"timeouts": {"drain": drain}, "admin": {"listen": f"{HOST}:0"}})
    relay = building.relay.process
    pages = admin_of(building.relay)
    device = {"class": "light", "guid": "abc", "name": "x" * 60}
    pages.post(f"/servers/{SERIAL}/devices", {"rooms": [{"name": "Hall", "devices": [device] * 9000}]})
    head, body, silent, live = building.connect(), building.connect(), *(Connection(pages.address) for _ in range(2))
    head.send(b"GET / HTTP/1.1\r\nHo")
    command = building.path("system/sendKNXfloat4bytes?group=1/0/1&value=1")
    body.send(request(command, "POST", ["Expect: 100-continue"], b"x" * 10).removesuffix(b"x" * 10))
    assert body.answer().status == 100
    body.send(b"x")
    live.send(request(f"{PREFIX}/requests/live"))
    live.wait_for(b"\r\n\r\n")
    # What is redirected goes back whole: each answer is as long as its request.
    long = request("/" + "a" * 4000)
    calls = long * 100 + request("/", fields=["X-Request-Id: last"]) + long * 50
    left = [
        unread(building.relay.http, calls),
        unread(building.relay.http, calls + b"GET / HTTP/1.1\r\nHo"),
        unread(pages.address, request(f"{PREFIX}/servers/{SERIAL}/devices")),
    ]
    assert pages.get("/relay")["client_leg"] == "ok"
    relay.signal(signal.SIGTERM)
    relay.wait_log("msg=draining")
    if by == "a second signal":
        relay.signal(signal.SIGTERM)
    relay.wait_end(deadline=10)
    for c in (head, body):
        answer = c.answer()
        assert (answer.status, answer.json()["delivered"]) == (408, False)
        assert answer.value("Connection") == "close"
    assert building.commands() == []
    for c in (head, body, silent, live, *left):
        c.close()


# --- the demo ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)  # it may have to build
def test_the_demo_shows_a_right_answer_and_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [ROOT / "deploy" / "demo", "--once"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(tmp_path), "HOME": "/root"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "HTTP/1.1 200" in done.stdout and '"power"' in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_agent_started_right_behind_the_command_that_added_it_is_let_in(relay, agent, tmp_path):
    """Refused, it would wait up to a minute: a long time for who installs it."""
    relay.start()
    for serial in ("ONE", "TWO", "THREE"):
        kit = tmp_path / serial
        run("thinknx-relay", "server", "add", serial, "--out", kit, "--config", relay.conf)
        url = f"wss://{HOST}:{relay.https[1]}"
        dialling = {"url": url, "serial": serial, "token_file": kit / "agent.token", "ca_file": kit / "ca.pem"}
        started = agent(dialling, {"url": f"http://{HOST}:5051"})
        assert "tunnel up" in started.process.wait_log(r".*(?:tunnel up|class=refused).*")[0]
