# SPDX-License-Identifier: Apache-2.0
"""What a machine runs out of: descriptors, memory, disk, a disk to write to; and a wall clock that
jumps. Meanwhile commands with unique values are made, and each test ends with the checker of
test_tunnel_faults.py: nothing is executed twice, each call has one outcome, and that agrees."""

import collections
import contextlib
import os
import re
import resource
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import harness
import test_tunnel_faults as checker
import tools
from harness import DEADLINE, HOST, SERIAL, Building, Connection, request

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
SANITIZED = b"__asan_init" in Path(harness.binary("thinknx-relay")).read_bytes()
# Commands that are made while something is short.
COMMANDS = 60
CALLERS = 4
# Connections that come while there is no room for them.
CROWD = 40
LARGE_CROWD = 150
LARGE_BODY = 30000
DISK = "1m"  # of the small file system

needs_root = tools.needs(os.geteuid() == 0, "needs root")
needs_memory_limit = pytest.mark.skipif(
    SANITIZED, reason="a sanitizer reserves more memory than any limit allows; see test_memory_limit.py"
)


class Shortages(checker.Faults):
    """What was short, and when."""

    # Who has no memory for an answer, or for what TLS wants to keep, ends the connection.
    SILENT = (*checker.Faults.SILENT, "relay_without_memory")

    @contextlib.contextmanager
    def of(self, name):
        begun = time.monotonic()
        yield
        self.happened.append((name, begun, time.monotonic()))


