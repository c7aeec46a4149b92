# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/load/storm.py. So many agents with sanitizers would be a storm of their own:
it takes the release build, where there is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ROOT / "build" / "release"
AGENTS = 60
AWAY = 5
# The promise, and what this machine may need for so many handshakes beside other tests.
BACK = 3 + 5


@pytest.mark.slow
@pytest.mark.skipif(not (RELEASE / "bin" / "thinknx-relay").exists(), reason="no release build")
def test_many_agents_that_return_at_once_are_back_at_once_and_do_not_storm():
    command = [sys.executable, ROOT / "tests" / "load" / "storm.py", "--agents", str(AGENTS)]
    done = subprocess.run(
        [*command, "--away", str(AWAY)],
        env={**os.environ, "TNX_BUILD": str(RELEASE)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    print(done.stdout)
    if done.returncode != 0:
        pytest.fail(done.stdout[-20000:], pytrace=False)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["back_after_s"] < BACK
    assert report["upgrades_refused"] == 0
    # Each waits half a second at least from one attempt to the next.
    assert report["failed_attempts_most"] <= 2 * (AWAY + BACK)
    assert report["log_lines_per_agent"] <= 4
