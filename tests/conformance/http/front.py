# SPDX-License-Identifier: Apache-2.0
"""The running relay with its building, as the tests of the front need it: unique group addresses,
and what the building was really told to do."""

from __future__ import annotations

import itertools
import json
import secrets
import string
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import harness
from client import Client, Probe
from corpus import Names

THREADS = 64  # most of them wait for a connection to be closed
# Settings under which a busy machine makes nobody a slow client.
PATIENT = {"timeouts": {"handshake": 60, "head": 60, "body": 60, "idle": 60, "server": 60,
                        "server_fb": 60}}
# What a relay's own answer must look like besides its status (design 3, answers).
OWN_FIELDS = ("content-type", "cache-control", "x-request-id", "date")


def group_addresses():
    """10/0/100 to 31/7/255: always eight characters."""
    for main, middle, sub in itertools.product(range(10, 32), range(8), range(100, 256)):
        yield f"{main}/{middle}/{sub}"


class Front:
    """A Building whose simulator logs telegrams; one for a test module."""

    def __init__(self, folder, relay=None):
        self.knx_log = folder / "knx.log"
        self.building = harness.Building(folder / "building", auth="none", relay=relay,
                                         simulator=("--knx-log", self.knx_log))
        self.address = self.building.relay.https
        self.host = f"{self.address[0]}:{self.address[1]}"
        self.key = self.building.key
        alphabet = string.ascii_letters + string.digits
        self.bad_key = "".join(secrets.choice(alphabet) for _ in self.key)
        self.context = self.building.relay.tls_context()
        self._groups = group_addresses()

    def names(self) -> Names:
        """With a group address that was not used before. Not for several threads."""
        return Names(self.key, self.bad_key, self.host, next(self._groups))

    def connect(self, receive_bytes: int = 0) -> Client:
        return Client(self.address, self.context, receive_bytes)

    def probe(self, mark: str) -> Probe:
        return Probe.of(f"/{self.key}/api/V1/system/serverStatus", self.host, mark)

    def commands(self) -> dict[str, list[int]]:
        """The telegrams that the building has sent, by group address, in their order."""
        found = defaultdict(list)
        if self.knx_log.exists():
            for line in self.knx_log.read_text().splitlines():
                entry = json.loads(line)
                if entry.get("group"):
                    found[entry["group"]].append(entry["value"])
        return found

    def each(self, work, items, threads=THREADS):
        """work(item) for all, side by side; the results in their order."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))

    def watch(self):
        return self.building.watch()

    def stop(self):
        self.building.stop()

    def kill(self):
        self.building.kill()


def astray(requests):
    """Targets that must not have reached the building."""
    return [r["target"] for r in requests
            if r["route"] == "maintenance" or not r["target"].lower().startswith("/api/v1/")]


def own_answer_faults(answer, reason, with_body):
    """What is wrong with an answer that the relay made itself; empty if nothing."""
    faults = []
    for name in OWN_FIELDS:
        if len(answer.values(name)) != 1:
            faults.append(f"{len(answer.values(name))} fields {name}")
    if answer.values("cache-control") != ["no-store"]:
        faults.append("Cache-Control is not no-store")
    if answer.status == 405 and answer.values("allow") != ["GET, HEAD, POST"]:
        faults.append(f"Allow is {answer.values('allow')}")
    if not with_body:
        return faults
    try:
        body = json.loads(answer.body)
    except ValueError:
        return [*faults, f"body {answer.body[:100]!r}"]
    if body.get("reason") != reason:
        faults.append(f"reason {body.get('reason')}, not {reason}")
    if body.get("delivered") is not False or not body.get("error"):
        faults.append(f"body {body}")
    return faults


def persistence_faults(answers, end, minors):
    """`Connection: close` on the last answer of a connection that the relay ends, and nowhere else;
    nothing chunked for HTTP/1.0."""
    faults = []
    finals = [a for a in answers if a.status >= 200]
    for number, answer in enumerate(finals):
        says_close = "close" in [v.lower() for v in answer.values("connection")]
        is_last = end != "open" and number == len(finals) - 1
        if end == "closed" and is_last and not says_close:
            faults.append("closed without Connection: close")
        if says_close and not is_last:
            faults.append(f"answer {number + 1} says Connection: close, and the next one comes")
        if number < len(minors) and minors[number] == 0 and answer.values("transfer-encoding"):
            faults.append("chunked to an HTTP/1.0 client")
    return faults


def shown(data: bytes, lines: int = 40) -> str:
    """Bytes as the corpus writes them, a line each; repetitions and long lines shortened."""
    out = []
    for line, group in itertools.groupby(data.split(b"\n")[: 50 * lines]):
        text = "".join(chr(c) if 0x20 <= c <= 0x7E and c != 0x5C else
                       {9: "\\t", 13: "\\r", 0x5C: "\\\\"}.get(c, f"\\x{c:02x}") for c in line)
        if len(text) > 300:
            text = f"{text[:200]} ... {text[-60:]} ({len(line)} bytes)"
        count = len(list(group))
        out.append(text + "\\n" + (f"  ({count} times)" if count > 1 else ""))
    if out:
        out[-1] = out[-1].removesuffix("\\n")
    more = [f"... ({len(data)} bytes)"] if len(out) > lines else []
    return "\n".join(out[:lines] + more)
