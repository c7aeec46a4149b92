/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the directory up to date with the database: everything at first, then only what the
 * `changes` table names. For the directory's writer. */
#ifndef RELAY_STORE_REFRESH_H
#define RELAY_STORE_REFRESH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "relay/store/database.h"
#include "relay/store/directory.h"

struct refresh {
    struct database *db;         /* borrowed */
    struct directory *directory; /* borrowed */
    /* A server was added, changed or removed; fired when the directory shows it. */
    void (*on_server)(void *user, int64_t server_id);
    void *user;
    int64_t last_seq;     /* newest row of `changes` that the directory has */
    int64_t data_version; /* of the database when that was read */
};

/* Reads everything, and removes from the directory what is not there. 0, ERROR_IO, ERROR_NOMEM; a
 * failure leaves the directory as far as it came, to be read again. */
int refresh_load(struct refresh *r, int64_t now_s, struct error_text *e);

/* Reads what has changed, if anything has. With `own` it looks even though no other connection has
 * written: the caller has. `*refreshed` is false where there was nothing. As refresh_load. */
int refresh_poll(struct refresh *r, bool own, int64_t now_s, bool *refreshed, struct error_text *e);

#endif
