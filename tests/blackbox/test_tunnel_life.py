# SPDX-License-Identifier: Apache-2.0
"""The tunnel never lies: what is offline shows as such at once and heals by itself, what is asked
meanwhile gets one honest answer, and a restart of either program loses no request.

Times are limits that the product promises; on a busy machine they are met with room to spare."""

import contextlib
import json
import re
import shutil
import signal
import socket
import sys
import threading
import time

import pytest

import harness
from cutter import Cutter
from harness import DEADLINE, HOST, ROOT, Agent, Connection, Process, bound_port, closed_port
from harness import merged, request, secret_file, wait_until

sys.path.insert(0, str(ROOT / "tests" / "load"))

from load import Load, Succession, adopt_orphans, fixed_ports, wait_gone  # noqa: E402

LIGHT = "1lzPszHWAEuvzxtXBMkzWQ"
STATUS = f"powerstatus?guid={LIGHT}"
ADMIN = {"admin": {"listen": f"{HOST}:0"}}
SILENT = ["--answer-delay-ms", "60000"]
SLOW = ["--answer-delay-ms", "1500"]
# Silence is noticed after a second, and taken for death after another one.
QUICK = {"ping_idle": 1, "reply_deadline": 1}


def command(value):
    """A command whose answer repeats its value."""
    return f"system/sendKNXfloat4bytes?group=1/0/1&value={value}"


def slow_command(value):
    """One whose answer comes when the device has confirmed, and tells its state by then: not to be
    used twice at a time."""
    return f"setvalue?guid={LIGHT}&cmd={value}&fb"


def is_done(answer, value):
    told = answer.json()
    return answer.status == 200 and value in (told.get("value"), told.get("status"))


def values(building):
    """Of all commands that were executed, in order."""
    return [line["value"] for line in building.commands()]


def admin(building, target):
    runtime = json.loads(building.relay.runtime_file.read_text())
    with Connection((HOST, bound_port(runtime, "admin"))) as c:
        return c.request(target)


def is_online(building):
    status = admin(building, "/readyz?serial=TNX-0001").status
    assert status in (200, 503)
    return status == 200


def legs(building):
    (server,) = admin(building, "/status").json()["servers"]
    return server


def sent(building, *calls):
    """Connections on which these calls were made; they have reached the building."""
    connections = []
    for i, call in enumerate(calls):
        c = building.connect()
        c.send(request(building.path(f"{call}&call={i}.")))
        building.wait_call(f"&call={i}.")
        connections.append(c)
    return connections


def assert_lost(answer):
    assert (answer.status, answer.json()["reason"]) == (502, "tunnel_lost"), answer
    # The building may have executed it.
    assert answer.json()["delivered"] in (True, "unknown")


def second_agent(building, folder, **changes):
    """Another agent with the identity of the building's own."""
    conf = {
        "relay": {
            "url": f"wss://{HOST}:{building.relay.https[1]}",
            "serial": "TNX-0001",
            "token_file": "agent.token",
            "ca_file": building.ca,
        },
        "server": {
            "url": building.simulator.url,
            "auth": building.auth,
            "user": "service",
            "password_file": "password",
        },
    }
    secret_folder = folder / "second"
    agent = Agent(secret_folder, merged(conf, changes))
    secret_file(secret_folder / "agent.token", building.token)
    secret_file(secret_folder / "password", building.password)
    return agent


@pytest.fixture
def line():
    """A line to a relay that is not there yet."""
    with Cutter() as cutter:
        yield cutter


@pytest.fixture
def building_on(start_building, line):
    """building_on(**options): a building whose agent reaches the relay over `line`."""

    def start(agent=None, **options):
        url = {"relay": {"url": f"wss://{HOST}:{line.port}"}}
        building = start_building(start=False, agent=merged(url, agent), **options)
        line.target = building.relay.https
        building.start_agent()
        return building

    return start


@contextlib.contextmanager
def ended(*processes):
    """Ends what else a test has started."""
    try:
        yield
    finally:
        for p in processes:
            p.process.kill()


# --- an agent that dies -----------------------------------------------------------------------


