/* SPDX-License-Identifier: Apache-2.0 */
/* What keys.c and keys_change.c share of a key's row. */
#ifndef RELAY_STORE_KEYS_ROW_H
#define RELAY_STORE_KEYS_ROW_H

#include "relay/store/keys.h"

/* 0 or ERROR_CONFIG with a sentence. */
int keys_check_label(const char *label, struct error_text *e);
/* `json` as scope_parse takes it, or empty. 0, ERROR_CONFIG, ERROR_NOMEM. */
int keys_check_scope(struct span json, struct error_text *e);
/* 0, or ERROR_STATE and why nothing can be done with the key any more. */
int keys_check_active(const struct key *key, struct error_text *e);

/* "k_12 of TNX-0001": what the audit calls a key. */
void keys_name_object(int64_t id, const char *serial, char text[AUDIT_OBJECT_BYTES]);

#endif
