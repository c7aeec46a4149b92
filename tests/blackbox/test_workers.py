# SPDX-License-Identifier: Apache-2.0
"""A relay with four workers, and only such clients whose every request is handed to another worker,
the one that has the tunnel. Under ThreadSanitizer:

    cmake --preset tsan && cmake --build --preset tsan
    TNX_BUILD=build/tsan pytest -c tests/pytest.ini --rootdir tests tests/blackbox/test_workers.py
"""

import concurrent.futures
import re

import pytest

import harness
from admin_api import admin_of

WORKERS = 4
CLIENTS = 6
CALLS = 40  # of each client
# Three of four connections reach another worker; that so many do not has no chance.
TRIES = 100
STATUS = "system/serverStatus"


@pytest.fixture
def relay_of_four(start_building):
    conf = {"relay": {"workers": WORKERS}, "admin": {"listen": f"{harness.HOST}:0"}}
    return start_building(auth="none", relay=conf)


def handed_on(building):
    """How many requests have been handed to another worker so far."""
    runtime = harness.json.loads(building.relay.runtime_file.read_text())
    with harness.Connection((harness.HOST, harness.bound_port(runtime, "admin"))) as c:
        text = c.request("/metrics").body.decode()
    return int(re.search(r"^thinknx_relay_handed_on_total (\d+)$", text, re.M)[1])


def crossing_clients(building, n):
    """Connections that are not on the tunnel's worker."""
    found = []
    for _ in range(TRIES):
        client = building.connect()
        before = handed_on(building)
        assert client.request(building.path(STATUS)).status == 200
        if handed_on(building) > before:
            found.append(client)
        else:
            client.close()
        if len(found) == n:
            return found
    raise AssertionError(f"only {len(found)} of {TRIES} connections are on another worker")


def all_at_once(clients, call, meanwhile=lambda: None):
    """Runs call(client, number) for all clients in threads; what they return, and no exception.
    `meanwhile` runs in our own: a process would end with the thread that started it."""
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        results = pool.map(call, clients, range(len(clients)))
        meanwhile()
        return list(results)


def test_every_request_is_handed_over_and_answered(relay_of_four):
    building = relay_of_four
    clients = crossing_clients(building, CLIENTS)
    before = handed_on(building)

    def call(client, number):
        for i in range(CALLS):
            own = f"{number}-{i}"
            post = i % 2 == 1
            answer = client.request(
                building.path(STATUS),
                "POST" if post else "GET",
                [f"X-Request-Id: {own}"],
                b"x=" + b"y" * (i * 997) if post else b"",
            )
            assert (answer.status, answer.value("X-Request-Id")) == (200, own)

    all_at_once(clients, call)
    assert handed_on(building) - before == CLIENTS * CALLS
    for client in clients:
        client.close()


def test_a_building_s_limit_holds_for_all_workers(start_building):
    """And an operator's call, which the pages' worker sends, is handed over as well."""
    conf = {"relay": {"workers": WORKERS}, "admin": {"listen": f"{harness.HOST}:0"},
            "limits": {"in_flight_per_server": 1}}
    building = start_building(auth="none", relay=conf, simulator=["--answer-delay-ms", "250"])
    clients = crossing_clients(building, 3)

    def call(client, _):
        answer = client.request(building.path(STATUS))
        return (answer.status, None) if answer.status == 200 else (answer.status, answer.json()["reason"])

    answers = all_at_once(clients, call)
    assert set(answers) == {(200, None), (503, "overloaded")}
    for client in clients:
        client.close()
    for _ in range(TRIES):  # until the tunnel is not on the first worker, which has the pages
        before = handed_on(building)
        told = admin_of(building.relay).post(f"/servers/{harness.SERIAL}/call", {"controller": STATUS})
        assert (told["status"], told["reason"]) == (200, None)
        if handed_on(building) > before:
            break
        building.agent.process.stop()
        building.start_agent()
    else:
        raise AssertionError("no call of an operator's was handed over")


def test_handed_over_requests_survive_their_clients_agents_and_keys(relay_of_four):
    building = relay_of_four
    clients = crossing_clients(building, CLIENTS)
    spare = building.relay.command("key", "enable", harness.SERIAL)
    before = handed_on(building)

    def call(client, number):
        statuses = []
        if number == 0:  # goes away without its answer, again and again
            for _ in range(CALLS):
                with building.connect() as gone:
                    gone.send(harness.request(building.path(STATUS)))
        elif number == 1:  # a key that is taken away in the middle
            for i in range(CALLS):
                if i == CALLS // 2:
                    building.relay.command("key", "revoke", spare["id"])
                statuses.append(client.request(building.path(STATUS, spare["key"])).status)
        else:
            for _ in range(CALLS):
                statuses.append(client.request(building.path(STATUS)).status)
        return statuses

    def restart_agent():
        building.agent.process.kill()
        building.start_agent()

    statuses = all_at_once(clients, call, restart_agent)
    # 502: it was under way when the agent was killed.
    assert {s for each in statuses for s in each} <= {200, 403, 502, 503}
    assert all(s in (200, 502) for each in statuses[2:] for s in each), statuses
    # Later the same connections work as before, although the tunnel may be another worker's now.
    for client in clients:
        assert client.request(building.path(STATUS)).status == 200
        client.close()
    assert handed_on(building) > before
