# SPDX-License-Identifier: Apache-2.0
"""Every call into libc fails once, in what our programs do: start, call, reconnect, reload, drain,
the commands that change keys. The result is an answer, an error answer, a connection that ends, or a
program that ends by itself with a known exit code; never a signal, a leak or a doubled command.

Here some calls of each kind, evenly spread. All of them, but of allocations from the same place (the
same functions called each other on the way there) the first and the last only, with

    TNX_FAULTS=sites pytest -s tests/blackbox/test_faults.py

which takes hours; TNX_FAULTS_PART=3/20 makes the third of twenty pieces of it, TNX_FAULTS_KINDS="write open"
lets only these kinds fail (faults.py). TNX_FAULTS=1000000 lets each single allocation fail, which takes many
times as long.
"""

import collections
import contextlib
import json
import re
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

import harness
import test_tunnel_faults as checker
import tools
from cutter import Cutter
from faults import ENDS, LIBRARY, LIBUV_GAVE_UP, WANTED, Fault, Injector
from harness import DEADLINE, HOST, SERIAL, Building, closed_port, merged

LONG = WANTED > 100
ALL = 1000  # where there are few calls
# A building's calls are not the same each time; in a run of hours, what one of so many had is tried.
TIMES_COUNTED = 3 if LONG else 1

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(36000 if LONG else 400),
    tools.needs(LIBRARY.exists(), f"{LIBRARY} is not built"),
]


# ---- commands ----


def relay_folder(folder):
    """A relay that is set up, with one server, one key and one operator."""
    relay = harness.Relay(folder)
    relay.command("server", "add", SERIAL)
    relay.command("key", "enable", SERIAL)
    harness.run(
        "thinknx-relay", "operator", "add", "alice", "--config", relay.conf, stdin="a good password\n"
    )
    return relay


COMMANDS = {
    "list": ("key", "list"),
    "enable": ("key", "enable", SERIAL),
    "rotate": ("key", "rotate", "k_1", "--overlap", "24h"),
    "revoke": ("key", "revoke", "k_1"),
    "disable": ("server", "disable", SERIAL),
    "server": ("server", "add", "TNX-NEW"),
    "show": ("server", "show", SERIAL),
    "audit": ("audit",),
    "operators": ("operator", "list"),
}


# What each has done stands in the audit trail, and only that.
DONE = {
    ("server.add",): "SELECT count(*) FROM servers",
    ("server.disable",): "SELECT count(*) FROM servers WHERE NOT enabled",
    ("key.enable", "key.rotate"): "SELECT count(*) FROM keys",
    ("key.rotate",): "SELECT count(*) FROM keys WHERE rotated_to",
    ("key.revoke",): "SELECT count(*) FROM keys WHERE revoked_at",
}