def test_a_killed_agent_is_offline_within_a_second_and_its_calls_are_answered(start_building):
    building = start_building(simulator=SILENT, relay=merged(ADMIN, {"timeouts": {"probe": 0}}))
    connections = sent(building, *[command(i) for i in range(4)])
    assert legs(building)["tunnel_up"]
    start = building.relay.process.log.count()
    building.agent.process.kill()
    killed = time.monotonic()
    for c in connections:
        assert_lost(c.answer())
        c.close()
    building.relay.process.wait_log("tunnel closed", start)
    told = legs(building)
    took = time.monotonic() - killed
    assert not told["tunnel_up"] and not told["online"] and told["tunnel_reason"]
    assert not is_online(building)
    assert took < 1, f"took {took:.2f} s"
    assert values(building) == [0, 1, 2, 3]


def test_online_means_that_the_server_has_answered(start_building):
    building = start_building(relay=merged(ADMIN, {"timeouts": {"probe": 60}}))
    wait_until(lambda: is_online(building), "online")
    assert legs(building)["server_leg"] == "ok"
    building.agent.process.kill()
    wait_until(lambda: not is_online(building), "offline", 1)


# --- a line that breaks -----------------------------------------------------------------------


@pytest.mark.parametrize("up, down", [(True, True), (True, False), (False, True)])
def test_a_half_open_tunnel_is_declared_dead_on_both_sides(building_on, line, up, down):
    building = building_on(simulator=SILENT, relay=merged(ADMIN, {"timeouts": QUICK}))
    (c,) = sent(building, command(1))
    relay, agent = building.relay.process, building.agent.process
    at_relay, at_agent = relay.log.count(), agent.log.count()
    line.stall(up, down)
    stalled = time.monotonic()
    # Two seconds by the settings, and the ticks by which they are looked at.
    relay.wait_log("tunnel closed", at_relay, 5)
    agent.wait_log("tunnel lost|tunnel draining", at_agent, 5)
    assert_lost(c.answer())
    c.close()
    assert time.monotonic() - stalled < 5
    assert not is_online(building)
    line.resume()
    relay.wait_log("tunnel up", at_relay, 3)


@pytest.mark.slow
def test_a_half_open_tunnel_is_dead_within_35_s_by_default(building_on, line):
    building = building_on()
    relay, agent = building.relay.process, building.agent.process
    line.stall()
    stalled = time.monotonic()
    relay.wait_log("tunnel closed", 0, 35)
    agent.wait_log("tunnel lost", 0, 35 - (time.monotonic() - stalled))
    at_relay = relay.log.count()
    line.resume()
    relay.wait_log("tunnel up", at_relay, 3)


def test_a_cut_tunnel_is_back_within_3_s_of_the_lines_return(building_on, line):
    building = building_on(simulator=SILENT, agent={"agent": {"log_level": "debug"}})
    (c,) = sent(building, command(1))
    agent, relay = building.agent.process, building.relay.process
    start, at_agent = relay.log.count(), agent.log.count()
    line.refuse()
    cut = time.monotonic()
    assert line.cut() == 1
    assert_lost(c.answer())
    c.close()
    assert time.monotonic() - cut < 1
    relay.wait_log("tunnel closed", start, 1)
    for _ in range(3):
        at_agent = agent.log.wait(lambda s: "relay not reached" in s, at_agent, "attempt")[0] + 1
    start = relay.log.count()
    line.resume()
    relay.wait_log("tunnel up", start, 3)


def test_a_slow_line_is_no_dead_line(building_on, line):
    building = building_on(relay={"timeouts": QUICK})
    start = building.relay.process.log.count()
    line.delay(0.4)
    for i in range(4):
        answer = building.get(building.path(command(i)))
        assert is_done(answer, i), answer
    assert values(building) == [0, 1, 2, 3]
    assert "tunnel closed" not in "\n".join(building.relay.process.log.since(start))


