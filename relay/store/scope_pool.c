/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes by their text, counted. */
#include "relay/store/scope_pool.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void scope_pool_init(struct scope_pool *p)
{
    /* Its real bound is the number of keys. */
    map_init(&p->by_text, SIZE_MAX);
}

void scope_pool_close(struct scope_pool *p)
{
    assert(p->by_text.n_items == 0);
    map_close(&p->by_text);
}

static void shared_free(struct scope_shared *shared)
{
    scope_free(shared->scope);
    free(shared);
}

/* NULL on failure, with `*rc` set. */
static struct scope_shared *shared_new(struct span text, int *rc, struct error_text *e)
{
    struct scope *scope = NULL;

    if (text.len > SCOPE_TEXT_BYTES_MAX) {
        *rc = error_set(e, ERROR_LIMIT, "scope longer than %d bytes", SCOPE_TEXT_BYTES_MAX);
        return NULL;
    }
    *rc = scope_parse(text, &scope, e);
    if (*rc != 0) {
        return NULL;
    }
    struct scope_shared *made = calloc(1, sizeof(*made) + text.len);
    if (made == NULL) {
        scope_free(scope);
        *rc = error_set(e, ERROR_NOMEM, "no memory");
        return NULL;
    }
    made->scope = scope;
    made->n_users = 1;
    made->len = text.len;
    memcpy(made->text, text.p, text.len);
    return made;
}

static int add(struct scope_pool *p, struct span text, struct scope_shared **shared,
               struct error_text *e)
{
    int rc = 0;
    struct scope_shared *made = shared_new(text, &rc, e);

    if (made == NULL) {
        return rc;
    }
    if (map_put(&p->by_text, made->text, made->len, made) != 0) {
        shared_free(made);
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    *shared = made;
    return 0;
}

int scope_pool_take(struct scope_pool *p, struct span text, struct scope_shared **shared,
                    struct error_text *e)
{
    if (text.len == 0) {
        *shared = NULL;
        return 0;
    }
    struct scope_shared *found = map_get(&p->by_text, text.p, text.len);
    if (found == NULL) {
        return add(p, text, shared, e);
    }
    found->n_users++;
    *shared = found;
    return 0;
}

void scope_pool_give(struct scope_pool *p, struct scope_shared *shared)
{
    if (shared == NULL) {
        return;
    }
    shared->n_users--;
    if (shared->n_users == 0) {
        (void)map_remove(&p->by_text, shared->text, shared->len);
        shared_free(shared);
    }
}
