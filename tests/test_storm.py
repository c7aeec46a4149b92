# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/load/storm.py. So many agents with sanitizers would be a storm of their own:
it takes the release build, where there is one."""

import json
import sys

import pytest

import tools

AGENTS = 60
AWAY = 5
# The promise, and what this machine may need for so many handshakes beside other tests.
BACK = 3 + 5


@pytest.mark.slow
@tools.needs_release
def test_many_agents_that_return_at_once_are_back_at_once_and_do_not_storm():
    storm = [sys.executable, "tests/load/storm.py", "--agents", AGENTS, "--away", AWAY]
    told = tools.check(*storm, TNX_BUILD=str(tools.RELEASE))
    report = json.loads(told.splitlines()[-1])
    assert report["back_after_s"] < BACK
    assert report["upgrades_refused"] == 0
    # Each waits half a second at least from one attempt to the next.
    assert report["failed_attempts_most"] <= 2 * (AWAY + BACK)
    assert report["log_lines_per_agent"] <= 4
