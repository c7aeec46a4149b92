/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table logins. A cookie has as much entropy as a key, so its SHA-256 is enough. */
#include <string.h>

#include "relay/store/operators.h"
#include "relay/store/value.h"

static const char INSERT[] = "INSERT INTO logins (hash, operator_id, csrf, created_at, seen_at)"
                             " SELECT ?1, id, ?3, ?4, ?4 FROM operators"
                             " WHERE id = ?2 AND password = ?5";
static const char UNLOCK[] = "UPDATE operators SET n_failures = 0, locked_until = 0 WHERE id = ?";
static const char PRUNE[] = "DELETE FROM logins WHERE seen_at < ?1 OR created_at < ?2 OR hash IN"
                            " (SELECT hash FROM logins ORDER BY seen_at DESC LIMIT -1 OFFSET ?3)";
static const char SELECT[] =
    "SELECT l.operator_id, o.name, l.csrf, l.seen_at FROM logins l JOIN operators o"
    " ON o.id = l.operator_id WHERE l.hash = ?1 AND l.seen_at >= ?2 AND l.created_at >= ?3";
static const char SEE[] = "UPDATE logins SET seen_at = ?1 WHERE hash = ?2";
static const char DELETE[] = "DELETE FROM logins WHERE hash = ?";

/* A use is written down at most so often. */
#define SEEN_EVERY_S 60

static int hash_cookie(struct span cookie, uint8_t hash[CREDENTIAL_HASH_BYTES],
                       struct error_text *e)
{
    struct credential_hasher hasher;

    if (!credential_is_well_formed(cookie)) {
        return error_set(e, ERROR_REFUSED, "not logged in");
    }
    if (credential_hasher_init(&hasher) != 0) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    bool done = credential_hash(&hasher, cookie, hash);
    credential_hasher_close(&hasher);
    return done ? 0 : error_set(e, ERROR_INTERNAL, "no hash");
}

static int prune(struct database *db, int64_t now_s, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, PRUNE, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, now_s - OPERATORS_IDLE_S);
    value_bind_int(statement, 2, now_s - OPERATORS_LOGIN_S);
    value_bind_int(statement, 3, OPERATORS_LOGINS_MAX - 1);
    return database_run(db, statement, e);
}

static int unlock(struct database *db, int64_t id, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, UNLOCK, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    return database_run(db, statement, e);
}

static int insert(struct database *db, const struct operator_account *account, int64_t now_s,
                  const struct credential *cookie, const char *csrf, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, INSERT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_blob(statement, 1, cookie->hash, sizeof(cookie->hash));
    value_bind_int(statement, 2, account->id);
    value_bind_text(statement, 3, span_of(csrf));
    value_bind_int(statement, 4, now_s);
    value_bind_text(statement, 5, span_of(account->password));
    rc = database_run(db, statement, e);
    if (rc == 0 && database_n_changed(db) == 0) {
        rc = error_set(e, ERROR_NOT_FOUND, "the operator was changed meanwhile");
    }
    return rc;
}

int operators_log_in(struct database *db, const struct operator_account *account, int64_t now_s,
                     struct credential *cookie, struct operator_login *login, struct error_text *e)
{
    const struct audit_actor by = {"operator", now_s};
    const struct audit_act act = {&by, "operator.login", account->name};
    struct credential csrf;
    int rc = credential_make(cookie) == 0 && credential_make(&csrf) == 0
                 ? audit_begin(db, e)
                 : error_set(e, ERROR_INTERNAL, "no randomness");

    if (rc != 0) {
        return rc;
    }
    rc = prune(db, now_s, e);
    if (rc == 0) {
        rc = unlock(db, account->id, e);
    }
    if (rc == 0) {
        rc = insert(db, account, now_s, cookie, csrf.text, e);
    }
    rc = audit_end(db, &act, NULL, rc, e);
    if (rc == 0) {
        login->operator_id = account->id;
        memcpy(login->name, account->name, sizeof(login->name));
        memcpy(login->csrf, csrf.text, sizeof(login->csrf));
    }
    credential_cleanse(&csrf);
    return rc;
}

static int note_use(struct database *db, const uint8_t hash[CREDENTIAL_HASH_BYTES], int64_t now_s,
                    struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, SEE, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, now_s);
    value_bind_blob(statement, 2, hash, CREDENTIAL_HASH_BYTES);
    return database_run(db, statement, e);
}

int operators_find_login(struct database *db, struct span cookie, int64_t now_s,
                         struct operator_login *login, struct error_text *e)
{
    uint8_t hash[CREDENTIAL_HASH_BYTES];
    sqlite3_stmt *statement = NULL;
    bool found = false;
    int64_t seen_s = 0;
    int rc = hash_cookie(cookie, hash, e);

    if (rc == 0) {
        rc = database_prepare(db, SELECT, &statement, e);
    }
    if (rc != 0) {
        return rc;
    }
    value_bind_blob(statement, 1, hash, sizeof(hash));
    value_bind_int(statement, 2, now_s - OPERATORS_IDLE_S);
    value_bind_int(statement, 3, now_s - OPERATORS_LOGIN_S);
    rc = database_step(db, statement, &found, e);
    if (rc == 0 && found) {
        login->operator_id = sqlite3_column_int64(statement, 0);
        value_copy_text(statement, 1, login->name, sizeof(login->name));
        value_copy_text(statement, 2, login->csrf, sizeof(login->csrf));
        seen_s = sqlite3_column_int64(statement, 3);
    }
    database_done(statement);
    if (rc == 0 && !found) {
        return error_set(e, ERROR_REFUSED, "not logged in");
    }
    return rc == 0 && now_s - seen_s >= SEEN_EVERY_S ? note_use(db, hash, now_s, e) : rc;
}

int operators_log_out(struct database *db, struct span cookie, struct error_text *e)
{
    uint8_t hash[CREDENTIAL_HASH_BYTES];
    sqlite3_stmt *statement = NULL;

    if (hash_cookie(cookie, hash, e) != 0) {
        return 0;
    }
    int rc = database_prepare(db, DELETE, &statement, e);
    if (rc != 0) {
        return rc;
    }
    value_bind_blob(statement, 1, hash, sizeof(hash));
    return database_run(db, statement, e);
}
