# SPDX-License-Identifier: Apache-2.0
"""At most once, and exactly one answer: commands with unique values run while programs are killed,
stopped and restarted and the line between agent and relay is cut, delayed and half-opened. A checker
then holds every answer against what the building executed.

    TNX_FAULT_COMMANDS=5000 TNX_FAULT_SEED=7 pytest -s tests/blackbox/test_tunnel_faults.py

What an answer claims, and what is held against it:

  200             it was executed, once
  delivered no    it was not executed, strictly: also not later, when all is quiet
  delivered yes   all of it was given to the kernel on its way to the server. It was executed, unless
                  the server, or the agent that had it, was killed or stopped while it ran
  unknown         nothing
  no answer       the connection ended. Nothing, while the relay was killed. While it was replaced: it
                  was not executed (the old relay closed an idle connection just when the client used it
                  once more). Never otherwise; and a connection that stays open without an answer never

and whatever was answered, nothing is executed twice. Each client has a request id of its own for
each request, and the answer must repeat it and the value: an answer to another request is seen."""

import collections
import contextlib
import dataclasses
import json
import os
import random
import select
import signal
import threading
import time

import pytest

from cutter import Cutter
from harness import DEADLINE, HOST, Building, Closed, Connection, assert_clean, closed_port, merged

COMMANDS = int(os.environ.get("TNX_FAULT_COMMANDS", "400"))
SEED = int(os.environ.get("TNX_FAULT_SEED", "1"))
CLIENTS = 8
# So many commands are made around each fault, some before it, most in it and behind it.
BATCH = 20
# No answer may take longer: the relay's own longest deadline, and what it may stand still.
ANSWER_DEADLINE = 20
# The whole run: a bound, reached only when something hangs.
RUN_DEADLINE = 60 + COMMANDS / 5
# Long enough that faults meet calls in flight, and that some are acknowledged as handed over.
SIMULATOR = ["--answer-delay-ms", "25", "--nonce-count", "window"]

RELAY = {
    "relay": {"workers": os.environ.get("TNX_FAULT_WORKERS", "1")},
    "timeouts": {
        "server": 3,
        "server_fb": 3,
        "offline_grace": 2,
        "drain": 4,
        "ping_idle": "0.5",
        "reply_deadline": 1,
    },
}
AGENT = {"timeouts": {"answer": "1.5", "answer_fb": "1.5", "connect": "0.5", "drain": 2}}


@dataclasses.dataclass
class Call:
    value: int
    begun: float
    ended: float = 0.0
    outcome: str = ""  # "200", "no answer", or "<status> <reason> <delivered>"
    delivered: object = None  # as in the answer
    wrong: str = ""  # why the answer, or that there is none, cannot be right

    @property
    def name(self):
        """The request's id."""
        return f"{SEED}-{self.value}"


@contextlib.contextmanager
def awaited(call, deadline=ANSWER_DEADLINE):
    """Inside it the call is sent, and its answer read and judged. If the connection ends before that,
    there was no answer. If nothing comes, that is wrong."""
    call.outcome = "no answer"
    try:
        yield
    except TimeoutError:
        call.wrong = "neither an answer nor an end"
    except (OSError, Closed):
        pass
    call.ended = time.monotonic()
    if call.ended - call.begun > deadline:
        call.wrong = f"{call.wrong or 'an outcome'} after {call.ended - call.begun:.1f} s"


class KeptConnection(Connection):
    def is_readable(self):
        """True if the relay has closed it (or sent what nobody asked for). TLS 1.3 tickets do not
        count: they are read with the first answer."""
        ready, _, _ = select.select([self._socket], [], [], 0)
        return bool(ready)


