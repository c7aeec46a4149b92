# SPDX-License-Identifier: Apache-2.0
"""The short form of tests/load/soak.py. With sanitizers memory says nothing: it takes the release
build, where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ROOT / "build" / "release"
SECONDS = os.environ.get("TNX_SOAK_SECONDS", "30")


@pytest.mark.slow
@pytest.mark.timeout(300 + float(SECONDS))
@pytest.mark.skipif(not (RELEASE / "bin" / "thinknx-relay").exists(), reason="no release build")
def test_memory_and_descriptors_do_not_grow():
    command = [sys.executable, ROOT / "tests" / "load" / "soak.py", SECONDS, "--rate", "40"]
    done = subprocess.run(
        [*command, "--every", "2"],
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
