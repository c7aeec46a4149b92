# SPDX-License-Identifier: Apache-2.0
"""The fuzz targets over their kept corpora, and then for a short while each."""

import os

import pytest

import tools

# Of fuzzing for each target; tests/fuzz/run takes as long as it is told.
SECONDS = os.environ.get("TNX_FUZZ_SECONDS", "30")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_fuzz_targets_find_nothing():
    # The same seed each time: what fails here fails again.
    seed = os.environ.get("TNX_FUZZ_SEED", "1")
    tools.check("tests/fuzz/run", SECONDS, TNX_FUZZ_SEED=seed)
