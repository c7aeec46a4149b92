# SPDX-License-Identifier: Apache-2.0
"""Every request of tests/conformance/http against the real relay, with the building's own log as
the proof that nothing hidden was executed."""

import secrets
import sys

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "conformance" / "http"))

import client  # noqa: E402
import corpus  # noqa: E402
import front as fronts  # noqa: E402
import oracle  # noqa: E402

ENTRIES = corpus.load()
# Longer ones would take too long byte by byte.
SHORT = 700  # bytes


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    made = fronts.Front(tmp_path_factory.mktemp("front"), relay=fronts.PATIENT)
    yield made
    try:
        made.stop()
    finally:
        made.kill()


# --- the corpus itself --------------------------------------------------------------------------

SAMPLE = corpus.Names("K" * 16 + "a" * 16, "B" * 16 + "b" * 16, "127.0.0.1:12345", "31/7/255")


def oracle_fits(entry, outcome, verdict):
    """True if the oracle's verdict is this outcome."""
    expected = [a for a in outcome.answers if a.status >= 200]
    given = [a for a in verdict.answers if a.statuses]
    if len(expected) != len(given):
        return False
    for e, g in zip(expected, given):
        own = e.reason != ""
        if own == g.forwarded or (own and e.status not in g.statuses):
            return False
        if own and oracle.REASONS[e.status] != e.reason:
            return False
    if oracle.commands(verdict, SAMPLE.group.encode()) != list(outcome.runs):
        return False
    may = [a.interim for a in verdict.answers if a.interim != "never"]
    interim = [a.optional for a in outcome.answers if a.status == 100]
    if len(interim) != len(may):
        return False
    return verdict.end == entry.connection or (
        entry.connection == "either" and verdict.end in ("open", "closed", "early"))


def test_the_corpus_is_large_and_readable():
    assert len(ENTRIES) >= 280
    for entry in ENTRIES:
        assert entry.why.strip(), entry.id
        entry.expand(SAMPLE)


def test_the_oracle_agrees_with_every_entry():
    wrong = []
    for entry in ENTRIES:
        verdict = oracle.judge(entry.expand(SAMPLE).data, {SAMPLE.key.encode()})
        if not any(oracle_fits(entry, outcome, verdict) for outcome in entry.outcomes):
            wrong.append(f"{entry.source} {entry.id}: {entry.outcomes} {entry.connection}, "
                         f"the oracle says {verdict.answers} {verdict.end}")
    assert not wrong, "\n".join(wrong)


# --- the corpus against the relay ---------------------------------------------------------------


def run_entry(front, entry, names, cut):
    """The entry's bytes, sent; what came back."""
    case = entry.expand(names)
    verdict = oracle.judge(case.data, {names.key.encode()})
    methods = [a.method for a in verdict.answers if a.statuses]
    probe = None
    if entry.connection in ("open", "either"):
        probe = front.probe(f"probe-{secrets.token_hex(8)}")
    try:
        with front.connect() as c:
            seen = client.talk(c, case.parts, cut, methods, probe, entry.connection == "waiting")
    except (client.Broken, OSError) as why:
        return verdict, client.Observed(end=f"{type(why).__name__}: {why}")
    return verdict, seen


def answers_fit(outcome, seen):
    expected = list(outcome.answers)
    for answer in seen.answers:
        while expected and expected[0].optional and answer.status != expected[0].status:
            expected.pop(0)
        if not expected or answer.status != expected[0].status:
            return False
        expected.pop(0)
    return all(e.optional for e in expected)


def faults(entry, verdict, seen, runs):
    """What is wrong with an outcome, as a list of sentences."""
    ends = {"open": ("open",), "closed": ("closed",), "waiting": ("quiet",),
            "either": ("open", "closed")}[entry.connection]
    if seen.end not in ends:
        return [f"the connection is {seen.end}, not {entry.connection}"]
    fitting = [o for o in entry.outcomes if answers_fit(o, seen) and list(o.runs) == runs]
    if not fitting:
        return [f"not as expected: {entry.outcomes}"]
    finals = [a for a in seen.answers if a.status >= 200]
    expected = [a for a in fitting[0].answers if a.status >= 200]
    found = []
    for number, (answer, e) in enumerate(zip(finals, expected)):
        method = verdict.answers[number].method if number < len(verdict.answers) else None
        if e.reason:
            with_body = bool(answer.body) or method not in (b"HEAD", None)
            found += fronts.own_answer_faults(answer, e.reason, with_body)
        elif method != b"HEAD" and b'"reason"' in answer.body:
            found.append(f"the relay's own answer, not the building's: {answer.body[:200]}")
    minors = [a.minor for a in verdict.answers if a.statuses]
    return found + fronts.persistence_faults(seen.answers, seen.end, minors)


def report(entry, case, seen, runs, found):
    answers = [f"{a.status} {a.body[:120].decode('latin-1').strip()}" for a in seen.answers]
    return "\n".join([f"{entry.source} {entry.id}: {entry.title} ({entry.why.strip()})",
                      *(f"    {f}" for f in found),
                      f"    got {answers}, {seen.end}, runs {runs}",
                      *("    | " + line for line in fronts.shown(case.data).split("\n"))])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("cut", client.CUTS)
def test_every_entry_has_its_outcome(front, cut):
    entries = [(e, front.names()) for e in ENTRIES
               if cut != "bytes" or len(e.expand(SAMPLE).data) <= SHORT]
    with front.watch() as requests:
        observed = front.each(lambda item: run_entry(front, *item, cut), entries)
    commands = front.commands()
    wrong = []
    for (entry, names), (verdict, seen) in zip(entries, observed):
        runs = commands.get(names.group, [])
        found = faults(entry, verdict, seen, runs)
        if found:
            wrong.append(report(entry, entry.expand(names), seen, runs, found))
    assert not fronts.astray(requests)
    assert not wrong, f"{len(wrong)} of {len(entries)} entries\n" + "\n".join(wrong)


def test_a_callers_request_id_comes_back(front):
    mark = f"mark-{secrets.token_hex(8)}"
    with front.connect() as c:
        c.send(front.probe(mark).data)
        assert c.answer().id == mark


@pytest.mark.parametrize("value", ["a b", 'a"b', "a\tb", "<x>", "x" * 65, "caf\xe9", ""])
def test_what_is_no_request_id_is_replaced(front, value):
    with front.connect() as c:
        c.send(front.probe("").data.replace(b"X-Request-Id: ", b"X-Request-Id: "
                                            + value.encode("latin-1")))
        answer = c.answer()
        assert answer.status == 200
        assert answer.id and answer.id != value
