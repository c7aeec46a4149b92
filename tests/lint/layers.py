#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the compiler cannot: that includes point down the layers, that banned functions are
absent, and the outer form of each C file.

Usage: layers.py [ROOT]      prints "file:line: reason" for each finding; exit 1 if there is one
       layers.py --self-test proves on small samples that each rule fires, and only then
"""

import re
import sys
from pathlib import Path

FOLDERS = ("proto", "relay", "agent", "tests")

# Folder -> what its files may include with quotes. The longest matching folder counts.
MAY_INCLUDE = {
    "proto/base": ("proto/base",),
    "proto/json": ("proto/base", "proto/json"),
    "proto/wire": ("proto/base", "proto/wire"),
    "proto/http": ("proto/base", "proto/http"),
    "proto/websocket": ("proto/base", "proto/websocket"),
    "proto/pages": ("proto/base", "proto/json", "proto/http", "proto/pages"),
    "proto/io": ("proto/base", "proto/io"),
    "relay": ("proto", "relay"),
    "agent": ("proto", "agent"),
    "tests": ("proto", "relay", "agent", "tests"),
}

# Third-party header -> folders that may include it.
ONLY_IN = (
    (re.compile(r"libwebsockets(\.h|/.*)"), ("agent/tunnel",)),
    (re.compile(r"wslay/.*"), ("proto/websocket", "tests/unit/websocket")),
    (re.compile(r"(llhttp/)?llhttp\.h"), ("proto/http", "tests/simulator", "tests/bench", "tests/unit/http")),
    (re.compile(r"sqlite3(ext)?\.h"), ("relay/store", "tests/unit/store")),
)

# Third-party header -> folders that may not include it.
NEVER_IN = (
    (re.compile(r"(uv\.h|uv/.*|openssl/.*)"), ("proto/base", "proto/json", "proto/wire", "proto/http", "proto/pages")),
)

BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strncpy|strncat|strtok|atoi|atol|alloca|"
                    r"gets|system|popen)\b")
# jansson overlooks failures of its own here: in the programs proto/json stands before them.
JSON = re.compile(r"\bjson_(loads|loadb|load_file|dumps|dumpf|dumpfd|dump_file)\b")
MARKER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)')
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */"
LINES_WARN = 400
LINES_MAX = 500

# A comment, a string or a character; whichever begins first hides the others.
HIDDEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def blank(text):
    """Spaces in place of everything but line ends, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(source):
    return HIDDEN.sub(lambda m: blank(m[0]) if m[0].startswith("/") else m[0], source)


def without_comments_and_strings(source):
    return HIDDEN.sub(lambda m: blank(m[0]), source)


def is_under(path, folder):
    return path == folder or path.startswith(folder + "/")


def layer_of(path):
    """The longest folder of MAY_INCLUDE that holds `path`, or None."""
    return max((f for f in MAY_INCLUDE if is_under(path, f)), key=len, default=None)


def check_quoted(path, header):
    """The reason why `path` may not include "header", or None."""
    layer = layer_of(path)
    if layer is None:
        return f"{path} belongs to no known layer"
    if ".." in header.split("/") or not any(is_under(header, f) for f in FOLDERS):
        return f'"{header}": not written from the repository root'
    if not any(is_under(header, f) for f in MAY_INCLUDE[layer]):
        return f'"{header}": {layer} may include only {", ".join(MAY_INCLUDE[layer])}'
    return None


def check_system(path, header):
    """The reason why `path` may not include <header>, or None."""
    if any(is_under(header, f) for f in FOLDERS):
        return f"<{header}>: our own headers are included with quotes"
    for pattern, folders in ONLY_IN:
        if pattern.fullmatch(header) and not any(is_under(path, f) for f in folders):
            return f"<{header}>: only in {', '.join(folders)}"
    for pattern, folders in NEVER_IN:
        if pattern.fullmatch(header) and any(is_under(path, f) for f in folders):
            return f"<{header}>: never in {layer_of(path)}"
    return None


def find_includes(path, source):
    for n, line in enumerate(without_comments(source).splitlines(), 1):
        match = INCLUDE.match(line)
        if match is None:
            continue
        quoted, system = match.groups()
        reason = check_system(path, system) if quoted is None else check_quoted(path, quoted)
        if reason is not None:
            yield n, reason


def find_banned(path, source):
    for n, line in enumerate(without_comments_and_strings(source).splitlines(), 1):
        # The path of a system header is neither comment nor string.
        if INCLUDE.match(line) is None:
            for match in BANNED.finditer(line):
                yield n, f"{match[0]} is banned"
            for match in JSON.finditer(line if path.startswith(("relay/", "agent/")) else ""):
                yield n, f"{match[0]}: use proto/json/json_text.h"


