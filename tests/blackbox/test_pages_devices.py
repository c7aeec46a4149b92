# SPDX-License-Identifier: Apache-2.0
"""The tree of a building that its own agent gives: asked for through the tunnel, shown where the
operator has imported none, and taken for what it is, somebody else's word."""

import contextlib
import itertools
import json
import os
import socket
import struct
import threading

import pytest

import harness
import tools
from admin_api import admin_of
from browser import Browser
from fake_agent import FakeAgent, pack_response
from fake_relay import DATA, END, REQUEST, RESET, RESPONSE, WINDOW, pack
from harness import HOST, SERIAL

ADMIN = {"admin": {"listen": f"{HOST}:0"}}
DEVICES = 1  # capability (PROTOCOL.md 4.1)
PATH = b"/thinknx-agent/devices"
HOUSE = harness.ROOT / "tests" / "simulator" / "house.json"
CSV = "room,class,guid,name,dimmable\nHall,light,abc,Lamp,yes\n"
FILE_BYTES_MAX = 256 * 1024
NONE = {"rooms": [], "source": "none", "problem": None}
LAMP = {"class": "light", "guid": "abc", "name": "Lamp"}


def get(building):
    return admin_of(building.relay).get(f"/servers/{SERIAL}/devices")


def names(tree):
    return [room["name"] for room in tree["rooms"]]


def test_the_agent_s_file_is_shown_until_the_operator_gives_another(start_building, tmp_path):
    path = tmp_path / "house.csv"
    path.write_text(CSV)
    building = start_building(auth="none", relay=ADMIN, agent={"server": {"devices": path}})
    admin = admin_of(building.relay)
    tree = get(building)
    assert tree == {"rooms": [{"name": "Hall", "devices": [{**LAMP, "dimmable": True}]}],
                    "source": "agent", "problem": None}
    # It is read anew each time, and may be JSON.
    path.write_text(HOUSE.read_text())
    house = [room["name"] for room in json.loads(HOUSE.read_text())["rooms"]]
    assert names(get(building)) == house
    # The operator's own wins, and is given up by an empty one.
    mine = {"rooms": [{"name": "Mine", "devices": [LAMP]}]}
    admin.post(f"/servers/{SERIAL}/devices", mine)
    assert get(building) == {**mine, "source": "operator", "problem": None}
    admin.post(f"/servers/{SERIAL}/devices", {"rooms": []})
    assert (names(get(building)), get(building)["source"]) == (house, "agent")
    # Nobody sees it as a request of the building's, and no client reaches it.
    assert not [r for r in admin.get(f"/requests?serial={SERIAL}") if r["reason"] != "tunnel"]
    assert building.get(f"/{building.key}/thinknx-agent/devices").status == 404
    # Without a tunnel there is none.
    building.agent.process.stop()
    harness.wait_until(lambda: get(building) == NONE, "gone")


@pytest.mark.parametrize("n, row", [
    (4500, "Hall,light,abc,Lamp,yes,,"),
    (10000, "a,hvac,b,,1,-.1,.7"),  # nothing of 256 KiB becomes longer
], ids=["a large building", "the longest list"])
def test_a_file_within_its_limits_comes_whole_however_long_its_list(start_building, tmp_path, n, row):
    path = tmp_path / "house.csv"
    path.write_text("room,class,guid,name,dimmable,min,max\n" + f"{row}\n" * n)
    assert path.stat().st_size <= FILE_BYTES_MAX
    building = start_building(auth="none", relay=ADMIN, agent={"server": {"devices": path}})
    tree = get(building)
    assert (tree["source"], tree["problem"]) == ("agent", None)
    assert [len(room["devices"]) for room in tree["rooms"]] == [n]
    assert len(json.dumps(tree["rooms"], separators=(",", ":"))) > FILE_BYTES_MAX


@pytest.mark.parametrize("text", [
    None,  # no such file
    "",
    "{",
    "room,class,guid\nHall,spaceship,x\n",
    "room,class,guid\n" + "Hall,light,x\n" * 25000,  # too long
], ids=itertools.count())
def test_a_file_that_cannot_be_used_is_told_in_the_building_and_to_the_operator(start_building, tmp_path, text):
    path = tmp_path / "private folder" / "house.csv"
    path.parent.mkdir()
    if text is not None:
        path.write_text(text)
    building = start_building(auth="none", relay=ADMIN, agent={"server": {"devices": path}})
    tree = get(building)
    assert (tree["rooms"], tree["source"]) == ([], "agent") and "did not come" in tree["problem"]
    building.agent.process.wait_log("device file unusable")
    assert "private folder" not in json.dumps(tree) + building.relay.process.log.text()
    assert building.get(building.path("system/serverStatus")).status == 200


def test_an_agent_without_a_file_gives_none(start_building):
    building = start_building(auth="none", relay=ADMIN)
    assert get(building) == NONE


class Played:
    """A building whose agent the test plays, in a thread that answers the relay's question."""

    def __init__(self, building, answer, capabilities=DEVICES):
        self.agent = FakeAgent(building)
        self.agent.greet(capabilities=capabilities)
        building.relay.wait_tunnel()
        self.answer = answer
        self.asked = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while True:
                frame = self.agent.recv(REQUEST)
                if PATH in frame.payload:
                    self.asked.append(frame.stream)
                    self.answer(self.agent, frame.stream)
        except Exception:  # pylint: disable=broad-except  # the test is over
            pass

    def end(self):
        with contextlib.suppress(OSError):  # the relay may have closed it
            self.agent.sock.shutdown(socket.SHUT_RDWR)  # close() alone does not wake who reads
        self.thread.join(harness.DEADLINE)
        assert not self.thread.is_alive()
        self.agent.sock.close()


