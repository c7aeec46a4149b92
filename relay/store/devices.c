/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table devices. */
#include "relay/store/devices.h"

#include <stdio.h>
#include <string.h>

#include "relay/store/servers.h"
#include "relay/store/value.h"

static const char REPLACE[] =
    "INSERT INTO devices (server_id, document, changed_at) VALUES (?1, ?2, ?3)"
    " ON CONFLICT (server_id) DO UPDATE SET document = ?2, changed_at = ?3";
static const char DELETE[] = "DELETE FROM devices WHERE server_id = ?";
static const char SELECT[] = "SELECT document FROM devices WHERE server_id = ?";

static int forget(struct database *db, int64_t id, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, DELETE, &statement, e);

    if (rc == 0) {
        value_bind_int(statement, 1, id);
        rc = database_run(db, statement, e);
    }
    return rc;
}

static int replace(struct database *db, int64_t id, struct span document, int64_t now_s,
                   struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, REPLACE, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    value_bind_text(statement, 2, document);
    value_bind_int(statement, 3, now_s);
    return database_run(db, statement, e);
}

int devices_set(struct database *db, const char *serial, struct span document, size_t n_devices,
                const struct audit_actor *by, struct error_text *e)
{
    const struct audit_act act = {by, "devices.import", serial};
    char detail[AUDIT_DETAIL_BYTES];
    int64_t id = 0;
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    if (document.len > DEVICES_BYTES_MAX) {
        rc = error_set(e, ERROR_LIMIT, "a device file has at most %d bytes", DEVICES_BYTES_MAX);
    }
    if (rc == 0) {
        rc = servers_find_id(db, serial, &id, e);
    }
    if (rc == 0) {
        rc = n_devices == 0 ? forget(db, id, e) : replace(db, id, document, by->now_s, e);
    }
    if (n_devices == 0) {
        (void)snprintf(detail, sizeof(detail), "none: the agent's are shown");
    } else {
        (void)snprintf(detail, sizeof(detail), "%zu devices", n_devices);
    }
    return audit_end(db, &act, detail, rc, e);
}

int devices_get(struct database *db, const char *serial, char **document, struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;
    int64_t id = 0;
    int rc = servers_find_id(db, serial, &id, e);

    if (rc == 0) {
        rc = database_prepare(db, SELECT, &statement, e);
    }
    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    rc = database_step(db, statement, &found, e);
    char *copy = NULL;
    if (rc == 0 && found) {
        struct span text = value_text(statement, 0);
        copy = strndup(text.len > 0 ? text.p : "", text.len);
        rc = copy == NULL ? error_set(e, ERROR_NOMEM, "no memory") : 0;
    }
    database_done(statement);
    if (rc == 0) {
        *document = copy;
    }
    return rc;
}
