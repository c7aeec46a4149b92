# SPDX-License-Identifier: Apache-2.0
"""Reads the corpus (*.md beside this file; format in README.md) and turns entries into bytes.

    for entry in load(): ...
    case = entry.expand(Names(key=..., bad_key=..., host=..., group=...))
    case.parts        the bytes, cut where the client waits for an answer
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CONNECTIONS = ("open", "closed", "waiting", "either")
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", "{": b"{", "}": b"}",
           '"': b'"'}
HEADING = re.compile(r"^## ([a-zA-Z0-9-]+): (.+)$")
PIECE = re.compile(r"\\x([0-9a-f]{2})|\\(.)|\{([^{}]*)\}|([^\\{}])", re.DOTALL)
REPEAT = re.compile(r'REPEAT (\d+) "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Names:
    """What the placeholders stand for. `group` has exactly eight characters, as 31/7/255 has, so
    that lengths in the corpus are right."""

    key: str
    bad_key: str
    host: str  # with port, where there is one
    group: str

    def placeholder(self, word: str) -> bytes | None:
        key = self.key
        call = f"/{key}/api/V1/system/sendKNXbyte"
        if m := re.fullmatch(r"SET (\d+)", word):
            return f"{call}?group={self.group}&value={m.group(1)}".encode()
        table = {
            "KEY": key,
            "KEYSWAP": key.swapcase(),
            "KEYHEX": f"{ord(key[0]):02x}{key[1:]}",
            "BADKEY": self.bad_key,
            "HOST": self.host,
            "HOST2": self.host.partition(":")[0],
            "POST": call,
            "G": self.group,
            "GHEAD": self.group[:4],
            "GTAIL": self.group[4:],
            "GESC": self.group.replace("/", "%2F"),
            "GDIGITS": self.group.replace("/", ""),
        }
        return table[word].encode() if word in table else None


@dataclass(frozen=True)
class Expected:
    """One answer: a status, and the reason of an answer that the relay makes ("" = the building's
    own answer). `optional`: an interim answer that may be left out."""

    status: int
    reason: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Outcome:
    answers: tuple[Expected, ...]
    runs: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """An entry with its placeholders filled in. Before each part but the first the client waits
    for an interim answer."""

    parts: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


@dataclass
class Entry:
    id: str
    title: str
    why: str
    source: str  # file:line
    raw: str = ""
    outcomes: list[Outcome] = field(default_factory=list)  # one of them must come
    connection: str = ""

    def expand(self, names: Names) -> Case:
        return Case(tuple(expand(self.raw, names)))


def escape_at(m: re.Match) -> bytes:
    if m.group(1):
        return bytes([int(m.group(1), 16)])
    if m.group(2):
        if m.group(2) not in ESCAPES:
            raise ValueError(f"unknown escape \\{m.group(2)}")
        return ESCAPES[m.group(2)]
    character = m.group(4)
    if not 0x20 <= ord(character) <= 0x7E:
        raise ValueError(f"write {character!r} as an escape")
    return character.encode()


def unescape(text: str) -> bytes:
    """Escapes without placeholders."""
    out = b""
    at = 0
    while at < len(text):
        m = PIECE.match(text, at)
        if m is None or m.group(3) is not None:
            raise ValueError(f"cannot read {text[at:at + 20]!r}")
        out += escape_at(m)
        at = m.end()
    return out


# A repetition may hold escaped quotes and braces, so it is looked for first.
TOKEN = re.compile(r"\{(" + REPEAT.pattern + r")\}|" + PIECE.pattern, re.DOTALL)


def fill(out: bytearray, marks: dict[str, tuple[int, int]]) -> None:
    """Fills with `f` where {FILL n} or {FILL-FIELDS n} stood: the line, with its CRLF, or all
    fields, with theirs, get n bytes."""
    if "FILL-FIELDS" in marks:
        at, size = marks["FILL-FIELDS"]
        start = out.index(b"\r\n") + 2
        end = out.index(b"\r\n\r\n", at) + 2
        insert(out, at, size - (end - start))
    if "FILL" in marks:
        at, size = marks["FILL"]
        start = out.rfind(b"\n", 0, at) + 1
        end = out.index(b"\r\n", at) + 2
        insert(out, at, size - (end - start))


def insert(out: bytearray, at: int, count: int) -> None:
    if count < 0:
        raise ValueError("nothing left to fill")
    out[at:at] = b"f" * count


def expand(raw: str, names: Names) -> list[bytes]:
    """The bytes of a raw block. Line breaks of the block itself mean nothing."""
    text = raw.replace("\n", "")
    parts: list[bytes] = []
    out = bytearray()
    marks: dict[str, tuple[int, int]] = {}
    length_at = body_at = body_end = None
    at = 0
    while at < len(text):
        m = TOKEN.match(text, at)
        if m is None:
            raise ValueError(f"cannot read {text[at:at + 20]!r}")
        at = m.end()
        word = m.group(6)
        if m.group(1):
            out += unescape(m.group(3)) * int(m.group(2))
        elif word is None:
            out += escape_at(re.match(PIECE, m.group(0)))
        elif word == "AWAIT 100":
            parts.append(bytes(out))
            out = bytearray()
        elif word == "LENGTH":
            length_at = len(out)
        elif word == "BODY":
            body_at = len(out)
        elif word == "END":
            body_end = len(out)
        elif f := re.fullmatch(r"(FILL|FILL-FIELDS) (\d+)", word):
            marks[f.group(1)] = (len(out), int(f.group(2)))
        else:
            value = names.placeholder(word)
            if value is None:
                raise ValueError(f"unknown placeholder {{{word}}}")
            out += value
    if length_at is not None:
        out[length_at:length_at] = str((body_end or len(out)) - body_at).encode()
    fill(out, marks)
    return [*parts, bytes(out)]


def parse_answers(text: str) -> tuple[Expected, ...]:
    if text == "none":
        return ()
    found = []
    for item in text.split(","):
        m = re.fullmatch(r"(\d{3})(\?)?(?: (\(server\)|[a-z_]+))?", item.strip())
        if m is None:
            raise ValueError(f"cannot read the answer {item!r}")
        reason = m.group(3) or ""
        found.append(Expected(int(m.group(1)), "" if reason == "(server)" else reason,
                              bool(m.group(2))))
    return tuple(found)


def parse_runs(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(int(word) for word in text.split())


def finish(entry: Entry, settings: dict[str, str]) -> Entry:
    if set(settings) != {"answers", "connection", "runs"}:
        raise ValueError(f"answers, connection and runs are needed, not {sorted(settings)}")
    answers = [parse_answers(part.strip()) for part in settings["answers"].split("|")]
    runs = [parse_runs(part.strip()) for part in settings["runs"].split("|")]
    if len(runs) == 1:
        runs *= len(answers)
    if len(runs) != len(answers):
        raise ValueError("as many alternatives of runs as of answers, or one")
    entry.outcomes = [Outcome(a, r) for a, r in zip(answers, runs)]
    entry.connection = settings["connection"]
    if entry.connection not in CONNECTIONS:
        raise ValueError(f"connection is none of {CONNECTIONS}")
    if not entry.raw:
        raise ValueError("no bytes")
    return entry


def load_file(path: Path) -> list[Entry]:
    entries: list[Entry] = []
    entry: Entry | None = None
    settings: dict[str, str] = {}
    in_block = False

    def end() -> None:
        if entry is not None:
            try:
                entries.append(finish(entry, settings))
            except ValueError as why:
                raise ValueError(f"{entry.source} {entry.id}: {why}") from None

    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if in_block:
            if line == "```":
                in_block = False
            elif line != line.strip() or not line:
                raise ValueError(f"{path.name}:{number}: write white space at an end as an escape")
            else:
                entry.raw += line + "\n"
        elif m := HEADING.match(line):
            end()
            entry = Entry(m.group(1), m.group(2), "", f"{path.name}:{number}")
            settings = {}
        elif entry is None or not line:
            continue
        elif line == "```http":
            in_block = True
        elif m := re.match(r"- ([a-z]+): (.+)$", line):
            settings[m.group(1)] = m.group(2)
        else:
            entry.why += line + " "
    end()
    return entries


def load() -> list[Entry]:
    """All entries, in the order of the files' names. ValueError says what is wrong where."""
    entries = [e for path in sorted(FOLDER.glob("*.md")) if path.name != "README.md"
               for e in load_file(path)]
    ids = [e.id.lower() for e in entries]
    twice = {i for i in ids if ids.count(i) > 1}
    if twice:
        raise ValueError(f"ids that stand twice: {sorted(twice)}")
    return entries
