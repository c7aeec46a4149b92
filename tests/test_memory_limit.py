# SPDX-License-Identifier: Apache-2.0
"""Relay and agent for which no memory is left (tests/blackbox/test_resources.py), of the release build:
beside a sanitizer no limit can be set."""

import sys

import pytest

import tools


@pytest.mark.slow
@tools.needs_release
def test_relay_and_agent_without_memory_heal():
    pytest_of = [sys.executable, "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir", "tests", "-s"]
    tests = ["tests/blackbox/test_resources.py", "-k", "without_memory"]
    told = tools.check(*pytest_of, *tests, TNX_BUILD=str(tools.RELEASE))
    assert "2 passed" in told, told
