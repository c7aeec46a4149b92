/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the admin listener of the relay that runs with a configuration. Blocking: for commands. */
#ifndef RELAY_ADMIN_ADMIN_CLIENT_H
#define RELAY_ADMIN_ADMIN_CLIENT_H

#include <jansson.h>

#include "proto/base/error.h"
#include "relay/config.h"

/* Connecting, and each read, may take so long. */
#define ADMIN_CLIENT_TIMEOUT_S 5
/* Longest answer taken. */
#define ADMIN_CLIENT_BYTES_MAX (64 * 1024 * 1024)

/* GET `path`; the JSON answer in `*answer`, owned by the caller. ERROR_NOT_FOUND (no relay runs, or
 * it has no admin listener), ERROR_IO, ERROR_SYNTAX, ERROR_NOMEM, each with a sentence. */
int admin_client_get(const struct relay_config *c, const char *path, json_t **answer,
                     struct error_text *e);

#endif
