/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table keys. */
#include "relay/store/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "relay/store/keys_row.h"
#include "relay/store/scope.h"
#include "relay/store/servers.h"
#include "relay/store/value.h"

static const char INSERT[] =
    "INSERT INTO keys (server_id, hash, label, rate, burst, scope, expires_at, created_at,"
    " created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
/* The successor of a key: everything but the secret and the dates stays. */
static const char INSERT_SUCCESSOR[] =
    "INSERT INTO keys (server_id, hash, label, rate, burst, scope, expires_at, created_at,"
    " created_by) SELECT server_id, ?2, label, rate, burst, scope, expires_at, ?3, ?4 FROM keys"
    " WHERE id = ?1";
static const char UPDATE_ROTATED[] =
    "UPDATE keys SET rotated_at = ?2, rotated_to = ?3, expires_at ="
    " CASE WHEN expires_at = 0 THEN ?4 ELSE min(expires_at, ?4) END WHERE id = ?1";
static const char UPDATE_REVOKED[] =
    "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at = 0";
static const char UPDATE_USED[] =
    "UPDATE keys SET last_used_at = ?2 WHERE id = ?1 AND last_used_at < ?2";
static const char COUNT_SINCE[] =
    "SELECT count(*) FROM keys WHERE server_id = ?1 AND created_at >= ?2";

#define COLUMNS                                                                                    \
    "SELECT k.id, s.serial, k.label, k.rate, k.burst, k.scope, k.expires_at, k.created_at,"        \
    " k.created_by, k.rotated_at, k.rotated_to, k.revoked_at, k.last_used_at"                      \
    " FROM keys k JOIN servers s ON s.id = k.server_id"

static const char SELECT_ONE[] = COLUMNS " WHERE k.id = ?";
static const char SELECT_ALL[] = COLUMNS " ORDER BY k.id";
static const char SELECT_OF_SERVER[] = COLUMNS " WHERE k.server_id = ? ORDER BY k.id";

void keys_format_id(int64_t id, char text[KEYS_ID_BYTES])
{
    (void)snprintf(text, KEYS_ID_BYTES, "k_%" PRId64, id);
}

int keys_parse_id(const char *text, int64_t *id, struct error_text *e)
{
    struct span s = span_of(text);
    uint64_t number = 0;

    if (span_starts(s, span_of("k_"))) {
        s.p += 2;
        s.len -= 2;
        if (span_parse_u64(s, INT64_MAX, &number) == 0 && number > 0) {
            *id = (int64_t)number;
            return 0;
        }
    }
    /* Not repeated: it may be a key that was given for its id. */
    return error_set(e, ERROR_CONFIG,
                     "a key's id looks like k_12 (\"thinknx-relay key list\" shows them)");
}

uint32_t keys_default_burst(uint32_t per_s)
{
    return per_s <= KEYS_RATE_MAX / 2 ? 2 * per_s : KEYS_RATE_MAX;
}

const char *keys_state_name(enum key_state state)
{
    switch (state) {
    case KEY_ACTIVE: return "active";
    case KEY_ROTATED: return "rotated";
    case KEY_EXPIRED: return "expired";
    case KEY_REVOKED: return "revoked";
    default: return "unknown";
    }
}

int keys_check_label(const char *label, struct error_text *e)
{
    if (strlen(label) >= DIRECTORY_LABEL_BYTES) {
        return error_set(e, ERROR_CONFIG, "a label has at most %d bytes",
                         DIRECTORY_LABEL_BYTES - 1);
    }
    for (const char *p = label; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            return error_set(e, ERROR_CONFIG, "a label may hold no control characters");
        }
    }
    return 0;
}

int keys_check_scope(struct span json, struct error_text *e)
{
    struct scope *scope = NULL;
    struct error_text reason;

    if (json.len == 0) {
        return 0;
    }
    int rc = scope_parse(json, &scope, &reason);
    scope_free(scope);
    if (rc == ERROR_NOMEM) {
        return error_set(e, rc, "no memory");
    }
    return rc == 0 ? 0 : error_set(e, ERROR_CONFIG, "%.400s", reason.text);
}

