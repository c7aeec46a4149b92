# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/load/bodies.py. With sanitizers memory says nothing: it takes the release
build, where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ROOT / "build" / "release"
SHORT = ["--seconds", "5", "--fast", "3", "--slow", "16", "--uploads", "2", "--small", "2"]
# Beside other tests. Where slow readers hold small calls up these take 10 s and more.
PATIENCE = ["--small-p99", "3000"]


@pytest.mark.slow
@pytest.mark.skipif(not (RELEASE / "bin" / "thinknx-relay").exists(), reason="no release build")
def test_large_bodies_arrive_whole_beside_fast_small_calls_and_memory_stays_flat():
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "load" / "bodies.py", *SHORT, *PATIENCE],
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
