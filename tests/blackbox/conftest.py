# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the black-box tests. See harness.py."""

import ctypes
import os

import pytest

import axe as axe_core
import harness

# prctl(2): orphans become our children, so that the leak check sees them.
PR_SET_CHILD_SUBREAPER = 36
# A test that takes this long hangs; each takes a small fraction of it.
TEST_TIMEOUT = 120  # seconds


def children():
    """Our living children."""
    me = str(os.getpid())
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                text = stat.read()
        except OSError:
            continue  # ended meanwhile
        name, _, rest = text.rpartition(")")
        state, parent = rest.split()[:2]
        # A dead one that nobody waits for any more is no leak (a sanitizer's tracer, orphaned).
        if parent == me and state != "Z":
            found.append(f"{name})")
    return found


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left_behind():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = set(children())
    yield
    assert not harness.Process.alive
    left = set(children()) - before
    assert not left, f"processes left behind: {left}"


@pytest.fixture(autouse=True)
def every_test_ends(request):
    if not request.node.get_closest_marker("timeout"):
        request.node.add_marker(pytest.mark.timeout(TEST_TIMEOUT))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of every running program's log below a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for process in harness.Process.alive:
            report.sections.append((f"log of {process.name}", process.log.tail(60)))


@pytest.fixture
def start_building(tmp_path):
    """start_building(**options) gives a Building of the test's own; ended with the test."""
    made = []

    def start(**options):
        building = harness.Building(tmp_path / f"building-{len(made)}", **options)
        made.append(building)
        return building

    yield start
    try:
        for building in made:
            building.stop()
    finally:
        for building in made:
            building.kill()


@pytest.fixture(scope="module")
def building(tmp_path_factory):
    """A Building shared by the tests of a module that leave it as it is."""
    made = harness.Building(tmp_path_factory.mktemp("building"))
    yield made
    try:
        made.stop()
    finally:
        made.kill()


@pytest.fixture(scope="session")
def axe():
    """axe-core's script. See axe.py."""
    return axe_core.script()
