/* SPDX-License-Identifier: Apache-2.0 */
/* Statements and transactions. SQLite's result codes are mapped here and nowhere else. */
#include "relay/store/database.h"

#include <assert.h>

#include "relay/store/database_connection.h"

int database_explain(int result, const char *path, const char *detail, struct error_text *e)
{
    switch (result & 0xff) {
    case SQLITE_NOMEM: return error_set(e, ERROR_NOMEM, "%s: no memory", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(e, ERROR_IO, "%s: locked by another process for more than %d seconds",
                         path, DATABASE_BUSY_MS / 1000);
    case SQLITE_FULL:
        return error_set(e, ERROR_IO, "%s: the disk is full; nothing was changed", path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return error_set(e, ERROR_IO, "%s: not writable by this user, or the disk is read-only",
                         path);
    case SQLITE_CANTOPEN:
        return error_set(e, ERROR_IO,
                         "%s: cannot be opened by this user (the folder must be writable too)",
                         path);
    case SQLITE_CORRUPT:
        return error_set(e, ERROR_IO, "%s: the database is damaged; restore a backup", path);
    case SQLITE_NOTADB:
        return error_set(e, ERROR_CONFIG, "%s: not a database of thinknx-relay", path);
    default: return error_set(e, ERROR_IO, "%s: %s", path, detail);
    }
}

int database_fail(struct database *db, struct error_text *e)
{
    return database_explain(sqlite3_extended_errcode(db->connection), db->path,
                            sqlite3_errmsg(db->connection), e);
}

int database_run_sql(struct database *db, const char *sql, struct error_text *e)
{
    return sqlite3_exec(db->connection, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                            : database_fail(db, e);
}

int database_prepare(struct database *db, const char *sql, sqlite3_stmt **statement,
                     struct error_text *e)
{
    for (size_t i = 0; i < db->n_statements; i++) {
        if (db->statements[i].sql == sql) {
            *statement = db->statements[i].statement;
            return 0;
        }
    }
    assert(db->n_statements < STATEMENTS_MAX);
    struct kept_statement *kept = &db->statements[db->n_statements];
    if (sqlite3_prepare_v3(db->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &kept->statement,
                           NULL) != SQLITE_OK) {
        return database_fail(db, e);
    }
    kept->sql = sql;
    db->n_statements++;
    *statement = kept->statement;
    return 0;
}

void database_done(sqlite3_stmt *statement)
{
    /* Repeats the failure of the last step; NULL does nothing. */
    (void)sqlite3_reset(statement);
    if (statement != NULL) {
        (void)sqlite3_clear_bindings(statement); /* always SQLITE_OK */
    }
}

int database_step(struct database *db, sqlite3_stmt *statement, bool *row, struct error_text *e)
{
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW: *row = true; return 0;
    case SQLITE_DONE: *row = false; return 0;
    default: return database_fail(db, e);
    }
}

int database_run(struct database *db, sqlite3_stmt *statement, struct error_text *e)
{
    bool row = true;
    int rc = 0;
    while (rc == 0 && row) {
        rc = database_step(db, statement, &row, e);
    }
    database_done(statement);
    return rc;
}

static int run_kept(struct database *db, const char *sql, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, sql, &statement, e);
    return rc != 0 ? rc : database_run(db, statement, e);
}

/* Literals with one address each, for the statement cache. */
static const char BEGIN_WRITE[] = "BEGIN IMMEDIATE";
static const char BEGIN_READ[] = "BEGIN";
static const char COMMIT[] = "COMMIT";
static const char DATA_VERSION[] = "PRAGMA data_version";

int database_begin(struct database *db, struct error_text *e)
{
    return run_kept(db, BEGIN_WRITE, e);
}

int database_begin_read(struct database *db, struct error_text *e)
{
    return run_kept(db, BEGIN_READ, e);
}

int database_commit(struct database *db, struct error_text *e)
{
    int rc = run_kept(db, COMMIT, e);
    if (rc != 0) {
        database_roll_back(db);
    }
    return rc;
}

void database_roll_back(struct database *db)
{
    /* A full disk may have rolled back already. Fails only where there is nothing to undo. */
    if (sqlite3_get_autocommit(db->connection) == 0) {
        (void)sqlite3_exec(db->connection, "ROLLBACK", NULL, NULL, NULL);
    }
}

int database_end(struct database *db, int rc, struct error_text *e)
{
    if (rc != 0) {
        database_roll_back(db);
        return rc;
    }
    return database_commit(db, e);
}

int database_read_version(struct database *db, int64_t *data_version, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    int rc = database_prepare(db, DATA_VERSION, &statement, e);

    if (rc != 0) {
        return rc;
    }
    rc = database_step(db, statement, &row, e);
    if (rc == 0) {
        *data_version = sqlite3_column_int64(statement, 0);
    }
    database_done(statement);
    return rc;
}

int64_t database_last_id(struct database *db)
{
    return sqlite3_last_insert_rowid(db->connection);
}

int64_t database_n_changed(struct database *db)
{
    return sqlite3_changes64(db->connection);
}

bool database_is_read_only(struct database *db)
{
    return sqlite3_db_readonly(db->connection, "main") == 1;
}