class Client(threading.Thread):
    """Makes its share of the calls, each once, on one connection as long as that lasts."""

    def __init__(self, run, number):
        super().__init__(name=f"client {number}", daemon=True)
        self.run_ = run
        self.connection = None

    def run(self):
        try:
            while (value := self.run_.next_value()) is not None:
                self.run_.note(self.call(value))
        except BaseException as e:  # pylint: disable=broad-except
            self.run_.broken.append(f"{self.name}: {e!r}")
            raise
        finally:
            self.drop()

    def drop(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def connect(self):
        """While the relay is away nothing is sent, so trying again doubles nothing. A connection
        that was closed while idle is not used again."""
        building = self.run_.building
        if self.connection is not None and self.connection.is_readable():
            self.drop()
        until = time.monotonic() + ANSWER_DEADLINE
        while self.connection is None:
            self.run_.relay_is_there.wait(ANSWER_DEADLINE)
            try:
                self.connection = KeptConnection(building.relay.https, self.run_.context)
            except OSError:
                assert time.monotonic() < until, "the relay does not come back"

    def call(self, value):
        self.connect()
        path = self.run_.building.path(f"system/sendKNXfloat4bytes?group=1/0/1&value={value}")
        call = Call(value, time.monotonic())
        answer = None
        with awaited(call):
            answer = self.connection.request(path, fields=[f"X-Request-Id: {call.name}"])
            self.judge(call, answer)
        if answer is None:
            self.drop()
        elif answer.values("Connection") == ["close"]:
            if self.connection.rest() != b"":
                call.wrong = "bytes behind the answer"
            self.drop()
        return call

    @staticmethod
    def judge(call, answer):
        told = answer.json()
        if answer.values("X-Request-Id") != [call.name]:
            call.wrong = f"answer to another request: {answer}"
        if answer.status == 200:
            call.outcome = "200"
            if told.get("value") != call.value:
                call.wrong = f"answer with another value: {answer}"
            return
        if "delivered" not in told:
            call.wrong = f"an error of the server: {answer}"
        call.delivered = told.get("delivered")
        call.outcome = f"{answer.status} {told.get('reason')} {json.dumps(call.delivered)}"


class Run:
    """What clients and faults share."""

    def __init__(self, building, line, n_commands=COMMANDS):
        self.building = building
        self.line = line
        self.n_commands = n_commands
        self.context = building.relay.tls_context()
        self.relay_is_there = threading.Event()
        self.relay_is_there.set()
        self.calls = []
        self.broken = []
        self._next = 0
        self._allowed = 0
        self._changed = threading.Condition()

    def allow(self, n):
        with self._changed:
            self._allowed += n
            self._changed.notify_all()

    def next_value(self):
        with self._changed:
            self._changed.wait_for(lambda: self._next < self._allowed or self._next >= self.n_commands)
            if self._next >= self.n_commands:
                self._changed.notify_all()
                return None
            self._next += 1
            return self._next

    def note(self, call):
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()

    @property
    def over(self):
        return len(self.calls) >= self.n_commands or bool(self.broken)

    def pass_time(self, seconds, n_calls=None):
        """Waits until so many more calls, or all that are allowed, have ended; at most so long."""
        with self._changed:
            wanted = self._allowed if n_calls is None else len(self.calls) + n_calls
            self._changed.wait_for(lambda: self.over or len(self.calls) >= wanted, seconds)


class Faults:
    """One fault after the other, by a seed; each is over when its method returns."""

    SILENT = ("relay_killed",)  # in these a call may stay without an answer
    # How long a fault is felt has an end: what stood still is behind a moment after it goes on.
    FELT = 1

    def __init__(self, run):
        self.run = run
        self.building = run.building
        self.random = random.Random(SEED)
        self.happened = []  # (name, begin, end)
        self.logs = []  # of processes that have ended, with their name
        self.kinds = [
            (self.relay_killed, 2),
            (self.relay_replaced, 2),
            (self.relay_stopped, 2),
            (self.agent_killed, 3),
            (self.agent_restarted, 3),
            (self.agent_stopped, 3),
            (self.server_killed, 3),
            (self.server_stopped, 3),
            (self.line_cut, 4),
            (self.line_delayed, 2),
            (self.line_half_open, 3),
            (self.line_stalled_then_cut, 2),
        ]

    def until_over(self):
        kinds, weights = zip(*self.kinds)
        # Each at least once, then as they come.
        order = list(kinds)
        self.random.shuffle(order)
        until = time.monotonic() + RUN_DEADLINE
        while not self.run.over:
            assert time.monotonic() < until, f"only {len(self.run.calls)} calls in {RUN_DEADLINE} s"
            fault = order.pop() if order else self.random.choices(kinds, weights)[0]
            self.run.allow(BATCH)
            self.run.pass_time(1, self.random.randint(0, BATCH // 2))
            begun = time.monotonic()
            fault()
            self.happened.append((fault.__name__, begun, time.monotonic()))
            # What is left of the batch meets what the fault has left behind.
            self.run.pass_time(self.random.uniform(0.1, 1.5))

    def kill(self, part):
        process = part.process
        process.kill()
        self.logs.append((process.name, process.log.text()))

    def stopped(self, part, longest):
        part.process.signal(signal.SIGSTOP)
        self.run.pass_time(self.random.uniform(0.1, longest))
        part.process.signal(signal.SIGCONT)

    def relay_killed(self):
        self.run.relay_is_there.clear()
        self.kill(self.building.relay)
        self.building.relay.start()
        self.run.relay_is_there.set()

    def relay_replaced(self):
        old = self.building.relay.process
        self.building.relay.start()
        old.stop()
        self.logs.append((old.name, old.log.text()))

    def relay_stopped(self):
        self.stopped(self.building.relay, 1.5)

    def agent_killed(self):
        self.kill(self.building.agent)
        self.run.pass_time(self.random.choice([0, 0.5]))
        self.start_agent()

    def agent_restarted(self):
        process = self.building.agent.process
        process.stop()
        self.logs.append((process.name, process.log.text()))
        self.start_agent()

    def start_agent(self):
        self.building.agent.start()
        # Before that SIGTERM, which another fault or the end may send, ends it as any program.
        self.building.agent.process.wait_log("msg=started")

    def agent_stopped(self):
        self.stopped(self.building.agent, 4)

    def server_killed(self):
        self.kill(self.building.simulator)
        self.run.pass_time(self.random.choice([0, 0.5]))
        self.building.simulator.start()

    def server_stopped(self):
        self.stopped(self.building.simulator, 2.5)

    def line_cut(self):
        self.run.line.cut()

    def line_delayed(self):
        self.run.line.delay(self.random.uniform(0.02, 0.3))
        self.run.pass_time(self.random.uniform(0.2, 1))
        self.run.line.resume()

    def line_half_open(self):
        self.run.line.stall(*self.random.choice([(True, True), (True, False), (False, True)]))
        self.run.pass_time(self.random.uniform(0.2, 4))
        self.run.line.resume()

    def line_stalled_then_cut(self):
        self.run.line.stall(*self.random.choice([(True, True), (True, False), (False, True)]))
        self.run.pass_time(self.random.uniform(0.1, 1))
        self.run.line.cut()
        self.run.line.resume()

    def overlapping(self, call, *prefixes):
        """Whether such a fault happened, or was felt, while the call ran."""
        return any(
            name.startswith(prefixes) and begun <= call.ended and call.begun <= ended + self.FELT
            for name, begun, ended in self.happened
        )


def check(run, faults, executed):
    """The sentences of the module's head; gives what is wrong."""
    wrong = list(run.broken)
    for value, n in executed.items():
        if n > 1:
            wrong.append(f"{value} was executed {n} times")
    answered = {call.value: call for call in run.calls}
    if len(answered) != len(run.calls) or set(answered) != set(range(1, run.n_commands + 1)):
        wrong.append("not every call has exactly one outcome")
    if stray := set(executed) - set(answered):
        wrong.append(f"executed, though nobody sent it: {stray}")
    for call in run.calls:
        ran = call.value in executed
        if call.wrong:
            wrong.append(f"{call}")
        if call.outcome == "200" and not ran:
            wrong.append(f"answered with 200, not executed: {call}")
        if call.delivered is False and ran:
            wrong.append(f"delivered: false, but executed: {call}")
        if call.delivered is True and not ran and not faults.overlapping(call, "server", "agent"):
            wrong.append(f"delivered: true, not executed: {call}")
        if call.outcome == "no answer" and not faults.overlapping(call, *faults.SILENT):
            if ran or not faults.overlapping(call, "relay_replaced"):
                wrong.append(f"no answer, though the relay lived: {call}")
    return wrong


def report(run, faults, executed):
    """The counts: faults, outcomes, and which outcomes fell into which fault."""
    outcomes = collections.Counter(call.outcome for call in run.calls)
    ran = collections.Counter(call.outcome for call in run.calls if call.value in executed)
    lines = [f"{run.n_commands} commands, seed {SEED}: {len(executed)} executed"]
    lines += [f"  {n:5} {name} ({ran[name]} executed)" for name, n in outcomes.most_common()]
    lines.append(f"{len(faults.happened)} faults, with the outcomes other than 200 beside them:")
    beside = collections.defaultdict(collections.Counter)
    for call in run.calls:
        if call.outcome == "200":
            continue
        hit = [name for name, begun, ended in faults.happened if begun <= call.ended and call.begun <= ended + 1]
        for name in set(hit) or {"(none)"}:
            beside[name][call.outcome] += 1
    counts = collections.Counter(name for name, _, _ in faults.happened)
    for name in sorted(set(counts) | set(beside)):
        shown = ", ".join(f"{n} x {outcome}" for outcome, n in beside[name].most_common())
        lines.append(f"  {counts[name]:4} {name}: {shown}")
    slowest = max(call.ended - call.begun for call in run.calls)
    lines.append(f"slowest answer {slowest:.1f} s")
    return "\n".join(lines)


def run_all(building, line, ports):
    building.relay.configure(merged(RELAY, ports))
    building.simulator.address = f"{HOST}:{building.simulator.port}"
    run = Run(building, line)
    faults = Faults(run)
    clients = [Client(run, i) for i in range(CLIENTS)]
    begun = time.monotonic()
    for client in clients:
        client.start()
    faults.until_over()
    for client in clients:
        client.join(ANSWER_DEADLINE + DEADLINE)
        assert not client.is_alive(), f"{client.name} hangs"
    # Quiet: what was in flight ends with the programs.
    building.stop()
    for name, text in faults.logs:
        assert_clean(text, name)
    executed = collections.Counter(
        int(line["value"]) for line in building.commands() if "sendKNX" in line["controller"]
    )
    print(f"\n{report(run, faults, executed)}\n{time.monotonic() - begun:.0f} s", flush=True)
    wrong = check(run, faults, executed)
    assert not wrong, f"{len(wrong)} violations\n" + "\n".join(wrong[:20])
    assert sum(call.outcome == "200" for call in run.calls) > COMMANDS / 4, "hardly any got through"


@pytest.mark.timeout(RUN_DEADLINE + 90)
def test_commands_are_executed_at_most_once_and_answered_exactly_once(tmp_path):
    with Cutter() as line:
        url = {"relay": {"url": f"wss://{HOST}:{line.port}"}}
        building = Building(
            tmp_path / "building",
            simulator=SIMULATOR,
            relay=RELAY,
            agent=merged(url, AGENT),
            start=False,
        )
        try:
            line.target = building.relay.https
            building.start_agent()
            relay = building.relay
            ports = {
                "https": {"listen": f"{HOST}:{relay.https[1]}"},
                "http": {"listen": f"{HOST}:{relay.http[1]}"},
            }
            # Held, so that nobody else is given them while their program is dead.
            with closed_port(relay.https[1]), closed_port(relay.http[1]):
                run_all(building, line, ports)
        finally:
            building.kill()