def trail(folder):
    """How often what was done, after a look at whether the database is whole and agrees."""
    with contextlib.closing(sqlite3.connect(folder / "relay.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = db.execute("SELECT what, count(*) FROM audit WHERE NOT refused GROUP BY what")
        done = collections.Counter(dict(rows))
        for what, question in DONE.items():
            assert db.execute(question).fetchone()[0] == sum(done[w] for w in what), (what, done)
    return done


def keys_of(relay):
    return {key["id"] for key in relay.command("key", "list")}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_fails_or_works(tmp_path, name):
    relay = relay_folder(tmp_path / "relay")
    injector = Injector(tmp_path / "control")
    database = (tmp_path / "relay" / "relay.db").read_bytes()
    arguments = [*COMMANDS[name], "--json", "--config", relay.conf]

    def attempt():
        for path in (tmp_path / "relay").glob("relay.db*"):
            path.unlink()
        (tmp_path / "relay" / "relay.db").write_bytes(database)
        return harness.run(
            "thinknx-relay", *arguments, expect=(0, 1, 2), variables=injector.variables
        )

    before = trail(tmp_path / "relay")
    assert attempt().returncode == 0
    done_by_it = trail(tmp_path / "relay") - before
    faults = injector.faults(attempt, WANTED)
    failures = 0
    for fault in faults:
        injector.arm(fault)
        done = attempt()
        injector.disarm()
        after = trail(tmp_path / "relay") - before
        if done.returncode != 0:
            failures += 1
            assert done.stderr.strip(), f"{fault}: failed without a word"
            assert after in (done_by_it, collections.Counter()), f"{fault}: half done, {after}"
            continue
        assert after == done_by_it, f"{fault}: exit code 0, and {after}"
        try:
            told = json.loads(done.stdout)
        except ValueError:
            pytest.fail(f"{fault}: exit code 0, and this answer: {done.stdout!r}")
        if name in ("list", "operators"):
            assert len(told) == 1, f"{fault}: a row is missing"
        if name in ("enable", "rotate"):
            # What was shown can be used: it is there.
            assert told["id"] in keys_of(relay), f"{fault}"
    print(
        f"\n{name}: {len(faults)} faults, {injector.n_failed()} happened,"
        f" {failures} commands said so"
    )
    assert injector.n_failed() > 0
    injector.close()


# Of these the program is asked while it runs, without faults of its own.
QUESTIONS = {
    "relay status": ("thinknx-relay", "status"),
    "agent status": ("thinknx-agent", "status"),
    "agent key list": ("thinknx-agent", "key", "list"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_to_a_running_program_is_answered_whole_or_fails(tmp_path, name):
    injector = Injector(tmp_path / "control")
    building = Building(tmp_path / "b", relay={"admin": {"listen": f"{HOST}:0"}})
    program, *words = QUESTIONS[name]
    part = building.relay if program == "thinknx-relay" else building.agent
    arguments = [*words, "--json", "--config", part.conf]

    def attempt():
        return harness.run(program, *arguments, expect=(0, 1, 2), variables=injector.variables)

    whole = shape(json.loads(attempt().stdout))
    faults = injector.faults(attempt, WANTED)
    failures = 0
    for fault in faults:
        injector.arm(fault)
        done = attempt()
        injector.disarm()
        if done.returncode == 0 or done.stdout:  # 1 also says that a building is not online
            assert shape(json.loads(done.stdout)) == whole, f"{fault}: {done.stdout!r}"
            continue
        failures += 1
        assert done.stderr.strip(), f"{fault}: failed without a word"
    print(
        f"\n{name}: {len(faults)} faults, {injector.n_failed()} happened,"
        f" {failures} commands said so"
    )
    assert injector.n_failed() > 0
    injector.close()
    building.stop()


def shape(value):
    """Which members an answer has, at any depth; of a list, what the first item is like."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return None


# ---- start ----


def test_the_relay_starts_or_says_why_not(tmp_path):
    relay = relay_folder(tmp_path / "relay")
    injector = Injector(tmp_path / "control")
    relay.variables = injector.variables

    def whole():
        assert starts(relay, "no fault")

    faults = injector.faults(whole, WANTED)
    refused = 0
    for fault in faults:
        injector.arm(fault)
        refused += not starts(relay, fault)
        injector.disarm()
    print(
        f"\nstart: {len(faults)} faults, {injector.n_failed()} happened,"
        f" {refused} times it did not start"
    )
    assert injector.n_failed() > 0
    injector.close()


def starts(relay, what):
    """True if it came up (it is stopped then), false if it ended by itself."""
    relay.runtime_file.unlink(missing_ok=True)
    process = harness.Process(
        "thinknx-relay", "serve", "--config", relay.conf, variables=relay.variables
    )
    try:
        process.log.wait(
            lambda line: "msg=ready" in line or "cannot start" in line or "thinknx-relay:" in line,
            what=f"start or reason ({what})",
        )
    except AssertionError:
        process.wait_end(expect=LIBUV_GAVE_UP)
        return False
    if "msg=ready" in process.log.text():
        process.stop()
        return True
    process.wait_end(expect=(1, 2))
    assert 'reason=""' not in process.log.text(), f"{what}: did not say why"
    return False


def test_a_relay_that_cannot_start_all_its_threads_says_so_and_ends(tmp_path):
    """Workers that run by then are told to end: nobody else would."""
    relay = relay_folder(tmp_path / "relay")
    relay.configure({"relay": {"workers": 4}})
    injector = Injector(tmp_path / "control")
    relay.variables = injector.variables
    faults = injector.faults(lambda: starts(relay, "no fault"), ALL)
    for fault in faults:
        if fault.kind == "make":
            injector.arm(fault)
            starts(relay, fault)
            injector.disarm()
    assert injector.n_failed() > 0
    injector.close()


def test_every_worker_hears_that_it_is_to_end(tmp_path):
    """Whatever fails then, an idle relay has ended long before the drain limit of 30 s."""
    relay = relay_folder(tmp_path / "relay")
    relay.configure({"relay": {"workers": 4}})
    injector = Injector(tmp_path / "control")
    relay.variables = injector.variables
    relay.start()
    for fault in injector.faults(relay.process.stop, ALL):
        relay.start()
        injector.arm(fault)
        relay.process.stop()
        injector.disarm()
    assert injector.n_failed() > 0
    injector.close()


# ---- a building in use ----

TIMES = {
    "timeouts": {
        "server": 3,
        "server_fb": 3,
        "offline_grace": 2,
        "drain": 3,
        "ping_idle": 1,
        "reply_deadline": 1,
    }
}
# Of those the longest that an answer may take is 5 s; and as much again for a busy machine.
ANSWER_DEADLINE = 10
# So long that a fault meets calls that the server has and has not answered.
SIMULATOR = ["--answer-delay-ms", "25"]
AGENT_TIMES = {"timeouts": {"answer": "1.5", "answer_fb": "1.5", "connect": "0.5", "drain": 2}}


class Hits(checker.Faults):
    """When a fault happened, and when a program ended. Then, and not a moment longer, the relay may end a
    connection without an answer, or an agent that ended take a command along."""

    SILENT = ("hit_relay",)
    FELT = 0


class Armed(NamedTuple):
    part: str
    fault: Fault
    begun: float
    n_failed: int  # of its faults, before


class Victim:
    """A building whose relay and agent can be hit, and what was asked of it."""

    def __init__(self, folder):
        self.line = Cutter()
        url = {"relay": {"url": f"wss://{HOST}:{self.line.port}"}}
        self.building = Building(
            folder, simulator=SIMULATOR, relay=TIMES, agent=merged(url, AGENT_TIMES), start=False
        )
        self.injectors = {part: Injector(folder / f"{part}.faults") for part in ("relay", "agent")}
        relay = self.building.relay
        relay.process.stop()
        relay.variables = self.injectors["relay"].variables
        self.building.agent.variables = self.injectors["agent"].variables
        relay.start()
        # The same port again each time it is started.
        relay.configure(
            merged(
                TIMES,
                {
                    "https": {"listen": f"{HOST}:{relay.https[1]}"},
                    "http": {"listen": f"{HOST}:{relay.http[1]}"},
                },
            )
        )
        self.line.target = relay.https
        self.context = relay.tls_context()
        self.kept = None
        self.run = checker.Run(self.building, self.line, 0)
        self.hits = Hits(self.run)
        self.armed = None
        self.begun = 0.0  # what it does at the moment
        self.ends = []  # of programs that gave up
        self.building.start_agent()

    def close(self):
        self.drop_kept()
        self.building.kill()
        self.line.close()
        for injector in self.injectors.values():
            injector.close()

    # What it does.

    def call(self, connection=None):
        """One command with a value of its own, on a new connection if none is given. True if it was
        answered with 200."""
        self.run.n_commands += 1
        call = checker.Call(self.run.n_commands, time.monotonic())
        path = self.building.path(f"system/sendKNXfloat4bytes?group=1/0/1&value={call.value}")
        with contextlib.ExitStack() as stack, checker.awaited(call, ANSWER_DEADLINE):
            c = connection or stack.enter_context(self.connect())
            checker.Client.judge(call, c.request(path, fields=[f"X-Request-Id: {call.name}"]))
        self.run.note(call)
        return call.outcome == "200"

    def connect(self):
        return checker.KeptConnection(self.building.relay.https, self.context)

    def call_on_kept(self):
        """A connection that the relay has closed meanwhile is not used again."""
        if self.kept is not None and self.kept.is_readable():
            self.drop_kept()
        if self.kept is None:
            try:
                self.kept = self.connect()
            except TimeoutError:
                raise
            except OSError:
                return
        if not self.call(self.kept):
            self.drop_kept()

    def drop_kept(self):
        if self.kept is not None:
            self.kept.close()
            self.kept = None

    def reconnect(self):
        """The line between agent and relay breaks."""
        relay = self.building.relay.process
        start = relay.log.count()
        self.line.cut()
        wait_any(relay, r"tunnel up|agent refused|tunnel closed", start)
        self.call()

    def restart_agent(self):
        process = self.building.agent.process
        if process.running():
            process.signal(signal.SIGTERM)
        self.note_end(process, "agent")
        self.building.agent.start()
        self.call()

    def reload(self):
        self._reload(self.building.relay.process, r"configuration reloaded|new configuration refused")

    def reload_agent(self):
        self._reload(self.building.agent.process, r"configuration (not )?reloaded")

    def _reload(self, process, pattern):
        start = process.log.count()
        process.signal(signal.SIGHUP)
        wait_any(process, pattern, start)
        self.call()

    def drain(self):
        """The relay is stopped with a call in flight and another one coming, and started again; its start
        has a test of its own."""
        relay, requests = self.building.relay, self.building.simulator.requests
        n_before = requests.count()
        with ThreadPoolExecutor(1) as caller:
            in_flight = caller.submit(self.call)
            harness.wait_until(lambda: in_flight.done() or requests.count() > n_before, "a call in flight")
            begun = time.monotonic()
            relay.process.signal(signal.SIGTERM)
            self.call()
        in_flight.result()
        self.note_end(relay.process, "relay")
        self.calm("relay")
        self.injectors["relay"].rest()
        self.start_relay()
        self.hits.happened.append(("relay_replaced", begun, time.monotonic()))
        self.call()

    def first_call(self):
        """The first handshakes of a relay that has just started, and what is made for them only then. Its
        start, before them, meets no fault."""
        armed, relay, begun = self.armed, self.building.relay, time.monotonic()
        self.calm(*self.injectors)
        relay.process.stop()
        relay.start()
        self.hits.happened.append(("relay_replaced", begun, time.monotonic()))
        for injector in self.injectors.values():
            injector.begin_here()
        if armed is not None:
            self.arm(armed.part, armed.fault)
        self.call()

    def enable_key(self):
        """A key, asked for by the building."""
        harness.run(
            "thinknx-agent",
            "key",
            "enable",
            "--config",
            self.building.agent.conf,
            expect=(0, 1, 2),
        )
        self.call()

    # How it fares.

    def perform(self, phase):
        self.begun = time.monotonic()
        getattr(self, phase)()

    def arm(self, part, fault):
        injector = self.injectors[part]
        self.armed = Armed(part, fault, time.monotonic(), injector.n_failed())
        injector.arm(fault)

    def calm(self, *parts):
        """Nothing fails there from now on; if something has, that is noted."""
        for part in parts:
            self.injectors[part].disarm()
        armed = self.armed
        if armed is not None and armed.part in parts:
            self.armed = None
            if self.injectors[armed.part].n_failed() > armed.n_failed:
                self.hits.happened.append((f"hit_{armed.part}", armed.begun, time.monotonic()))

    def start_relay(self):
        """Tries until it starts: a fault may still be about to happen."""
        for _ in range(3):
            relay = self.building.relay
            relay.runtime_file.unlink(missing_ok=True)
            relay.process = harness.Process(
                "thinknx-relay", "serve", "--config", relay.conf, variables=relay.variables
            )
            try:
                relay.process.wait_log(r"msg=ready")
                return
            except AssertionError:
                self.note_end(relay.process, "relay")
        raise AssertionError("the relay does not start any more")

    def note_end(self, process, name):
        """It ends, or has ended: by itself, with a known code and nothing to complain of."""
        try:
            process.wait_end(expect=ENDS)
        finally:
            self.ends.append(name)
            self.hits.happened.append((f"{name}_ended", self.begun, time.monotonic()))

    def heal(self):
        """Without further faults everything works again."""
        self.calm(*self.injectors)
        if not self.building.relay.process.running():
            self.note_end(self.building.relay.process, "relay")
            self.start_relay()
        if not self.building.agent.process.running():
            self.note_end(self.building.agent.process, "agent")
            self.building.agent.start()
        waits = re.findall(r"retry_ms=([0-9]+)", self.building.agent.process.log.text())
        if waits and int(waits[-1]) > 1000:  # after some failures it would wait for a minute
            self.restart_agent()
        until = time.monotonic() + 3 * DEADLINE
        while not self.call():
            assert time.monotonic() < until, "it does not heal: " + self.logs()
            time.sleep(0.05)

    def logs(self):
        return "\n".join(
            part.process.log.tail(15) for part in (self.building.relay, self.building.agent)
        )

    def check(self):
        """The checker of test_tunnel_faults.py. Gives how many had which outcome."""
        executed = collections.Counter(
            int(line["value"]) for line in self.building.commands() if "sendKNX" in line["controller"]
        )
        wrong = checker.check(self.run, self.hits, executed)
        assert not wrong, f"{len(wrong)} violations\n" + "\n".join(wrong[:20])
        return collections.Counter(call.outcome for call in self.run.calls)


def wait_any(process, pattern, start):
    """Waits for such a line, or for the end of the program."""
    until = time.monotonic() + DEADLINE
    while process.running() and time.monotonic() < until:
        try:
            process.wait_log(pattern, start, deadline=0.5)
            return
        except AssertionError:
            pass
    assert time.monotonic() < until, process.log.tail()


PHASES = (
    "call", "first_call", "call_on_kept", "enable_key", "reload", "reload_agent", "reconnect", "restart_agent",
    "drain",
)
# Some are slow; what they do is done by the others too.
SHARE = {
    "call": 4, "first_call": 1, "call_on_kept": 3, "enable_key": 2, "reload": 2, "reload_agent": 2, "reconnect": 1,
    "restart_agent": 1, "drain": 1,
}


def hit(victim, phase, part):
    """Lets calls of every kind fail while `part` takes its share of the phase."""
    def perform():
        victim.perform(phase)

    perform()  # the first is not like the others
    faults = victim.injectors[part].faults(perform, max(1, WANTED * SHARE[phase] // 3), TIMES_COUNTED)
    victim.heal()
    for fault in faults:
        victim.arm(part, fault)
        try:
            perform()
            victim.heal()
        except BaseException:
            print(f"\nin {phase}: {fault} of the {part} failed")
            raise
    return len(faults)


@pytest.mark.parametrize("part", ("relay", "agent"))
@pytest.mark.parametrize("phase", PHASES)
def test_a_building_survives(tmp_path, phase, part):
    victim = Victim(tmp_path / "b")
    try:
        with (
            closed_port(victim.building.relay.https[1]),
            closed_port(victim.building.relay.http[1]),
        ):
            n_tried = hit(victim, phase, part)
            victim.building.stop()
            outcomes = victim.check()
        print(
            f"\n{phase}, {part}: {n_tried} faults, {victim.injectors[part].n_failed()} happened,"
            f" {len(victim.ends)} programs ended; {victim.run.n_commands} commands: "
            + ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
            + f"; the slowest after {max(call.ended - call.begun for call in victim.run.calls):.1f} s"
        )
    finally:
        victim.close()
