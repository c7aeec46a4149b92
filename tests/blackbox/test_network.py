# SPDX-License-Identifier: Apache-2.0
"""At most once and exactly one answer, over a network that mistreats packets (bad_network.py); a
caller far away (far_caller.py).

    TNX_FAULT_COMMANDS=5000 TNX_FAULT_SEED=7 pytest -s tests/blackbox/test_network.py
"""

import os
import sys
from pathlib import Path

import pytest

import network
import tools

COMMANDS = os.environ.get("TNX_FAULT_COMMANDS", "150")


needs_namespaces = tools.needs(network.available(), "needs root and /dev/net/tun")


@pytest.mark.slow
@pytest.mark.timeout(120 + int(COMMANDS))
@needs_namespaces
def test_commands_over_a_bad_network(tmp_path):
    program = Path(__file__).with_name("bad_network.py")
    tools.check(sys.executable, program, tmp_path / "building", TNX_FAULT_COMMANDS=COMMANDS)


@needs_namespaces
def test_status_shows_how_far_away_a_caller_is(tmp_path):
    tools.check(sys.executable, Path(__file__).with_name("far_caller.py"), tmp_path / "building")
