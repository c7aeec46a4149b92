# SPDX-License-Identifier: Apache-2.0
"""The fuzz targets over their kept corpora, and then for a short while each."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Of fuzzing for each target; tests/fuzz/run takes as long as it is told.
SECONDS = os.environ.get("TNX_FUZZ_SECONDS", "2")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fuzz_targets_find_nothing():
    # The same seed each time: what fails here fails again.
    done = subprocess.run(
        [ROOT / "tests" / "fuzz" / "run", SECONDS],
        env={"TNX_FUZZ_SEED": "1", **os.environ},
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
