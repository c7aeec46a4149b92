/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table history. Two processes may write during a hand-over, each some time after the
 * fact: so rows are shown by their time, and dropped by their number. */
#include "relay/store/history.h"

#include <stdio.h>

#include "proto/base/span.h"
#include "relay/store/directory.h"
#include "relay/store/value.h"

static const char INSERT[] = "INSERT INTO history (server_id, at, leg, up, n_left_out, reason)"
                             " SELECT nullif(?1, 0), ?2, ?3, ?4, ?5, ?6"
                             " WHERE ?1 = 0 OR EXISTS (SELECT 1 FROM servers WHERE id = ?1)";
/* The last row about a tunnel stays, however old, for a relay that begins asks for it. Of a tunnel
 * that stays up it is the oldest row of all. */
static const char DROP_OLDEST[] =
    "DELETE FROM history WHERE server_id IS nullif(?1, 0) AND id <="
    " (SELECT id FROM history WHERE server_id IS nullif(?1, 0) ORDER BY id DESC LIMIT 1 OFFSET ?2)"
    " AND id IS NOT (SELECT id FROM history WHERE server_id = ?1 AND leg = 0"
    " ORDER BY id DESC LIMIT 1)";

#define COLUMNS "SELECT ifnull(server_id, 0), at, leg, up, n_left_out, reason FROM history"

static const char SELECT[] = COLUMNS
    " WHERE server_id = ?1 OR (server_id IS NULL AND at >="
    " (SELECT min(at) FROM history WHERE server_id = ?1)) ORDER BY at DESC, id DESC LIMIT ?2";
static const char SELECT_LAST[] =
    "SELECT h.server_id, h.at, h.leg, h.up, h.n_left_out, h.reason, s.serial FROM servers s"
    " JOIN history h ON h.id = (SELECT id FROM history WHERE server_id = s.id AND leg = 0"
    " ORDER BY id DESC LIMIT 1)";
static const char PRUNE[] =
    "DELETE FROM history WHERE id IN (SELECT id FROM history h WHERE at < ?1 AND (server_id IS NULL"
    " OR leg <> 0 OR EXISTS (SELECT 1 FROM history WHERE server_id = h.server_id AND id > h.id"
    " AND leg = 0)) ORDER BY at LIMIT ?2)";

static int insert(struct database *db, const struct history_row *row, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, INSERT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, row->server_id);
    value_bind_int(statement, 2, row->at_ms);
    value_bind_int(statement, 3, (int64_t)row->leg);
    value_bind_int(statement, 4, row->up ? 1 : 0);
    value_bind_int(statement, 5, row->n_left_out);
    value_bind_text(statement, 6, span_of(row->reason));
    return database_run(db, statement, e);
}

int history_add(struct database *db, const struct history_row *row, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = insert(db, row, e);

    rc = rc == 0 ? database_prepare(db, DROP_OLDEST, &statement, e) : rc;
    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, row->server_id);
    value_bind_int(statement, 2, HISTORY_ROWS_MAX);
    return database_run(db, statement, e);
}

static void read_row(sqlite3_stmt *statement, struct history_row *row)
{
    *row = (struct history_row){
        .server_id = sqlite3_column_int64(statement, 0),
        .at_ms = sqlite3_column_int64(statement, 1),
        .leg = (enum history_leg)sqlite3_column_int(statement, 2),
        .up = sqlite3_column_int(statement, 3) != 0,
        .n_left_out = (uint32_t)sqlite3_column_int64(statement, 4),
    };
    value_copy_text(statement, 5, row->reason, sizeof(row->reason));
}

int history_list(struct database *db, int64_t server_id,
                 void (*visit)(void *user, const struct history_row *row), void *user,
                 struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    struct history_row row;
    bool more = false;
    int rc = database_prepare(db, SELECT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, server_id);
    value_bind_int(statement, 2, HISTORY_LIST_MAX);
    rc = database_step(db, statement, &more, e);
    while (rc == 0 && more) {
        read_row(statement, &row);
        visit(user, &row);
        rc = database_step(db, statement, &more, e);
    }
    database_done(statement);
    return rc;
}

int history_visit_last(struct database *db,
                       void (*visit)(void *user, const char *serial, const struct history_row *row),
                       void *user, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    char serial[DIRECTORY_SERIAL_BYTES];
    struct history_row row;
    bool more = false;
    int rc = database_prepare(db, SELECT_LAST, &statement, e);

    if (rc != 0) {
        return rc;
    }
    rc = database_step(db, statement, &more, e);
    while (rc == 0 && more) {
        read_row(statement, &row);
        value_copy_text(statement, 6, serial, sizeof(serial));
        visit(user, serial, &row);
        rc = database_step(db, statement, &more, e);
    }
    database_done(statement);
    return rc;
}

int history_prune(struct database *db, int64_t before_s, uint32_t n_max, int64_t *n,
                  struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, PRUNE, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, before_s * 1000);
    value_bind_int(statement, 2, n_max);
    rc = database_run(db, statement, e);
    if (rc == 0) {
        *n = database_n_changed(db);
    }
    return rc;
}
