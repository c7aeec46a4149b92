# SPDX-License-Identifier: Apache-2.0
"""Commands of the tree and tools of others as tests: run one to its end, or do without it."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ROOT / "build" / "release"
# At most so much of what a failed command has printed is shown, from its end.
SHOWN = 20000


def check(*command, **variables):
    """Runs a command from the root of the tree, with these environment variables on top of ours. What it
    prints is the test's output, and returned; if it fails, so does the test."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        text = done.stdout[-SHOWN:]
        pytest.fail(f"{command[0]}: exit code {done.returncode}\n{text}", pytrace=False)
    print(done.stdout)
    return done.stdout


def missing(reason):
    """Ends the test: skipped, where somebody has fewer tools than we; failed in CI, which installs all of
    them (CI is set)."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def needs(there, reason):
    """Marks tests that need a tool."""
    return pytest.mark.needs(bool(there), reason)


# For what sanitizers say nothing about, as memory, or what is too much with them.
needs_release = needs((RELEASE / "bin" / "thinknx-relay").exists(), "no release build")
