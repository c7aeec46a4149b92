/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of its own for each test, with a database in it. */
#ifndef TESTS_UNIT_STORE_SCRATCH_H
#define TESTS_UNIT_STORE_SCRATCH_H

/* cmocka.h wants these four first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/error.h"
#include "relay/store/audit.h"
#include "relay/store/database.h"
#include "relay/store/keys.h"
#include "relay/store/servers.h"

/* Any time will do, so that nothing depends on the clock. */
#define SCRATCH_NOW 1800000000

struct scratch {
    char folder[64];
    char path[96]; /* of the database */
    struct database *db;
    struct error_text e;
};

static const struct audit_actor ALICE = {"operator:alice", SCRATCH_NOW};

static inline void scratch_init(struct scratch *s)
{
    *s = (struct scratch){.folder = "/tmp/test-store-XXXXXX"};
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->path, sizeof(s->path), "%s/relay.db", s->folder);
}

/* The same with an open database of the newest version. */
static inline void scratch_open(struct scratch *s)
{
    scratch_init(s);
    assert_int_equal(database_create(s->path, &s->e), 0);
    assert_int_equal(database_open(s->path, false, &s->db, &s->e), 0);
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int kind,
                                     struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

/* The folder with all that is in it. */
static inline void scratch_remove(const char *folder)
{
    assert_int_equal(nftw(folder, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void scratch_close(struct scratch *s)
{
    database_close(s->db);
    scratch_remove(s->folder);
}

static inline void scratch_add_server(struct scratch *s, const char *serial)
{
    const struct server_settings settings = {.serial = serial};
    struct credential token;
    int64_t id = 0;
    if (servers_add(s->db, &settings, &ALICE, &id, &token, &s->e) != 0) {
        fail_msg("%s", s->e.text);
    }
    credential_cleanse(&token);
}

static inline int64_t scratch_add_key(struct scratch *s, const char *serial, struct credential *key)
{
    const struct key_settings settings = {.label = "test"};
    struct key_made made;
    if (keys_enable(s->db, serial, &settings, &ALICE, &made, &s->e) != 0) {
        fail_msg("%s", s->e.text);
    }
    if (key != NULL) {
        *key = made.key;
    }
    return made.id;
}

/* The first column of the first row. */
static inline int64_t scratch_number(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 5000), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

static inline void scratch_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *reason = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 5000), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &reason) != SQLITE_OK) {
        fail_msg("%s", reason);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* True if the bytes occur anywhere in the file. */
static inline bool scratch_file_holds(const char *path, const char *bytes)
{
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return false;
    }
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t len = (size_t)ftell(f);
    char *content = malloc(len + 1);
    assert_non_null(content);
    rewind(f);
    assert_int_equal(fread(content, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    bool found = memmem(content, len, bytes, strlen(bytes)) != NULL;
    free(content);
    return found;
}

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (strstr(text, part) == NULL) {                                                          \
            fail_msg("\"%s\" is not in \"%s\"", part, text);                                       \
        }                                                                                          \
    } while (0)

#endif
