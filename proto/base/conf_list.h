/* SPDX-License-Identifier: Apache-2.0 */
/* All settings of a table (conf.h) as text, for who writes a file of them. */
#ifndef PROTO_BASE_CONF_LIST_H
#define PROTO_BASE_CONF_LIST_H

#include <stdio.h>

#include "proto/base/conf.h"

/* Writes the table in the form of a file: each key with its default, and behind it what it takes.
 *     [limits]
 *     key_rate = 20 ; 0 to 1000000
 * Keys of a section follow each other in the table. Failures show in the stream. */
void conf_list_print(const struct conf_key *keys, size_t n_keys, FILE *to);

#endif
