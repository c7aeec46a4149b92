# SPDX-License-Identifier: Apache-2.0
"""The agent as a process among others: its files and sockets, its signals, and what it does without."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
from pathlib import Path

import pytest

import fake_relay as fake
from fake_relay import GOAWAY_SHUTDOWN
from harness import HOST, run, wait_until
from test_agent import identities, setup  # noqa: F401 (fixtures)

CLIENTS_MAX = 8  # console.h: CONSOLE_CLIENTS_MAX
STALL_S = 8  # tunnel.h: TUNNEL_STALL_MS
DRAINING_MAX = 4  # dialer.h: DIALER_DRAINING_MAX


def serves(setup, tunnel):
    """A request through this tunnel is answered."""
    tunnel.request(101, "/api/V1/power")
    setup.server.request().answer(b"served")
    assert tunnel.response(101).body == b"served"
    return True


# Files and sockets


def test_runtime_file_says_where_the_agent_is_as_long_as_it_is(setup):
    runtime = setup.folder / "runtime.json"
    _, tunnel = setup.up(agent={"runtime_file": runtime})
    told = json.loads(runtime.read_text())
    assert (told["pid"], told["status_socket"]) == (setup.agent.pid, str(setup.socket))
    setup.agent.signal(signal.SIGTERM)
    tunnel.recv(fake.GOAWAY)
    tunnel.goaway(GOAWAY_SHUTDOWN)
    assert tunnel.wait_closed() == 1001
    setup.agent.wait_end()
    assert not runtime.exists()


def test_runtime_file_that_cannot_be_written_is_told(setup):
    relay = setup.relay()
    agent = setup.start(relay.url(), agent={"runtime_file": setup.folder / "nowhere" / "runtime.json"})
    agent.wait_log('msg="cannot start" reason=.*nowhere')
    agent.wait_end(expect=1)


def test_what_stands_at_the_status_socket_s_place_stays(setup):
    setup.socket.write_text("of somebody else")
    _, tunnel = setup.up()
    setup.agent.wait_log('"no status socket" reason=.*exists and is no socket')
    assert serves(setup, tunnel)
    setup.stop()
    assert setup.socket.read_text() == "of somebody else"


def test_pages_that_cannot_listen_hold_nothing_up(setup):
    _, tunnel = setup.up(pages={"listen": f"127.0.0.1:{setup.server.port}"})
    setup.agent.wait_log(f'"no pages" reason="cannot listen on 127.0.0.1:{setup.server.port}: address already in use"')
    assert serves(setup, tunnel)


def test_status_has_a_bound_of_clients_and_ends_with_those_that_ask_nothing(setup):
    setup.up()

    def answers():
        return run("thinknx-agent", "status", "--socket", setup.socket, expect=(0, 1)).returncode == 0

    with contextlib.ExitStack() as open_ones:

        def client():
            s = open_ones.enter_context(socket.socket(socket.AF_UNIX))
            s.settimeout(fake.DEADLINE)
            s.connect(str(setup.socket))
            return s

        clients = [client() for _ in range(CLIENTS_MAX)]
        assert client().recv(1) == b""  # one too many
        assert not answers()
        clients[0].close()
        wait_until(answers, "answered again")
        setup.agent.signal(signal.SIGTERM)
        setup.agent.wait_log("msg=ending")
        setup.stop()
        assert [s.recv(1) for s in clients[1:]] == [b""] * (CLIENTS_MAX - 1)


# Signals


def test_reload_says_what_only_a_restart_changes(setup):
    runtime, other = setup.folder / "runtime.json", setup.folder / "other.json"
    relay, _ = setup.up(agent={"runtime_file": runtime})
    other_socket = setup.folder / "other.sock"
    changes = {"agent": {"status_socket": other_socket, "runtime_file": other}, "pages": {"listen": "[::1]:0"}}
    setup.configure(relay.url(), **changes)
    setup.agent.signal(signal.SIGHUP)
    setup.agent.wait_log("configuration reloaded")
    told = re.findall(r'changes only with a restart" setting="(.*?)"', setup.agent.log.text())
    assert told == ["[agent] status_socket", "[agent] runtime_file", "[pages] listen"]
    assert run("thinknx-agent", "status", "--socket", setup.socket).stdout
    assert not other_socket.exists() and not other.exists() and runtime.exists()
    other.write_text("of another agent")
    setup.stop()
    assert not runtime.exists() and other.exists()


def told_to_stay(setup, relay, **changes):
    """Reloads; gives the settings of which the log says that they stay as they are."""
    start = setup.agent.log.count()
    setup.configure(relay.url(), **changes)
    setup.agent.signal(signal.SIGHUP)
    setup.agent.wait_log("configuration reloaded", start)
    lines = "\n".join(setup.agent.log.since(start))
    return re.findall(r'changes only with a restart" setting="(.*?)"', lines)


def test_a_reload_says_what_stays_beside_what_runs_not_beside_the_last_file(setup):
    relay, _ = setup.up(agent={"log_level": "debug"}, pages={"listen": "[::1]:0"})
    other = {"pages": {"listen": f"{HOST}:0"}}
    assert told_to_stay(setup, relay, **other) == ["[pages] listen"]
    assert told_to_stay(setup, relay, **other) == ["[pages] listen"]  # it still waits
    assert told_to_stay(setup, relay, pages={"listen": "[::1]:0"}) == []  # now nothing does


def test_a_reload_says_what_stays_at_the_new_log_level(setup):
    relay = setup.relay()
    setup.start(relay.url(), agent={"log_level": "error"})
    relay.tunnel().greet()
    assert told_to_stay(setup, relay, pages={"listen": f"{HOST}:0"}) == ["[pages] listen"]


def test_a_relay_that_a_reload_cannot_take_up_is_named_and_the_rest_is_new(setup):
    """Its certificates can be read while the file is checked, and no more when they are taken."""
    relay, tunnel = setup.up()
    other = setup.add(fake.FakeServer())
    roots = setup.folder / "roots.pem"
    os.mkfifo(roots)
    setup.configure(relay.url(), relay={"ca_file": roots}, server={"url": other.url})
    start = setup.agent.log.count()
    setup.agent.signal(signal.SIGHUP)
    roots.write_bytes(Path(setup.identities["ca"].certificate).read_bytes())

    def is_told():
        """All that read after the first find nothing of use; what the first has of it does no harm."""
        with contextlib.suppress(OSError):
            fd = os.open(roots, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"nothing\n")
            os.close(fd)
        return any("reloaded" in line for line in setup.agent.log.since(start))

    wait_until(is_told, "told of the reload")
    line = setup.agent.wait_log("level=error .*reloaded", start)
    told = setup.agent.log.text()
    assert line and "configuration reloaded, but not for every relay" in told and "roots.pem" in told
    assert "the old one stays" not in told
    tunnel.request(1, "/api/V1/power")
    other.request().answer(b"of the new server")
    assert tunnel.response(1).body == b"of the new server"


def test_no_reload_while_the_agent_ends(setup):
    _, tunnel = setup.up(timeouts={"drain": "600"})
    tunnel.request(1, "/api/V1/power")
    setup.server.request()
    setup.agent.signal(signal.SIGTERM)
    tunnel.recv(fake.GOAWAY)
    setup.agent.signal(signal.SIGHUP)
    setup.agent.signal(signal.SIGTERM)
    setup.agent.wait_end()
    assert "reloaded" not in setup.agent.log.text()


def test_a_shorter_drain_holds_for_requests_that_are_under_way(setup):
    """The tunnel was made with the longer one."""
    relay, tunnel = setup.up(timeouts={"drain": "600"})
    tunnel.request(1, "/api/V1/power")
    request = setup.server.request()
    setup.configure(relay.url(), timeouts={"drain": "0.1"})
    setup.agent.signal(signal.SIGHUP)
    setup.agent.wait_log("configuration reloaded")
    setup.agent.signal(signal.SIGTERM)
    tunnel.recv(fake.GOAWAY)
    tunnel.goaway(GOAWAY_SHUTDOWN)
    setup.agent.wait_log('"drain took too long" result="requests were cut"')
    setup.agent.wait_end()
    request.wait_cancelled()


@pytest.mark.slow
def test_an_agent_that_stood_still_beside_a_quiet_relay_dials_anew(setup):
    """As after a machine's sleep: nothing comes from the relay, which may have given the tunnel up."""
    relay = setup.relay()
    agent = setup.start(relay.url())
    tunnel = relay.tunnel().greet(ping_idle_ms=1000)  # until then its timer is due
    agent.wait_log("tunnel up")
    agent.signal(signal.SIGSTOP)
    tunnel.sock.settimeout(1 + STALL_S + 0.5)
    with pytest.raises(TimeoutError):
        while tunnel.sock.recv(4096):
            pass
    agent.signal(signal.SIGCONT)
    agent.wait_log("tunnel lost.*class=dropped.*this process stood still")
    relay.tunnel().greet()


