# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/load/bodies.py. With sanitizers memory says nothing: it takes the release
build, where there is one."""

import sys

import pytest

import tools

SHORT = ["--seconds", "5", "--fast", "3", "--slow", "16", "--uploads", "2", "--small", "2"]
# Beside other tests. Where slow readers hold small calls up these take 10 s and more.
PATIENCE = ["--small-p99", "3000"]


@pytest.mark.slow
@tools.needs_release
def test_large_bodies_arrive_whole_beside_fast_small_calls_and_memory_stays_flat():
    bodies = [sys.executable, "tests/load/bodies.py", *SHORT, *PATIENCE]
    tools.check(*bodies, TNX_BUILD=str(tools.RELEASE))