def test_a_returning_agent_is_not_refused_because_of_its_ghost(building_on, line):
    """The relay still believes in the old tunnel, with its default times, when the new one comes."""
    building = building_on(simulator=["--feedback-delay-ms", "60000"])
    (c,) = sent(building, slow_command(1))
    line.freeze()
    building.agent.process.kill()
    start = building.relay.process.log.count()
    begun = time.monotonic()
    building.agent.start()
    building.relay.process.wait_log("tunnel up.*replaced=true", start, 3)
    assert building.get(building.path(STATUS)).status == 200
    assert time.monotonic() - begun < 3
    # What the ghost had in flight is not left to its deadline of 30 s.
    assert_lost(c.answer())
    c.close()
    assert time.monotonic() - begun < 8
    # The late end of the old tunnel does not take the new one away.
    building.relay.process.wait_log("tunnel closed", start)
    assert building.get(building.path(STATUS)).status == 200
    assert values(building) == [1]


def test_two_agents_with_one_identity_do_not_flap(start_building, tmp_path):
    building = start_building()
    relay, first = building.relay.process, building.agent.process
    second = second_agent(building, tmp_path)
    start = relay.log.count()
    second.start()
    with ended(second):
        relay.wait_log("tunnel up.*replaced=true", start)
        told = first.wait_log(r"another agent with this serial.* retry_ms=(\d+)")
        assert int(told[1]) >= 30000
        for i in range(50):
            assert building.get(building.path(command(i))).status == 200
        assert values(building) == list(range(50))
        ups = [line for line in relay.log.since(start) if "tunnel up" in line]
        assert len(ups) == 1
        second.process.stop()


def test_a_takeover_under_load_answers_every_call_once(start_building, tmp_path):
    """Agents of one identity replace each other while commands run."""
    building = start_building()
    stop, wrong, n = threading.Event(), [], [0] * 4

    def client(i):
        with building.connect() as c:
            while not stop.is_set():
                n[i] += 1
                value = i * 10000 + n[i]
                answer = c.request(building.path(command(value)))
                if not is_done(answer, value):
                    wrong.append((value, answer))

    threads = [threading.Thread(target=client, args=(i,), daemon=True) for i in range(4)]
    agents = [second_agent(building, tmp_path / str(i)) for i in range(3)]
    for thread in threads:
        thread.start()
    started = []
    try:
        for agent in agents:
            start = building.relay.process.log.count()
            agent.start()
            started.append(agent)
            building.relay.process.wait_log("tunnel up.*replaced=true", start)
            at = sum(n)
            wait_until(lambda: sum(n) > at + 20, "20 calls further")
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        for agent in started:
            agent.process.kill()
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    executed = values(building)
    assert len(set(executed)) == len(executed) == sum(n)


# --- parked requests --------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_a_request_waits_for_an_agent_that_is_restarted(start_building, end):
    building = start_building(relay={"timeouts": {"offline_grace": 20, "server": 30, "server_fb": 30}})
    start = building.relay.process.log.count()
    getattr(building.agent.process, {"killed": "kill", "stopped": "stop"}[end])()
    building.relay.process.wait_log("tunnel closed", start)
    connections = [building.connect() for _ in range(8)]
    for i, c in enumerate(connections):
        c.send(request(building.path(command(i))))
    building.start_agent()
    for i, c in enumerate(connections):
        answer = c.answer()
        assert is_done(answer, i), answer
        c.close()
    assert sorted(values(building)) == list(range(8))


def test_beyond_the_grace_a_request_is_told_that_the_building_is_offline(start_building):
    building = start_building(relay={"timeouts": {"offline_grace": "0.5"}})
    building.agent.process.kill()
    building.relay.process.wait_log("tunnel closed")
    begun = time.monotonic()
    answer = building.get(building.path(command(1)))
    took = time.monotonic() - begun
    assert (answer.status, answer.json()["reason"]) == (503, "server_offline")
    assert answer.json()["delivered"] is False
    assert int(answer.value("Retry-After")) >= 1
    assert 0.4 < took < 2
    building.start_agent()
    assert building.get(building.path(command(2))).status == 200
    assert values(building) == [2]


