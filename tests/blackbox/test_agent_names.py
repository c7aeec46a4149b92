# SPDX-License-Identifier: Apache-2.0
"""How the agent finds its relay: DNS is asked at every attempt and not relied upon, and of several
addresses the one that answers is taken. Each test has a network and names of its own."""

import contextlib
import socket
import time

import pytest

import fake_relay as fake
import harness
import own_network
from harness import HOST, closed_port, wait_until
from own_network import HOLE_V4, HOLE_V6, Dns, Hole, in_own_network, use_names
from test_agent import Setup

NAME = "relay.test"
# The promise, from the line's or the name's return on; and what an agent may need to be online.
BACK = 3
pytestmark = own_network.needed


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identities")
    ca = fake.make_identity(folder, "ca")
    return {"ca": ca, "good": fake.make_identity(folder, "good", issuer=ca, names=f"DNS:{NAME}")}


@contextlib.contextmanager
def setup_in(folder, identities, **names):
    use_names(folder, **names)
    made = Setup(folder, identities)
    try:
        yield made
    finally:
        made.close()


def next_attempts(agent, n):
    """Waits until so many more attempts have failed."""
    for _ in range(n):
        agent.wait_log("relay not reached", agent.log.count())


# DNS


@in_own_network
def test_dns_is_asked_again_at_every_attempt(tmp_path, identities):
    """The name leads to where nobody is; then its answer changes, and the agent is there."""
    dns = Dns(relay=["127.0.0.2"])
    with setup_in(tmp_path, identities, nameserver=HOST) as setup:
        relay = setup.relay()
        agent = setup.start(relay.url(NAME))
        next_attempts(agent, 3)
        asked, at = dns.n_questions, agent.log.count()
        next_attempts(agent, 3)
        failed = len([line for line in agent.log.since(at) if "relay not reached" in line])
        assert dns.n_questions - asked >= failed - 1
        dns.answers["relay"] = [HOST]
        relay.tunnel(BACK).greet()


@in_own_network
def test_a_relay_that_moves_is_found_at_its_new_address(tmp_path, identities):
    dns = Dns(relay=[HOST])
    with setup_in(tmp_path, identities, nameserver=HOST) as setup:
        old = setup.relay()
        setup.start(old.url(NAME))
        tunnel = old.tunnel().greet()
        setup.agent.wait_log("tunnel up")
        new = setup.relay(host="127.0.0.3", port=old.port)
        dns.answers["relay"] = ["127.0.0.3"]
        tunnel.drop()
        new.tunnel(BACK).greet()


@pytest.mark.parametrize("mode", ["silent", "fail"])
@in_own_network
def test_without_dns_the_agent_returns_to_where_its_relay_was(tmp_path, identities, mode):
    dns = Dns(relay=[HOST])
    with setup_in(tmp_path, identities, nameserver=HOST) as setup:
        relay = setup.relay()
        setup.start(relay.url(NAME))
        tunnel = relay.tunnel().greet()
        setup.agent.wait_log("tunnel up")
        for _ in range(3):  # the resolver may hang for ten seconds each time
            dns.mode = mode
            asked, at = dns.n_questions, setup.agent.log.count()
            tunnel.drop()
            tunnel = relay.tunnel(BACK).greet()
            setup.agent.wait_log("tunnel up", at)
        assert mode == "silent" or dns.n_questions > asked


@in_own_network
def test_a_late_answer_of_dns_still_counts(tmp_path, identities):
    """The relay has moved while DNS was silent: the old address is tried, the new one found."""
    dns = Dns(relay=[HOST])
    with setup_in(tmp_path, identities, nameserver=HOST) as setup:
        old = setup.relay()
        setup.start(old.url(NAME))
        tunnel = old.tunnel().greet()
        setup.agent.wait_log("tunnel up")
        new = setup.relay(host="127.0.0.3", port=old.port)
        dns.mode, dns.answers["relay"] = "silent", ["127.0.0.3"]
        old.stop_listening()
        tunnel.drop()
        setup.agent.wait_log("tunnel lost")
        dns.mode = "answer"
        # glibc repeats its question after 5 s.
        new.tunnel(5 + BACK).greet()


@in_own_network
def test_an_agent_that_started_without_dns_comes_up_with_it(tmp_path, identities):
    dns = Dns(relay=[HOST])
    dns.mode = "silent"
    with setup_in(tmp_path, identities, nameserver=HOST, repeat_s=1) as setup:
        relay = setup.relay()
        agent = setup.start(relay.url(NAME))
        wait_until(lambda: dns.n_questions > 0, "asked")
        assert [leg["state"] for leg in setup.status()["relays"]] == ["resolving"]
        dns.mode = "fail"
        agent.wait_log(f"class=unreachable.*cannot resolve {NAME}")
        next_attempts(agent, 12)  # as many as any growing wait would need to grow
        dns.mode = "answer"
        relay.tunnel(BACK).greet()


@in_own_network
def test_an_agent_ends_while_dns_hangs(tmp_path, identities):
    dns = Dns()
    dns.mode = "silent"
    # LeakSanitizer would wait for the thread that hangs. (This process is the test's own.)
    harness.ENVIRONMENT["ASAN_OPTIONS"] += ":detect_leaks=0"
    with setup_in(tmp_path, identities, nameserver=HOST) as setup:
        setup.start(f"wss://{NAME}").wait_log("msg=started")
        wait_until(lambda: dns.n_questions > 0, "asked")
        begun = time.monotonic()
        setup.stop()
        assert time.monotonic() - begun < BACK


# IPv6 and IPv4


@pytest.mark.parametrize("dead", ["silent", "refused"])
@pytest.mark.parametrize("alive", ["IPv4", "IPv6"])
@in_own_network
def test_families_are_raced(tmp_path, identities, alive, dead):
    """Both families are names of the relay; one of them leads nowhere."""
    _hole = Hole()
    family = socket.AF_INET if alive == "IPv4" else socket.AF_INET6
    here, refused, hole = (HOST, "::1", HOLE_V6) if alive == "IPv4" else ("::1", HOST, HOLE_V4)
    hosts = f"{here} {NAME}\n{hole if dead == 'silent' else refused} {NAME}\n"
    with setup_in(tmp_path, identities, hosts=hosts) as setup:
        relay = setup.relay(family=family)
        addresses = {found[4][0] for found in socket.getaddrinfo(NAME, relay.port)}
        assert len(addresses) == 2
        begun = time.monotonic()
        setup.start(relay.url(NAME))
        relay.tunnel().greet()
        took = time.monotonic() - begun
        assert took < BACK, f"took {took:.1f} s"


@in_own_network
def test_no_family_answers_until_one_does(tmp_path, identities):
    hole = Hole()
    hosts = f"{HOLE_V6} {NAME}\n{HOLE_V4} {NAME}\n{HOST} {NAME}\n"
    with closed_port() as port:
        with setup_in(tmp_path, identities, hosts=hosts) as setup:
            setup.start(f"wss://{NAME}:{port}")
            # Two are silent and the third refuses: an attempt does not end at once, and yet the one
            # that begins to listen is not left waiting for its end.
            hole.wait_for(4)
            relay = setup.add(fake.FakeRelay(identities["good"], port=port))
            relay.tunnel(BACK).greet()