static int check_settings(const struct key_settings *settings, int64_t now_s, struct error_text *e)
{
    if (settings->expires_at_s != 0 && settings->expires_at_s <= now_s) {
        return error_set(e, ERROR_CONFIG, "a key cannot expire before it is made");
    }
    if (settings->rate.per_s == 0 && settings->rate.burst != 0) {
        return error_set(e, ERROR_CONFIG, "a burst needs a rate");
    }
    int rc = settings->label == NULL ? 0 : keys_check_label(settings->label, e);
    return rc != 0 ? rc : keys_check_scope(settings->scope, e);
}

static int make_secret(struct key_made *made, struct error_text *e)
{
    *made = (struct key_made){.id = 0};
    int rc = credential_make(&made->key);
    return rc == 0 ? 0 : error_set(e, rc, "OpenSSL gives no random numbers");
}

static int insert(struct database *db, int64_t server_id, const struct key_settings *settings,
                  const struct audit_actor *by, struct key_made *made, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, INSERT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, server_id);
    value_bind_blob(statement, 2, made->key.hash, sizeof(made->key.hash));
    value_bind_text(statement, 3, span_of(settings->label));
    value_bind_int(statement, 4, settings->rate.per_s);
    value_bind_int(statement, 5, settings->rate.burst);
    value_bind_text(statement, 6, settings->scope);
    value_bind_int(statement, 7, settings->expires_at_s);
    value_bind_int(statement, 8, by->now_s);
    value_bind_text(statement, 9, span_of(by->who));
    rc = database_run(db, statement, e);
    if (rc == 0) {
        made->id = database_last_id(db);
    }
    return rc;
}

void keys_name_object(int64_t id, const char *serial, char text[AUDIT_OBJECT_BYTES])
{
    char name[KEYS_ID_BYTES];
    keys_format_id(id, name);
    (void)snprintf(text, AUDIT_OBJECT_BYTES, serial[0] == '\0' ? "%s" : "%s of %s", name, serial);
}

int keys_enable(struct database *db, const char *serial, const struct key_settings *settings,
                const struct audit_actor *by, struct key_made *made, struct error_text *e)
{
    struct audit_act act = {by, "key.enable", serial};
    char object[AUDIT_OBJECT_BYTES];
    struct key_made fresh;
    int64_t server_id = 0;
    int rc = make_secret(&fresh, e);

    if (rc == 0) {
        rc = audit_begin(db, e);
    }
    if (rc != 0) {
        credential_cleanse(&fresh.key);
        return rc;
    }
    rc = servers_find_id(db, serial, &server_id, e);
    if (rc == 0) {
        rc = check_settings(settings, by->now_s, e);
    }
    if (rc == 0) {
        rc = insert(db, server_id, settings, by, &fresh, e);
    }
    if (rc == 0) {
        (void)span_copy(span_of(serial), fresh.serial, sizeof(fresh.serial)); /* was checked */
        keys_name_object(fresh.id, serial, object);
        act.object = object;
    }
    rc = audit_end(db, &act, settings->label, rc, e);
    if (rc == 0) {
        *made = fresh;
    }
    credential_cleanse(&fresh.key);
    return rc;
}

static enum key_state state_of(const struct key *key, int64_t now_s)
{
    if (key->revoked_at_s != 0) {
        return KEY_REVOKED;
    }
    if (key->expires_at_s != 0 && key->expires_at_s <= now_s) {
        return KEY_EXPIRED;
    }
    return key->rotated_at_s != 0 ? KEY_ROTATED : KEY_ACTIVE;
}

