/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's database file: opened, checked, migrated; statements kept; transactions; backup. One
 * connection, for one thread. Other processes may have theirs at the same time. */
#ifndef RELAY_STORE_DATABASE_H
#define RELAY_STORE_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* How long a writer waits for another process's transaction. */
#define DATABASE_BUSY_MS 5000
/* Version of the tables that this program writes: the number of migrations. */
int database_newest_version(void);

struct database;

/* Creates an empty database, mode 0600, of the newest version. ERROR_EXISTS, else as
 * database_open. */
int database_create(const char *path, struct error_text *e);

/* Opens an existing database and migrates it. On a read-only disk it is opened for reading alone,
 * unless a journal is left that cannot be read without writing. `check` runs PRAGMA quick_check
 * first. ERROR_NOT_FOUND (no such file), ERROR_IO (unreadable, damaged, locked), ERROR_CONFIG (not
 * a database of ours; made by a newer version), ERROR_NOMEM. */
int database_open(const char *path, bool check, struct database **db, struct error_text *e);
/* NULL is allowed. */
void database_close(struct database *db);

/* True if nothing can be written to it. */
bool database_is_read_only(struct database *db);

/* Changes when another connection has changed something. 0, or ERROR_IO. */
int database_read_version(struct database *db, int64_t *data_version, struct error_text *e);

/* A prepared statement, reset and without values, borrowed until database_done. `sql` must be a
 * literal: its address is what it is remembered by. ERROR_IO, ERROR_NOMEM. */
int database_prepare(struct database *db, const char *sql, sqlite3_stmt **statement,
                     struct error_text *e);
/* The statement is not needed any more; NULL is allowed. */
void database_done(sqlite3_stmt *statement);

/* Runs the statement to its end and gives it back; rows are thrown away. */
int database_run(struct database *db, sqlite3_stmt *statement, struct error_text *e);

/* Fetches the next row: 0 with *row true or false (the end). */
int database_step(struct database *db, sqlite3_stmt *statement, bool *row, struct error_text *e);

/* Maps the result of the last call on the connection to one of our codes and a sentence. */
int database_fail(struct database *db, struct error_text *e);

/* A transaction that may write (BEGIN IMMEDIATE), or that sees one state throughout (read). */
int database_begin(struct database *db, struct error_text *e);
int database_begin_read(struct database *db, struct error_text *e);
/* On failure the transaction is rolled back. */
int database_commit(struct database *db, struct error_text *e);
void database_roll_back(struct database *db);
/* Commits if `rc` is 0, else rolls back; returns the first failure. */
int database_end(struct database *db, int rc, struct error_text *e);

int64_t database_last_id(struct database *db);
/* Rows that the last statement changed. */
int64_t database_n_changed(struct database *db);

/* Copies a consistent state into a new file of mode 0600, while others go on writing; the copy is
 * checked. ERROR_EXISTS, ERROR_IO, ERROR_NOMEM; on failure no file is left. */
int database_back_up(struct database *db, const char *path, struct error_text *e);

/* PRAGMA integrity_check. 0, or ERROR_IO with what is wrong first. */
int database_check(struct database *db, struct error_text *e);

#endif
