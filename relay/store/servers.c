/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table servers. */
#include "relay/store/servers.h"

#include <stdio.h>
#include <string.h>

#include "relay/store/value.h"

static const char INSERT[] =
    "INSERT INTO servers (serial, name, token_hash, may_enable_keys, command_rate, command_burst,"
    " created_at) VALUES (?, ?, ?, ?, ?, ?, ?)";
static const char SELECT_ID[] = "SELECT id FROM servers WHERE serial = ?";

#define COLUMNS                                                                                    \
    "SELECT s.id, s.serial, s.name, s.enabled, s.may_enable_keys, s.command_rate,"                 \
    " s.command_burst, s.created_at, (SELECT count(*) FROM keys k WHERE k.server_id = s.id"        \
    " AND k.revoked_at = 0 AND (k.expires_at = 0 OR k.expires_at > ?1)) FROM servers s"

static const char SELECT_ONE[] = COLUMNS " WHERE s.serial = ?2";
static const char SELECT_ALL[] = COLUMNS " ORDER BY s.serial";
static const char UPDATE_TOKEN[] = "UPDATE servers SET token_hash = ?1 WHERE id = ?2";
static const char UPDATE_ENABLED[] =
    "UPDATE servers SET enabled = ?1 WHERE id = ?2 AND enabled <> ?1";
static const char UPDATE_SETTINGS[] =
    "UPDATE servers SET name = ifnull(?2, name), may_enable_keys = ifnull(?3, may_enable_keys),"
    " command_rate = ifnull(?4, command_rate), command_burst = ifnull(?5, command_burst)"
    " WHERE id = ?1";
static const char DELETE[] = "DELETE FROM servers WHERE id = ?";

int servers_check_serial(const char *serial, struct error_text *e)
{
    static const char ALLOWED[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(serial);

    if (len == 0) {
        return error_set(e, ERROR_CONFIG, "a serial number may not be empty");
    }
    if (len >= DIRECTORY_SERIAL_BYTES) {
        return error_set(e, ERROR_CONFIG, "a serial number has at most %d characters",
                         DIRECTORY_SERIAL_BYTES - 1);
    }
    if (strspn(serial, ALLOWED) != len) {
        return error_set(e, ERROR_CONFIG,
                         "a serial number is made of letters, digits, \".\", \"_\" and \"-\" only");
    }
    return 0;
}

/* Names are shown in terminals and logs. */
static int check_name(const char *name, struct error_text *e)
{
    if (strlen(name) >= SERVERS_NAME_BYTES) {
        return error_set(e, ERROR_CONFIG, "a name has at most %d bytes", SERVERS_NAME_BYTES - 1);
    }
    for (const char *p = name; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            return error_set(e, ERROR_CONFIG, "a name may hold no control characters");
        }
    }
    return 0;
}

/* Someone may have given a key where a serial belongs: it must not be repeated. */
static int unknown_serial(const char *serial, struct error_text *e)
{
    if (credential_is_well_formed(span_of(serial))) {
        return error_set(e, ERROR_NOT_FOUND,
                         "there is no such server (what was given looks like a key or token)");
    }
    return error_set(e, ERROR_NOT_FOUND, "there is no server %s", serial);
}

int servers_find_id(struct database *db, const char *serial, int64_t *id, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;
    int rc = servers_check_serial(serial, e);

    if (rc == 0) {
        rc = database_prepare(db, SELECT_ID, &statement, e);
    }
    if (rc != 0) {
        return rc;
    }
    value_bind_text(statement, 1, span_of(serial));
    rc = database_step(db, statement, &found, e);
    if (rc == 0 && found) {
        *id = sqlite3_column_int64(statement, 0);
    }
    database_done(statement);
    return rc == 0 && !found ? unknown_serial(serial, e) : rc;
}

static int check_new(struct database *db, const struct server_settings *settings,
                     struct error_text *e)
{
    int64_t id = 0;
    int rc = servers_check_serial(settings->serial, e);

