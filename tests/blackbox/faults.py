# SPDX-License-Identifier: Apache-2.0
"""Makes single calls into libc fail in our programs: the test's side of tests/faults."""

import mmap
import os
import struct
from collections import Counter
from typing import NamedTuple

import harness

SUPPRESSIONS = harness.ROOT / "tests" / "faults" / "leaks.supp"
LIBRARY = harness.BUILD / "tests" / "libtnx_faults.so"
# The order is the library's.
KINDS = (
    "memory", "read", "write", "accept", "socket", "connect", "open", "sync", "make", "option", "files", "epoll"
)
# Not epoll: libuv gives up each time.
TRIED = tuple(os.environ.get("TNX_FAULTS_KINDS", " ".join(KINDS[:-1])).split())
# libuv has called abort(); the library makes this exit code of it.
LIBUV_GAVE_UP = 77
# How a program may end that meets a fault: its own exit codes, and that one.
ENDS = (0, 1, 2, LIBUV_GAVE_UP)
ROW = struct.Struct("qQQ")  # countdown, calls, failed
SWITCHES = struct.Struct("QQ")  # counts sites, wanted site
SITE = struct.Struct("QQ")  # hash, calls
N_SITES = 1 << 16
SITES_AT = ROW.size * len(KINDS) + SWITCHES.size

# How many calls of one kind fail in one scenario: a number, or by the places that allocate.
ASKED = os.environ.get("TNX_FAULTS", "2")
BY_SITE = ASKED == "sites"
WANTED = 1_000_000_000 if BY_SITE else int(ASKED)
# A run of hours in n pieces, of which this is the ith.
PART, PARTS = map(int, os.environ.get("TNX_FAULTS_PART", "1/1").split("/"))


class Fault(NamedTuple):
    """The nth call of that kind fails; if a site is given, the nth allocation of that site."""

    kind: str
    nth: int
    site: int = 0

    def __str__(self):
        return f"{self.kind} {self.nth}" + (f" of site {self.site:x}" if self.site else "")

    def ours(self):
        return (self.site or self.nth) % PARTS == PART - 1


class Injector:
    """The control block of one program at a time. `variables` go into its environment."""

    def __init__(self, path):
        path.write_bytes(bytes(SITES_AT + SITE.size * N_SITES))
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._is_counting = False
        self._calls = Counter()  # (kind, site or 0): how many
        self.variables = {
            "LD_PRELOAD": str(LIBRARY),
            "TNX_FAULT_FILE": str(path),
            # The library stands before the sanitizer, and passes on to it.
            "ASAN_OPTIONS": harness.environment()["ASAN_OPTIONS"] + ":verify_asan_link_order=0",
            "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}:print_suppressions=0",
        }

    def close(self):
        self._memory.close()

    def arm(self, fault):
        """It happens once, from now on."""
        self._switch(False, fault.site)
        self._set_countdown(fault.kind, fault.nth)

    def disarm(self):
        self._switch(False, 0)
        for kind in KINDS:
            self._set_countdown(kind, 0)

    def n_failed(self):
        return sum(self._row(kind)[2] for kind in KINDS)

    def faults(self, work, wanted, times=1):
        """Does `work` so many times, without a fault; returns our part of those that are to be tried
        with it. The work is not quite the same each time: what one of them had counts."""
        calls = Counter()
        for _ in range(times):
            self._start_counting()
            work()
            self.rest()
            calls |= self._calls  # the larger number of each
        return [fault for fault in chosen(calls, wanted) if fault.ours()]

    def begin_here(self):
        """What was until now was not part of the work yet."""
        if self._is_counting:
            self._start_counting()

    def rest(self):
        """What follows is not part of the work: nothing fails, nothing counts."""
        self.disarm()
        if self._is_counting:
            self._is_counting = False
            for kind in TRIED:
                self._calls[kind, 0] += self._row(kind)[1]
            if BY_SITE and "memory" in TRIED:
                del self._calls["memory", 0]
                self._calls.update(self._sites())

    def _start_counting(self):
        self._is_counting = True
        self._calls = Counter({(kind, 0): -self._row(kind)[1] for kind in TRIED})
        self._memory[SITES_AT:] = bytes(SITE.size * N_SITES)
        self._switch(BY_SITE, 0)

    def _row(self, kind):
        return ROW.unpack_from(self._memory, KINDS.index(kind) * ROW.size)

    def _set_countdown(self, kind, n):
        struct.pack_into("q", self._memory, KINDS.index(kind) * ROW.size, n)

    def _switch(self, counts_sites, wanted_site):
        SWITCHES.pack_into(self._memory, ROW.size * len(KINDS), counts_sites, wanted_site)

    def _sites(self):
        rows = SITE.iter_unpack(self._memory[SITES_AT:])
        found = {("memory", site): n for site, n in rows if site}
        assert len(found) < N_SITES, "more sites than inject.c can count"
        return found


def chosen(calls, wanted):
    """Each site's first allocation and its last, and of the other calls as many as wanted."""
    for (kind, site), n in sorted(calls.items()):
        for nth in sorted({1, n}) if site else places(n, wanted):
            yield Fault(kind, nth, site)


def places(n_calls, wanted):
    """Which of n calls to let fail: all, or so many evenly spread ones."""
    if n_calls <= wanted:
        return range(1, n_calls + 1)
    return sorted({1 + i * (n_calls - 1) // max(1, wanted - 1) for i in range(wanted)})
