/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the database as JSON objects: what the commands print with --json and what agents are
 * answered. Times are RFC 3339 in UTC, or null. No secrets: there are none in the rows. */
#ifndef RELAY_STORE_DESCRIBE_H
#define RELAY_STORE_DESCRIBE_H

#include <jansson.h>

#include "relay/store/audit.h"
#include "relay/store/keys.h"
#include "relay/store/servers.h"

/* All return owned; NULL when out of memory. */
json_t *describe_time(int64_t wall_s);
/* A text that may have been cut in the middle of a character, or be no UTF-8 at all: then what is
 * not ASCII becomes "?". */
json_t *describe_text(const char *text);
json_t *describe_server(const struct server *server);
json_t *describe_key(const struct key *key);
json_t *describe_audit(const struct audit_row *row);

#endif
