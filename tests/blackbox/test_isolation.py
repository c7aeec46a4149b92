# SPDX-License-Identifier: Apache-2.0
"""Two buildings behind one relay with four workers: whoever calls the one is answered by that one, and
by nothing but the answer to that very call. The agents are played, so that each answer says whose it is
and repeats the call; what only the relay can mix up is all that is left."""

import collections
import concurrent.futures
import contextlib
import random
import re
import secrets
import socket
import struct
import threading

import pytest

import harness
from fake_agent import FROM_RELAY, FakeAgent, pack_response
from fake_relay import DATA, END, REQUEST, Closed

WORKERS = 4
CLIENTS = 8
ROUNDS = 12  # of each client
BURST = 6  # calls that are under way at once on one connection
REPLACEMENTS = 6
SERIALS = ("TNX-0001", "TNX-0002")
# Answers of up to so many bytes more than their call.
PADDING = 3000


def answer_of(serial, call, body):
    """What the building of that serial answers to this call."""
    head = f"{serial} {call} ".encode()
    return head + body + b"." * (len(call) * 7919 % PADDING)


class Played(threading.Thread):
    """The agent and the building behind it, in a thread: answers each request with its serial and what it
    was asked, those that came together in reverse."""

    def __init__(self, relay, serial, token):
        super().__init__(daemon=True)
        self.serial = serial
        self.asked = []
        self.agent = FakeAgent(relay, token, serial)
        self.agent.greet()
        self._waiting = {}  # stream: [call, body so far]
        self._answers = []
        self.start()

    def run(self):
        with contextlib.suppress(Closed, OSError):  # it is over
            while True:
                self._take(self.agent.recv(*FROM_RELAY))
                if not self.agent.frames and self._answers:
                    self.agent.send(*reversed(self._answers))
                    self._answers.clear()

    def _take(self, frame):
        if frame.type == REQUEST:
            # proto/wire/head.h
            _, _, _, _, _, _, path, query = struct.unpack_from("<BBBBIIHH", frame.payload)
            target = frame.payload[16 : 16 + path] + b"?" + frame.payload[16 + path : 16 + path + query]
            self._waiting[frame.stream] = [target.decode(), b""]
        elif frame.type == DATA:
            self._waiting[frame.stream][1] += frame.payload
        if frame.type in (REQUEST, DATA) and frame.flags & END:
            call, body = self._waiting.pop(frame.stream)
            self.asked.append(call)
            answer = answer_of(self.serial, call, body)
            self._answers.append(pack_response(frame.stream, body=answer))

    def end(self):
        with contextlib.suppress(OSError):  # the relay may have closed it
            self.agent.sock.shutdown(socket.SHUT_RDWR)  # close() alone does not wake who reads
        self.join(harness.DEADLINE)
        assert not self.is_alive()
        self.agent.sock.close()


class Pair:
    """A relay and its two buildings, whose agents come and go."""

    def __init__(self, building):
        self.building = building
        self.relay = building.relay
        second = self.relay.command("server", "add", SERIALS[1])["token"]
        self.tokens = dict(zip(SERIALS, (building.token, second)))
        self.keys = dict(zip(SERIALS, (building.key, self.relay.command("key", "enable", SERIALS[1])["key"])))
        self.played = []
        with building.connect() as c:
            harness.wait_until(lambda: c.request(f"/{self.keys[SERIALS[1]]}/api/V1/x").status != 403, "live")

    def play(self, serial):
        """Its agent comes, and takes the place of one that is there."""
        start = self.relay.process.log.count()
        self.played.append(Played(self.building, serial, self.tokens[serial]))
        self.relay.wait_tunnel(start, serial)
        return self.played[-1]

    def leave(self, serial):
        """All of its agents go."""
        start = self.relay.process.log.count()
        for one in self.played:
            if one.serial == serial and one.is_alive():
                one.end()
        self.relay.process.wait_log(rf'msg="tunnel closed".*{serial}', start)

    def call(self, serial):
        """A call that was never made before, and says whom it is for: (serial, request, its answer)."""
        call, own = f"/api/V1/system/echo?for={serial}&own=", secrets.token_hex(8)
        body = secrets.token_hex(40).encode() if own < "8" else b""
        sent = harness.request(f"/{self.keys[serial]}{call}{own}", "POST" if body else "GET", body=body)
        return serial, sent, answer_of(serial, call + own, body)

    def check_asked(self, expected=None):
        """No agent was asked what was for the other one; all together what was sent, each once."""
        for one in self.played:
            foreign = [call for call in one.asked if f"for={one.serial}&" not in call]
            assert not foreign, f"{one.serial} was asked {foreign}"
        asked = collections.Counter(call for one in self.played for call in one.asked)
        assert expected is None or asked.total() == len(asked) == expected

    def handed_on(self):
        runtime = harness.json.loads(self.relay.runtime_file.read_text())
        with harness.Connection((harness.HOST, harness.bound_port(runtime, "admin"))) as c:
            text = c.request("/metrics").body.decode()
        return int(re.search(r"^thinknx_relay_handed_on_total (\d+)$", text, re.M)[1])


