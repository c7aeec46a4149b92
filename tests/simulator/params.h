/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a call: those of the query and those of a form that was posted, as one list.
 *
 * Separated by '&'; empty pieces ("&&") are skipped; a name may stand without "="; '+' is a space
 * and %XX a byte, in names too. Of a repeated parameter the last one counts, and the form comes
 * after the query (as in a server that puts them into a dictionary). */
#ifndef TESTS_SIMULATOR_PARAMS_H
#define TESTS_SIMULATOR_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buffer.h"
#include "proto/base/span.h"

/* Most parameters of one call, and most bytes of them. */
#define PARAMS_MAX       64
#define PARAMS_BYTES_MAX ((size_t)80 * 1024)

struct param {
    struct span name;  /* decoded */
    struct span value; /* decoded; empty (not NULL) without "=" */
};

struct params {
    struct param items[PARAMS_MAX];
    size_t n_items;
    struct buffer text; /* what the spans point into */
};

void params_init(struct params *p);
void params_close(struct params *p);

/* Replaces the content by the parameters of `query` and `form` (both without "?", may be empty).
 * 0; ERROR_SYNTAX ('%' without two hexadecimal digits); ERROR_LIMIT; ERROR_NOMEM. On failure the
 * list is empty. The spans are valid until the next call. */
int params_read(struct params *p, struct span query, struct span form);

/* The value of the last parameter of that name. False, with `value` untouched, without one. */
bool params_get(const struct params *p, const char *name, struct span *value);

bool params_has(const struct params *p, const char *name);

#endif