def find_markers(source):
    for n, line in enumerate(source.splitlines(), 1):
        for match in MARKER.finditer(line):
            yield n, f"{match[0]} left in the code"


def find_form(source):
    lines = source.splitlines()
    if not lines or lines[0] != SPDX:
        yield 1, f"does not begin with {SPDX}"
    if len(lines) > LINES_MAX:
        yield len(lines), f"{len(lines)} lines; the most is {LINES_MAX}"


def findings(path, source):
    """All findings in one file, as (line, reason); `path` is relative to the root."""
    yield from find_form(source)
    yield from find_includes(path, source)
    yield from find_banned(path, source)
    yield from find_markers(source)


def lint(root):
    n_files = 0
    n_findings = 0
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*.[ch]")):
            path = file.relative_to(root).as_posix()
            source = file.read_text(encoding="utf-8", errors="replace")
            n_files += 1
            for line, reason in sorted(findings(path, source)):
                print(f"{path}:{line}: {reason}")
                n_findings += 1
            n_lines = len(source.splitlines())
            if LINES_WARN < n_lines <= LINES_MAX:
                print(f"{path}:{n_lines}: warning: {n_lines} lines; does it still have one noun?")
    print(f"{n_files} files, {n_findings} findings")
    if n_files == 0:
        print(f"no C file below {root}: wrong folder?")
        return 1
    return 1 if n_findings > 0 else 0


