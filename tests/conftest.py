# SPDX-License-Identifier: Apache-2.0
"""What all tests have in common: where tools.py is, what a missing tool means, and which begin first."""

import os

import pytest

import tools

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def pytest_runtest_setup(item):
    for there, reason in (mark.args for mark in item.iter_markers("needs")):
        if not there:
            tools.missing(reason)


def order(item):
    """Of two tests, which begins first: quick ones behind the long ones, then what takes long, so that
    at the end, where xdist hands out few at a time, there are none that take long."""
    if item.get_closest_marker("quick"):
        return 0
    if "browser" in item.fixturenames:
        return 1
    return 2 if item.get_closest_marker("slow") else 3


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Those that take minutes begin first, side by side: each worker of xdist is given a quarter of its
    share of all tests to begin with, in their order, and nobody takes them off it again. So what comes
    behind a long one there are quick ones."""
    long = [item for item in items if item.get_closest_marker("long")]
    others = sorted((item for item in items if not item.get_closest_marker("long")), key=order)
    share = max(len(items) // WORKERS // 4, 2)
    for i, item in enumerate(long):
        others.insert(i % WORKERS * share + i // WORKERS, item)
    items[:] = others
