# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/load/soak.py. With sanitizers memory says nothing: it takes the release
build, where there is one."""

import os
import sys

import pytest

import tools

SECONDS = os.environ.get("TNX_SOAK_SECONDS", "120")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(300 + float(SECONDS))
@tools.needs_release
def test_memory_and_descriptors_do_not_grow():
    soak = [sys.executable, "tests/load/soak.py", SECONDS, "--rate", "40", "--every", "4"]
    tools.check(*soak, TNX_BUILD=str(tools.RELEASE))
