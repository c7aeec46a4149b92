/* SPDX-License-Identifier: Apache-2.0 */
/* Database rows into directory entries.
 *
 * PRAGMA data_version tells for the price of a look into shared memory whether anyone has written.
 * If so, the rows of `changes` since the last look name the keys and servers to read again. All of
 * one look is read in one transaction. Where rows are missing (more has changed than the table
 * keeps, or another database was put in its place) everything is read. */
#include "relay/store/refresh.h"

#include <string.h>

#include "proto/base/log.h"
#include "relay/store/directory_write.h"
#include "relay/store/keys.h"
#include "relay/store/migrations.h"
#include "relay/store/value.h"

/* Keys that expired longer ago are not read: nobody sets a clock back further by mistake. */
#define EXPIRED_KEEP_S (24 * 3600)

static const char SEQ_RANGE[] = "SELECT ifnull(min(seq), 0), ifnull(max(seq), 0) FROM changes";
static const char CHANGES[] = "SELECT kind, item FROM changes WHERE seq > ? ORDER BY seq";
static const char COUNTS[] = "SELECT (SELECT count(*) FROM servers), (SELECT count(*) FROM keys)";

#define SERVER_COLUMNS                                                                             \
    "SELECT id, serial, token_hash, enabled, may_enable_keys, command_rate, command_burst"         \
    " FROM servers"
#define KEY_COLUMNS                                                                                \
    "SELECT id, server_id, hash, rate, burst, scope, expires_at FROM keys WHERE revoked_at = 0"

static const char ALL_SERVERS[] = SERVER_COLUMNS;
static const char ONE_SERVER[] = SERVER_COLUMNS " WHERE id = ?";
static const char ALL_KEYS[] = KEY_COLUMNS " AND (expires_at = 0 OR expires_at > ?)";
static const char ONE_KEY[] = KEY_COLUMNS " AND id = ?";

static void read_server(sqlite3_stmt *row, struct directory_server *server)
{
    *server = (struct directory_server){
        .id = sqlite3_column_int64(row, 0),
        .enabled = sqlite3_column_int(row, 3) != 0,
        .may_enable_keys = sqlite3_column_int(row, 4) != 0,
        .command_rate = {.per_s = (uint32_t)sqlite3_column_int64(row, 5),
                         .burst = (uint32_t)sqlite3_column_int64(row, 6)},
    };
    value_copy_text(row, 1, server->serial, sizeof(server->serial));
    if (!value_copy_blob(row, 2, server->token_hash, sizeof(server->token_hash))) {
        server->enabled = false; /* the table's own check was got around */
    }
}

static int put_server(struct refresh *r, sqlite3_stmt *row, struct error_text *e)
{
    struct directory_server server;
    bool changed = false;

    read_server(row, &server);
    if (directory_put_server(r->directory, &server, &changed) != 0) {
        return error_set(e, ERROR_NOMEM, "no memory for a server");
    }
    if (changed) {
        r->on_server(r->user, server.id);
    }
    return 0;
}

static void complain(int64_t id, const char *reason)
{
    char name[KEYS_ID_BYTES];
    keys_format_id(id, name);
    log_event(LOG_LEVEL_ERROR, "key unusable", log_text("key", name), log_text("reason", reason));
}

static int put_key(struct refresh *r, sqlite3_stmt *row, struct error_text *e)
{
    const struct directory_key key = {
        .id = sqlite3_column_int64(row, 0),
        .server_id = sqlite3_column_int64(row, 1),
        .enabled = true,
        .not_after_s = sqlite3_column_int64(row, 6),
        .rate = {.per_s = (uint32_t)sqlite3_column_int64(row, 3),
                 .burst = (uint32_t)sqlite3_column_int64(row, 4)},
    };
    uint8_t hash[DIRECTORY_HASH_BYTES];
    int rc = ERROR_SYNTAX;

    if (value_copy_blob(row, 2, hash, sizeof(hash))) {
        rc = directory_put_key(r->directory, &key, hash, value_text(row, 5), e);
    } else {
        (void)error_set(e, rc, "its hash is damaged");
    }
    if (rc == ERROR_SYNTAX || rc == ERROR_LIMIT) {
        /* A scope that cannot be understood allows nothing. */
        complain(key.id, e->text);
        (void)directory_remove_key(r->directory, key.id);
        return 0;
    }
    return rc;
}

/* Hands all rows of the statement to `put` and gives it back. `*n` counts them. */
static int put_rows(struct refresh *r, sqlite3_stmt *statement,
                    int (*put)(struct refresh *r, sqlite3_stmt *row, struct error_text *e),
                    size_t *n, struct error_text *e)
{
    bool row = false;
    int rc = database_step(r->db, statement, &row, e);

    while (rc == 0 && row) {
        *n += 1;
        rc = put(r, statement, e);
        if (rc == 0) {
            rc = database_step(r->db, statement, &row, e);
        }
    }
    database_done(statement);
    return rc;
}

/* Two numbers of the only row of `sql`. */
static int read_pair(struct database *db, const char *sql, int64_t *a, int64_t *b,
                     struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    int rc = database_prepare(db, sql, &statement, e);

    if (rc != 0) {
        return rc;
    }
    rc = database_step(db, statement, &row, e);
    if (rc == 0) {
        *a = sqlite3_column_int64(statement, 0);
        *b = sqlite3_column_int64(statement, 1);
    }
    database_done(statement);
    return rc;
}

