#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the kept inputs of each fuzz target reach of the files that it is about, as a table (Markdown). For
tests/fuzz/run, which makes the build; each file's own figures are printed with --files."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "fuzz-coverage"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
ABOUT = {
    "agent_config": r"agent/config\.c|proto/base/conf\w*\.c",
    "control": r"relay/store/(control|describe)\.c",
    "devices": r"tests/simulator/(device|house)\w*\.c",
    "digest": r"agent/upstream/digest\w*\.c",
    "front": r"relay/(front|tunnel)/.*\.c",
    "guard": r"proto/pages/guard\.c",
    "house": r"proto/pages/house\.c",
    "lives": r"proto/wire/mux\w*\.c",
    "mux": r"proto/wire/.*\.c",
    "proxy": r"relay/front/(proxy|forwarded)\.c",
    "query": r"proto/http/(query|controller)\.c",
    "relay_config": r"relay/(config|settings)\.c|proto/base/conf\w*\.c",
    "request": r"proto/http/(request\w*|chunked|field)\.c",
    "response": r"proto/http/(response\w*|chunked|field)\.c",
    "scope": r"relay/store/(scope\w*|cidr)\.c",
    "websocket": r"proto/websocket/websocket\.c",
}


def summaries(target):
    """{file: its summary} of one run over the target's corpus."""
    program, profile = BUILD / "bin" / f"fuzz_{target}", BUILD / f"{target}.profile"
    variables = {**os.environ, "LLVM_PROFILE_FILE": f"{profile}.raw"}
    done = subprocess.run(
        [program, "-runs=0", CORPUS / target],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"fuzz {target}: fails over its inputs\n{done.stdout[-4000:]}")
    subprocess.run(["llvm-profdata-14", "merge", "-o", profile, f"{profile}.raw"], check=True)
    told = subprocess.run(
        ["llvm-cov-14", "export", "-summary-only", program, f"-instr-profile={profile}"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return {
        str(Path(file["filename"]).relative_to(ROOT)): file["summary"]
        for file in json.loads(told.stdout)["data"][0]["files"]
        if Path(file["filename"]).is_relative_to(ROOT)
    }


def share(sums):
    count, covered = sum(s["count"] for s in sums), sum(s["covered"] for s in sums)
    return f"{covered} of {count}", f"{100 * covered / count:.1f} %" if count else "-"


def row(name, files):
    lines = share([s["lines"] for s in files])
    branches = share([s["branches"] for s in files])
    return f"| {' | '.join((name, *lines, *branches))} |"


def main(arguments):
    each = "--files" in arguments
    print("| target | lines | | branches | |\n|---|---|---|---|---|", flush=True)
    for target in (a for a in arguments if a != "--files"):
        found = {n: s for n, s in summaries(target).items() if re.fullmatch(ABOUT[target], n)}
        print(row(f"`{target}`", found.values()), flush=True)
        for name, summary in sorted(found.items()) if each else ():
            print(row(name, [summary]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