def test_only_so_many_requests_wait(start_building):
    limits = {"limits": {"parked": 2}, "timeouts": {"offline_grace": 20, "server": 30}}
    building = start_building(relay=limits)
    building.agent.process.kill()
    building.relay.process.wait_log("tunnel closed")
    connections = [building.connect() for _ in range(3)]
    start = building.relay.process.log.count()
    for i, c in enumerate(connections):
        c.send(request(building.path(command(i))))
    building.relay.process.wait_log("reason=server_offline", start, 5)
    building.start_agent()
    statuses = sorted(c.answer().status for c in connections)
    for c in connections:
        c.close()
    assert statuses == [200, 200, 503]
    assert len(values(building)) == 2


# --- the leg behind the agent -----------------------------------------------------------------


def test_a_frozen_server_shows_as_offline_and_as_online_when_it_is_back(start_building, tmp_path):
    control = tmp_path / "control.json"
    control.write_text("{}")
    building = start_building(
        simulator=["--control", control],
        relay=merged(ADMIN, {"timeouts": {"probe": "0.3"}}),
        agent={"timeouts": {"answer": "0.5"}},
    )
    wait_until(lambda: is_online(building), "online")
    simulator = building.simulator.process
    for stall, leg in ((True, "broken"), (False, "ok")):
        start = simulator.log.count()
        control.write_text(json.dumps({"stall": stall}))
        simulator.signal(signal.SIGHUP)
        simulator.wait_log("reloaded", start)
        wait_until(lambda: is_online(building) != stall, f"server leg {leg}", 5)
        told = legs(building)
        assert (told["tunnel_up"], told["server_leg"]) == (True, leg), told
        assert bool(told["server_reason"]) == stall


def test_a_call_that_times_out_shows_too(start_building, tmp_path):
    control = tmp_path / "control.json"
    control.write_text("{}")
    building = start_building(
        simulator=["--control", control],
        relay=merged(ADMIN, {"timeouts": {"probe": 60}}),
        agent={"timeouts": {"answer": "0.5"}},
    )
    wait_until(lambda: is_online(building), "online")
    control.write_text('{"stall": true}')
    building.simulator.process.signal(signal.SIGHUP)
    building.simulator.process.wait_log("reloaded 1")
    assert building.get(building.path(STATUS)).status == 504
    wait_until(lambda: not is_online(building), "offline", 3)


def test_a_building_whose_every_place_is_taken_stays_online(start_building):
    """There is no room for the relay's own calls, by which it learns that; those of others tell as much."""
    limits = {"limits": {"in_flight_per_server": 1}, "timeouts": {"probe": "0.2"}}
    building = start_building(simulator=["--feedback-delay-ms", "2500"], relay=merged(ADMIN, limits))
    wait_until(lambda: is_online(building), "online")
    # The one place may be the relay's own just then.
    while (answer := building.get(building.path(slow_command(1)))).status == 503:
        assert (answer.json()["reason"], answer.json()["delivered"]) == ("overloaded", False)
    assert is_done(answer, 1), answer
    assert is_online(building) and values(building) == [1]


# --- an agent that stands still ---------------------------------------------------------------


def late_answers(building, line_is_given_up):
    """Stops the agent until a call on each connection has failed, continues it, and makes other
    calls on the same connections: each must get its own answer."""
    agent = building.agent.process
    connections = [building.connect() for _ in range(8)]
    at_relay = building.relay.process.log.count()
    agent.signal(signal.SIGSTOP)
    try:
        for i, c in enumerate(connections):
            c.send(request(building.path(command(100 + i)), fields=[f"X-Request-Id: old-{i}"]))
        for i, c in enumerate(connections):
            answer = c.answer()
            assert answer.status == (502 if line_is_given_up else 504), answer
            assert answer.json()["delivered"] == "unknown"
            assert answer.value("X-Request-Id") == f"old-{i}"
    finally:
        agent.signal(signal.SIGCONT)
    if line_is_given_up:
        building.relay.wait_tunnel(at_relay)
    for turn in range(5):
        for i, c in enumerate(connections):
            c.send(request(building.path(command(turn * 10 + i)), fields=[f"X-Request-Id: {turn}-{i}"]))
            answer = c.answer()
            assert answer.value("X-Request-Id") == f"{turn}-{i}"
            assert is_done(answer, turn * 10 + i), answer
    for c in connections:
        c.close()
    executed = values(building)
    assert len(executed) == len(set(executed))
    assert {turn * 10 + i for turn in range(5) for i in range(8)} <= set(executed)


