# SPDX-License-Identifier: Apache-2.0
"""The relay against a second reader of HTTP (oracle.py): whatever bytes come, both must find the
same messages in them, refuse the same ones, and have the building do the same.

TNX_SEED and TNX_CASES choose other mutations than the usual ones; a failure prints its bytes."""

import os
import queue
import random
import re
import secrets
import sys

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "conformance" / "http"))

import client  # noqa: E402
import corpus  # noqa: E402
import front as fronts  # noqa: E402
import oracle  # noqa: E402

SEED = int(os.environ.get("TNX_SEED", "20240911"))
CASES = int(os.environ.get("TNX_CASES", "2000"))
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    made = fronts.Front(tmp_path_factory.mktemp("front"), relay=fronts.PATIENT)
    yield made
    try:
        made.stop()
    finally:
        made.kill()


# --- comparing ----------------------------------------------------------------------------------


def compare_answer(answer, expected):
    """Sentences about one final answer."""
    if expected.forwarded:
        if answer.body and b'"reason"' in answer.body:
            return [f"the relay answers {answer.status} itself, the oracle forwards"]
        ids = oracle.values(expected.request, b"x-request-id")
        if len(ids) == 1 and REQUEST_ID.fullmatch(ids[0]) and answer.id != ids[0].decode():
            return [f"the answer to {answer.id}, not to {ids[0].decode()}"]
        return []
    if answer.status not in expected.statuses:
        return [f"{answer.status}, the oracle says {sorted(expected.statuses)}"]
    reason = oracle.REASONS[answer.status]
    with_body = bool(answer.body) or expected.method not in (b"HEAD", None)
    return fronts.own_answer_faults(answer, reason, with_body)


ENDS = {"open": ("open",), "closed": ("closed",), "waiting": ("quiet",),
        "doubt": ("quiet", "closed"), "early": ("quiet", "closed", "open")}


def compare(verdict, seen, runs, group):
    """What relay and oracle disagree about; empty if nothing. A verdict that ends with `open` ends
    with the probe's answer."""
    if seen.end == "closed" and sum(a.status >= 200 for a in seen.answers) in verdict.cuts:
        verdict = verdict.cut(sum(a.status >= 200 for a in seen.answers))
    if seen.end not in ENDS[verdict.end]:
        return [f"the connection is {seen.end}, the oracle says {verdict.end}"]
    expected = [a for a in verdict.answers if a.statuses]
    finals = [a for a in seen.answers if a.status >= 200]
    count = len(expected) - (1 if verdict.end == "open" else 0)
    found = []
    if verdict.end == "doubt" and seen.end == "closed":
        if not finals or finals[-1].status not in (400, 414, 431):
            return ["closed without refusing"]
        finals.pop()
    counts = {count, count - 1} if verdict.end == "early" else {count}
    if len(finals) not in counts:
        return [f"{len(finals)} answers, the oracle says {count}"]
    for answer, e in zip(finals, expected):
        found += compare_answer(answer, e)
    interim = len(seen.answers) - len([a for a in seen.answers if a.status >= 200])
    kinds = [a.interim for a in verdict.answers]
    if not kinds.count("must") <= interim <= len(kinds) - kinds.count("never"):
        found.append(f"{interim} interim answers, the oracle says {kinds}")
    # A head that is large for the relay may be too large for the building.
    done = [e.request for a, e in zip([*finals, None], expected)
            if e.forwarded and (a is None or a.status not in (414, 431))]
    wanted = [c for r in done if (c := oracle.command(r, group.encode())) is not None]
    if runs != wanted:
        found.append(f"the building has executed {runs}, the oracle says {wanted}")
    minors = [a.minor for a in expected]
    return found + fronts.persistence_faults(finals, seen.end, minors)


def report(name, data, verdict, seen, runs, found):
    answers = [f"{a.status} {a.body[:100].decode('latin-1').strip()}" for a in seen.answers]
    said = [(sorted(a.statuses), a.reason, a.forwarded) for a in verdict.answers]
    return "\n".join([name, *(f"    {f}" for f in found), f"    relay  {answers}, {seen.end}",
                      f"    oracle {said}, {verdict.end}; runs {runs}",
                      *("    | " + line for line in fronts.shown(data).split("\n"))])


