/* SPDX-License-Identifier: Apache-2.0 */
/* The Thinknx servers in the database: added, listed, disabled, removed. Each operation is one
 * transaction that holds its audit row; a refused one leaves a row too. `e`
 * may not be NULL. */
#ifndef RELAY_STORE_SERVERS_H
#define RELAY_STORE_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bucket.h"
#include "proto/base/error.h"
#include "relay/store/audit.h"
#include "relay/store/credential.h"
#include "relay/store/database.h"
#include "relay/store/directory.h"

/* Longest name, with NUL. */
#define SERVERS_NAME_BYTES 129

struct server {
    int64_t id;
    char serial[DIRECTORY_SERIAL_BYTES];
    char name[SERVERS_NAME_BYTES];
    bool enabled;
    bool may_enable_keys;
    struct bucket_rate command_rate; /* per_s 0 = the relay's default */
    int64_t created_at_s;
    uint64_t n_keys; /* usable ones */
};

/* What a new server is to be; `serial` is borrowed, the rest may be zero. */
struct server_settings {
    const char *serial;
    const char *name; /* NULL = none */
    bool no_keys_from_building;
    struct bucket_rate command_rate;
};

/* 1 to 64 of A-Z a-z 0-9 . _ - ; ERROR_CONFIG with a sentence. */
int servers_check_serial(const char *serial, struct error_text *e);

/* Adds a server with a new agent token (`*token`, to be cleansed by the caller).
 * ERROR_CONFIG (serial or name), ERROR_EXISTS, ERROR_IO. */
int servers_add(struct database *db, const struct server_settings *settings,
                const struct audit_actor *by, int64_t *id, struct credential *token,
                struct error_text *e);

/* Gives it a new agent token; the old one stops working. ERROR_NOT_FOUND. */
int servers_renew_token(struct database *db, const char *serial, const struct audit_actor *by,
                        struct credential *token, struct error_text *e);

/* ERROR_NOT_FOUND, ERROR_IO. `now_s` decides which keys count. */
int servers_find(struct database *db, const char *serial, int64_t now_s, struct server *server,
                 struct error_text *e);

/* Visits all in the order of their serials. `visit` may not use the database. */
int servers_list(struct database *db, int64_t now_s,
                 void (*visit)(void *user, const struct server *server), void *user,
                 struct error_text *e);

/* Does nothing (0) if it is so already. ERROR_NOT_FOUND. */
int servers_set_enabled(struct database *db, const char *serial, bool enabled,
                        const struct audit_actor *by, struct error_text *e);

/* What is to be changed; the rest stays. */
struct server_change {
    const char *name; /* NULL = stays */
    bool sets_building_keys;
    bool may_enable_keys;
    bool sets_rate;
    struct bucket_rate command_rate;
};

/* ERROR_NOT_FOUND, ERROR_CONFIG (the name). */
int servers_change(struct database *db, const char *serial, const struct server_change *change,
                   const struct audit_actor *by, struct error_text *e);

/* Removes it with all its keys. ERROR_NOT_FOUND. */
int servers_remove(struct database *db, const char *serial, const struct audit_actor *by,
                   struct error_text *e);

/* The id of the server with this serial. ERROR_NOT_FOUND. For use inside a transaction. */
int servers_find_id(struct database *db, const char *serial, int64_t *id, struct error_text *e);

#endif
