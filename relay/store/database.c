/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite, as this program uses it. Its result codes are mapped here and nowhere else. */
#include "relay/store/database.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/store/migrations.h"

/* All the program's statements find room; one more would be our own mistake. */
#define STATEMENTS_MAX 64

struct kept_statement {
    const char *sql; /* a literal; compared by address */
    sqlite3_stmt *statement;
};

struct database {
    sqlite3 *connection;
    char *path;
    struct kept_statement statements[STATEMENTS_MAX];
    size_t n_statements;
};

int database_newest_version(void)
{
    return (int)migrations_count();
}

/* A sentence for what SQLite says, with what the operator can do about it. */
static int explain(int result, const char *path, const char *detail, struct error_text *e)
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
    return explain(sqlite3_extended_errcode(db->connection), db->path,
                   sqlite3_errmsg(db->connection), e);
}

static int run_sql(struct database *db, const char *sql, struct error_text *e)
{
    return sqlite3_exec(db->connection, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                            : database_fail(db, e);
}

/* The first column of the first row of `sql`, which is not kept. */
static int read_number(struct database *db, const char *sql, int64_t *value, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(db->connection, sql, -1, &statement, NULL) != SQLITE_OK) {
        return database_fail(db, e);
    }
    if (sqlite3_step(statement) == SQLITE_ROW) {
        *value = sqlite3_column_int64(statement, 0);
    } else {
        rc = database_fail(db, e);
    }
    (void)sqlite3_finalize(statement); /* repeats the failure of the step */
    return rc;
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

struct span database_text(sqlite3_stmt *statement, int column)
{
    /* Text first: it may change what the length is. */
    const void *text = sqlite3_column_text(statement, column);
    return (struct span){text, (size_t)sqlite3_column_bytes(statement, column)};
}

void database_copy_text(sqlite3_stmt *statement, int column, char *text, size_t cap)
{
    struct span s = database_text(statement, column);
    if (s.len >= cap) {
        s.len = cap - 1;
    }
    (void)span_copy(s, text, cap); /* fits now */
}

bool database_copy_blob(sqlite3_stmt *statement, int column, void *bytes, size_t len)
{
    const void *blob = sqlite3_column_blob(statement, column);
    if (blob == NULL || (size_t)sqlite3_column_bytes(statement, column) != len) {
        return false;
    }
    memcpy(bytes, blob, len);
    return true;
}

void database_bind_text(sqlite3_stmt *statement, int i, struct span text)
{
    /* NULL would be SQL's NULL, which no column of ours takes. */
    const char *p = text.p == NULL ? "" : text.p;
    (void)sqlite3_bind_text64(statement, i, p, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

void database_bind_blob(sqlite3_stmt *statement, int i, const void *bytes, size_t len)
{
    (void)sqlite3_bind_blob64(statement, i, bytes, len, SQLITE_STATIC);
}

void database_bind_int(sqlite3_stmt *statement, int i, int64_t value)
{
    (void)sqlite3_bind_int64(statement, i, value);
}

/* Opening */

static int connect(const char *path, struct database **db, struct error_text *e)
{
    struct database *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return error_set(e, ERROR_NOMEM, "%s: no memory", path);
    }
    made->path = strdup(path);
    if (made->path == NULL) {
        free(made);
        return error_set(e, ERROR_NOMEM, "%s: no memory", path);
    }
    /* NOMUTEX: one connection is one thread's. */
    int result = sqlite3_open_v2(path, &made->connection,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                     SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                                 NULL);
    if (result != SQLITE_OK) {
        int rc = explain(result, path, sqlite3_errstr(result), e);
        database_close(made);
        return rc;
    }
    (void)sqlite3_busy_timeout(made->connection, DATABASE_BUSY_MS); /* fails without connection */
    *db = made;
    return 0;
}

/* synchronous=FULL: a key that was printed outlives a power cut. trusted_schema off: a database
 * from a stranger cannot call functions. */
static int set_up_connection(struct database *db, struct error_text *e)
{
    return run_sql(db,
                   "PRAGMA foreign_keys = ON;"
                   "PRAGMA synchronous = FULL;"
                   "PRAGMA trusted_schema = OFF;"
                   "PRAGMA cell_size_check = ON;",
                   e);
}

static int set_up_journal(struct database *db, struct error_text *e)
{
    if (database_is_read_only(db)) {
        return 0;
    }
    return run_sql(db, "PRAGMA journal_mode = WAL", e);
}

static int read_versions(struct database *db, int64_t *application, int64_t *version,
                         struct error_text *e)
{
    int rc = read_number(db, "PRAGMA application_id", application, e);
    return rc != 0 ? rc : read_number(db, "PRAGMA user_version", version, e);
}

static int check_versions(struct database *db, int64_t *version, struct error_text *e)
{
    int64_t application = 0;
    int rc = read_versions(db, &application, version, e);

    if (rc != 0) {
        return rc;
    }
    if (application != MIGRATIONS_APPLICATION_ID) {
        return error_set(e, ERROR_CONFIG, "%s: not a database of thinknx-relay", db->path);
    }
    if (*version > database_newest_version()) {
        return error_set(e, ERROR_CONFIG,
                         "%s: made by a newer thinknx-relay (its version is %lld, this program "
                         "knows up to %d): install that one, or restore an older backup",
                         db->path, (long long)*version, database_newest_version());
    }
    return 0;
}

/* All steps in one transaction: another process sees the old tables or the new ones. */
static int run_steps(struct database *db, int64_t version, struct error_text *e)
{
    char set_version[sizeof("PRAGMA user_version = -2147483648")];
    int rc = 0;

    for (size_t i = (size_t)version; rc == 0 && i < migrations_count(); i++) {
        rc = run_sql(db, migrations_step(i), e);
    }
    if (rc != 0) {
        return rc;
    }
    (void)snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d",
                   database_newest_version());
    return run_sql(db, set_version, e);
}

static int migrate(struct database *db, struct error_text *e)
{
    int64_t version = 0;
    int rc = check_versions(db, &version, e);

    if (rc != 0 || version == database_newest_version()) {
        return rc;
    }
    rc = database_begin(db, e);
    if (rc != 0) {
        return rc;
    }
    /* Again, now that nobody else can be migrating it. */
    rc = check_versions(db, &version, e);
    if (rc == 0) {
        rc = run_steps(db, version, e);
    }
    return database_end(db, rc, e);
}

static int run_check(struct database *db, const char *pragma, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(db->connection, pragma, -1, &statement, NULL) != SQLITE_OK) {
        return database_fail(db, e);
    }
    if (sqlite3_step(statement) != SQLITE_ROW) {
        rc = database_fail(db, e);
    } else if (!span_equal(database_text(statement, 0), span_of("ok"))) {
        struct span found = database_text(statement, 0);
        rc = error_set(e, ERROR_IO, "%s: the database is damaged (%.*s); restore a backup",
                       db->path, (int)(found.len > 200 ? 200 : found.len), found.p);
    }
    (void)sqlite3_finalize(statement); /* repeats the failure of the step */
    return rc;
}