    if (rc == 0 && settings->name != NULL) {
        rc = check_name(settings->name, e);
    }
    if (rc != 0) {
        return rc;
    }
    rc = servers_find_id(db, settings->serial, &id, e);
    if (rc == 0) {
        return error_set(e, ERROR_EXISTS, "there is a server %s already", settings->serial);
    }
    return rc == ERROR_NOT_FOUND ? 0 : rc;
}

static int insert(struct database *db, const struct server_settings *settings, int64_t now_s,
                  const struct credential *token, int64_t *id, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, INSERT, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_text(statement, 1, span_of(settings->serial));
    value_bind_text(statement, 2, span_of(settings->name));
    value_bind_blob(statement, 3, token->hash, sizeof(token->hash));
    value_bind_int(statement, 4, settings->no_keys_from_building ? 0 : 1);
    value_bind_int(statement, 5, settings->command_rate.per_s);
    value_bind_int(statement, 6, settings->command_rate.burst);
    value_bind_int(statement, 7, now_s);
    rc = database_run(db, statement, e);
    if (rc == 0) {
        *id = database_last_id(db);
    }
    return rc;
}

static int make_token(struct credential *token, struct error_text *e)
{
    int rc = credential_make(token);
    return rc == 0 ? 0 : error_set(e, rc, "OpenSSL gives no random numbers");
}

int servers_add(struct database *db, const struct server_settings *settings,
                const struct audit_actor *by, int64_t *id, struct credential *token,
                struct error_text *e)
{
    const struct audit_act act = {by, "server.add", settings->serial};
    struct credential made;
    int64_t made_id = 0;
    int rc = make_token(&made, e);

    if (rc == 0) {
        rc = audit_begin(db, e);
    }
    if (rc != 0) {
        return rc;
    }
    rc = check_new(db, settings, e);
    if (rc == 0) {
        rc = insert(db, settings, by->now_s, &made, &made_id, e);
    }
    rc = audit_end(db, &act, settings->name, rc, e);
    if (rc == 0) {
        *id = made_id;
        *token = made;
    }
    credential_cleanse(&made);
    return rc;
}

static int update_token(struct database *db, int64_t id, const struct credential *token,
                        struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, UPDATE_TOKEN, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_blob(statement, 1, token->hash, sizeof(token->hash));
    value_bind_int(statement, 2, id);
    return database_run(db, statement, e);
}

int servers_renew_token(struct database *db, const char *serial, const struct audit_actor *by,
                        struct credential *token, struct error_text *e)
{
    const struct audit_act act = {by, "server.token", serial};
    struct credential made;
    int64_t id = 0;
    int rc = make_token(&made, e);

    if (rc == 0) {
        rc = audit_begin(db, e);
    }
    if (rc != 0) {
        return rc;
    }
    rc = servers_find_id(db, serial, &id, e);
    if (rc == 0) {
        rc = update_token(db, id, &made, e);
    }
    rc = audit_end(db, &act, NULL, rc, e);
    if (rc == 0) {
        *token = made;
    }
    credential_cleanse(&made);
    return rc;
}

static void read_server(sqlite3_stmt *statement, struct server *server)
{
    *server = (struct server){
        .id = sqlite3_column_int64(statement, 0),
        .enabled = sqlite3_column_int(statement, 3) != 0,
        .may_enable_keys = sqlite3_column_int(statement, 4) != 0,
        .command_rate = {.per_s = (uint32_t)sqlite3_column_int64(statement, 5),
                         .burst = (uint32_t)sqlite3_column_int64(statement, 6)},
        .created_at_s = sqlite3_column_int64(statement, 7),
        .n_keys = (uint64_t)sqlite3_column_int64(statement, 8),
    };
    value_copy_text(statement, 1, server->serial, sizeof(server->serial));
    value_copy_text(statement, 2, server->name, sizeof(server->name));
}

