/* SPDX-License-Identifier: Apache-2.0 */
/* When the keys were last used: from the directory, where the workers note it, into the database.
 */
#ifndef RELAY_STORE_USES_H
#define RELAY_STORE_USES_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "relay/store/database.h"
#include "relay/store/directory.h"

/* Writes at most `n_max` last-used times in one transaction; `*more` = there are others. What
 * cannot be written is forgotten until the key's next use. The store thread's. 0, or ERROR_IO. */
int uses_write(struct database *db, struct directory *directory, size_t n_max, bool *more,
               struct error_text *e);

#endif