def test_no_late_answer_reaches_a_new_request(start_building):
    building = start_building(relay={"timeouts": {"server": 1, "server_fb": 1}})
    late_answers(building, line_is_given_up=False)


def test_no_late_answer_crosses_to_a_new_tunnel(start_building):
    building = start_building(relay={"timeouts": merged({"t": QUICK}, {"t": {"server": 20}})["t"]})
    late_answers(building, line_is_given_up=True)


@pytest.mark.slow
def test_an_agent_that_stood_still_for_a_minute(start_building):
    building = start_building()
    agent, relay = building.agent.process, building.relay.process
    at_relay, begun = relay.log.count(), time.monotonic()
    agent.signal(signal.SIGSTOP)
    try:
        n = 0
        while time.monotonic() - begun < 60:  # each waits until it is given up, or parked
            n += 1
            answer = building.get(building.path(command(1000 + n)))
            assert answer.status in (502, 503, 504)
            assert answer.json()["delivered"] in (False, "unknown")
    finally:
        agent.signal(signal.SIGCONT)
    relay.wait_log("tunnel up", at_relay, 5)
    for i in range(50):
        answer = building.get(building.path(command(i)))
        assert is_done(answer, i), answer
    executed = values(building)
    assert len(executed) == len(set(executed)) and set(range(50)) <= set(executed)


# --- a client that goes away ------------------------------------------------------------------


