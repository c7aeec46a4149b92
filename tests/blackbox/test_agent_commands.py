# SPDX-License-Identifier: Apache-2.0
"""What the agent's commands say: of an agent that runs, of keys, of a configuration, of wrong usage."""

import contextlib
import json
import os
import re
import socket
import stat
import struct

import pytest

import fake_relay as fake
from fake_relay import pack
from harness import HOST, Process, closed_port, run, wait_until
from test_agent import DEVICES_PATH, SERIAL, identities, setup  # noqa: F401 (fixtures)


# Commands


def test_status(setup):
    relay, tunnel = setup.up()
    assert stat.S_IMODE(os.stat(setup.socket).st_mode) == 0o600
    tunnel.request(1, "/api/V1/power")
    setup.server.request().answer()
    tunnel.response(1)
    status = setup.status()
    assert status["serial"] == SERIAL and status["pid"] == setup.agent.pid
    (leg,) = status["relays"]
    assert leg["relay"] == relay.url() and leg["state"] == "open" and leg["last_error"] is None
    assert status["server"]["state"] == "ok" and status["server"]["calls"] == 1
    table = run("thinknx-agent", "status", "--socket", setup.socket).stdout
    assert relay.url() in table and setup.server.url in table and "open" in table


def test_status_of_a_broken_leg(setup):
    with closed_port() as port:
        setup.start(f"wss://{HOST}:{port}").wait_log("connection refused")
        table = run("thinknx-agent", "status", "--socket", setup.socket).stdout
        assert "waiting, again in" in table or "racing" in table
        assert "connection refused" in table


def test_status_without_an_agent(setup):
    conf = setup.configure("wss://relay.example")
    done = run("thinknx-agent", "status", "--config", conf, expect=1)
    assert "no agent is running here" in done.stderr


def test_status_of_what_is_no_agent(setup):
    long = setup.folder / ("x" * 200)
    assert "longer than a socket's path may be" in run("thinknx-agent", "status", "--socket", long, expect=1).stderr
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(fake.DEADLINE)
        s.bind(str(setup.socket))
        s.listen()
        command = Process("thinknx-agent", "status", "--socket", setup.socket)
        other, _ = s.accept()
        with other, other.makefile("rb") as question:
            assert json.loads(question.readline()) == {"op": "status"}
            other.sendall(b"nonsense\n")
        command.wait_end(expect=1)
    assert "the agent's answer is no JSON" in command.log.text()


@pytest.mark.parametrize("question", [b"\n", b"[]\n", b"nonsense\n", b"x" * 5000, b'{"op":"no"}\n', b""])
def test_status_socket_survives_nonsense(setup, question):
    setup.up()
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(fake.DEADLINE)
        s.connect(str(setup.socket))
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            s.sendall(question)
            s.shutdown(socket.SHUT_WR)
            s.recv(4096)
    assert setup.status()["state"] == "running"


def test_stale_socket_is_replaced_and_a_live_one_is_not(setup):
    setup.up()
    setup.agent.kill()
    assert setup.socket.exists()
    relay, tunnel = setup.up()
    second = Process("thinknx-agent", "run", "--config", setup.folder / "agent.conf")
    second.wait_log("no status socket.*another agent listens")
    second.stop()
    assert setup.status()["pid"] == setup.agent.pid


def key_command(setup, *arguments):
    return Process("thinknx-agent", "key", *arguments, "--socket", setup.socket)


def reply(tunnel, call, body, status=0):
    payload = struct.pack("<HH", status, 0) + json.dumps(body).encode()
    tunnel.send(pack(fake.CONTROL_REPLY, call.stream, payload))


