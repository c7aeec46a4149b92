# SPDX-License-Identifier: Apache-2.0
"""What CTest knows (unit tests, lints), and the checks of the source text, as one test each."""

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import coverage_report
import tools
from tools import ROOT

BUILD = ROOT / os.environ.get("TNX_BUILD", "build/dev")
LAYERS = ("proto", "relay", "agent", "tests")
# The sources are compiled by gcc, with warnings that clang does not have.
GCC_ONLY = ["--extra-arg=-Wno-unknown-warning-option"]
# Here paths are followed through a function to a quarter of clang's own limit, which halves the time;
# tests/analyze follows them all.
PATHS = ["--extra-arg=-Xclang", "--extra-arg=-analyzer-config", "--extra-arg=-Xclang", "--extra-arg=max-nodes=56000"]
# Unit tests go without the checks that follow each path through the code: those take three quarters of
# the time, and what they look for the sanitizers see when the tests run.
# Checks on the command line also bring clang-tidy's own default back, clang's warnings: gcc gives ours.
UNIT_TESTS = ["--checks=-clang-analyzer-*", "--extra-arg=-w"]


def registered_tests():
    if not (BUILD / "CTestTestfile.cmake").exists():
        return []
    listed = subprocess.run(
        ["ctest", "--test-dir", BUILD, "--show-only=json-v1"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return sorted(test["name"] for test in json.loads(listed.stdout)["tests"])


def sources(*suffixes):
    found = [p for layer in LAYERS for p in (ROOT / layer).rglob("*") if p.suffix in suffixes]
    return sorted(p.relative_to(ROOT) for p in found)


def compiled_sources():
    """Our own translation units, as CMake compiles them."""
    database = BUILD / "compile_commands.json"
    if not database.exists():
        return []
    files = {Path(entry["file"]) for entry in json.loads(database.read_text())}
    ours = (p.relative_to(ROOT) for p in files if p.is_relative_to(ROOT))
    return sorted(str(p) for p in ours if p.parts[0] in LAYERS)


def scripts():
    tests = ROOT / "tests"
    candidates = [ROOT / ".ci" / "run", *(ROOT / "deploy").rglob("*")]
    candidates += [*tests.glob("*"), *tests.glob("*/run")]
    shells = (b"sh\n", b"shell=bash\n")
    heads = ((p, p.read_bytes()[:80]) for p in candidates if p.is_file())
    return sorted(p for p, head in heads if any(shell in head for shell in shells))


@pytest.mark.parametrize("name", registered_tests())
def test_unit(name):
    tools.check("ctest", "--test-dir", BUILD, "--output-on-failure", "-R", f"^{name}$")


def test_c_sources_are_formatted():
    tools.check("clang-format-14", "--dry-run", "-Werror", *sources(".c", ".h"))


def test_each_mutant_still_finds_its_text(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "mutation")
    from mutants import MUTANTS  # pylint: disable=import-outside-toplevel

    times = {
        (m.name, file): (ROOT / file).read_text(encoding="utf-8").count(old)
        for m in MUTANTS
        for file, old, _ in m.replacements
    }
    assert not {which: n for which, n in times.items() if n != 1}


def test_what_is_said_not_to_be_reached_is_still_there():
    reasons, _ = coverage_report.read_reasons()
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path, _ in reasons}
    assert [f for path, f in reasons if not re.search(rf"^\S.*\b{f}\(", texts[path], re.M)] == []


def test_coverage_fails_where_lines_that_no_test_reaches_have_no_reason(tmp_path):
    lines = [{"line_number": n, "count": 101 - n, "branches": []} for n in range(2, 102)]
    functions = [{"lineno": 1, "name": "reached"}, {"lineno": 100, "name": "not_quite"}]
    report = tmp_path / "coverage.json"
    report.write_text(
        json.dumps({"files": [{"file": "proto/base/new.c", "functions": functions, "lines": lines}]})
    )
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "coverage_report.py", report],
        check=False, capture_output=True, text=True,
    )
    assert done.returncode == 1
    assert "without a reason in tests/uncovered.txt: proto/base/new.c not_quite: 101\n" in done.stdout


def test_scripts_pass_shellcheck():
    tools.check("shellcheck", *scripts())


@functools.cache
def common_inputs():
    """A digest of what every clang-tidy run depends on besides its own file."""
    digest = hashlib.sha256()
    for path in [Path(".clang-tidy"), *sources(".h")]:
        digest.update(f"{path}\0".encode() + (ROOT / path).read_bytes())
    return digest.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("source", compiled_sources())
def test_clang_tidy_finds_nothing(source):
    # A source that passed is not looked at again until it or any header changes.
    text = (ROOT / source).read_bytes()
    key = hashlib.sha256(common_inputs().encode() + source.encode() + text).hexdigest()
    passed = ROOT / "build" / "tidy" / key
    if passed.exists():
        return
    options = [*GCC_ONLY, *(UNIT_TESTS if source.startswith("tests/unit/") else PATHS)]
    tools.check("clang-tidy-14", "--quiet", "--warnings-as-errors=*", *options, "-p", BUILD, source)
    passed.parent.mkdir(parents=True, exist_ok=True)
    passed.touch()
