/* SPDX-License-Identifier: Apache-2.0 */
/* Parsed scopes shared by all keys whose scope is the same text: a million keys tend to have a
 * handful of scopes. For the directory's writer alone. */
#ifndef RELAY_STORE_SCOPE_POOL_H
#define RELAY_STORE_SCOPE_POOL_H

#include <stddef.h>

#include "proto/base/error.h"
#include "proto/base/map.h"
#include "proto/base/span.h"
#include "relay/store/scope.h"

struct scope_shared {
    struct scope *scope; /* owned; NULL = everything allowed */
    size_t n_users;
    size_t len;
    char text[];
};

struct scope_pool {
    struct map by_text;
};

void scope_pool_init(struct scope_pool *p);
/* All scopes must have been given back. */
void scope_pool_close(struct scope_pool *p);

/* The scope of this text; an empty text is no scope: *shared is NULL then. As scope_parse. */
int scope_pool_take(struct scope_pool *p, struct span text, struct scope_shared **shared,
                    struct error_text *e);

/* NULL is allowed. */
void scope_pool_give(struct scope_pool *p, struct scope_shared *shared);

#endif
