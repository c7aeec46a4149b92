/* SPDX-License-Identifier: Apache-2.0 */
/* The query of a target, `a=b&&c&d=e`: its parameters are looked at one by one, as they stand;
 * the query itself is never rebuilt from them. The same form is a POST's body. */
#ifndef PROTO_HTTP_QUERY_H
#define PROTO_HTTP_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/span.h"

struct query_param {
    struct span name;  /* as it stands, not decoded; borrowed from the query */
    struct span value; /* likewise; empty without has_value */
    bool has_value;    /* there was a "=", even with nothing behind it */
};

/* Takes the next parameter off `rest` (which starts as the query, without "?"). Empty ones (`&&`)
 * are skipped. False at the end, with `p` untouched. */
bool query_next(struct span *rest, struct query_param *p);

/* The first parameter whose decoded name is `name` byte for byte. A name with a bad escape never
 * matches. False if there is none, with `p` untouched. */
bool query_find(struct span query, struct span name, struct query_param *p);

/* True if there is such a parameter, with or without a value. */
bool query_has(struct span query, struct span name);

/* Decodes %XX and "+" (a space) of a name or value into `text`, with a NUL behind it.
 * 0; ERROR_SYNTAX (bad escape, or a NUL byte, escaped or not); ERROR_LIMIT (`cap` too small).
 * On failure the content of `text` is undefined. */
int query_decode(struct span raw, char *text, size_t cap);

/* The reverse: every byte but letters, digits and `-._~` becomes %XX (RFC 3986 2.3), so that the
 * result can stand in a name or a value. NUL behind it. 0 or ERROR_LIMIT (`text` is then
 * undefined). */
int query_encode(struct span raw, char *text, size_t cap);

#endif
