/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a building, as its operator imported it: the tree that the pages show. The vendor
 * documents no call that lists devices. Kept as one JSON document per server; what is in it was
 * checked by the caller. */
#ifndef RELAY_STORE_DEVICES_H
#define RELAY_STORE_DEVICES_H

#include <stddef.h>

#include "proto/base/error.h"
#include "proto/base/span.h"
#include "relay/store/audit.h"
#include "relay/store/database.h"

/* Longest document. */
#define DEVICES_BYTES_MAX (1024 * 1024)

/* Takes the place of what was there; without devices nothing is there any more. ERROR_NOT_FOUND (no
 * such server), ERROR_LIMIT (too long). */
int devices_set(struct database *db, const char *serial, struct span document, size_t n_devices,
                const struct audit_actor *by, struct error_text *e);

/* The document (owned; free), or NULL if none was imported. ERROR_NOT_FOUND (no such server). */
int devices_get(struct database *db, const char *serial, char **document, struct error_text *e);

#endif