# (path, lines after the SPDX line, line and part of the reason expected, or None for clean)
SAMPLES = (
    # Includes with quotes: each layer downwards, sideways, upwards.
    ("proto/base/a.c", '#include "proto/base/b.h"', None),
    ("proto/base/a.c", '#include "proto/wire/b.h"', (2, "may include only proto/base")),
    ("proto/base/a.c", '#include "proto/io/b.h"', (2, "may include only proto/base")),
    ("proto/wire/a.c", '#include "proto/base/b.h"\n#include "proto/wire/b.h"', None),
    ("proto/wire/a.c", '#include "proto/http/b.h"', (2, "proto/wire may include only")),
    ("proto/wire/a.c", '\n\n #  include "proto/io/b.h"', (4, "proto/wire may include only")),
    ("proto/http/a.c", '#include "proto/base/b.h"\n#include "proto/http/b.h"', None),
    ("proto/http/a.c", '#include "proto/wire/b.h"', (2, "proto/http may include only")),
    ("proto/pages/a.c", '#include "proto/http/b.h"\n#include "proto/pages/b.h"', None),
    ("proto/pages/a.c", '#include "proto/io/b.h"', (2, "proto/pages may include only")),
    ("proto/http/a.c", '#include "proto/pages/b.h"', (2, "proto/http may include only")),
    ("proto/io/a.c", '#include "proto/base/b.h"\n#include "proto/io/b.h"', None),
    ("proto/io/a.c", '#include "proto/wire/b.h"', (2, "proto/io may include only")),
    ("proto/io/a.c", '#include "relay/front/b.h"', (2, "proto/io may include only")),
    ("relay/front/a.c", '#include "proto/io/b.h"\n#include "relay/store/b.h"', None),
    ("relay/front/a.c", '#include "agent/tunnel/b.h"', (2, "relay may include only")),
    ("relay/main.c", '#include "agent/tunnel/b.h"', (2, "relay may include only")),
    ("relay/admin/a.h", '#include "tests/simulator/b.h"', (2, "relay may include only")),
    ("agent/tunnel/a.c", '#include "proto/wire/b.h"\n#include "agent/upstream/b.h"', None),
    ("agent/tunnel/a.c", '#include "relay/tunnel/b.h"', (2, "agent may include only")),
    ("agent/main.c", '#include "relay/front/b.h"', (2, "agent may include only")),
    ("tests/unit/a.c", '#include "relay/front/b.h"\n#include "agent/tunnel/b.h"', None),
    ("proto/base/a.c", '#include "b.h"', (2, "not written from the repository root")),
    ("relay/front/a.c", '#include "relay/../agent/b.h"', (2, "not written from the repository")),
    ("proto/base/a.c", "#include <proto/base/b.h>", (2, "included with quotes")),
    ("proto/new/a.c", '#include "proto/base/b.h"', (2, "belongs to no known layer")),
    ("proto/base/a.c", '/* #include "relay/b.h" */\n// #include "relay/b.h"', None),
    # Third-party headers.
    ("proto/io/a.c", "#include <uv.h>\n#include <openssl/ssl.h>", None),
    ("relay/front/a.c", "#include <uv.h>\n#include <openssl/ssl.h>", None),
    ("proto/base/a.c", "#include <uv.h>", (2, "never in proto/base")),
    ("proto/wire/a.c", "#include <uv/unix.h>", (2, "never in proto/wire")),
    ("proto/http/a.c", "#include <openssl/evp.h>", (2, "never in proto/http")),
    ("agent/tunnel/a.c", "#include <libwebsockets.h>", None),
    ("agent/upstream/a.c", "#include <libwebsockets.h>", (2, "only in agent/tunnel")),
    ("proto/io/a.c", "#include <libwebsockets.h>", (2, "only in agent/tunnel")),
    ("proto/websocket/a.c", "#include <wslay/wslay.h>", None),
    ("relay/front/a.c", "#include <wslay/wslay.h>", (2, "only in proto/websocket")),
    ("agent/tunnel/a.c", "#include <wslay/wslay.h>", (2, "only in proto/websocket")),
    ("proto/http/a.c", "#include <llhttp.h>", None),
    ("tests/simulator/a.c", "#include <llhttp.h>", None),
    ("tests/bench/a.c", "#include <llhttp.h>", None),
    ("relay/front/a.c", "#include <llhttp.h>", (2, "only in proto/http")),
    ("agent/upstream/a.c", "#include <llhttp/llhttp.h>", (2, "only in proto/http")),
    ("relay/store/a.c", "#include <sqlite3.h>", None),
    ("relay/admin/a.c", "#include <sqlite3.h>", (2, "only in relay/store")),
    ("relay/main.c", "#include <sqlite3.h>", (2, "only in relay/store")),
    # Banned functions; as words, in code only.
    *(("proto/base/a.c", f"\nint x = {name}(y);", (3, f"{name} is banned")) for name in
      ("strcpy", "strcat", "sprintf", "vsprintf", "strncpy", "strncat", "strtok", "atoi", "atol",
       "alloca", "gets", "system", "popen")),
    ("relay/store/a.c", "json_t *v = json_loadb(p, n, 0, NULL);", (2, "use proto/json/json_text.h")),
    ("agent/a.c", "char *text = json_text_format(v, 0);", None),
    ("tests/unit/a.c", "json_t *v = json_loads(p, 0, NULL);", None),
    ("tests/unit/a.c", "int (*f)(const char *) = system;", (2, "system is banned")),
    ("proto/base/a.c", "snprintf(a); vsnprintf(a); strtok_r(a); fgets(a); my_atoi(a);", None),
    ("proto/base/a.c", "/* strcpy\n * atoi */ // gets\nf(\"system(\\\"\", 'a');", None),
    ("proto/base/a.c", "f(\"/*\"); atoi(x); g(\"*/\");", (2, "atoi is banned")),
    ("proto/base/a.c", "f('\"'); atoi(x); g('\"');", (2, "atoi is banned")),
    ("proto/base/a.c", "#include <gets/system.h>", None),
    # Form.
    ("proto/base/a.c", "/* TODO: later */", (2, "TODO left")),
    ("proto/base/a.c", "// FIXME", (2, "FIXME left")),
    ("proto/base/a.h", "/*\n * XXX */", (3, "XXX left")),
    ("proto/base/a.h", "int x; /* HACK */", (2, "HACK left")),
    ("tests/unit/a.c", 'char folder[] = "/tmp/a-XXXXXX";', None),
    ("proto/base/a.c", "\n" * (LINES_MAX - 1), None),
    ("proto/base/a.c", "\n" * LINES_MAX, (LINES_MAX + 1, "501 lines")),
)

# (whole source, line and part of the reason expected)
HEADLESS = (
    ("", (1, "does not begin with")),
    ("int x;\n" + SPDX + "\n", (1, "does not begin with")),
    ("// SPDX-License-Identifier: MIT\n", (1, "does not begin with")),
)


def self_test():
    cases = [(path, SPDX + "\n" + body, expected) for path, body, expected in SAMPLES]
    cases += [("proto/base/a.c", source, expected) for source, expected in HEADLESS]
    n_failed = 0
    for path, source, expected in cases:
        found = list(findings(path, source))
        if expected is None:
            good = not found
        else:
            good = len(found) == 1 and found[0][0] == expected[0] and expected[1] in found[0][1]
        if not good:
            print(f"{path}: {source!r}\n  expected {expected}\n  found    {found}")
            n_failed += 1
    print(f"{len(cases)} samples, {n_failed} failed")
    return 1 if n_failed > 0 else 0


def main(args):
    if args == ["--self-test"]:
        return self_test()
    if len(args) > 1 or (args and args[0].startswith("-")):
        print(__doc__, file=sys.stderr)
        return 2
    return lint(Path(args[0]) if args else Path(__file__).resolve().parents[2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
