/* SPDX-License-Identifier: Apache-2.0 */
/* The running agent's answers, for people: on standard output. Texts of others lose their control
 * characters. */
#ifndef AGENT_SHOW_H
#define AGENT_SHOW_H

#include <jansson.h>

/* Which leg is broken: a table of the relays and the server. */
void show_status(const json_t *status);
/* A new key, and where it is used. */
void show_new_key(const json_t *key);
/* A table of keys. */
void show_keys(const json_t *keys);

#endif
