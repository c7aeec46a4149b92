/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the database.
 *
 * `changes` is how a running relay learns what another process did without reading everything
 * again: triggers add a row in the same transaction. Of the rows only the newest are kept; a relay
 * that missed some reads everything. Last-used times are not announced, or the relay would read
 * back what it writes itself.
 *
 * No index on keys.hash: the directory looks keys up, not SQLite, and 190 random bits do not
 * collide. Ids are never given twice (AUTOINCREMENT), so a worker's old id cannot mean another. */
#include "relay/store/migrations.h"

static const char *const STEPS[] = {
    "CREATE TABLE servers ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  serial TEXT NOT NULL UNIQUE,"
    "  name TEXT NOT NULL DEFAULT '',"
    "  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),"
    "  enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),"
    "  may_enable_keys INTEGER NOT NULL DEFAULT 1 CHECK (may_enable_keys IN (0, 1)),"
    "  command_rate INTEGER NOT NULL DEFAULT 0," /* 0 = the relay's default */
    "  command_burst INTEGER NOT NULL DEFAULT 0,"
    "  created_at INTEGER NOT NULL" /* all times: seconds since 1970 */
    ") STRICT;"
    "CREATE TABLE keys ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  server_id INTEGER NOT NULL REFERENCES servers (id) ON DELETE CASCADE,"
    "  hash BLOB NOT NULL CHECK (length(hash) = 32),"
    "  label TEXT NOT NULL DEFAULT '',"
    "  rate INTEGER NOT NULL DEFAULT 0," /* 0 = the relay's default */
    "  burst INTEGER NOT NULL DEFAULT 0,"
    "  scope TEXT NOT NULL DEFAULT '',"        /* JSON; '' = everything */
    "  expires_at INTEGER NOT NULL DEFAULT 0," /* 0 = never; so with all that follow */
    "  created_at INTEGER NOT NULL,"
    "  created_by TEXT NOT NULL,"
    "  rotated_at INTEGER NOT NULL DEFAULT 0,"
    "  rotated_to INTEGER NOT NULL DEFAULT 0," /* id of the successor */
    "  revoked_at INTEGER NOT NULL DEFAULT 0,"
    "  last_used_at INTEGER NOT NULL DEFAULT 0"
    ") STRICT;"
    "CREATE INDEX keys_by_server ON keys (server_id);"
    "CREATE TABLE audit ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  at INTEGER NOT NULL,"
    "  who TEXT NOT NULL,"
    "  what TEXT NOT NULL,"
    "  object TEXT NOT NULL DEFAULT '',"
    "  refused INTEGER NOT NULL DEFAULT 0,"
    "  detail TEXT NOT NULL DEFAULT ''"
    ") STRICT;"
    "CREATE INDEX audit_by_time ON audit (at);"
    "CREATE TABLE changes ("
    "  seq INTEGER PRIMARY KEY,"
    "  kind INTEGER NOT NULL,"
    "  item INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TRIGGER changes_keep AFTER INSERT ON changes WHEN NEW.seq % 1024 = 0 BEGIN"
    "  DELETE FROM changes WHERE seq <= NEW.seq - 32768;"
    "END;"
    "CREATE TRIGGER server_added AFTER INSERT ON servers BEGIN"
    "  INSERT INTO changes (kind, item) VALUES (1, NEW.id);"
    "END;"
    "CREATE TRIGGER server_changed AFTER UPDATE ON servers BEGIN"
    "  INSERT INTO changes (kind, item) VALUES (1, NEW.id);"
    "END;"
    "CREATE TRIGGER server_removed AFTER DELETE ON servers BEGIN"
    "  INSERT INTO changes (kind, item) VALUES (1, OLD.id);"
    "END;"
    "CREATE TRIGGER key_added AFTER INSERT ON keys BEGIN"
    "  INSERT INTO changes (kind, item) VALUES (2, NEW.id);"
    "END;"
    "CREATE TRIGGER key_changed AFTER UPDATE OF server_id, hash, rate, burst, scope, expires_at,"
    "  revoked_at ON keys BEGIN"
    "  INSERT INTO changes (kind, item) VALUES (2, NEW.id);"
    "END;"
    "CREATE TRIGGER key_removed AFTER DELETE ON keys BEGIN"
    "  INSERT INTO changes (kind, item) VALUES (2, OLD.id);"
    "END;",
    /* The pages: who may log in, who has, and what stands in each building. */
    "CREATE TABLE operators ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL UNIQUE,"
    "  password TEXT NOT NULL," /* argon2id, as libsodium writes it */
    "  created_at INTEGER NOT NULL,"
    "  created_by TEXT NOT NULL,"
    "  n_failures INTEGER NOT NULL DEFAULT 0," /* since the last success */
    "  locked_until INTEGER NOT NULL DEFAULT 0"
    ") STRICT;"
    "CREATE TABLE logins ("
    "  hash BLOB PRIMARY KEY CHECK (length(hash) = 32)," /* of the cookie */
    "  operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,"
    "  csrf TEXT NOT NULL,"
    "  created_at INTEGER NOT NULL,"
    "  seen_at INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE devices ("
    "  server_id INTEGER PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,"
    "  document TEXT NOT NULL,"
    "  changed_at INTEGER NOT NULL"
    ") STRICT;",
    /* When which leg of a building came and went. */
    "CREATE TABLE history ("
    "  id INTEGER PRIMARY KEY,"
    "  server_id INTEGER REFERENCES servers (id) ON DELETE CASCADE," /* NULL = the relay itself */
    "  at INTEGER NOT NULL,"                                         /* milliseconds since 1970 */
    "  leg INTEGER NOT NULL,"                                        /* enum history_leg */
    "  up INTEGER NOT NULL,"
    "  n_left_out INTEGER NOT NULL DEFAULT 0,"
    "  reason TEXT NOT NULL DEFAULT ''"
    ") STRICT;"
    "CREATE INDEX history_by_server ON history (server_id, id);"
    "CREATE INDEX history_by_time ON history (at);",
};

const char *migrations_step(size_t i)
{
    return STEPS[i];
}

size_t migrations_count(void)
{
    return sizeof(STEPS) / sizeof(STEPS[0]);
}