static void read_key(sqlite3_stmt *statement, int64_t now_s, struct key *key)
{
    *key = (struct key){
        .id = sqlite3_column_int64(statement, 0),
        .rate = {.per_s = (uint32_t)sqlite3_column_int64(statement, 3),
                 .burst = (uint32_t)sqlite3_column_int64(statement, 4)},
        .scope = value_text(statement, 5),
        .expires_at_s = sqlite3_column_int64(statement, 6),
        .created_at_s = sqlite3_column_int64(statement, 7),
        .rotated_at_s = sqlite3_column_int64(statement, 9),
        .rotated_to = sqlite3_column_int64(statement, 10),
        .revoked_at_s = sqlite3_column_int64(statement, 11),
        .last_used_at_s = sqlite3_column_int64(statement, 12),
    };
    value_copy_text(statement, 1, key->serial, sizeof(key->serial));
    value_copy_text(statement, 2, key->label, sizeof(key->label));
    value_copy_text(statement, 8, key->created_by, sizeof(key->created_by));
    key->state = state_of(key, now_s);
}

int keys_show(struct database *db, int64_t id, int64_t now_s,
              void (*visit)(void *user, const struct key *key), void *user, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    struct key key;
    bool found = false;
    int rc = database_prepare(db, SELECT_ONE, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    rc = database_step(db, statement, &found, e);
    if (rc == 0 && found) {
        read_key(statement, now_s, &key);
        visit(user, &key);
    }
    database_done(statement);
    if (rc == 0 && !found) {
        return error_set(e, ERROR_NOT_FOUND, "there is no key k_%" PRId64, id);
    }
    return rc;
}

static void keep(void *user, const struct key *key)
{
    struct key *kept = user;
    *kept = *key;
    kept->scope = (struct span){NULL, 0};
}

/* The key without its scope. */
static int find(struct database *db, int64_t id, int64_t now_s, struct key *key,
                struct error_text *e)
{
    return keys_show(db, id, now_s, keep, key, e);
}

static int insert_successor(struct database *db, int64_t id, const struct audit_actor *by,
                            struct key_made *made, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, INSERT_SUCCESSOR, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    value_bind_blob(statement, 2, made->key.hash, sizeof(made->key.hash));
    value_bind_int(statement, 3, by->now_s);
    value_bind_text(statement, 4, span_of(by->who));
    rc = database_run(db, statement, e);
    if (rc == 0) {
        made->id = database_last_id(db);
    }
    return rc;
}

static int mark_rotated(struct database *db, int64_t id, int64_t successor, int64_t now_s,
                        int64_t overlap_s, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, UPDATE_ROTATED, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    value_bind_int(statement, 2, now_s);
    value_bind_int(statement, 3, successor);
    value_bind_int(statement, 4, now_s + overlap_s);
    return database_run(db, statement, e);
}

/* Longest overlap: ten years, so that no sum of times can overflow. */
#define OVERLAP_S_MAX (10 * 366 * 24 * 3600)

int keys_check_active(const struct key *key, struct error_text *e)
{
    switch (key->state) {
    case KEY_ACTIVE: return 0;
    case KEY_ROTATED:
        return error_set(e, ERROR_STATE, "k_%" PRId64 " was rotated already: it became k_%" PRId64,
                         key->id, key->rotated_to);
    case KEY_EXPIRED:
        return error_set(e, ERROR_STATE, "k_%" PRId64 " has expired: enable a new key", key->id);
    case KEY_REVOKED:
        return error_set(e, ERROR_STATE, "k_%" PRId64 " was revoked: enable a new key", key->id);
    default: return error_set(e, ERROR_INTERNAL, "unknown state of a key");
    }
}

static int rotate(struct database *db, const struct key *key, int64_t overlap_s,
                  const struct audit_actor *by, struct key_made *made, struct error_text *e)
{
    int rc = overlap_s < 0 || overlap_s > OVERLAP_S_MAX
                 ? error_set(e, ERROR_CONFIG, "an overlap lasts at most ten years")
                 : keys_check_active(key, e);
    if (rc == 0) {
        rc = insert_successor(db, key->id, by, made, e);
    }
    if (rc == 0) {
        rc = mark_rotated(db, key->id, made->id, by->now_s, overlap_s, e);
    }
    return rc;
}

int keys_rotate(struct database *db, int64_t id, int64_t overlap_s, const struct audit_actor *by,
                struct key_made *made, struct error_text *e)
{
    char object[AUDIT_OBJECT_BYTES];
    char detail[AUDIT_DETAIL_BYTES];
    struct audit_act act = {by, "key.rotate", object};
    struct key_made fresh;
    struct key key = {.id = id};
    int rc = make_secret(&fresh, e);

    if (rc == 0) {
        rc = audit_begin(db, e);
    }
    if (rc != 0) {
        credential_cleanse(&fresh.key);
        return rc;
    }
    rc = find(db, id, by->now_s, &key, e);
    if (rc == 0) {
        rc = rotate(db, &key, overlap_s, by, &fresh, e);
    }
    keys_name_object(id, key.serial, object);
    memcpy(fresh.serial, key.serial, sizeof(fresh.serial));
    (void)snprintf(detail, sizeof(detail), "to k_%" PRId64 ", overlap %" PRId64 " s", fresh.id,
                   overlap_s);
    rc = audit_end(db, &act, detail, rc, e);
    if (rc == 0) {
        *made = fresh;
    }
    credential_cleanse(&fresh.key);
    return rc;
}

static int revoke(struct database *db, const struct key *key, const char *serial, int64_t now_s,
                  struct error_text *e)
{
    sqlite3_stmt *statement = NULL;

    if (serial != NULL && strcmp(key->serial, serial) != 0) {
        /* The same words as for an id that does not exist. */
        return error_set(e, ERROR_NOT_FOUND, "there is no key k_%" PRId64, key->id);
    }
    int rc = database_prepare(db, UPDATE_REVOKED, &statement, e);
    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, key->id);
    value_bind_int(statement, 2, now_s);
    return database_run(db, statement, e);
}

