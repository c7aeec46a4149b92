#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the requests of tests/conformance/http as seeds for fuzz_request.

    tests/fuzz/request_seeds.py FOLDER
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance" / "http"))

import corpus  # noqa: E402

# Larger ones only slow the fuzzer down; it finds the limits with the dictionary.
BYTES_MAX = 20000
NAMES = corpus.Names("K" * 8, "B" * 8, "a", "31/7/255")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, entry in enumerate(corpus.load()):
        data = entry.expand(NAMES).data
        if len(data) <= BYTES_MAX:
            (folder / entry.id).write_bytes(bytes([number % 256]) + data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
