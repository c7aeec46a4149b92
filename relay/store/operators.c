/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table operators. */
#include "relay/store/operators.h"

#include <stdio.h>
#include <string.h>

#include "relay/store/value.h"

static const char INSERT[] =
    "INSERT INTO operators (name, password, created_at, created_by) VALUES (?, ?, ?, ?)";
static const char COUNT[] = "SELECT count(*) FROM operators";
static const char SELECT_ONE[] =
    "SELECT id, name, created_at, created_by, n_failures, locked_until, password FROM operators"
    " WHERE name = ?";
static const char SELECT_ALL[] =
    "SELECT id, name, created_at, created_by, n_failures, locked_until, '' FROM operators"
    " ORDER BY name";
static const char UPDATE_PASSWORD[] =
    "UPDATE operators SET password = ?1, n_failures = 0, locked_until = 0 WHERE id = ?2";
static const char UPDATE_FAILURES[] =
    "UPDATE operators SET n_failures = ?1, locked_until = ?2 WHERE id = ?3";
static const char DELETE[] = "DELETE FROM operators WHERE id = ?";
static const char DELETE_LOGINS[] = "DELETE FROM logins WHERE operator_id = ?";

int operators_check_name(const char *name, struct error_text *e)
{
    static const char ALLOWED[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);

    if (len == 0 || len >= OPERATORS_NAME_BYTES || strspn(name, ALLOWED) != len) {
        return error_set(e, ERROR_CONFIG,
                         "an operator's name has 1 to %d of a-z, 0-9, \".\", \"_\" and \"-\"",
                         OPERATORS_NAME_BYTES - 1);
    }
    return 0;
}

static void read_row(sqlite3_stmt *statement, struct operator_account *account)
{
    account->id = sqlite3_column_int64(statement, 0);
    value_copy_text(statement, 1, account->name, sizeof(account->name));
    account->created_at_s = sqlite3_column_int64(statement, 2);
    value_copy_text(statement, 3, account->created_by, sizeof(account->created_by));
    account->n_failures = (uint32_t)sqlite3_column_int64(statement, 4);
    account->locked_until_s = sqlite3_column_int64(statement, 5);
    value_copy_text(statement, 6, account->password, sizeof(account->password));
}

int operators_find(struct database *db, const char *name, struct operator_account *account,
                   struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;
    int rc = operators_check_name(name, e);

    if (rc == 0) {
        rc = database_prepare(db, SELECT_ONE, &statement, e);
    }
    if (rc != 0) {
        return rc;
    }
    value_bind_text(statement, 1, span_of(name));
    rc = database_step(db, statement, &found, e);
    if (rc == 0 && found) {
        read_row(statement, account);
    }
    database_done(statement);
    return rc == 0 && !found ? error_set(e, ERROR_NOT_FOUND, "there is no operator %s", name) : rc;
}

int operators_list(struct database *db,
                   void (*visit)(void *user, const struct operator_account *account), void *user,
                   struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    struct operator_account account;
    bool more = false;
    int rc = database_prepare(db, SELECT_ALL, &statement, e);

    if (rc != 0) {
        return rc;
    }
    rc = database_step(db, statement, &more, e);
    while (rc == 0 && more) {
        read_row(statement, &account);
        visit(user, &account);
        rc = database_step(db, statement, &more, e);
    }
    database_done(statement);
    return rc;
}

static int check_new(struct database *db, const char *name, struct error_text *e)
{
    struct operator_account account;
    sqlite3_stmt *statement = NULL;
    bool row = false;
    int rc = operators_find(db, name, &account, e);

    if (rc == 0) {
        return error_set(e, ERROR_EXISTS, "there is an operator %s already", name);
    }
    if (rc != ERROR_NOT_FOUND) {
        return rc;
    }
    rc = database_prepare(db, COUNT, &statement, e);
    if (rc == 0) {
        rc = database_step(db, statement, &row, e);
        if (rc == 0 && sqlite3_column_int64(statement, 0) >= OPERATORS_MAX) {
            rc = error_set(e, ERROR_LIMIT, "there are %d operators already", OPERATORS_MAX);
        }
        database_done(statement);
    }
    return rc;
}

