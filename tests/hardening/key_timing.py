#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Can the time of an answer tell one kind of refused key from another? Measures on a relay of its
own, in the clear on loopback, which is the best that an attacker could have.

Usage: [TNX_BUILD=build/release] tests/hardening/key_timing.py [ROUNDS]

Each round asks once with a key of each kind, in random order. Printed for each kind against unknown
keys: the difference of the medians with its 99 % interval (bootstrap), and the share of pairs in
which it was the slower one (0.5: no difference at all). "unknown again" against "unknown" is what
chance makes of it. Fails if a kind's interval lies beyond TELLING_US on either side."""

import datetime
import json
import random
import secrets
import statistics
import string
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "blackbox"))
import harness  # noqa: E402

KEYS = 8  # of each kind: one alone would show what is peculiar to it
ROUNDS = 6000
WARM = 500
BOOTSTRAPS = 400
# A difference that could be told over a network with some millions of requests; looking into the
# database, or stopping at the first wrong byte of a slow hash, would be far beyond.
TELLING_US = 2.0
ALPHABET = string.ascii_letters + string.digits
OTHER = "TNX-0002"
REFERENCE = "unknown"


def random_keys(like, alphabet=ALPHABET):
    return ["".join(secrets.choice(alphabet) for _ in like) for _ in range(KEYS)]


def refused_keys(building):
    """Keys of each kind, all as long as a good one."""
    relay, good = building.relay, building.key
    relay.command("server", "add", OTHER)
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)

    def enabled(serial, *options):
        return [relay.command("key", "enable", serial, *options) for _ in range(KEYS)]

    expired = enabled(harness.SERIAL, "--expires", soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    disabled, revoked = enabled(OTHER), enabled(harness.SERIAL)
    for key in revoked:
        relay.command("key", "revoke", key["id"])
    relay.command("server", "disable", OTHER)
    return {
        REFERENCE: random_keys(good),
        "unknown again": random_keys(good),
        "malformed": random_keys(good, "-._~!$&'()*+,;=:@"),
        "near": [good[:-1] + c for c in ALPHABET if c != good[-1]][:KEYS],
        "revoked": [key["key"] for key in revoked],
        "disabled": [key["key"] for key in disabled],
        "expired": [key["key"] for key in expired],
    }


def wait_refused(building, connection, kinds):
    """The relay knows changes in their order: with the last key it knows all before it."""
    last = building.relay.command("key", "enable", harness.SERIAL)["key"]
    keys = [key for kind in kinds.values() for key in kind]
    until = time.monotonic() + harness.DEADLINE
    while (connection.request(building.path("x", last)).status == 403
           or any(connection.request(building.path("x", key)).status != 403 for key in keys)):
        assert time.monotonic() < until, "some keys are not refused"


def measure(connection, requests, rounds):
    """Times in microseconds, by kind."""
    took = {kind: [] for kind in requests}
    order = list(requests)
    for number in range(rounds + WARM):
        random.shuffle(order)
        for kind in order:
            data = requests[kind][number % KEYS]
            start = time.perf_counter_ns()
            connection.send(data)
            answer = connection.answer()
            if number >= WARM:
                took[kind].append((time.perf_counter_ns() - start) / 1000)
            assert answer.status == 403
    return took


def slower_share(a, b):
    """Of all pairs, the share in which one of `a` was slower than one of `b` (ties by half)."""
    ranks = {}
    merged = sorted(a + b)
    for number, value in enumerate(merged, 1):
        first, count = ranks.get(value, (number, 0))
        ranks[value] = (first, count + 1)
    total = sum(ranks[v][0] + (ranks[v][1] - 1) / 2 for v in a)
    return (total - len(a) * (len(a) + 1) / 2) / (len(a) * len(b))


def interval(a, b):
    """99 % of the difference of the medians."""
    differences = sorted(
        statistics.median(random.choices(a, k=len(a))) - statistics.median(random.choices(b, k=len(b)))
        for _ in range(BOOTSTRAPS))
    return differences[BOOTSTRAPS // 200], differences[-1 - BOOTSTRAPS // 200]


def report(took):
    reference, telling = took[REFERENCE], []
    print(f"{'kind':14} {'median us':>10} {'difference us, 99 %':>24} {'slower':>7}")
    for kind, times in took.items():
        low, high = interval(times, reference) if kind != REFERENCE else (0.0, 0.0)
        print(f"{kind:14} {statistics.median(times):10.2f} {low:+12.2f} to {high:+8.2f} "
              f"{slower_share(times, reference):7.3f}")
        if low > TELLING_US or high < -TELLING_US:
            telling.append(kind)
    return telling


def main(rounds):
    conf = {"https": {"plain_listen": f"{harness.HOST}:0"}}
    with tempfile.TemporaryDirectory() as folder:
        building = harness.Building(Path(folder) / "b", auth="none", relay=conf, start=False)
        try:
            kinds = refused_keys(building)
            runtime = json.loads(building.relay.runtime_file.read_text())
            with harness.Connection((harness.HOST, harness.bound_port(runtime, "plain"))) as c:
                wait_refused(building, c, kinds)
            requests = {kind: [harness.request(building.path("system/serverStatus", key))
                               for key in keys] for kind, keys in kinds.items()}
            took = {kind: [] for kind in requests}
            # Less than the requests that one connection may have.
            for _ in range(-(-rounds // 1000)):
                with harness.Connection((harness.HOST, harness.bound_port(runtime, "plain"))) as c:
                    for kind, times in measure(c, requests, min(rounds, 700)).items():
                        took[kind] += times
            building.stop()
        finally:
            building.kill()
    telling = report(took)
    print(f"told apart: {', '.join(telling)}" if telling else "no kind can be told from another")
    return 1 if telling else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
