/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table audit. */
#include "relay/store/audit.h"

#include <stdio.h>
#include <string.h>

#include "relay/store/credential.h"
#include "relay/store/value.h"

static const char INSERT[] =
    "INSERT INTO audit (at, who, what, object, refused, detail) VALUES (?, ?, ?, ?, ?, ?)";

/* substr, not LIKE: names may hold "_" and "%". */
static const char SELECT[] =
    "SELECT id, at, who, what, object, refused, detail FROM audit"
    " WHERE at >= ?1 AND (?2 = 0 OR at < ?2) AND substr(who, 1, length(?3)) = ?3"
    " AND substr(what, 1, length(?4)) = ?4 AND (?5 = '' OR instr(object, ?5) > 0)"
    " AND (?6 = 0 OR refused = 1) ORDER BY id DESC LIMIT ?7";

static const char COUNT[] = "SELECT count(*) FROM audit WHERE at >= ?1 AND who = ?2";

static const char PRUNE[] =
    "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)";

static void set_text(char *to, size_t cap, const char *from)
{
    /* snprintf cuts; a cut in the middle of a UTF-8 character is mended when it is shown. */
    (void)snprintf(to, cap, "%s", from == NULL ? "" : from);
}

void audit_row_set(struct audit_row *row, int64_t at_s, const char *who, const char *what,
                   const char *object, const char *detail)
{
    *row = (struct audit_row){.at_s = at_s};
    set_text(row->who, sizeof(row->who), who);
    set_text(row->what, sizeof(row->what), what);
    set_text(row->object, sizeof(row->object), object);
    set_text(row->detail, sizeof(row->detail), detail);
}

int audit_add(struct database *db, const struct audit_row *row, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, INSERT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, row->at_s);
    value_bind_text(statement, 2, span_of(row->who));
    value_bind_text(statement, 3, span_of(row->what));
    value_bind_text(statement, 4, span_of(row->object));
    value_bind_int(statement, 5, row->refused ? 1 : 0);
    value_bind_text(statement, 6, span_of(row->detail));
    return database_run(db, statement, e);
}

int audit_begin(struct database *db, struct error_text *e)
{
    return database_begin(db, e);
}

static int add_act(struct database *db, const struct audit_act *act, const char *detail,
                   bool refused, struct error_text *e)
{
    struct audit_row row;
    /* Refused because a key was given in an object's place? Then it must not be kept. */
    bool hide = refused && credential_is_well_formed(span_of(act->object));
    audit_row_set(&row, act->by->now_s, act->by->who, act->what, hide ? "?" : act->object, detail);
    row.refused = refused;
    return audit_add(db, &row, e);
}

int audit_end(struct database *db, const struct audit_act *act, const char *detail, int rc,
              struct error_text *e)
{
    struct error_text ignored;

    if (rc == 0) {
        rc = add_act(db, act, detail, false, e);
        return database_end(db, rc, e);
    }
    database_roll_back(db);
    if (rc != ERROR_IO && rc != ERROR_NOMEM && rc != ERROR_INTERNAL) {
        /* The refusal is what the caller must hear of, even if it cannot be written down. */
        (void)add_act(db, act, e->text, true, &ignored);
    }
    return rc;
}

static void read_row(sqlite3_stmt *statement, struct audit_row *row)
{
    row->id = sqlite3_column_int64(statement, 0);
    row->at_s = sqlite3_column_int64(statement, 1);
    value_copy_text(statement, 2, row->who, sizeof(row->who));
    value_copy_text(statement, 3, row->what, sizeof(row->what));
    value_copy_text(statement, 4, row->object, sizeof(row->object));
    row->refused = sqlite3_column_int(statement, 5) != 0;
    value_copy_text(statement, 6, row->detail, sizeof(row->detail));
}

int audit_list(struct database *db, const struct audit_filter *filter,
               void (*visit)(void *user, const struct audit_row *row), void *user,
               struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    struct audit_row row;
    bool more = false;
    int rc = database_prepare(db, SELECT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, filter->since_s);
    value_bind_int(statement, 2, filter->until_s);
    value_bind_text(statement, 3, span_of(filter->who));
    value_bind_text(statement, 4, span_of(filter->what));
    value_bind_text(statement, 5, span_of(filter->object));
    value_bind_int(statement, 6, filter->refused_only ? 1 : 0);
    value_bind_int(statement, 7, filter->n_max == 0 ? -1 : (int64_t)filter->n_max);
    rc = database_step(db, statement, &more, e);
    while (rc == 0 && more) {
        read_row(statement, &row);
        visit(user, &row);
        rc = database_step(db, statement, &more, e);
    }
    database_done(statement);
    return rc;
}

int audit_count(struct database *db, const char *who, int64_t since_s, int64_t *n,
                struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    int rc = database_prepare(db, COUNT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, since_s);
    value_bind_text(statement, 2, span_of(who));
    rc = database_step(db, statement, &row, e);
    if (rc == 0) {
        *n = sqlite3_column_int64(statement, 0);
    }
    database_done(statement);
    return rc;
}

int audit_prune(struct database *db, int64_t before_s, uint32_t n_max, int64_t *n,
                struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, PRUNE, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, before_s);
    value_bind_int(statement, 2, n_max);
    rc = database_run(db, statement, e);
    if (rc == 0) {
        *n = database_n_changed(db);
    }
    return rc;
}