static int insert(struct database *db, const char *name, const char *password_hash,
                  const struct audit_actor *by, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, INSERT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_text(statement, 1, span_of(name));
    value_bind_text(statement, 2, span_of(password_hash));
    value_bind_int(statement, 3, by->now_s);
    value_bind_text(statement, 4, span_of(by->who));
    return database_run(db, statement, e);
}

/* A statement with the operator's id, and maybe a text before it. */
static int run_for(struct database *db, const char *sql, const char *text, int64_t id,
                   struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, sql, &statement, e);

    if (rc != 0) {
        return rc;
    }
    if (text != NULL) {
        value_bind_text(statement, 1, span_of(text));
    }
    value_bind_int(statement, text != NULL ? 2 : 1, id);
    return database_run(db, statement, e);
}

int operators_add(struct database *db, const char *name, const char *password_hash,
                  const struct audit_actor *by, struct error_text *e)
{
    const struct audit_act act = {by, "operator.add", name};
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = check_new(db, name, e);
    if (rc == 0) {
        rc = insert(db, name, password_hash, by, e);
    }
    return audit_end(db, &act, NULL, rc, e);
}

int operators_set_password(struct database *db, const char *name, const char *password_hash,
                           const struct audit_actor *by, struct error_text *e)
{
    const struct audit_act act = {by, "operator.password", name};
    struct operator_account account = {.id = 0};
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = operators_find(db, name, &account, e);
    if (rc == 0) {
        rc = run_for(db, UPDATE_PASSWORD, password_hash, account.id, e);
    }
    if (rc == 0) {
        rc = run_for(db, DELETE_LOGINS, NULL, account.id, e);
    }
    return audit_end(db, &act, NULL, rc, e);
}

int operators_remove(struct database *db, const char *name, const struct audit_actor *by,
                     struct error_text *e)
{
    const struct audit_act act = {by, "operator.remove", name};
    struct operator_account account = {.id = 0};
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = operators_find(db, name, &account, e);
    if (rc == 0) {
        rc = run_for(db, DELETE, NULL, account.id, e);
    }
    return audit_end(db, &act, NULL, rc, e);
}

/* Twice as long with each failure beyond the free ones. */
static int64_t lock_s(uint32_t n_failures)
{
    int64_t s = OPERATORS_LOCK_S;

    if (n_failures < OPERATORS_FREE_FAILURES) {
        return 0;
    }
    for (uint32_t i = OPERATORS_FREE_FAILURES; i < n_failures && s < OPERATORS_LOCK_S_MAX; i++) {
        s *= 2;
    }
    return s < OPERATORS_LOCK_S_MAX ? s : OPERATORS_LOCK_S_MAX;
}

int operators_note_failure(struct database *db, const struct operator_account *account,
                           const struct audit_actor *by, struct error_text *e)
{
    const struct audit_act act = {by, "operator.login", account->name};
    char detail[AUDIT_DETAIL_BYTES];
    sqlite3_stmt *statement = NULL;
    struct operator_account now = {.id = 0};
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = operators_find(db, account->name, &now, e);
    if (rc == 0) {
        rc = database_prepare(db, UPDATE_FAILURES, &statement, e);
    }
    if (rc != 0) {
        return audit_end(db, &act, NULL, rc, e);
    }
    uint32_t n = now.n_failures < UINT32_MAX ? now.n_failures + 1 : now.n_failures;
    int64_t locked_s = lock_s(n);
    value_bind_int(statement, 1, n);
    value_bind_int(statement, 2, locked_s == 0 ? 0 : by->now_s + locked_s);
    value_bind_int(statement, 3, now.id);
    rc = database_run(db, statement, e);
    (void)snprintf(detail, sizeof(detail), "wrong password, %u in a row%s", n,
                   locked_s == 0 ? "" : "; locked for a while");
    struct audit_row row;
    audit_row_set(&row, by->now_s, by->who, act.what, act.object, detail);
    row.refused = true;
    if (rc == 0) {
        rc = audit_add(db, &row, e);
    }
    return database_end(db, rc, e);
}
