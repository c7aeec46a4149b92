# SPDX-License-Identifier: Apache-2.0
"""axe-core, which finds faults of accessibility in the page that a browser shows. Debian has no package
of it: one file of one version is taken from the npm registry, by npm where it is installed, else over
HTTPS, checked against the digest below, and kept in build/ for the next run.

TNX_AXE=FILE names an axe.min.js that is there. Where the registry cannot be reached the tests that need
it are skipped, in CI too: the tool is no Debian package, and whether somebody else's server answers says
nothing about this tree. What comes and is not the archive asked for fails them."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from pathlib import Path

import pytest

from harness import ROOT

VERSION = "4.10.2"
# As the registry and every lock file of npm have it: base64 of the archive's SHA-512.
INTEGRITY = "RE3mdQ7P3FRSe7eqCWoeQ/Z9QXrtniSjp1wUjt5nRC3WIpz5rSCve6o3fsZ2aCpJtrZjSZgjwXAoTO5k4tEI0w=="
KEPT = ROOT / "build" / f"axe-core-{VERSION}.tgz"
FETCH_S = 60


def is_right(archive):
    return base64.b64encode(hashlib.sha512(archive).digest()).decode() == INTEGRITY


def by_npm(folder):
    done = subprocess.run(["npm", "pack", "--silent", f"axe-core@{VERSION}"], cwd=folder, capture_output=True,
                          text=True, timeout=FETCH_S, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr[-200:])
    (archive,) = Path(folder).glob("*.tgz")
    return archive.read_bytes()


def by_https():
    registry = os.environ.get("npm_config_registry", "https://registry.npmjs.org/").rstrip("/")
    with urllib.request.urlopen(f"{registry}/axe-core/-/axe-core-{VERSION}.tgz", timeout=FETCH_S) as answer:
        return answer.read(16 << 20)


class WrongArchive(Exception):
    """It is not what was asked for."""


def fetch():
    with tempfile.TemporaryDirectory() as folder:
        archive = by_npm(folder) if shutil.which("npm") else by_https()
    if not is_right(archive):
        raise WrongArchive("what came is not the archive that was asked for")
    KEPT.parent.mkdir(exist_ok=True)
    mine = KEPT.with_suffix(f".{os.getpid()}")  # several workers may be here at once
    mine.write_bytes(archive)
    mine.rename(KEPT)


def script():
    """axe-core's text. Skips the test without one."""
    if os.environ.get("TNX_AXE"):
        return Path(os.environ["TNX_AXE"]).read_text()
    try:
        if not KEPT.exists() or not is_right(KEPT.read_bytes()):
            fetch()
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"no axe-core: {error}; TNX_AXE names one that is there")
    with tarfile.open(KEPT) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def assert_accessible(browser, axe, where):
    """No serious and no critical fault in what the browser shows, in either theme."""
    browser.driver.execute_script(axe)
    for theme in ("light", "dark"):
        browser.turn(theme)
        found = browser.driver.execute_async_script(
            "axe.run().then(r => arguments[0](r.violations.filter(v => ['serious', 'critical'].includes(v.impact))"
            ".map(v => [v.id, v.help, v.nodes.slice(0, 3).map(n => n.html + ' ' + n.failureSummary)])))")
        assert not found, f"{where}, {theme}: {json.dumps(found, indent=1)}"
