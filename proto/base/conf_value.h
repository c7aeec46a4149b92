/* SPDX-License-Identifier: Apache-2.0 */
/* The value of one configuration key: parsed by its kind, and stored in the settings struct. For
 * conf.c only. */
#ifndef PROTO_BASE_CONF_VALUE_H
#define PROTO_BASE_CONF_VALUE_H

#include "proto/base/conf.h"

/* Stores `text`, which stood on `line`, in the key's member of `settings`. A relative CONF_PATH is
 * put behind `folder`, unless that is NULL. 0; ERROR_CONFIG; ERROR_NOMEM. `reason` says what is
 * wrong with the value, without saying where. */
int conf_value_store(const struct conf_key *key, const char *text, const char *folder, int line,
                     void *settings, struct error_text *reason);

/* Frees what the key's member owns, and zeroes it. */
void conf_value_free(const struct conf_key *key, void *settings);

/* "folder/name"; returns owned, or NULL without memory. */
char *conf_value_join(const char *folder, const char *name);

#endif
