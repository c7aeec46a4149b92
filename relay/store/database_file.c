/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a database: created, opened, migrated, checked, copied. */
#include "relay/store/database.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "proto/http/query.h"
#include "relay/store/database_connection.h"
#include "relay/store/migrations.h"
#include "relay/store/value.h"

int database_newest_version(void)
{
    return (int)migrations_count();
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

/* True if nobody can write to the file, and nothing waits beside it to be taken over: its disk is
 * read-only. SQLite needs to be told so, for it cannot make the files that it shares with others.
 */
static bool is_frozen(const char *path)
{
    char wal[PATH_MAX];
    struct statvfs disk;
    struct stat st;
    int n = snprintf(wal, sizeof(wal), "%s-wal", path);

    return n > 0 && (size_t)n < sizeof(wal) && statvfs(path, &disk) == 0 &&
           (disk.f_flag & ST_RDONLY) != 0 && (stat(wal, &st) != 0 || st.st_size == 0);
}

static int open_frozen(const char *path, sqlite3 **connection)
{
    static const char SCHEME[] = "file:";
    static const char HOW[] = "?immutable=1";
    size_t cap = sizeof(SCHEME) + 3 * strlen(path) + sizeof(HOW);
    char *uri = malloc(cap);
    int result = SQLITE_NOMEM;

    if (uri == NULL) {
        return SQLITE_NOMEM;
    }
    memcpy(uri, SCHEME, sizeof(SCHEME));
    size_t at = sizeof(SCHEME) - 1;
    if (query_encode(span_of(path), uri + at, cap - at) == 0) {
        at = strlen(uri);
        memcpy(uri + at, HOW, sizeof(HOW));
        result = sqlite3_open_v2(uri, connection,
                                 SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                                     SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                                 NULL);
    }
    free(uri);
    return result;
}

static int open_connection(const char *path, sqlite3 **connection)
{
    if (is_frozen(path)) {
        return open_frozen(path, connection);
    }
    /* NOMUTEX: one connection is one thread's. */
    return sqlite3_open_v2(path, connection,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                               SQLITE_OPEN_EXRESCODE,
                           NULL);
}

/* NULL on failure, with `*rc` set. */
static struct database *connect(const char *path, int *rc, struct error_text *e)
{
    struct database *db = calloc(1, sizeof(*db));
    if (db == NULL) {
        *rc = error_set(e, ERROR_NOMEM, "%s: no memory", path);
        return NULL;
    }
    db->path = strdup(path);
    if (db->path == NULL) {
        free(db);
        *rc = error_set(e, ERROR_NOMEM, "%s: no memory", path);
        return NULL;
    }
    int result = open_connection(path, &db->connection);
    if (result != SQLITE_OK) {
        *rc = database_explain(result, path, sqlite3_errstr(result), e);
        database_close(db);
        return NULL;
    }
    (void)sqlite3_busy_timeout(db->connection, DATABASE_BUSY_MS); /* fails without connection */
    *rc = 0;
    return db;
}

/* synchronous=FULL: a key that was printed outlives a power cut. trusted_schema off: a database
 * from a stranger cannot call functions. */
static int set_up_connection(struct database *db, struct error_text *e)
{
    return database_run_sql(db,
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
    return database_run_sql(db, "PRAGMA journal_mode = WAL", e);
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
        rc = database_run_sql(db, migrations_step(i), e);
    }
    if (rc != 0) {
        return rc;
    }
    (void)snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d",
                   database_newest_version());
    return database_run_sql(db, set_version, e);
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
    } else if (!span_equal(value_text(statement, 0), span_of("ok"))) {
        struct span found = value_text(statement, 0);
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
    struct stat st;
    int rc = 0;

    if (stat(path, &st) != 0) {
        return errno == ENOENT
                   ? error_set(e, ERROR_NOT_FOUND,
                               "%s does not exist: \"thinknx-relay init\" makes one", path)
                   : error_set(e, ERROR_IO, "cannot open %s: %s", path, strerror(errno));
    }
    struct database *made = connect(path, &rc, e);
    if (made == NULL) {
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
    return database_run_sql(db, sql, e);
}

static int set_up_new(struct database *db, struct error_text *e)
{
    int rc = set_up_connection(db, e);
    if (rc == 0) {
        rc = mark_as_ours(db, e);
    }
    if (rc == 0) {
        rc = migrate(db, e);
    }
    return rc != 0 ? rc : set_up_journal(db, e);
}

int database_create(const char *path, struct error_text *e)
{
    int rc = create_file(path, e);
    if (rc != 0) {
        return rc;
    }
    struct database *db = connect(path, &rc, e);
    if (db != NULL) {
        rc = set_up_new(db, e);
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
    return result == SQLITE_DONE ? 0
                                 : database_explain(result, to->path, sqlite3_errstr(result), e);
}

static int fill_copy(struct database *db, struct database *copy, struct error_text *e)
{
    int rc = copy_pages(db, copy, e);
    if (rc == 0) {
        /* One file, without a journal beside it that could be forgotten. */
        rc = database_run_sql(copy, "PRAGMA journal_mode = DELETE", e);
    }
    return rc != 0 ? rc : database_check(copy, e);
}

/* The copy gets its name when it is whole: a file of that name is a good backup, whenever the
 * machine may stop. */
static int name_copy(const char *partial, const char *path, struct error_text *e)
{
    if (link(partial, path) != 0) {
        return error_set(e, errno == EEXIST ? ERROR_EXISTS : ERROR_IO, "cannot create %s: %s", path,
                         strerror(errno));
    }
    return 0;
}

int database_back_up(struct database *db, const char *path, struct error_text *e)
{
    char *partial = NULL;
    struct stat st;
    int rc = 0;

    if (lstat(path, &st) == 0) {
        return error_set(e, ERROR_EXISTS, "%s exists already; nothing is overwritten", path);
    }
    if (asprintf(&partial, "%s.%ld.partial", path, (long)getpid()) < 0) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    rc = create_file(partial, e);
    if (rc != 0) {
        free(partial);
        return rc;
    }
    struct database *copy = connect(partial, &rc, e);
    if (copy != NULL) {
        rc = fill_copy(db, copy, e);
    }
    database_close(copy);
    if (rc == 0) {
        rc = name_copy(partial, path, e);
    }
    (void)unlink(partial); /* has its other name, or is of no use */
    free(partial);
    return rc;
}
