# SPDX-License-Identifier: Apache-2.0
"""Databases with many buildings and many keys, written straight into the relay's file: the commands
would take minutes, and are not what is measured. A key's row holds the SHA-256 of its text."""

import hashlib
import random
import sqlite3
import string

from ours import ENOUGH, SERIAL

LETTERS = string.ascii_letters + string.digits
CHARS = 32  # CREDENTIAL_CHARS


def credential(source):
    text = "".join(source.choices(LETTERS, k=CHARS))
    return text, hashlib.sha256(text.encode()).digest()


def add_servers(folder, n):
    """n buildings with one key each. Returns [(serial, token, key)]."""
    source = random.Random(1)
    made = []
    with sqlite3.connect(folder / "relay.db") as db:
        for i in range(n):
            serial, (token, token_hash) = f"TNX-{i:06}", credential(source)
            key, key_hash = credential(source)
            added = db.execute(
                "INSERT INTO servers (serial, token_hash, created_at) VALUES (?, ?, 1)",
                (serial, token_hash),
            )
            db.execute(
                "INSERT INTO keys (server_id, hash, rate, burst, created_at, created_by)"
                " VALUES (?, ?, ?, ?, 1, 'bench')",
                (added.lastrowid, key_hash, ENOUGH, ENOUGH),
            )
            made.append((serial, token, key))
    db.close()
    return made


def add_keys(folder, n, n_used, serial=SERIAL):
    """n more keys for a building, a tenth of them with a scope. Returns n_used of them, which
    lie evenly among the others."""
    source = random.Random(2)
    used = []

    def rows(server):
        for i in range(n):
            text, text_hash = credential(source)
            if i * n_used % n < n_used:
                used.append(text)
            scope = '{"read_only":true}' if source.random() < 0.1 else ""
            yield server, text_hash, ENOUGH, ENOUGH, scope

    with sqlite3.connect(folder / "relay.db") as db:
        (server,) = db.execute("SELECT id FROM servers WHERE serial = ?", (serial,)).fetchone()
        db.executemany(
            "INSERT INTO keys (server_id, hash, rate, burst, scope, created_at, created_by)"
            " VALUES (?, ?, ?, ?, ?, 1, 'bench')",
            rows(server),
        )
    db.close()
    return used