def exchange(front, connection, parts, probe):
    """Sends parts and probe; what came back, and what the oracle says about it."""
    data = b"".join(parts) + probe.data
    verdict = oracle.judge(data, {front.key.encode()})
    methods = [a.method for a in verdict.answers if a.statuses]
    quiet = verdict.end in ("waiting", "doubt", "early")
    try:
        seen = client.talk(connection, parts, "whole", methods, probe, quiet)
    except (client.Broken, OSError) as why:
        seen = client.Observed(end=f"{type(why).__name__}: {why}")
    return data, verdict, seen


def strays(results, group):
    """What other cases have made the building send to this group address."""
    return [c for _, other, _, verdict, _ in results if other != group
            for c in oracle.commands(verdict, group.encode())]


def finish(front, results):
    """All disagreements of `results`, each (name, group, data, verdict, seen), as one text."""
    commands = front.commands()
    wrong = []
    for name, group, data, verdict, seen in results:
        runs = commands.get(group, [])
        found = compare(verdict, seen, runs, group)
        if found and (others := strays(results, group)):
            # A mutation may have turned another case's group address into this one's.
            left = [run for run in runs if run not in others or others.remove(run)]
            found = compare(verdict, seen, left, group)
        if found:
            wrong.append(report(name, data, verdict, seen, runs, found))
    return wrong


# --- the corpus ---------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_relay_and_oracle_agree_on_the_corpus(front):
    entries = [(e, front.names()) for e in corpus.load()]

    def run(item):
        entry, names = item
        with front.connect() as c:
            probe = front.probe(f"probe-{secrets.token_hex(8)}")
            parts = entry.expand(names).parts
            return entry.id, names.group, *exchange(front, c, parts, probe)

    with front.watch() as requests:
        results = front.each(run, entries)
    wrong = finish(front, results)
    assert not fronts.astray(requests)
    assert not wrong, f"{len(wrong)} of {len(entries)} entries\n" + "\n".join(wrong)


# --- mutations ----------------------------------------------------------------------------------

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