class Asked:
    """Commands of a building, and what was answered."""

    def __init__(self, building):
        self.building = building
        self.run = checker.Run(building, None, 0)
        self.shortages = Shortages(self.run)
        self.not_let_in = 0
        self._lock = threading.Lock()

    def command(self, key=None, filler=""):
        """On a connection of its own. None if there was no answer; no call at all if it was not let in.
        A connection on which nothing happens at all ends the test."""
        try:
            connection = self.building.connect()
        except TimeoutError:
            raise
        except OSError:
            with self._lock:
                self.not_let_in += 1
            return None
        with self._lock:
            self.run.n_commands += 1
            call = checker.Call(self.run.n_commands, time.monotonic())
        target = f"system/sendKNXfloat4bytes?group=1/0/1&value={call.value}"
        method, body = ("POST", f"filler={filler}".encode()) if filler else ("GET", b"")
        answer = None
        with connection, checker.awaited(call):
            fields = [f"X-Request-Id: {call.name}", "Content-Type: application/x-www-form-urlencoded"]
            answer = connection.request(self.building.path(target, key), method, fields, body)
            checker.Client.judge(call, answer)
        self.run.note(call)
        return answer

    def commands(self, n=COMMANDS, n_callers=CALLERS, filler=""):
        """Some at a time. Gives how many had which status."""
        with ThreadPoolExecutor(n_callers) as callers:
            answers = list(callers.map(lambda _: self.command(filler=filler), range(n)))
        return collections.Counter(answer and answer.status for answer in answers)

    def until_200(self):
        until = time.monotonic() + DEADLINE
        while True:
            answer = self.command()
            if answer is not None and answer.status == 200:
                return
            assert time.monotonic() < until, f"it does not heal: {answer}"
            time.sleep(0.05)

    def check(self):
        """Ends the building, and holds what was answered against what it has executed."""
        self.building.stop()
        executed = collections.Counter(int(c["value"]) for c in self.building.commands())
        print(f"\n{checker.report(self.run, self.shortages, executed)}")
        print(f"{self.not_let_in} connections were not let in")
        wrong = checker.check(self.run, self.shortages, executed)
        assert not wrong, f"{len(wrong)} violations\n" + "\n".join(wrong[:20])


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextlib.contextmanager
def limited(pid, kind, value):
    before = resource.prlimit(pid, kind, (value, resource.prlimit(pid, kind)[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


def crowd(building, n=CROWD):
    """Connections that send a whole request each; those that are let in."""
    made = []
    for _ in range(n):
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
    with (
        asked.shortages.of("relay_without_descriptors"),
        limited(relay.pid, resource.RLIMIT_NOFILE, descriptors(relay.pid) + 8),
    ):
        made = crowd(building)
        assert len(made) < CROWD, "the limit has not been reached"
        asked.commands(8)
        assert asked.not_let_in > 0
        for c in made:
            c.close()
        asked.commands()
    asked.until_200()
    assert relay.log.text().count("tunnel up") == tunnels, "the tunnel was lost"
    asked.check()


def test_an_agent_without_descriptors_says_so_and_heals(start_building):
    building = start_building()
    asked, agent = Asked(building), building.agent.process
    with (
        asked.shortages.of("agent_without_descriptors"),
        limited(agent.pid, resource.RLIMIT_NOFILE, descriptors(agent.pid)),
    ):
        assert asked.commands() == {502: COMMANDS}
    assert {call.delivered for call in asked.run.calls} == {False}
    asked.until_200()
    asked.check()


@contextlib.contextmanager
def short_of_memory(process, more):
    """It gets so many KiB more of memory that it can write to, and no more. Not RLIMIT_AS: a thread has
    addresses for 64 MiB from the beginning."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    now = int(re.search(r"^VmData:\s+([0-9]+) kB", text, re.M)[1])
    with limited(process.pid, resource.RLIMIT_DATA, (now + more) << 10):
        yield


@needs_memory_limit
def test_a_relay_without_memory_turns_away_and_heals(start_building):
    building = start_building()
    asked, relay = Asked(building), building.relay.process
    asked.until_200()
    with asked.shortages.of("relay_without_memory"), short_of_memory(relay, 256):
        made = crowd(building, LARGE_CROWD)
        asked.commands(8)
        assert asked.not_let_in + LARGE_CROWD - len(made) > 0, "the limit has not been reached"
        for c in made:
            c.close()
        asked.commands()
    assert relay.running(), relay.log.tail()
    asked.until_200()
    asked.check()


@needs_memory_limit
def test_an_agent_without_memory_goes_on_and_heals(start_building):
    building = start_building(simulator=["--answer-delay-ms", "200"])
    asked, agent = Asked(building), building.agent.process
    asked.until_200()
    with asked.shortages.of("agent_without_memory"), short_of_memory(agent, 0):
        # Far more than is free inside what it has already.
        outcomes = asked.commands(LARGE_CROWD, LARGE_CROWD, filler="f" * LARGE_BODY)
    assert outcomes[200] < LARGE_CROWD / 2, f"the limit has not been reached: {outcomes}"
    assert agent.running(), agent.log.tail()
    asked.until_200()
    asked.check()


@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir()
    command = ["/usr/bin/mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        tools.missing("nothing may be mounted here")
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


@contextlib.contextmanager
def building_on(disk, folder):
    """A building whose relay has its database, and nothing else, on that disk."""
    building = Building(folder, start=False)
    try:
        relay = building.relay
        relay.process.stop()
        (disk / "relay.db").write_bytes((relay.folder / "relay.db").read_bytes())
        (relay.folder / "relay.db").unlink()
        listen = {"listen": f"{HOST}:{relay.https[1]}"}
        relay.configure({"relay": {"database": str(disk / "relay.db")}, "https": listen})
        relay.start()
        building.start_agent()
        yield building
    finally:
        building.kill()


@needs_root
def test_a_full_disk_stops_no_call_and_loses_no_key(tmp_path):
    with small_disk(tmp_path / "disk") as disk, building_on(disk, tmp_path / "b") as building:
        asked, relay = Asked(building), building.relay
        asked.until_200()
        with asked.shortages.of("disk_is_full"):
            fill(disk / "filler")
            command = ("key", "enable", SERIAL, "--json", "--config", relay.conf)
            refused = harness.run("thinknx-relay", *command, expect=1)
            assert "disk" in refused.stderr and not refused.stdout
            assert asked.commands() == {200: COMMANDS}
            (disk / "filler").unlink()
        made = relay.command("key", "enable", SERIAL)
        until = time.monotonic() + DEADLINE
        while asked.command(made["key"]).status != 200:
            assert time.monotonic() < until, "the new key does not work"
        assert len(relay.command("key", "list")) == 2
        # The database is whole: its copy is checked.
        relay.command("backup", disk / "copy.db")
        asked.check()


def remount(folder, how):
    subprocess.run(["/usr/bin/mount", "-o", f"remount,{how}", folder], check=True)


@needs_root
def test_a_database_that_cannot_be_written_stops_no_call_and_loses_no_key(tmp_path):
    """As after an error of the disk: a relay that was killed comes back, and may only read."""
    with small_disk(tmp_path / "disk") as disk, building_on(disk, tmp_path / "b") as building:
        asked, relay = Asked(building), building.relay
        asked.until_200()
        command = ("key", "enable", SERIAL, "--json", "--config", relay.conf)
        killed_amid_calls(asked, lambda: remount(disk, "ro"))
        with asked.shortages.of("database_is_read_only"):
            refused = harness.run("thinknx-relay", *command, expect=1)
            assert "read-only" in refused.stderr and not refused.stdout
            assert asked.commands() == {200: COMMANDS}
        killed_amid_calls(asked, lambda: remount(disk, "rw"))
        made = relay.command("key", "enable", SERIAL)
        assert {key["id"] for key in relay.command("key", "list")} == {building.key_id, made["id"]}
        asked.check()


def killed_amid_calls(asked, before_its_start):
    relay, healed = asked.building.relay, threading.Event()

    def ask():
        while not healed.wait(0.01):
            asked.command()

    with ThreadPoolExecutor(CALLERS) as callers:
        asking = [callers.submit(ask) for _ in range(CALLERS)]
        try:
            enough = len(asked.run.calls) + COMMANDS
            harness.wait_until(lambda: len(asked.run.calls) >= enough, "called so often")
            with asked.shortages.of("relay_killed"):
                relay.process.kill()
                before_its_start()
                relay.start()
                relay.wait_tunnel()
        finally:
            healed.set()
    for one in asking:
        one.result()
    asked.until_200()


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
        with asked.shortages.of(f"clock_of_{part}_jumps"):
            stamp.write_text(f"{offset}\n")
            wanted = 200 if valid or part == "agent" else 403
            until = time.monotonic() + DEADLINE
            while (answer := asked.command(short)) is None or answer.status != wanted:
                assert time.monotonic() < until, f"{offset}: {answer}"
            assert asked.commands(COMMANDS // 5) == {200: COMMANDS // 5}
    assert building.relay.process.log.text().count("tunnel up") == 1, "the tunnel was lost"
    asked.check()
