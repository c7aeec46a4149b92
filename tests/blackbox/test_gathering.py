# SPDX-License-Identifier: Apache-2.0
"""Under load relay and agent gather what they send. Nobody waits for that, and no processor is spent
while there is nothing to gather."""

import contextlib
import statistics
import time

import harness

SLOW = "power?guid=1lzPszHWAEuvzxtXBMkzWQ&cmd=1&fb&n={}."
QUICK = "powerstatus?guid=1lzPszHWAEuvzxtXBMkzWQ"
OPEN = 4  # more than MUX_BUSY_STREAMS
SLOW_MS = 4000
QUICK_CALLS = 21
# Who forgets to look again sends when some timer wakes it, ten to twenty milliseconds later.
MORE_S = 0.004
# Who never sleeps takes nearly all of the slow calls' time.
IDLE_CPU_S = 0.8


def quick_call_s(building):
    """How long one takes, as the median of some."""
    took = []
    with building.connect() as c:
        for _ in range(QUICK_CALLS):
            begun = time.monotonic()
            assert c.request(building.path(QUICK)).status == 200
            took.append(time.monotonic() - begun)
    return statistics.median(took)


def test_beside_slow_calls_a_quick_one_is_quick_and_waiting_costs_nothing(start_building):
    building = start_building(auth="none", simulator=["--feedback-delay-ms", str(SLOW_MS)])
    programs = (building.relay.process, building.agent.process)
    alone_s = quick_call_s(building)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(building.connect()) for _ in range(OPEN)]
        for n, c in enumerate(waiting):
            c.send(harness.request(building.path(SLOW.format(n))))
            building.wait_call(f"&n={n}.")
        assert quick_call_s(building) < 3 * alone_s + MORE_S
        before = sum(p.cpu_seconds() for p in programs)
        assert [c.answer().status for c in waiting] == [200] * OPEN
        assert sum(p.cpu_seconds() for p in programs) - before < IDLE_CPU_S