static int reserve(struct refresh *r, struct error_text *e)
{
    struct directory_counts have = directory_count(r->directory);
    int64_t n_servers = 0;
    int64_t n_keys = 0;
    int rc = read_pair(r->db, COUNTS, &n_servers, &n_keys, e);

    if (rc != 0) {
        return rc;
    }
    size_t servers = (size_t)n_servers > have.n_servers ? (size_t)n_servers - have.n_servers : 0;
    size_t keys = (size_t)n_keys > have.n_keys ? (size_t)n_keys - have.n_keys : 0;
    rc = directory_reserve(r->directory, servers, keys);
    return rc == 0 ? 0 : error_set(e, rc, "no memory for %lld keys", (long long)n_keys);
}

static int put_all_servers(struct refresh *r, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    size_t n = 0;
    int rc = database_prepare(r->db, ALL_SERVERS, &statement, e);

    return rc != 0 ? rc : put_rows(r, statement, put_server, &n, e);
}

static int put_all_keys(struct refresh *r, int64_t now_s, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    size_t n = 0;
    int rc = database_prepare(r->db, ALL_KEYS, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, now_s - EXPIRED_KEEP_S);
    return put_rows(r, statement, put_key, &n, e);
}

/* Inside a transaction: everything, up to the row `newest` of `changes`. */
static int load_inside(struct refresh *r, int64_t newest, int64_t now_s, struct error_text *e)
{
    int rc = reserve(r, e);

    directory_begin_sweep(r->directory);
    if (rc == 0) {
        rc = put_all_servers(r, e);
    }
    if (rc == 0) {
        directory_sweep_servers(r->directory, r->on_server, r->user);
        rc = put_all_keys(r, now_s, e);
    }
    if (rc == 0) {
        directory_sweep_keys(r->directory);
        r->last_seq = newest;
    }
    return rc;
}

static int put_changed_server(struct refresh *r, int64_t id, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    size_t n = 0;
    int rc = database_prepare(r->db, ONE_SERVER, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    rc = put_rows(r, statement, put_server, &n, e);
    if (rc == 0 && n == 0 && directory_remove_server(r->directory, id)) {
        r->on_server(r->user, id);
    }
    return rc;
}

static int put_changed_key(struct refresh *r, int64_t id, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    size_t n = 0;
    int rc = database_prepare(r->db, ONE_KEY, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    rc = put_rows(r, statement, put_key, &n, e);
    if (rc == 0 && n == 0) {
        (void)directory_remove_key(r->directory, id);
    }
    return rc;
}

static int put_change(struct refresh *r, sqlite3_stmt *row, struct error_text *e)
{
    int64_t kind = sqlite3_column_int64(row, 0);
    int64_t id = sqlite3_column_int64(row, 1);
    return kind == CHANGE_SERVER ? put_changed_server(r, id, e) : put_changed_key(r, id, e);
}

/* Inside a transaction: the rows of `changes` behind the last one seen. */
static int catch_up(struct refresh *r, int64_t newest, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    size_t n = 0;
    int rc = database_prepare(r->db, CHANGES, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, r->last_seq);
    rc = put_rows(r, statement, put_change, &n, e);
    if (rc == 0) {
        r->last_seq = newest;
    }
    return rc;
}

static int look(struct refresh *r, bool all, int64_t now_s, bool *refreshed, struct error_text *e)
{
    int64_t oldest = 0;
    int64_t newest = 0;
    int rc = read_pair(r->db, SEQ_RANGE, &oldest, &newest, e);

    if (rc != 0 || (!all && newest == r->last_seq)) {
        return rc;
    }
    *refreshed = true;
    if (all || newest < r->last_seq || oldest > r->last_seq + 1) {
        return load_inside(r, newest, now_s, e);
    }
    return catch_up(r, newest, e);
}

/* The version is read first: what is written meanwhile is found by the next look. */
static int look_in_transaction(struct refresh *r, bool all, int64_t version, int64_t now_s,
                               bool *refreshed, struct error_text *e)
{
    bool did = false;
    int rc = database_begin_read(r->db, e);

    if (rc != 0) {
        return rc;
    }
    rc = database_end(r->db, look(r, all, now_s, &did, e), e);
    if (rc == 0) {
        r->data_version = version;
        *refreshed = did;
    }
    return rc;
}

int refresh_load(struct refresh *r, int64_t now_s, struct error_text *e)
{
    int64_t version = 0;
    bool refreshed = false;
    int rc = database_read_version(r->db, &version, e);

    return rc != 0 ? rc : look_in_transaction(r, true, version, now_s, &refreshed, e);
}

int refresh_poll(struct refresh *r, bool own, int64_t now_s, bool *refreshed, struct error_text *e)
{
    int64_t version = 0;
    int rc = database_read_version(r->db, &version, e);

    if (rc != 0) {
        return rc;
    }
    *refreshed = false;
    if (version == r->data_version && !own) {
        return 0;
    }
    return look_in_transaction(r, false, version, now_s, refreshed, e);
}