def test_key_commands(setup):
    _, tunnel = setup.up()
    made = {"id": "k_12", "serial": SERIAL, "key": "A" * 32, "url": "https://relay.example/AAA"}
    command = key_command(setup, "enable", "--label", "app", "--json")
    call = tunnel.recv(fake.CONTROL)
    assert struct.unpack_from("<H", call.payload) == (1,)
    assert json.loads(call.payload[4:]) == {"label": "app"}
    reply(tunnel, call, made)
    command.wait_end()
    assert json.loads(command.log.text()) == made
    assert made["key"] not in setup.agent.log.text()

    command = key_command(setup, "list")
    call = tunnel.recv(fake.CONTROL)
    assert struct.unpack_from("<H", call.payload) == (2,) and json.loads(call.payload[4:]) == {}
    reply(tunnel, call, [{"id": "k_12", "state": "active", "label": "my\x1b[31mapp"}])
    command.wait_end()
    assert "k_12" in command.log.text() and "\x1b" not in command.log.text()

    command = key_command(setup, "revoke", "k_12")
    call = tunnel.recv(fake.CONTROL)
    assert struct.unpack_from("<H", call.payload) == (3,)
    assert json.loads(call.payload[4:]) == {"id": "k_12"}
    reply(tunnel, call, {"error": "no such key"}, status=3)
    command.wait_end(expect=1)
    assert "no such key" in command.log.text()


def test_key_command_asks_the_relay_that_is_named(setup):
    relays = setup.relay(), setup.relay()
    setup.start(*(r.url() for r in relays))
    tunnels = [relay.tunnel().greet() for relay in relays]
    wait_until(lambda: {leg["state"] for leg in setup.status()["relays"]} == {"open"}, "both open")
    for relay, tunnel in zip(relays, tunnels):
        command = key_command(setup, "list", "--relay", relay.url())
        reply(tunnel, tunnel.recv(fake.CONTROL), [{"id": "k_1", "state": "active", "label": "app"}])
        command.wait_end()
    command = key_command(setup, "list", "--relay", "wss://elsewhere.example:443")
    command.wait_end(expect=1)
    assert "no tunnel is open" in command.log.text()


@pytest.mark.parametrize(
    "body, status, sentence",
    [(b"nonsense", 0, "the relay's answer is no JSON"), (b"", 1, "the relay refused"), (b"{}", 1, "the relay refused")],
)
def test_key_command_when_the_relay_answers_strangely(setup, body, status, sentence):
    _, tunnel = setup.up()
    command = key_command(setup, "list")
    call = tunnel.recv(fake.CONTROL)
    tunnel.send(pack(fake.CONTROL_REPLY, call.stream, struct.pack("<HH", status, 0) + body))
    command.wait_end(expect=1)
    assert sentence in command.log.text()


def test_key_command_when_the_tunnel_is_lost(setup):
    _, tunnel = setup.up()
    command = key_command(setup, "list")
    tunnel.recv(fake.CONTROL)
    tunnel.drop()
    command.wait_end(expect=1)
    assert "tunnel was lost" in command.log.text()


def test_key_command_without_a_tunnel(setup):
    with closed_port() as port:
        setup.start(f"wss://{HOST}:{port}").wait_log("connection refused")
        command = key_command(setup, "list")
        command.wait_end(expect=1)
        assert "no tunnel is open" in command.log.text()


# Configuration and command line