def test_a_client_that_goes_away_ends_the_agents_call(start_building):
    """Seen by a server played by hand: the agent hangs up."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(DEADLINE)
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        building = start_building(auth="none", agent={"server": {"url": url}})
        c = building.connect()
        c.send(request(building.path(STATUS)))
        server, _ = listener.accept()
        with server:
            server.settimeout(DEADLINE)
            received = server.recv(65536)
            assert received.startswith(b"GET /api/V1/powerstatus?")
            c.close()
            gone = time.monotonic()
            with contextlib.suppress(ConnectionResetError):
                assert server.recv(1) == b""
            assert time.monotonic() - gone < 1
        # The place that it had is free again.
        other = building.connect()
        other.send(request(building.path(STATUS)))
        server, _ = listener.accept()
        with server:
            server.settimeout(DEADLINE)
            assert server.recv(65536)
            server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            assert other.answer().body == b"{}"
        other.close()


def test_a_client_that_goes_away_while_its_call_waits_is_never_executed(start_building):
    building = start_building(relay={"timeouts": {"offline_grace": 20, "server": 30, "server_fb": 30}})
    building.agent.process.kill()
    building.relay.process.wait_log("tunnel closed")
    c = building.connect()
    start = building.relay.process.log.count()
    c.send(request(building.path(command(1))))
    with building.connect() as other:
        # An answer that the relay makes itself, behind the first request on the same thread.
        assert other.request("/" + "x" * 40 + "/api/V1/a").status == 403
        c.close()
        building.relay.process.wait_log("serial=TNX-0001 controller=system/sendKNXfloat4bytes", start)
    building.start_agent()
    assert building.get(building.path(command(2))).status == 200
    assert values(building) == [2]


# --- a server that is disabled ----------------------------------------------------------------


@pytest.mark.parametrize("verb", ["disable", "remove"])
def test_a_disabled_server_loses_its_tunnel_at_once(start_building, verb):
    building = start_building(simulator=SILENT, relay=ADMIN)
    (c,) = sent(building, command(1))
    start, at_agent = building.relay.process.log.count(), building.agent.process.log.count()
    building.relay.command("server", verb, "TNX-0001")
    done = time.monotonic()
    building.relay.process.wait_log("tunnel closed", start, 2)
    took = time.monotonic() - done
    answer = c.answer()
    c.close()
    assert answer.status in (403, 502) and answer.json()["delivered"] in (True, "unknown")
    told = building.agent.process.wait_log(r"disabled.* retry_ms=(\d+)", at_agent)
    assert int(told[1]) >= 30000
    assert took < 0.5 + 0.5, f"took {took:.2f} s"


# --- drain and restart ------------------------------------------------------------------------


def test_a_draining_relay_takes_no_new_connection_and_ends_when_all_is_answered(start_building):
    building = start_building(simulator=SLOW)
    connections = sent(building, *[command(i) for i in range(4)])
    relay = building.relay.process
    relay.signal(signal.SIGTERM)
    relay.wait_log("msg=draining")
    # A connection is refused as soon as the listener is closed.
    wait_until(lambda: not accepts(building.relay.https), "closed", 2)
    for i, c in enumerate(connections):
        answer = c.answer()
        assert is_done(answer, i), answer
        assert answer.value("Connection") == "close"
        c.close()
    relay.wait_end(deadline=5)
    assert values(building) == [0, 1, 2, 3]


def accepts(address):
    try:
        socket.create_connection(address, timeout=DEADLINE).close()
    except ConnectionError:
        return False
    return True


def test_a_draining_agent_finishes_its_calls_and_new_ones_go_to_the_next_agent(start_building, tmp_path):
    building = start_building(
        simulator=SLOW,
        relay={"timeouts": {"offline_grace": 20, "server": 30, "server_fb": 30}},
    )
    connections = sent(building, *[command(i) for i in range(4)])
    agent, relay = building.agent.process, building.relay.process
    start = relay.log.count()
    agent.signal(signal.SIGTERM)
    relay.wait_log("msg=\"agent drains\"", start)
    late = building.connect()
    late.send(request(building.path(command(9))))
    next_agent = second_agent(building, tmp_path)
    next_agent.start()
    with ended(next_agent):
        answer = late.answer()
        assert is_done(answer, 9), answer
        late.close()
        for i, c in enumerate(connections):
            answer = c.answer()
            assert is_done(answer, i), answer
            c.close()
        agent.wait_end(deadline=5)
        assert sorted(values(building)) == [0, 1, 2, 3, 9]
        next_agent.process.stop()


def test_an_agent_that_drains_alone_refuses_honestly(start_building):
    building = start_building(
        simulator=["--feedback-delay-ms", "1500"], relay={"timeouts": {"offline_grace": "0.2"}}
    )
    (c,) = sent(building, slow_command(1))
    building.agent.process.signal(signal.SIGTERM)
    building.relay.process.wait_log("agent drains")
    answer = building.get(building.path(command(2)))
    assert (answer.status, answer.json()["delivered"]) == (503, False)
    assert c.answer().status == 200
    c.close()
    building.agent.process.wait_end(deadline=5)
    assert values(building) == [1]


RESTART_CONNECTIONS, RESTART_RATE = 20, 60


def load_on(building):
    return Load(
        building.relay.https,
        building.relay.tls_context(),
        building.path(STATUS),
        RESTART_CONNECTIONS,
        RESTART_RATE,
    )


def assert_no_failure(load):
    assert load.n_done > RESTART_CONNECTIONS * 3
    assert not load.failures, load.describe()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_restart_by_sigusr2_under_load_loses_no_request(start_building, workers):
    adopt_orphans()
    conf = {"relay": {"workers": workers}}
    building = start_building(auth="basic", relay=conf)
    relays = Succession(building, conf)
    try:
        load = load_on(building)
        try:
            for _ in range(2):
                load.wait_done(RESTART_RATE // 2)
                relays.replace()
            load.wait_done(RESTART_RATE // 2)
        finally:
            load.stop()
    finally:
        relays.close()
    assert_no_failure(load)
    building.stop()


def test_a_second_relay_beside_the_first_takes_over_under_load(start_building):
    building = start_building(auth="basic")
    relay = building.relay
    first, https = relay.process, relay.https
    relay.configure(fixed_ports(relay))
    load = load_on(building)
    try:
        load.wait_done(RESTART_RATE // 2)
        start = first.log.count()
        relay.start()
        assert relay.https == https
        first.signal(signal.SIGTERM)
        first.wait_log("msg=draining", start)
        load.wait_done(RESTART_RATE)
        first.wait_end()
        load.wait_done(RESTART_RATE // 2)
    finally:
        load.stop()
        first.kill()
    assert_no_failure(load)


def test_a_slow_call_on_the_old_relay_does_not_keep_the_new_one_offline(start_building):
    adopt_orphans()
    building = start_building(simulator=["--feedback-delay-ms", "8000"])
    relays = Succession(building)
    (slow,) = sent(building, slow_command(1))
    replaced = threading.Thread(target=relays.replace, daemon=True)
    try:
        start = building.relay.process.log.count()
        replaced.start()
        building.relay.process.wait_log("msg=draining", start)
        answers = [building.get(building.path(STATUS)).status for _ in range(5)]
        assert slow.answer().status == 200
    finally:
        slow.close()
        replaced.join(DEADLINE)
        relays.close()
    assert answers == [200] * 5


def test_a_new_process_that_cannot_start_leaves_the_old_one_serving(start_building):
    building = start_building()
    building.relay.configure({"https": {"certificate": "nowhere.pem"}})
    relay = building.relay.process
    start = relay.log.count()
    relay.signal(signal.SIGUSR2)
    relay.wait_log("goes on serving", start)
    assert building.get(building.path(STATUS)).status == 200

    def said(what):
        return sum(what in line for line in relay.log.since(start))

    # One at a time is started.
    while not said("a new process is being started already"):
        relay.signal(signal.SIGUSR2)
    wait_until(lambda: said("goes on serving") == said("starting a new process"), "ended")
    assert building.get(building.path(STATUS)).status == 200


def test_a_program_that_is_gone_leaves_the_old_process_serving(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "thinknx-relay"
    program.parent.mkdir()
    shutil.copy(harness.binary("thinknx-relay"), program)
    monkeypatch.setattr(harness, "BUILD", tmp_path)
    relay = harness.Relay(tmp_path / "relay", ADMIN).start()
    try:
        program.unlink()
        relay.process.signal(signal.SIGUSR2)
        relay.process.wait_log("cannot be replaced.*cannot start .*no such file")
        assert accepts(relay.https)
        relay.process.stop()
    finally:
        relay.process.kill()


def test_signals_during_the_end_are_no_death(start_building):
    """However many come, up to the last instruction: the exit code is the relay's own."""
    building = start_building()
    relay = building.relay.process
    while relay.running():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            relay.signal(number)
    relay.wait_end()


