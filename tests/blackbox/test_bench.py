# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own tools (tests/bench) do what its figures rest on: many real tunnels, clients
with a connection each, tables that compare what belongs together."""

import contextlib
import http.client
import json
import signal
import socket
import sqlite3
import subprocess
import sys

import pytest

import harness
from harness import DEADLINE, HOST, ROOT

sys.path.append(str(ROOT / "tests" / "bench"))

import many  # noqa: E402
import peers  # noqa: E402
import profile_request  # noqa: E402
import table  # noqa: E402
import turns  # noqa: E402

BUILDINGS = 5
CALL = "/api/V1/powerstatus?guid=1lzPszHWAEuvzxtXBMkzWQ"


@contextlib.contextmanager
def running(name, *arguments, says):
    command = [harness.binary(name), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == says
            yield
        finally:
            process.stdin.close()
            assert process.wait(DEADLINE) == 0


@pytest.fixture
def relay(tmp_path):
    relay = harness.Relay(tmp_path)
    relay.made = many.add_servers(tmp_path, BUILDINGS)
    relay.start()
    yield relay
    relay.process.stop()


def path(relay, i):
    return f"/{relay.made[i][2]}{CALL}"


@contextlib.contextmanager
def tunnels(relay, folder):
    lines = folder / "agents"
    lines.write_text("".join(f"{serial} {token}\n" for serial, token, _ in relay.made))
    with running("bench_agents", relay.https[1], lines, says=b"up\n"):
        yield


def test_many_agents_answer_for_many_buildings(relay, tmp_path):
    with tunnels(relay, tmp_path):
        with harness.Connection(relay.https, relay.tls_context()) as client:
            for i in range(BUILDINGS):
                answer = client.request(path(relay, i))
                assert (answer.status, len(answer.body)) == (200, 120)


def test_clients_open_and_keep_connections(relay, tmp_path):
    with tunnels(relay, tmp_path):
        with running("bench_clients", "keep", relay.https[1], path(relay, 0), 3, says=b"kept\n"):
            pass
        opening = [harness.binary("bench_clients"), "open", str(relay.https[1]), path(relay, 1)]
        said = subprocess.run([*opening, "2", "1"], check=True, stdout=subprocess.PIPE).stdout
        assert b'"failed":0' in said and b'"requests":0,' not in said


def test_clients_notice_an_answer_that_is_not_200(relay):
    path = f"/{'x' * 32}{CALL}"
    keeping = [harness.binary("bench_clients"), "keep", str(relay.https[1]), path, "1"]
    assert subprocess.run(keeping, stderr=subprocess.DEVNULL, check=False).returncode == 1


def samples_of(peer, figures):
    return [{"peer": peer, "what": "50 connections", "per_s": n} for n in figures]


def test_a_target_is_judged_by_the_median_of_the_rounds():
    one_hop, ours = [100, 100, 100], [90, 110, 120]
    rows = table.targets(samples_of("nginx, 1 hop", one_hop) + samples_of("relay + agent", ours))
    assert "| 1.10 [0.90..1.20] |" in rows[2] and "| reached" in rows[2]
    rows = table.targets(samples_of("nginx, 1 hop", ours) + samples_of("relay + agent", one_hop))
    assert "| 0.91 [0.83..1.11] |" in rows[2] and "NOT REACHED" in rows[2]


def test_a_rate_is_no_target_reached_where_the_load_was_busy_with_itself():
    def rows(load):
        samples = samples_of("nginx, 1 hop", [100] * 3) + samples_of("relay + agent", [110] * 3)
        return table.targets([{**s, "load_busy": load, "backend_busy": 0.04} for s in samples])

    assert "the load's own limit" in rows(0.94)[2] and "reached" in rows(0.5)[2]


def turn(per_s):
    return {"per_s": per_s, "cpu_us": 1e6 / per_s, "load_core": 0.5}


def begun(ours, theirs):
    """A start for each pair, of one turn each."""
    return [{"nginx, 1 hop": [turn(b)], "relay + agent": [turn(a)]} for a, b in zip(ours, theirs)]


@pytest.mark.parametrize(
    "ours, said",
    [
        (range(101, 201), "reached"),
        (range(55, 155), "reached, within the error"),
        (range(45, 145), "NOT REACHED, within the error"),
        (range(1, 101), "NOT REACHED"),
    ],
)
def test_a_ratio_is_judged_by_its_median_and_what_is_sure_of_it(ours, said):
    (row,) = turns.rows_of("50", begun(ours, [100] * 100))
    assert row[3] == ">= 1.0" and row[5] == said


def test_what_is_sure_of_a_ratio_is_told_from_the_starts_and_not_from_their_turns():
    """Starts whose turns all agree, and that differ from each other."""
    starts = [
        {"nginx, 1 hop": [turn(100)] * 50, "relay + agent": [turn(n)] * 50} for n in range(90, 100)
    ]
    (row,) = turns.rows_of("50", starts)
    assert row[4] == "0.94 [0.91..0.98]"


def test_a_peer_that_stands_still_in_some_turns_has_the_rate_of_all_of_them():
    turn_of = {100: {**turn(100), "cpu_us": 10}, 20: {**turn(20), "cpu_us": 40}}
    found = turns.of_start([turn_of[100]] * 3 + [turn_of[20]])
    assert found == {"per_s": 80, "cpu_us": (300 * 10 + 20 * 40) / 320, "load_core": 0.5}


def test_nothing_is_said_to_be_reached_after_a_few_starts_or_with_a_full_load():
    (row,) = turns.rows_of("50", begun([110] * 5, [100] * 5))
    assert row[5] == "too few starts"
    full = [{label: [{**t, "load_core": 0.99} for t in given] for label, given in start.items()}
            for start in begun([110] * 10, [100] * 10)]
    (row,) = turns.rows_of("50", full)
    assert row[5] == "the load's own limit"


def test_the_interval_of_a_median_is_that_of_order_statistics():
    """The binomial distribution's table: of 100 values the 40th and the 61st, of 10 the 2nd and the
    9th; of fewer than 6 not even the first and the last are enough."""
    assert turns.interval(range(100, 0, -1)) == (50.5, 40, 61)
    assert turns.interval(range(10, 0, -1)) == (5.5, 2, 9)
    assert turns.interval(range(6, 0, -1)) == (3.5, 1, 6)
    assert turns.interval([7]) == (7, 7, 7)


def test_builds_are_compared_with_the_first():
    start = {"before": [turn(100)] * 5, "after": [turn(110)] * 5, "same": [turn(100)] * 5}
    found = turns.rows_beside_first("50", [start] * 10)
    assert [row[1:3] for row in found] == [["after", "before"], ["same", "before"]]
    assert found[0][3].startswith("1.100 ") and found[0][4].startswith("0.909 ")
    assert found[1][3].startswith("1.000 ")


@pytest.fixture
def backend():
    command = [harness.binary("bench_backend"), "0", peers.ANSWER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def test_the_backend_answers_and_counts(backend):
    client = http.client.HTTPConnection(HOST, backend, timeout=DEADLINE)
    for n in range(1, 4):
        client.request("GET", CALL)
        answer = client.getresponse()
        assert answer.read().decode() == peers.ANSWER and answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
    client.request("GET", peers.COUNTS)
    assert f" 1 1 {n + 1} \n" in client.getresponse().read().decode()
    client.close()


def test_the_backend_answers_each_of_pipelined_and_cut_requests(backend):
    request = f"GET {CALL} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    with socket.create_connection((HOST, backend), DEADLINE) as client:
        client.sendall(request * 3 + request[:20])
        client.sendall(request[20:])
        received = b""
        while received.count(peers.ANSWER.encode()) < 4:
            received += client.recv(65536) or pytest.fail(f"closed after {received}")
    assert received.count(b"HTTP/1.1 200 OK") == 4


def test_a_load_of_new_connections_can_be_ended(relay, tmp_path):
    with tunnels(relay, tmp_path):
        opening = [harness.binary("bench_clients"), "open", str(relay.https[1]), path(relay, 1)]
        with subprocess.Popen([*opening, "2", "3600"], stdout=subprocess.PIPE) as process:
            try:
                relay.process.wait_log("msg=request .* status=200")
                process.send_signal(signal.SIGINT)
                said, _ = process.communicate(timeout=DEADLINE)
            finally:
                process.kill()
    assert process.returncode == 0 and json.loads(said)["requests"] > 0


def test_a_build_can_be_compared_with_itself():
    kinds = peers.of_builds([ROOT / "build" / "dev"] * 2)
    assert len(kinds) == 2 and {kind.build for kind in kinds.values()} == {ROOT / "build" / "dev"}
    assert len({kind.__name__ for kind in kinds.values()}) == 2  # their folders


def test_many_keys_work_and_a_tenth_of_them_has_a_scope(relay, tmp_path):
    """Of 300 keys 200 are used, which does not divide them; and half of the used ones would have a
    scope if every tenth had one and every fifth were used."""
    relay.process.stop()
    used = many.add_keys(tmp_path, 300, 200, relay.made[0][0])
    with sqlite3.connect(tmp_path / "relay.db") as db:
        (n_scopes,) = db.execute("SELECT count(*) FROM keys WHERE scope != ''").fetchone()
    db.close()
    assert len(set(used)) == 200 and 10 < n_scopes < 60
    relay.start()
    with tunnels(relay, tmp_path):
        with harness.Connection(relay.https, relay.tls_context()) as client:
            answers = {client.request(f"/{key}{CALL}").status for key in used}
    assert answers == {200}


assert HOST == "127.0.0.1"  # as the tools have it


def test_what_our_own_code_could_bring_is_counted_from_its_share():
    rounds = {
        "nginx-a": [{"kernel": 30, profile_request.OWN: 20}],
        "relay": [{"kernel": 20, profile_request.OWN: 5}],
        "agent": [{"kernel": 15, profile_request.OWN: 10}],
    }
    assert profile_request.without_own_code(rounds) == [35 / 50]
    assert profile_request.at_most([300], [100], rounds) == [300 / 100 * 50 / 35]
