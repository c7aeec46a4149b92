/* SPDX-License-Identifier: Apache-2.0 */
/* Operators' passwords: argon2id by libsodium, with its "interactive" limits (2 passes over 64 MiB,
 * some 0.1 s). Slow on purpose: never on a worker's loop or the store thread. */
#ifndef RELAY_ADMIN_PASSWORD_H
#define RELAY_ADMIN_PASSWORD_H

#include <stdbool.h>

#include "proto/base/error.h"
#include "relay/store/operators.h"

#define PASSWORD_BYTES_MIN 12
#define PASSWORD_BYTES_MAX 200

/* 0, or ERROR_CONFIG with a sentence. */
int password_check(const char *password, struct error_text *e);

/* 0, ERROR_NOMEM, ERROR_INTERNAL. */
int password_hash(const char *password, char hash[OPERATORS_PASSWORD_BYTES], struct error_text *e);

/* With `hash` "" (there is no such operator) it takes as long, and is false. */
bool password_matches(const char *password, const char *hash);

#endif
