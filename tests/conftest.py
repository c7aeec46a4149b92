# SPDX-License-Identifier: Apache-2.0
"""What all tests have in common: where tools.py is, what a missing tool means, which begin first, and
which worker gets them."""

import pytest

import tools

# Small pieces without a fixture, for whoever has nothing else to do.
PIECES = "test_tree.py"


def pytest_runtest_setup(item):
    for there, reason in (mark.args for mark in item.iter_markers("needs")):
        if not there:
            tools.missing(reason)


def file_of(nodeid):
    return nodeid.partition("::")[0]


def haste(item):
    """Of two tests, which belongs to a file that begins first."""
    if item.get_closest_marker("long"):
        return 0
    return 1 if item.get_closest_marker("slow") or "browser" in item.fixturenames else 2


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Files that take long begin first, and the pieces come last: no worker is then alone at the end with
    what takes a minute. Within a file tests keep their order."""
    first = {}
    for item in items:
        file = file_of(item.nodeid)
        first[file] = min(haste(item), first.get(file, 2))
    first[PIECES] = 3
    items.sort(key=lambda item: first[file_of(item.nodeid)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With --dist loadfile (tests/run) a worker takes the next file when it is nearly through with its
    last one, for the sake of the fixtures that a file's tests share; and of the pieces the next one."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling  # pylint: disable=import-outside-toplevel

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid if file_of(nodeid) == PIECES else file_of(nodeid)

    return Files(config, log)