@pytest.fixture
def pair(start_building):
    conf = {
        "relay": {"workers": WORKERS},
        "admin": {"listen": f"{harness.HOST}:0"},
        # For so long a call waits for an agent that is away.
        "timeouts": {"probe": 0, "offline_grace": 1},
    }
    made = Pair(start_building(auth="none", relay=conf, start=False))
    yield made
    for one in made.played:
        one.end()


@contextlib.contextmanager
def clients(pair):
    """Connections that are kept; spread over the workers by the kernel."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(pair.building.connect()) for _ in range(CLIENTS)]


def burst(pair, client, serials):
    """Calls these buildings on one connection, all at once; each gets its own answer, in order."""
    calls = [pair.call(serial) for serial in serials]
    client.send(b"".join(sent for _, sent, _ in calls))
    for serial, sent, expected in calls:
        answer = client.answer()
        assert (answer.status, answer.body) == (200, expected), f"{serial}: {sent} {answer}"


def interleaved(number):
    """Both buildings, in another order for each number."""
    serials = list(SERIALS) * (BURST // 2)
    random.Random(number).shuffle(serials)
    return serials


@contextlib.contextmanager
def in_threads(function, items):
    """function(item) for all of them at once, while the block runs; its end waits for theirs."""
    with concurrent.futures.ThreadPoolExecutor(len(items)) as pool:
        begun = [pool.submit(function, item) for item in items]
        try:
            yield
        finally:
            for future in begun:
                future.result()


def test_each_call_is_answered_by_its_own_building_with_its_own_answer(pair):
    for serial in SERIALS:
        pair.play(serial)
    with clients(pair) as kept:

        def work(client):
            for number in range(ROUNDS):
                burst(pair, client, interleaved(number))

        with in_threads(work, kept):
            pass
    pair.check_asked(CLIENTS * ROUNDS * BURST)
    # Of eight connections some are on another worker than their tunnel.
    assert pair.handed_on() > 0


def test_a_key_reaches_its_own_building_while_tunnels_are_replaced(pair):
    for serial in SERIALS:
        pair.play(serial)
    ending = threading.Event()
    with clients(pair) as kept:

        def work(client):
            number = 0
            while not ending.is_set():
                burst(pair, client, interleaved(number))
                number += 1

        with in_threads(work, kept):
            try:
                for _ in range(REPLACEMENTS):
                    for serial in SERIALS:
                        new = pair.play(serial)
                        harness.wait_until(lambda new=new: new.asked, "in use")
            finally:
                ending.set()
    pair.check_asked()


@pytest.mark.parametrize("away, there", [SERIALS, SERIALS[::-1]])
def test_a_key_of_a_building_that_is_away_reaches_no_other(pair, away, there):
    """Neither at once nor after it has waited, and a tunnel of the other one came meanwhile."""
    pair.play(there)
    pair.play(away)
    with clients(pair) as kept:
        for client in kept:
            burst(pair, client, SERIALS)
        pair.leave(away)
        for client in kept:
            client.send(pair.call(away)[1])
        pair.play(there)
        for client in kept:
            answer = client.answer()
            assert answer.status == 503, answer
            told = answer.json()
            assert (told["reason"], told["delivered"]) == ("server_offline", False)
            burst(pair, client, [there] * 2)
        pair.check_asked(CLIENTS * 4)
        # Those that still wait when it comes back are its own. On a busy machine some gave up.
        calls = [pair.call(away) for _ in kept]
        for client, (_, sent, _) in zip(kept, calls):
            client.send(sent)
        pair.play(there)
        pair.play(away)
        for client, (_, _, expected) in zip(kept, calls):
            answer = client.answer()
            assert (answer.status, answer.body) == (200, expected) or answer.status == 503, answer
            burst(pair, client, SERIALS)
    pair.check_asked()


def test_the_token_of_one_building_opens_no_tunnel_of_another(pair):
    """And says as little as one that nobody has."""
    first, second = SERIALS
    for serial in SERIALS:
        pair.play(serial)

    def refused(serial, token):
        with FakeAgent(pair.building, token, serial) as agent:
            return agent.answer.line, agent.answer.fields

    unknown = refused("TNX-0404", secrets.token_hex(16))
    for serial, token in (
        (second, pair.tokens[first]),
        (first, pair.tokens[second]),
        (second, pair.keys[second]),
        ("TNX-0404", pair.tokens[first]),
    ):
        assert refused(serial, token) == unknown
    assert unknown[0].split()[1] == "401"
    # Nobody's tunnel was replaced by it.
    with clients(pair) as kept:
        for client in kept:
            burst(pair, client, SERIALS)
    assert [one.serial for one in pair.played if one.asked] == list(SERIALS)
    pair.check_asked(CLIENTS * 2)
