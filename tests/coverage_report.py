# SPDX-License-Identifier: Apache-2.0
"""Lines and branches by folder, of gcovr's JSON, and whether they are enough; then how many lines were
not reached for which reason, of tests/uncovered.txt. Argument: the JSON file. A function with such lines
that the list does not explain is a fault. With a second argument, a folder or file: those of its lines."""

import bisect
import collections
import json
import sys
from pathlib import Path

MINIMUM = {"proto": 90.0, "relay": 85.0, "agent": 85.0, "tests": 85.0}  # per cent of lines
REASONS = Path(__file__).resolve().parent / "uncovered.txt"


def code_of(file):
    return [line for line in file["lines"] if not line.get("gcovr/noncode")]


def measure(file):
    lines = code_of(file)
    branches = [b for line in lines for b in line["branches"]]
    return (
        len(lines),
        sum(line["count"] > 0 for line in lines),
        len(branches),
        sum(b["count"] > 0 for b in branches),
    )


def share(part, whole):
    return 100.0 * part / whole if whole else 100.0


def folders_of(name):
    parts = name.split("/")
    return parts[0], "/".join(parts[:2]) if len(parts) > 2 else parts[0] + "/."


def missed(file):
    """Lines that were not reached, by function."""
    begins = sorted((f["lineno"], f["name"]) for f in file["functions"])
    found = collections.defaultdict(list)
    for line in code_of(file):
        if line["count"] == 0:
            n = line["line_number"]
            before = bisect.bisect_right(begins, (n, "\uffff"))
            found[begins[before - 1][1] if before else "?"].append(n)
    return found


def print_missed(files, prefix):
    for file in files:
        if file["file"].startswith(prefix):
            for function, lines in missed(file).items():
                print(f"{file['file']} {function}: {' '.join(map(str, lines))}")


def read_reasons():
    """(file, function): the first section that names it; and the sections, in their order."""
    found, sections = {}, []
    for line in REASONS.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            sections.append(line.strip("[]"))
        elif line:
            path, _, functions = line.partition(":")
            for function in functions.split():
                found.setdefault((path, function), sections[-1])
    return found, sections


def check_reasons(files):
    """Prints the lines by reason. Gives what has none."""
    reasons, sections = read_reasons()
    n_lines, unexplained = collections.Counter(), []
    for file in files:
        for function, lines in missed(file).items():
            why = reasons.get((file["file"], function))
            n_lines[why] += len(lines)
            if why is None:
                unexplained.append(f"{file['file']} {function}: {' '.join(map(str, lines))}")
    for section in sections:
        print(f"not reached: {n_lines[section]:5} lines  {section}")
    return unexplained


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        files = json.load(f)["files"]
    if len(sys.argv) > 2:
        print_missed(files, sys.argv[2])
        return 0
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    for file in files:
        for folder in folders_of(file["file"]):
            for i, n in enumerate(measure(file)):
                sums[folder][i] += n
    for folder in sorted(sums):
        lines, hit, branches, taken = sums[folder]
        print(
            f"{folder:16} lines {hit:5} of {lines:5} ({share(hit, lines):5.1f} %)"
            f"   branches {taken:5} of {branches:5} ({share(taken, branches):5.1f} %)"
        )
    least = {name: MINIMUM[name.split("/")[0]] for name in sums}
    short = [name for name in sorted(sums) if share(sums[name][1], sums[name][0]) < least[name]]
    for name in short:
        print(f"{name}: fewer than {least[name]:g} % of the lines")
    unexplained = check_reasons(files)
    for lines in unexplained:
        print(f"without a reason in tests/uncovered.txt: {lines}")
    return 1 if short or unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
