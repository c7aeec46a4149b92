# SPDX-License-Identifier: Apache-2.0
"""The secrets that tests have made or been given. No program's log may hold one: harness.Process looks
for all of them when it ends."""

import json
import re

# Keys and tokens, as our programs make them. Where a line of a log was cut, it still shows so much of one.
MADE = re.compile(r"\b[A-Za-z0-9]{32}\b")
SHOWN = 16
# `server add` prints the relay's certificate too: no secret, and between its signs a part may look like one.
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# A shorter text is no secret, but a word that a log may well have.
SHORTEST = 10
# The commands that print a new one, and what has it in JSON.
MAKERS = {("key", "enable"), ("key", "rotate"), ("server", "add"), ("server", "token")}
MEMBERS = ("key", "token")

_known = {}  # what to look for: what it is


def keep(text, what):
    """Gives the text back."""
    if len(text) >= SHORTEST:
        _known[text] = what
    return text


def keep_made(value):
    """Those in an answer that tells a new key or token."""
    if isinstance(value, dict):
        for name in MEMBERS:
            text = value.get(name)
            if isinstance(text, str) and MADE.fullmatch(text):
                keep(text[:SHOWN], name)


def keep_of_command(arguments, given, printed):
    """Those of a command: what it was given (stdin) and what it printed, as JSON or for people."""
    command = tuple(map(str, arguments[:2]))
    if arguments[:1] == ("operator",) and given:
        keep(given.strip(), "an operator's password")
    if command not in MAKERS:
        return
    try:
        keep_made(json.loads(printed))
    except ValueError:
        for text in MADE.findall(CERTIFICATE.sub("", printed)):
            if text not in map(str, arguments):  # a serial may look like one
                keep(text[:SHOWN], " ".join(command))


def keep_private_key(path):
    """The line of a PEM that has the secret part."""
    keep(path.read_text().splitlines()[1], path.name)


def assert_none_in(text, where):
    for secret, what in list(_known.items()):  # other threads may add to them
        if secret in text:
            line = next(line for line in text.splitlines() if secret in line)
            raise AssertionError(f"a secret is in the log of {where}: {what} in {line!r}")
