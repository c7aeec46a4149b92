# SPDX-License-Identifier: Apache-2.0
"""Makes single calls into libc fail in our programs: the test's side of tests/faults/inject.c."""

import mmap
import os
import struct

import harness

SUPPRESSIONS = harness.ROOT / "tests" / "faults" / "leaks.supp"
LIBRARY = harness.BUILD / "tests" / "libtnx_faults.so"
# The order is the library's.
KINDS = ("memory", "read", "write", "accept", "socket", "connect", "open", "sync", "epoll")
ROW = struct.Struct("qQQ")  # countdown, calls, failed
# Every nth of the calls that were chosen, beginning with the ith: a run of hours in n pieces.
PART, PARTS = map(int, os.environ.get("TNX_FAULTS_PART", "1/1").split("/"))


class Injector:
    """The control block of one program at a time. `variables` go into its environment."""

    def __init__(self, path):
        path.write_bytes(bytes(ROW.size * len(KINDS)))
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.variables = {
            "LD_PRELOAD": str(LIBRARY),
            "TNX_FAULT_FILE": str(path),
            # The library stands before the sanitizer, and passes on to it.
            "ASAN_OPTIONS": harness.environment()["ASAN_OPTIONS"] + ":verify_asan_link_order=0",
            "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}:print_suppressions=0",
        }

    def close(self):
        self._memory.close()

    def _row(self, kind):
        return KINDS.index(kind) * ROW.size

    def arm(self, kind, nth):
        """The nth call of that kind from now on fails, once."""
        self._memory[self._row(kind) : self._row(kind) + 8] = struct.pack("q", nth)

    def disarm(self):
        for kind in KINDS:
            self.arm(kind, 0)

    def calls(self, kind):
        return ROW.unpack_from(self._memory, self._row(kind))[1]

    def failed(self, kind):
        return ROW.unpack_from(self._memory, self._row(kind))[2]

    def n_failed(self):
        return sum(map(self.failed, KINDS))


def places(n_calls, wanted):
    """Which of n calls to let fail: all, or so many evenly spread ones; of these our part."""
    if n_calls <= wanted:
        chosen = list(range(1, n_calls + 1))
    else:
        chosen = sorted({1 + i * (n_calls - 1) // max(1, wanted - 1) for i in range(wanted)})
    return chosen[PART - 1 :: PARTS]