# Bounds of tunnels


def test_of_too_many_draining_tunnels_the_oldest_is_cut(setup):
    relay, tunnel = setup.up(timeouts={"drain": "600"})
    held = []
    for i in range(DRAINING_MAX + 2):
        tunnel.request(1, f"/api/V1/{i}")
        held.append((tunnel, setup.server.request()))
        if i <= DRAINING_MAX:
            at_agent = setup.agent.log.count()
            tunnel.goaway(GOAWAY_SHUTDOWN)
            setup.agent.wait_log("tunnel draining", at_agent)
            setup.agent.signal(signal.SIGHUP)  # then it does not wait before it dials
            tunnel = relay.tunnel().greet(generation=8 + i)
    (oldest, cut), *others = held
    cut.wait_cancelled()
    oldest.wait_closed()
    for tunnel, request in others:
        request.answer(b"finished")
        assert tunnel.response(1).body == b"finished"


@pytest.mark.parametrize("end", ["read", "goaway", "text", "close"])
def test_a_relay_that_does_not_read_for_a_while_misses_nothing(setup, end):
    """More answers than the sockets hold; then it reads, or wants the end first."""
    relay = setup.relay()
    relay._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    _, tunnel = setup.up(relay)
    body = os.urandom(65000)
    streams = range(1, 2 * 60, 2)
    for stream in streams:
        tunnel.request(stream, f"/api/V1/{stream}")
    for _ in streams:
        setup.server.request().answer(body)
    wait_until(lambda: setup.status()["server"]["calls"] == len(streams), "all answered by the server")
    tunnel.send_message(b"early", fake.OP_PING)
    tunnel.send_message(b"late", fake.OP_PING)
    if end == "goaway":
        tunnel.goaway(GOAWAY_SHUTDOWN)
    elif end == "text":
        tunnel.send_message(b"hello", opcode=1)
        assert tunnel.wait_closed() == 1003
        return
    elif end == "close":
        tunnel.send_message(struct.pack(">H", 1011), fake.OP_CLOSE)
        assert tunnel.wait_closed() == 1000
        setup.agent.wait_log(r"relay closed the tunnel \(code 1011\)")
        return
    for stream in streams:
        assert tunnel.response(stream).body == body
    assert tunnel.pongs[-1] == b"late"
    if end == "goaway":
        assert tunnel.wait_closed() == 1001