int keys_revoke(struct database *db, int64_t id, const char *serial, const struct audit_actor *by,
                struct error_text *e)
{
    char object[AUDIT_OBJECT_BYTES];
    const struct audit_act act = {by, "key.revoke", object};
    struct key key = {.id = id};
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = find(db, id, by->now_s, &key, e);
    if (rc == 0) {
        rc = revoke(db, &key, serial, by->now_s, e);
    }
    keys_name_object(id, key.serial, object);
    return audit_end(db, &act, key.label, rc, e);
}

static int prepare_list(struct database *db, const char *serial, sqlite3_stmt **statement,
                        struct error_text *e)
{
    int64_t server_id = 0;

    if (serial == NULL) {
        return database_prepare(db, SELECT_ALL, statement, e);
    }
    int rc = servers_find_id(db, serial, &server_id, e);
    if (rc == 0) {
        rc = database_prepare(db, SELECT_OF_SERVER, statement, e);
    }
    if (rc == 0) {
        value_bind_int(*statement, 1, server_id);
    }
    return rc;
}

int keys_list(struct database *db, const char *serial, int64_t now_s,
              void (*visit)(void *user, const struct key *key), void *user, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    struct key key;
    bool more = false;
    int rc = prepare_list(db, serial, &statement, e);

    if (rc != 0) {
        return rc;
    }
    rc = database_step(db, statement, &more, e);
    while (rc == 0 && more) {
        read_key(statement, now_s, &key);
        visit(user, &key);
        rc = database_step(db, statement, &more, e);
    }
    database_done(statement);
    return rc;
}

int keys_count_since(struct database *db, int64_t server_id, int64_t since_s, int64_t *n,
                     struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;
    int rc = database_prepare(db, COUNT_SINCE, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, server_id);
    value_bind_int(statement, 2, since_s);
    rc = database_step(db, statement, &found, e);
    if (rc == 0) {
        *n = sqlite3_column_int64(statement, 0);
    }
    database_done(statement);
    return rc;
}

int keys_note_use(struct database *db, int64_t id, int64_t used_at_s, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, UPDATE_USED, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    value_bind_int(statement, 2, used_at_s);
    return database_run(db, statement, e);
}
