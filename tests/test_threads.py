# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/threads: the relay with four workers under ThreadSanitizer."""

import os

import pytest

import tools


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
def test_threads_race_for_nothing():
    tools.check("tests/threads", TNX_FAULT_COMMANDS=os.environ.get("TNX_FAULT_COMMANDS", "100"))
