# SPDX-License-Identifier: Apache-2.0
"""A line on which nothing is heard any more: the agent makes a new tunnel beside the silent one. Real
packets in network namespaces (network.py)."""

import contextlib
import json
import signal
import socket
import struct
import threading

import pytest

import bad_network
import fake_relay as fake
import own_network
from harness import request, run, secret_file, wait_until
from network import NEAR, Network
from own_network import in_own_network

STATUS = "system/serverStatus"
SILENT = "tunnel is silent"
# Nothing is heard for 3.5 s at the most, then up to a second of jitter.
FORGOTTEN = 8
# Until attempts to connect are given up, with as much again for a busy machine.
RACE = 20
# A new attempt is made within 2 s.
SOON = 5
# A command that takes longer than a replaced tunnel had before its agent told the relay that it is alive.
LONG_MS = 16000
LINGER_RESET = struct.pack("ii", 1, 0)

pytestmark = [
    pytest.mark.slow,
    own_network.needed,
]


@contextlib.contextmanager
def far_building(folder, **options):
    """A building with default times, behind a network; both are gone at the end."""
    network = Network()
    building = bad_network.build(folder / "building", network, relay={}, agent={}, **options)
    try:
        building.start_agent()
        building.agent.process.wait_log("tunnel up")
        yield building, network
        building.stop()
    finally:
        building.kill()
        network.close()


def agent_state(building):
    """Of its tunnel, as the agent has it."""
    done = run("thinknx-agent", "status", "--json", "--config", building.agent.conf)
    (relay,) = json.loads(done.stdout)["relays"]
    return relay["state"]


@in_own_network
def test_back_within_seconds_after_a_router_forgot_the_connection(tmp_path):
    """Nothing tells either end: its packets vanish, those of a new connection would pass. No call is
    needed for the agent to see it."""
    with far_building(tmp_path) as (building, network):
        at_relay = building.relay.process.log.count()
        network.forget()
        building.relay.process.wait_log("tunnel up.* replaced=true", at_relay, FORGOTTEN)
        assert building.get(building.path(STATUS)).status == 200
        building.agent.process.wait_log(SILENT)


@in_own_network
def test_a_silent_tunnel_that_is_heard_again_goes_on_where_no_new_one_can_be_had(tmp_path):
    with far_building(tmp_path) as (building, network):
        agent = building.agent.process
        network.take_no_new()
        network.forget()
        agent.wait_log(SILENT)
        wait_until(lambda: agent_state(building) == "racing", "dialled")
        network.forgotten = frozenset()
        agent.wait_log("tunnel is heard again", deadline=RACE)
        assert agent_state(building) == "open"
        assert building.get(building.path(STATUS)).status == 200
        assert "replaced=true" not in building.relay.process.log.text()


@in_own_network
def test_a_long_command_outlives_the_silence_of_its_line(tmp_path):
    """The new tunnel takes what is new; the old one, whose packets come again, finishes."""
    delay = ["--feedback-delay-ms", str(LONG_MS)]
    with far_building(tmp_path, simulator=delay) as (building, network):
        at_relay = building.relay.process.log.count()
        caller = building.connect()
        caller.send(request(building.path("setvalue?guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1&fb")))
        building.wait_call("setvalue")
        network.dead = (True, True)
        building.agent.process.wait_log(SILENT)
        network.heal()
        building.relay.process.wait_log("tunnel up.* replaced=true", at_relay, SOON)
        assert building.get(building.path(STATUS)).status == 200
        answer = caller.answer()
        assert answer.status == 200, answer
        assert len(building.commands()) == 1


@in_own_network
def test_a_silent_agent_reloads_and_ends_as_any_other(tmp_path):
    with far_building(tmp_path) as (building, network):
        agent = building.agent.process
        network.dead = (True, True)
        agent.wait_log(SILENT)
        agent.signal(signal.SIGHUP)
        agent.wait_log("configuration reloaded")
        assert agent.running()


def far_agent(folder, network, relay, identity):
    """An agent of that relay, without a server; as a process."""
    folder.mkdir()
    sections = {
        "relay": {
            "url": f"wss://{NEAR}:{relay.port}",
            "serial": "TNX-0001",
            "token_file": secret_file(folder / "token", "tok"),
            "pin_sha256": bad_network.pin_of(identity.certificate),
        },
        "server": {"url": "http://127.0.0.1:9"},
    }
    bad_network.FarAgent.network = network
    return bad_network.FarAgent(folder, sections).start().process


@contextlib.contextmanager
def far_agent_alone(folder):
    """With a relay that is played by hand."""
    network = Network()
    identity = fake.make_identity(folder, "relay")
    relay = fake.FakeRelay(identity, host=NEAR)
    agent = far_agent(folder / "agent", network, relay, identity)
    try:
        yield agent, relay, network
        agent.signal(signal.SIGTERM)
        agent.wait_log("msg=ending")
        agent.signal(signal.SIGTERM)
        agent.wait_end()
    finally:
        agent.kill()
        relay.close()
        network.close()


@in_own_network
def test_a_silent_tunnel_that_is_not_heard_again_is_lost(tmp_path):
    """Also where no new one can be had."""
    with far_agent_alone(tmp_path) as (agent, relay, network):
        relay.tunnel().greet(reply_deadline_ms=3000)
        agent.wait_log("tunnel up")
        network.take_no_new()
        network.forget()
        agent.wait_log(SILENT)
        agent.wait_log("tunnel lost.*does not answer any more")
        network.heal()
        relay.tunnel(RACE).greet()


@in_own_network
def test_an_agent_that_replaced_itself_does_not_stay_away(tmp_path):
    """Its second connection reached the relay, which replaced the first, and was cut before the agent
    knew: it is not another agent that has taken its place."""
    with far_agent_alone(tmp_path) as (agent, relay, network):
        first = relay.tunnel().greet()
        agent.wait_log("tunnel up")
        network.forget()
        second = relay.tunnel(FORGOTTEN)
        second.recv(fake.HELLO)
        network.take_no_new()  # nor has the next attempt a connection when the relay's word comes
        second.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        second.sock.close()
        agent.wait_log("relay not reached")
        network.forgotten = frozenset()
        first.goaway(fake.GOAWAY_REPLACED)
        agent.wait_log("tunnel draining.*another agent")
        at_agent = agent.log.count()
        network.heal()
        relay.tunnel(SOON).greet()
        agent.wait_log("tunnel up", at_agent)