int database_check(struct database *db, struct error_text *e)
{
    return run_check(db, "PRAGMA integrity_check(1)", e);
}

int database_open(const char *path, bool check, struct database **db, struct error_text *e)
{
    struct database *made = NULL;
    struct stat st;

    if (stat(path, &st) != 0) {
        return errno == ENOENT
                   ? error_set(e, ERROR_NOT_FOUND,
                               "%s does not exist: \"thinknx-relay init\" makes one", path)
                   : error_set(e, ERROR_IO, "cannot open %s: %s", path, strerror(errno));
    }
    int rc = connect(path, &made, e);
    if (rc != 0) {
        return rc;
    }
    rc = set_up_connection(made, e);
    if (rc == 0) {
        rc = migrate(made, e);
    }
    if (rc == 0) {
        rc = set_up_journal(made, e);
    }
    if (rc == 0 && check) {
        rc = run_check(made, "PRAGMA quick_check(1)", e);
    }
    if (rc != 0) {
        database_close(made);
        return rc;
    }
    *db = made;
    return 0;
}

void database_close(struct database *db)
{
    if (db == NULL) {
        return;
    }
    for (size_t i = 0; i < db->n_statements; i++) {
        (void)sqlite3_finalize(db->statements[i].statement); /* repeats an old failure */
    }
    int result = sqlite3_close(db->connection);
    assert(result == SQLITE_OK); /* else one of our statements is still open */
    (void)result;
    free(db->path);
    free(db);
}

/* An empty file that only we can read; SQLite gives its journal the same mode. */
static int create_file(const char *path, struct error_text *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0) {
        return error_set(e, errno == EEXIST ? ERROR_EXISTS : ERROR_IO, "cannot create %s: %s", path,
                         strerror(errno));
    }
    (void)close(fd); /* nothing was written */
    return 0;
}

static int mark_as_ours(struct database *db, struct error_text *e)
{
    char sql[sizeof("PRAGMA application_id = -2147483648")];
    (void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", MIGRATIONS_APPLICATION_ID);
    return run_sql(db, sql, e);
}

int database_create(const char *path, struct error_text *e)
{
    struct database *db = NULL;
    int rc = create_file(path, e);

    if (rc != 0) {
        return rc;
    }
    rc = connect(path, &db, e);
    if (rc == 0) {
        rc = set_up_connection(db, e);
    }
    if (rc == 0) {
        rc = mark_as_ours(db, e);
    }
    if (rc == 0) {
        rc = migrate(db, e);
    }
    if (rc == 0) {
        rc = set_up_journal(db, e);
    }
    database_close(db);
    if (rc != 0) {
        (void)unlink(path); /* ours, and of no use; the first failure is the one to tell */
    }
    return rc;
}

/* Backing up */

static int copy_pages(struct database *from, struct database *to, struct error_text *e)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->connection, "main", from->connection, "main");
    if (backup == NULL) {
        return database_fail(to, e);
    }
    /* All at once: in WAL mode nobody waits for a reader, however long it takes. */
    int result = sqlite3_backup_step(backup, -1);
    (void)sqlite3_backup_finish(backup); /* repeats the failure of the step */
    return result == SQLITE_DONE ? 0 : explain(result, to->path, sqlite3_errstr(result), e);
}

int database_back_up(struct database *db, const char *path, struct error_text *e)
{
    struct database *copy = NULL;
    int rc = create_file(path, e);

    if (rc != 0) {
        return rc;
    }
    rc = connect(path, &copy, e);
    if (rc == 0) {
        rc = copy_pages(db, copy, e);
    }
    if (rc == 0) {
        /* One file, without a journal beside it that could be forgotten. */
        rc = run_sql(copy, "PRAGMA journal_mode = DELETE", e);
    }
    if (rc == 0) {
        rc = database_check(copy, e);
    }
    database_close(copy);
    if (rc != 0) {
        (void)unlink(path);
    }
    return rc;
}
