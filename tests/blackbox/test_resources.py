# SPDX-License-Identifier: Apache-2.0
"""What a machine runs out of: descriptors, memory, disk; and a wall clock that jumps. Commands have
unique values, and at the end none was executed twice, and all that was answered agrees."""

import contextlib
import os
import resource
import subprocess
import time
from pathlib import Path

import pytest

import harness
import tools
from harness import DEADLINE, SERIAL, Building, Connection, request

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
SANITIZED = b"__asan_init" in Path(harness.binary("thinknx-relay")).read_bytes()
# Connections that come while there is no room for them.
CROWD = 40
DISK = "1m"  # of the small file system

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Asked:
    """Commands of a building, and what was answered."""

    def __init__(self, building):
        self.building = building
        self.value = 0
        self.answers = {}  # value -> Answer, None = the connection ended

    def command(self, key=None):
        self.value += 1
        path = self.building.path(f"system/sendKNXfloat4bytes?group=1/0/1&value={self.value}", key)
        answer = None
        with contextlib.suppress(OSError, AssertionError):
            answer = self.building.get(path)
        self.answers[self.value] = answer
        return answer

    def until_200(self):
        until = time.monotonic() + DEADLINE
        while True:
            answer = self.command()
            if answer is not None and answer.status == 200:
                return
            assert time.monotonic() < until, f"it does not heal: {answer}"
            time.sleep(0.05)

    def check(self):
        executed = [int(c["value"]) for c in self.building.commands()]
        assert len(executed) == len(set(executed)), "executed twice"
        for value, answer in self.answers.items():
            if answer is None:
                continue
            if answer.status == 200:
                assert value in executed
            elif answer.json().get("delivered") is False:
                assert value not in executed, f"{value} was executed: {answer}"


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextlib.contextmanager
def limited(pid, kind, value):
    before = resource.prlimit(pid, kind, (value, resource.prlimit(pid, kind)[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


def crowd(building):
    """Connections that send a whole request each; those that are let in."""
    made = []
    for _ in range(CROWD):
        with contextlib.suppress(OSError):
            c = Connection(building.relay.https, building.relay.tls_context())
            made.append(c)
            c.send(request(building.path("system/serverStatus")))
    return made


def test_a_relay_without_descriptors_turns_away_and_heals(start_building):
    building = start_building()
    asked, relay = Asked(building), building.relay.process
    asked.until_200()
    tunnels = relay.log.text().count("tunnel up")
    with limited(relay.pid, resource.RLIMIT_NOFILE, descriptors(relay.pid) + 8):
        made = crowd(building)
        assert len(made) < CROWD, "the limit has not been reached"
        for c in made:
            c.close()
        asked.command()
    asked.until_200()
    assert relay.log.text().count("tunnel up") == tunnels, "the tunnel was lost"
    asked.check()


def test_an_agent_without_descriptors_says_so_and_heals(start_building):
    building = start_building()
    asked, agent = Asked(building), building.agent.process
    with limited(agent.pid, resource.RLIMIT_NOFILE, descriptors(agent.pid)):
        answer = asked.command()
        assert answer.status == 502 and answer.json()["delivered"] is False, answer
    asked.until_200()
    asked.check()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer reserves more memory than any limit allows")
def test_a_relay_without_memory_turns_away_and_heals(start_building):
    building = start_building()
    asked, relay = Asked(building), building.relay.process
    asked.until_200()
    pages = int(Path(f"/proc/{relay.pid}/statm").read_text().split()[0])
    with limited(relay.pid, resource.RLIMIT_AS, pages * resource.getpagesize() + (256 << 10)):
        for c in crowd(building):
            c.close()
        for _ in range(10):
            asked.command()
    assert relay.running(), relay.log.tail()
    asked.until_200()
    asked.check()


@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir()
    command = ["/usr/bin/mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("nothing may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["/usr/bin/umount", "--lazy", folder], check=True)


def fill(path):
    """Until not a byte more fits."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as f:
        while True:
            f.write(bytes(4096))
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as f:
        while True:
            f.write(b"\0")


@needs_root
def test_a_full_disk_stops_no_call_and_loses_no_key(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        building = Building(disk / "b")
        try:
            asked, relay = Asked(building), building.relay
            asked.until_200()
            fill(disk / "filler")
            refused = harness.run(
                "thinknx-relay", "key", "enable", SERIAL, "--json", "--config", relay.conf, expect=(0, 1)
            )
            for _ in range(20):
                assert asked.command().status == 200
            if refused.returncode != 0:
                assert refused.stderr.strip()
            (disk / "filler").unlink()
            made = relay.command("key", "enable", SERIAL)
            until = time.monotonic() + DEADLINE
            while asked.command(made["key"]).status != 200:
                assert time.monotonic() < until, "the new key does not work"
            # The database is whole: its copy is checked.
            relay.command("backup", disk / "copy.db")
            building.stop()
            asked.check()
        finally:
            building.kill()


@tools.needs(FAKETIME, "libfaketime is not installed")
@pytest.mark.parametrize("part", ("relay", "agent"))
def test_a_jumping_clock_moves_nothing_but_expiry(start_building, tmp_path, part):
    building = start_building(start=False)
    stamp = tmp_path / "clock"
    stamp.write_text("+0\n")
    options = harness.environment()["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
    variables = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "ASAN_OPTIONS": options,
    }
    short = building.relay.command("key", "enable", SERIAL, "--expires", "1h")["key"]
    if part == "relay":
        building.relay.process.stop()
        building.relay.variables = variables
        building.relay.start()
        conf = building.agent.conf
        conf.write_text(
            "\n".join(
                f"url = wss://{harness.HOST}:{building.relay.https[1]}" if "wss://" in line else line
                for line in conf.read_text().splitlines()
            )
        )
    else:
        building.agent.variables = variables
    building.start_agent()
    asked = Asked(building)
    asked.until_200()
    for offset, valid in (("+0", True), ("+2h", False), ("-2h", True), ("+400d", False), ("+0", True)):
        stamp.write_text(f"{offset}\n")
        wanted = 200 if valid or part == "agent" else 403
        until = time.monotonic() + DEADLINE
        while (answer := asked.command(short)) is None or answer.status != wanted:
            assert time.monotonic() < until, f"{offset}: {answer}"
        assert asked.command().status == 200
    assert building.relay.process.log.text().count("tunnel up") == 1, "the tunnel was lost"
    asked.check()