@pytest.fixture
def played(start_building):
    """played(answer) plays the agent; answer(agent, stream) is what it says when it is asked."""
    building = start_building(auth="none", relay={**ADMIN, "relay": {"workers": 1}}, start=False)
    made = []

    def play(answer, **hello):
        made.append(Played(building, answer, **hello))
        return building, made[-1]

    yield play
    for one in made:
        one.end()


def body(text):
    def answer(agent, stream):
        data = text if isinstance(text, bytes) else text.encode()
        agent.send(pack_response(stream, 200, length=len(data), end=False))
        for at in range(0, len(data), 16000):
            end = END if at + 16000 >= len(data) else 0
            agent.send(pack(DATA, stream, data[at : at + 16000], end))
    return answer


def test_an_older_agent_is_not_asked(played):
    building, agent = played(body(CSV), capabilities=0)
    assert get(building) == NONE and agent.asked == []
    building2, agent2 = played(body(CSV), capabilities=0xFFFFFFFFFFFFFFFF)
    assert names(get(building2)) == ["Hall"] and len(agent2.asked) == 1


def rooms(*given):
    return json.dumps({"rooms": [{"name": "Hall", "devices": list(given)}]})


@pytest.mark.parametrize("text, problem", [
    ("not a house", "must name the columns"),
    ("[" * 5000, "line 1 is too long"),
    ('{"rooms":' + "[" * 5000, "no JSON"),
    ('{"rooms":[],"rooms":[]}', "no JSON"),
    (b'{"rooms":[{"name":"\xff\xfe","devices":[]}]}', "no JSON"),
    (rooms({**LAMP, "name": "a" * 129}), "at most 128 bytes"),
    (rooms({**LAMP, "name": "bell\u0007"}), "at most 128 bytes"),
    (rooms({**LAMP, "guid": '"><script>'}), "guid"),
    (rooms({**LAMP, "class": "light\" onclick=1"}), "class"),
    (rooms(*[{"class": "light", "guid": "a"}] * 10001)[:FILE_BYTES_MAX], "no JSON"),
    ("room,class,guid\n" + "a,light,a\n" * 10001, "too many"),
    (json.dumps({"rooms": [{"name": "a", "devices": []}] * 1001}), "at most 1000"),
    ('{"rooms":[' + "[]," * 65536, "more than 131072 values"),
], ids=itertools.count())
def test_a_hostile_file_is_refused_with_a_sentence(played, text, problem):
    building, _ = played(body(text))
    tree = get(building)
    assert (tree["rooms"], tree["source"]) == ([], "agent") and problem in tree["problem"], tree
    assert len(json.dumps(tree)) < 2000


def test_a_file_without_an_end_is_cut_off(played):
    def flood(agent, stream):
        agent.send(pack_response(stream, 200, length=2**64 - 1, end=False))
        sent = 0
        while True:  # within the credit that the relay gives
            while sent + 16000 <= 65536:
                agent.send(pack(DATA, stream, b" " * 16000))
                sent += 16000
            frame = agent.recv(WINDOW, RESET)
            if frame.type == RESET and frame.stream == stream:
                return
            if frame.type == WINDOW and frame.stream == stream:
                sent -= struct.unpack_from("<I", frame.payload)[0]

    building, agent = played(flood)
    tree = get(building)
    assert tree["rooms"] == [] and "too long" in tree["problem"]
    assert len(agent.asked) == 1


def test_agents_that_never_answer_keep_few_and_end_in_time(played):
    """Each worker waits for four files at most; then the operator is told to come again."""
    building, agent = played(lambda *_: None)
    admin = admin_of(building.relay)
    waiting = [harness.Connection(admin.address) for _ in range(4)]
    for i, c in enumerate(waiting):
        c.send(f"GET /api/v1/servers/{SERIAL}/devices HTTP/1.1\r\nHost: {admin.host}\r\n\r\n".encode())
        harness.wait_until(lambda n=i: len(agent.asked) > n, "asked")
    assert admin.get(f"/servers/{SERIAL}/devices", expect=503)["reason"] == "overloaded"
    # One that leaves makes room.
    waiting.pop().close()
    waiting.pop()._socket.shutdown(2)
    admin.get("/limits")
    for c in waiting:
        answer = c.answer().json()
        assert "server_timeout" in answer["problem"]
        c.close()


@tools.needs(os.path.exists("/usr/bin/chromium"), "Debian's chromium is not installed")
def test_markup_in_a_name_is_text_on_the_page(played):
    name = "<img src=x onerror=alert(1)><b>Lamp</b>"
    building, _ = played(body(rooms({**LAMP, "name": name})))
    admin = admin_of(building.relay)
    with Browser() as browser:
        browser.open(f"http://{HOST}:{admin.address[1]}/#!/building/{SERIAL}/kit")
        browser.find("button.leaf", name)
        browser.read("This list is the device file of the agent in the building.")
        browser.click("button.leaf", name)
        browser.find("h2", name)
        assert not browser.driver.execute_script("return document.querySelectorAll('main img, main b').length")
        # The operator's own list takes its place, and is given up again.
        browser.click("button", "Import devices")
        browser.type("or paste it here", "room,class,guid,name\nHall,light,abc,Mine\n")
        browser.click("dialog button.primary:enabled", "Import")
        browser.find("button.leaf", "Mine")
        browser.read("This list was imported here.")
        browser.click("button", "Use the agent's list")
        browser.accept_alert()
        browser.find("button.leaf", name)
        assert not browser.errors()