class Maker:
    """Makes valid requests and breaks them; everything follows from the random numbers."""

    def __init__(self, rng, names):
        self.rng = rng
        self.names = names
        self.value = 0
        self.host = b"Host: " + names.host.encode() + b"\r\n"

    def fresh(self):
        self.value += 1
        return self.value

    def target(self, value):
        return self.names.placeholder(f"SET {value}")

    def identity(self):
        return b"X-Request-Id: %s-%d\r\n" % (self.names.group.replace("/", ".").encode(),
                                            self.value)

    def get(self, version=b"HTTP/1.1", fields=b"", method=b"GET", prefix=b""):
        line = method + b" " + prefix + self.target(self.fresh()) + b" " + version + b"\r\n"
        return line + self.host + self.identity() + fields + b"\r\n"

    def form(self):
        return b"group=%s&value=%d" % (self.names.group.encode(), self.fresh())

    def post(self, framing, body, fields=b"", version=b"HTTP/1.1"):
        line = b"POST " + self.names.placeholder("POST") + b" " + version + b"\r\n"
        return line + self.host + FORM + self.identity() + fields + framing + b"\r\n" + body

    def sized(self, **more):
        body = self.form()
        return self.post(b"Content-Length: %d\r\n" % len(body), body, **more)

    def chunked(self, extension=b"", trailers=b"", **more):
        form = self.form()
        body = b""
        while form:
            size = self.rng.randint(1, len(form))
            body += b"%x%s\r\n%s\r\n" % (size, extension, form[:size])
            form = form[size:]
        body += b"0\r\n" + trailers + b"\r\n"
        return self.post(b"Transfer-Encoding: chunked\r\n", body, **more)

    def valid(self):
        """A right request of one kind or another."""
        kinds = [
            *[self.get] * 6, *[self.sized] * 6, *[self.chunked] * 8,
            lambda: self.get(fields=b"Accept: */*\r\nUser-Agent: x/1.0\r\nCookie: a=b\r\n"),
            lambda: self.get(version=b"HTTP/1.0"),
            lambda: self.get(version=b"HTTP/1.0", fields=b"Connection: keep-alive\r\n"),
            lambda: self.get(fields=b"Connection: close\r\n"),
            lambda: self.get(prefix=b"http://" + self.names.host.encode()),
            lambda: self.get(method=b"PUT"),
            lambda: self.get(fields=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
            lambda: self.chunked(extension=b";a=b"),
            lambda: self.chunked(trailers=b"X-Sum: a\r\n"),
            lambda: self.sized(fields=b"Expect: 100-continue\r\n"),
            lambda: self.post(b"", b""),
            self.status, self.refused,
        ]
        return self.rng.choice(kinds)()

    def status(self):
        path = f"/{self.names.key}/api/V1/system/serverStatus".encode()
        method = self.rng.choice([b"GET", b"HEAD"])
        return method + b" " + path + b" HTTP/1.1\r\n" + self.host + b"\r\n"

    def refused(self):
        path = f"/{self.names.bad_key}/api/V1/power".encode()
        return b"GET " + path + b" HTTP/1.1\r\n" + self.host + b"\r\n"

    # Breaking.

    BYTES = [b"\0", b"\t", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"\r\r", b"\x0b", b"\x7f", b"\x80",
             b"\xff", b":", b";", b",", b"/", b"\\", b"#", b"%", b"%2f", b"..", b"?", b"&", b"=",
             b"0", b"1", b"-", b"+", b"_", b'"', b"x", b"\x1f", b"@", b"*", b"\r\n ", b"\r\n\t",
             b"0\r\n\r\n", b"\r\n\r\n"]
    FIELDS = [b"Content-Length: %d", b"Content-Length: %d", b"Content-Length : %d",
              b"Content-Length: +%d", b"Content-Length: 0x%x", b"Content-Length:%d",
              b"Content-Length: %d, 5", b"Content_Length: %d", b"content-length: 0%d",
              b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
              b"Transfer-Encoding: Chunked", b"Transfer-Encoding:\tchunked ",
              b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity",
              b"Transfer-Encoding : chunked", b"Transfer-Encoding:", b"transfer_encoding: chunked",
              b"Host: a", b"Host:", b"Host : a", b"Connection: close", b"Connection: keep-alive",
              b"Connection: Content-Length", b"Expect: 100-continue", b"Expect: x", b"Upgrade: h2c",
              b"X-Long: " + b"l" * 3000, b": empty", b"NoColon", b" folded", b"\tfolded",
              b"X: a\rb", b"X: a\nb", b"X: \0", b"X: caf\xe9", b"Trailer: X",
              b"TE: trailers", b"X:" + b" " * 9,
              b"Proxy-Connection: close", b"X-HTTP-Method-Override: PUT",
              b"X: y\r\n" * 101 + b"X: y"]
    ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b" \r\n", b"", b"\r\n ", b"\0\r\n"]

    def place(self, data):
        """A position; more often than not near something that frames."""
        if self.rng.random() < 0.6:
            spots = [m.start() for m in re.finditer(rb"[\r\n :;,/?]|HTTP", data)]
            if spots:
                return min(len(data), self.rng.choice(spots) + self.rng.choice([0, 0, 1, 1, 2]))
        return self.rng.randint(0, len(data))

    def break_bytes(self, data):
        at = self.place(data)
        end = at + self.rng.choice([0, 0, 0, 1, 1, 2, 5])
        return data[:at] + self.rng.choice([*self.BYTES, b""]) + data[end:]

    def break_end(self, data):
        ends = [m.start() for m in re.finditer(rb"\r\n", data)]
        if not ends:
            return data
        at = self.rng.choice(ends)
        return data[:at] + self.rng.choice(self.ENDS) + data[at + 2 :]

    def break_fields(self, data):
        field = self.rng.choice(self.FIELDS)
        if b"%" in field:
            field %= self.rng.choice([0, 1, 4, 5, 21, 22, 23, 24, 30, 65536, 65537, 2**32, 2**64])
        ends = [m.end() for m in re.finditer(rb"\r\n", data)][:6] or [len(data)]
        at = self.rng.choice(ends)
        return data[:at] + field + b"\r\n" + data[at:]

    def break_lines(self, data):
        lines = data.split(b"\r\n")
        i, j = self.rng.randrange(len(lines)), self.rng.randrange(len(lines))
        how = self.rng.randrange(4)
        if how == 0:
            lines.insert(i, lines[j])
        elif how == 1:
            del lines[i]
        elif how == 2:
            lines[i], lines[j] = lines[j], lines[i]
        else:
            lines[i] = lines[i].swapcase()
        return b"\r\n".join(lines)

    def break_number(self, data):
        numbers = list(re.finditer(rb"(?<=: )[0-9]+(?=\r)|(?<=\n)[0-9a-f]+(?=[\r;])|1\.1", data))
        if not numbers:
            return data
        m = self.rng.choice(numbers)
        number = m.group()
        new = self.rng.choice([b"0", b"00" + number, number + b"0", b"-" + number, b"+" + number,
                               b" " + number, number + b" ", b"0x" + number, number + b"g", b"",
                               number.upper(), b"ffffffff", b"1" + b"0" * 16, b"10001", b"1.0",
                               b"2.0", b"1.2", number + b";x", number + b" ;x", b"000000000"])
        return data[: m.start()] + new + data[m.end() :]

    def break_length(self, data):
        """Pads a line, or the fields, to about a limit."""
        limit = self.rng.choice([8192, 8194, 16384, 4096, 4100, 65536])
        size = limit + self.rng.randint(-60, 60)
        at = self.place(data)
        return data[:at] + self.rng.choice([b"p", b"1", b"0", b"X: y\r\n"]) * size + data[at:]

    def break_cut(self, data):
        return data[: self.rng.randint(1, len(data))]

    def bend(self, data):
        """Changes what may be changed: the request stays right, if it was."""
        how = self.rng.randrange(5)
        if how == 0:
            return self.rng.choice([b"\r\n", b"\r\n\r\n"]) + data
        if how == 1:
            return data.replace(b": ", self.rng.choice([b":", b":\t", b": \t "]), 3)
        if how == 2:
            return data.replace(b"Content-Length: ", b"cOnTeNt-LeNgTh: 000").replace(
                b"Transfer-Encoding: c", b"TRANSFER-ENCODING:C")
        if how == 3:
            more = self.rng.choice([b"&&", b"&fb", b"&x=%zz?/..//"])
            return data.replace(b" HTTP", more + b" HTTP")
        return data.replace(b"\r\n0\r\n", b"\r\n000;x=\"y\"\r\nX-Sum: \t\r\nX-Sum:b\r\n")

    def broken(self):
        data = self.valid()
        ways = [self.break_bytes] * 6 + [self.break_end] * 3 + [self.break_fields] * 5 + [
            self.break_lines] * 2 + [self.break_number] * 3 + [self.break_length, self.break_cut]
        for _ in range(self.rng.choice([1, 1, 1, 1, 2, 2, 3])):
            data = self.rng.choice(ways)(data) or data
        return data

    def case(self):
        """Bytes for one exchange: what came before and comes after a broken request is right."""
        before = self.valid() if self.rng.random() < 0.3 else b""
        broken = self.broken() if self.rng.random() < 0.75 else self.bend(self.valid())
        after = b"".join(self.valid() for _ in range(self.rng.choice([0, 0, 1, 1, 2])))
        return before + broken + after


