# SPDX-License-Identifier: Apache-2.0
"""Lines and branches by folder, of gcovr's JSON, and whether they are enough. Argument: the file.
With a second argument, a folder or file: the lines of it that were not reached."""

import collections
import json
import sys

MINIMUM = {"proto": 90.0, "relay": 85.0, "agent": 85.0, "tests": 85.0}  # per cent of lines


def measure(file):
    lines = [line for line in file["lines"] if not line.get("gcovr/noncode")]
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


def print_missed(files, prefix):
    for file in files:
        if file["file"].startswith(prefix):
            code = [line for line in file["lines"] if not line.get("gcovr/noncode")]
            missed = [line["line_number"] for line in code if line["count"] == 0]
            if missed:
                print(f"{file['file']}: {' '.join(map(str, missed))}")


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
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
