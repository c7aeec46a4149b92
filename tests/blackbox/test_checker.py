# SPDX-License-Identifier: Apache-2.0
"""The checker with which every run under faults ends (test_tunnel_faults.py) sees each promise that is
broken, and takes nothing else for that."""

import collections
import json
import time
from types import SimpleNamespace

import pytest

import test_tunnel_faults as checker
from harness import Answer, Closed
from test_faults import Hits

VALUE = 1
LASTS = (10, 11)  # from when to when the call was under way


def answer(status=200, name=f"{checker.SEED}-{VALUE}", **told):
    return Answer(status, [("X-Request-Id", name)], json.dumps(told).encode())


def error(delivered, **more):
    return answer(502, reason="tunnel_lost", delivered=delivered, **more)


def verdict(got, n_executed, *happened):
    """What is wrong with one call that was answered with `got` (None: not at all) and executed so often,
    while that happened."""
    call = checker.Call(VALUE, *LASTS, "no answer")
    if got is not None:
        checker.Client.judge(call, got)
    run = SimpleNamespace(building=None, calls=[call], broken=[], n_commands=1)
    hits = Hits(run)
    hits.happened = list(happened)
    return checker.check(run, hits, collections.Counter({VALUE: n_executed} if n_executed else {}))


BEFORE, MEANWHILE = (8, 9), (9, 10.5)


@pytest.mark.parametrize("got, n_executed, happened, what", [
    (answer(value=VALUE), 0, [], "answered with 200, not executed"),
    (answer(value=VALUE), 2, [], "executed 2 times"),
    (answer(value=VALUE + 1), 1, [], "another value"),
    (answer(value=VALUE, name="another"), 1, [], "another request"),
    (error("unknown", name="another"), 0, [], "another request"),
    (answer(502, reason="tunnel_lost"), 0, [], "an error of the server"),
    (error(False), 1, [("hit_relay", *MEANWHILE)], "delivered: false, but executed"),
    (error(True), 0, [("hit_agent", *MEANWHILE)], "delivered: true, not executed"),
    (error(True), 0, [("agent_ended", *BEFORE)], "delivered: true, not executed"),
    (None, 0, [("hit_agent", *MEANWHILE)], "no answer"),
    (None, 0, [("hit_relay", *BEFORE)], "no answer"),
    (None, 1, [("relay_replaced", *MEANWHILE)], "no answer"),
])
def test_a_broken_promise_is_seen(got, n_executed, happened, what):
    assert any(what in sentence for sentence in verdict(got, n_executed, *happened))


@pytest.mark.parametrize("got, n_executed, happened", [
    (answer(value=VALUE), 1, []),
    (error("unknown"), 0, []),
    (error("unknown"), 1, []),
    (error(False), 0, []),
    (error(True), 1, []),
    (error(True), 0, [("agent_ended", *MEANWHILE)]),
    (None, 1, [("hit_relay", *MEANWHILE)]),
    (None, 0, [("relay_replaced", *MEANWHILE)]),
])
def test_what_may_be_is_not_taken_for_a_broken_promise(got, n_executed, happened):
    assert not verdict(got, n_executed, *happened)


@pytest.mark.parametrize("error, wrong", [
    (TimeoutError, "neither an answer nor an end"),
    (ConnectionResetError, ""),
    (Closed, ""),
])
def test_a_call_that_is_never_answered_is_not_taken_for_a_connection_that_ended(error, wrong):
    call = checker.Call(VALUE, time.monotonic())
    with checker.awaited(call):
        raise error
    assert (call.outcome, call.wrong) == ("no answer", wrong)


def test_an_answer_that_comes_too_late_is_wrong():
    call = checker.Call(VALUE, time.monotonic() - 21)
    with checker.awaited(call, deadline=20):
        checker.Client.judge(call, answer(value=VALUE))
    assert "after 21" in call.wrong