def test_the_mutations_are_of_use():
    """Enough of them must be accepted and refused, and every kind of end occur."""
    rng = random.Random(SEED)
    names = corpus.Names("K" * 32, "B" * 32, "127.0.0.1:443", "31/7/255")
    ends = {"open": 0, "closed": 0, "waiting": 0, "doubt": 0, "early": 0}
    for _ in range(1000):
        ends[oracle.judge(Maker(rng, names).case(), {names.key.encode()}).end] += 1
    assert ends["open"] > 200 and ends["closed"] > 300 and ends["waiting"] > 10, ends


@pytest.mark.timeout(240)
def test_relay_and_oracle_agree_on_mutations(front):
    rng = random.Random(SEED)
    todo = queue.SimpleQueue()
    for number in range(CASES):
        names = front.names()
        todo.put((f"seed {SEED}, case {number}", names.group, Maker(rng, names).case()))
    results = []

    def work(_):
        """Takes cases, on one connection as long as it stays open."""
        connection = None
        try:
            while True:
                name, group, data = todo.get_nowait()
                connection = connection or front.connect()
                probe = front.probe(f"probe-{secrets.token_hex(8)}")
                found = exchange(front, connection, (data,), probe)
                results.append((name, group, *found))
                if found[2].end != "open":
                    connection.socket.close()
                    connection = None
        except queue.Empty:
            pass
        finally:
            if connection is not None:
                connection.socket.close()

    with front.watch() as requests:
        front.each(work, range(fronts.THREADS))
    assert len(results) == CASES
    wrong = finish(front, results)
    assert not fronts.astray(requests)
    assert not wrong, f"{len(wrong)} of {CASES} cases\n" + "\n".join(wrong[:20])