int servers_find(struct database *db, const char *serial, int64_t now_s, struct server *server,
                 struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;
    int rc = servers_check_serial(serial, e);

    if (rc == 0) {
        rc = database_prepare(db, SELECT_ONE, &statement, e);
    }
    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, now_s);
    value_bind_text(statement, 2, span_of(serial));
    rc = database_step(db, statement, &found, e);
    if (rc == 0 && found) {
        read_server(statement, server);
    }
    database_done(statement);
    return rc == 0 && !found ? unknown_serial(serial, e) : rc;
}

int servers_list(struct database *db, int64_t now_s,
                 void (*visit)(void *user, const struct server *server), void *user,
                 struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    struct server server;
    bool more = false;
    int rc = database_prepare(db, SELECT_ALL, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, now_s);
    rc = database_step(db, statement, &more, e);
    while (rc == 0 && more) {
        read_server(statement, &server);
        visit(user, &server);
        rc = database_step(db, statement, &more, e);
    }
    database_done(statement);
    return rc;
}

int servers_set_enabled(struct database *db, const char *serial, bool enabled,
                        const struct audit_actor *by, struct error_text *e)
{
    const struct audit_act act = {by, enabled ? "server.enable" : "server.disable", serial};
    sqlite3_stmt *statement = NULL;
    int64_t id = 0;
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = servers_find_id(db, serial, &id, e);
    if (rc == 0) {
        rc = database_prepare(db, UPDATE_ENABLED, &statement, e);
    }
    if (rc == 0) {
        value_bind_int(statement, 1, enabled ? 1 : 0);
        value_bind_int(statement, 2, id);
        rc = database_run(db, statement, e);
    }
    return audit_end(db, &act, NULL, rc, e);
}

/* Parameters that are not bound are NULL: those columns stay. */
static int update_settings(struct database *db, int64_t id, const struct server_change *change,
                           struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, UPDATE_SETTINGS, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    if (change->name != NULL) {
        value_bind_text(statement, 2, span_of(change->name));
    }
    if (change->sets_building_keys) {
        value_bind_int(statement, 3, change->may_enable_keys ? 1 : 0);
    }
    if (change->sets_rate) {
        value_bind_int(statement, 4, change->command_rate.per_s);
        value_bind_int(statement, 5, change->command_rate.burst);
    }
    return database_run(db, statement, e);
}

static void format_change(const struct server_change *change, char text[AUDIT_DETAIL_BYTES])
{
    char rate[48] = "";

    if (change->sets_rate) {
        (void)snprintf(rate, sizeof(rate), "command-rate %u/%u ", change->command_rate.per_s,
                       change->command_rate.burst);
    }
    (void)snprintf(text, AUDIT_DETAIL_BYTES, "%s%s%s%s", rate,
                   change->sets_building_keys ? "building-keys " : "",
                   change->sets_building_keys ? (change->may_enable_keys ? "yes " : "no ") : "",
                   change->name != NULL ? "name" : "");
}

int servers_change(struct database *db, const char *serial, const struct server_change *change,
                   const struct audit_actor *by, struct error_text *e)
{
    const struct audit_act act = {by, "server.change", serial};
    char detail[AUDIT_DETAIL_BYTES];
    int64_t id = 0;
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = servers_find_id(db, serial, &id, e);
    if (rc == 0 && change->name != NULL) {
        rc = check_name(change->name, e);
    }
    if (rc == 0) {
        rc = update_settings(db, id, change, e);
    }
    format_change(change, detail);
    return audit_end(db, &act, detail, rc, e);
}

int servers_remove(struct database *db, const char *serial, const struct audit_actor *by,
                   struct error_text *e)
{
    const struct audit_act act = {by, "server.remove", serial};
    sqlite3_stmt *statement = NULL;
    int64_t id = 0;
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = servers_find_id(db, serial, &id, e);
    if (rc == 0) {
        rc = database_prepare(db, DELETE, &statement, e);
    }
    if (rc == 0) {
        value_bind_int(statement, 1, id);
        rc = database_run(db, statement, e);
    }
    return audit_end(db, &act, NULL, rc, e);
}