def test_a_draining_relay_starts_no_successor(start_building):
    building = start_building(simulator=["--feedback-delay-ms", "1500"])
    (c,) = sent(building, slow_command(1))
    relay = building.relay.process
    relay.signal(signal.SIGTERM)
    relay.wait_log("msg=draining")
    relay.signal(signal.SIGUSR2)
    relay.wait_log("cannot be replaced.*it is ending")
    assert is_done(c.answer(), 1)
    c.close()
    relay.wait_end()


def test_a_second_signal_ends_a_relay_whose_agent_takes_nothing_more(start_building):
    """The calls that wait for the line are answered for what they are, and nothing of them is lost or doubled."""
    building = start_building(relay={"relay": {"workers": 1}})
    relay, agent = building.relay.process, building.agent.process
    agent.signal(signal.SIGSTOP)
    try:
        connections = [building.connect() for _ in range(20)]
        for i, c in enumerate(connections):
            c.send(request(building.path(command(i)), "POST", body=b"x" * 60000))
            assert building.get("/nobody/x").status == 403  # meanwhile it has read some of that
        relay.signal(signal.SIGTERM)
        relay.wait_log("msg=draining")
        relay.signal(signal.SIGTERM)
        relay.wait_end(deadline=10)
        told = []
        for c in connections:
            answer = c.answer()
            told.append((answer.status, answer.json()["delivered"]))
            c.close()
        assert told.count((504, "unknown")) >= 5
        assert set(told) <= {(504, "unknown"), (408, False)}
    finally:
        agent.signal(signal.SIGCONT)
    assert len(values(building)) == len(set(values(building)))


# --- storms -----------------------------------------------------------------------------------


def test_a_killed_relay_is_found_again_within_3_s(start_building):
    building = start_building()
    relay = building.relay
    with closed_port(relay.https[1]):
        relay.configure(fixed_ports(relay))
        relay.process.kill()
        relay.start()
        relay.process.wait_log("tunnel up", 0, 3)
        assert building.get(building.path(command(1))).status == 200
    assert values(building) == [1]