def test_check_says_ok(setup):
    conf = setup.configure("wss://relay.example")
    assert run("thinknx-agent", "check", "--config", conf).stdout == "OK\n"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"relay": {"url": "ws://relay.example"}}, r":2: [relay] url: ws:// is not encrypted"),
        ({"relay": {"url": "relay.example"}}, r":2: [relay] url: it must start with wss://"),
        ({"relay": {"token_file": "missing"}}, r"[relay] token_file: cannot open"),
        ({"relay": {"ca_file": "token"}}, r"[relay] ca_file: cannot load certificates"),
        ({"relay": {"pin_sha256": "abc"}}, r"[relay] pin_sha256: must be 64 hexadecimal digits"),
        ({"relay": {"proxy_user": "me"}}, r"[relay] proxy_user: there is no proxy"),
        ({"relay": {"serial": "a:b"}}, r"[relay] serial: may hold no colon"),
        ({"server": {"url": "https://x"}}, r"[server] url: "),
        ({"server": {"auth": "digest"}}, r"[server] auth: wants user and password_file"),
        ({"server": {"auth": "magic"}}, r"[server] auth: "),
        ({"server": {"user": "me"}}, r"[server] user: is not used with auth = none"),
        ({"timeouts": {"connect": "never"}}, r"[timeouts] connect: "),
        ({"nonsense": {"x": "y"}}, r"[nonsense]"),
    ],
)
def test_check_names_the_place(setup, changes, message):
    changes = {"relay": {}, **changes}
    conf = setup.configure("wss://relay.example", **changes)
    for command in ("check", "run"):
        done = run("thinknx-agent", command, "--config", conf, expect=2)
        assert str(conf) in done.stderr and message in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "No such file"),
        ("", "the device file is empty"),
        ("room,class,guid\nHall,spaceship,x\n", 'each device needs a "class"'),
        ("room,class,guid\n" + "Hall,light,x\n" * 10001, "too many rooms or devices"),
        ("room,class,guid\n" + "Hall,light,x\n" * 25000, "more than 262144 bytes"),
        (os.mkdir, "not a plain file"),
        (os.mkfifo, "not a plain file"),
    ],
    ids=["none", "empty", "class", "devices", "bytes", "folder", "pipe"],
)
def test_check_reads_the_device_files_and_says_what_the_log_would(setup, text, message):
    good, bad = setup.folder / "good.csv", setup.folder / "bad.csv"
    good.write_text("room,class,guid\nHall,light,x\n")
    if callable(text):
        text(bad)
    elif text is not None:
        bad.write_text(text)
    for section, changes in (
        ("server", {"server": {"devices": bad}}),
        ("pages", {"server": {"devices": good}, "pages": {"devices": bad}}),
    ):
        conf = setup.configure("wss://relay.example", **changes)
        done = run("thinknx-agent", "check", "--config", conf, expect=2)
        place = rf"{re.escape(str(conf))}:\d+: \[{section}\] devices: (.+)\n"
        (reason,) = re.fullmatch(f"thinknx-agent: {place}", done.stderr).groups()
        assert str(bad) in reason and message in reason
    conf = setup.configure("wss://relay.example", server={"devices": good})
    assert run("thinknx-agent", "check", "--config", conf).stdout == "OK\n"
    # One that runs does without it.
    _, tunnel = setup.up(server={"devices": bad})
    tunnel.request(1, DEVICES_PATH)
    assert tunnel.response(1).status == 503
    setup.agent.wait_log("device file unusable")
    assert f'reason={json.dumps(reason)}' in setup.agent.log.text()


def test_readable_secret_is_refused(setup):
    conf = setup.configure("wss://relay.example")
    (setup.folder / "token").chmod(0o644)
    done = run("thinknx-agent", "check", "--config", conf, expect=2)
    assert "[relay] token_file" in done.stderr and "chmod 600" in done.stderr


@pytest.mark.parametrize("command", [[], ["run"], ["check"], ["status"], ["key"]])
def test_help(command):
    done = run("thinknx-agent", *command, "--help")
    assert "Usage: thinknx-agent" in done.stdout and not done.stderr


@pytest.mark.parametrize("command", [[], ["status"]])
def test_version(command):
    assert run("thinknx-agent", *command, "--version").stdout.startswith("thinknx-agent 0.")


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["run", "--json"], ["run", "superfluous"], ["check", "--config"], ["key"]]
    + [["key", "nonsense"], ["key", "revoke"], ["key", "list", "x"], ["key", "list", "--label", "x"]]
    + [["key", "enable", "--label", "no UTF-8: \udcff"]],
)
def test_wrong_usage(arguments):
    done = run("thinknx-agent", *arguments, expect=2)
    assert done.stderr.startswith("thinknx-agent: ") and not done.stdout
