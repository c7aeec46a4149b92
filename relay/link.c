/* SPDX-License-Identifier: Apache-2.0 */
/* The message queue into a worker: a stack that posters push on with one compare-and-swap and the
 * worker takes whole and turns round. Only who pushes on an empty stack wakes the worker. */
#include "relay/link.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/secret.h"

/* All that wait, oldest first. */
static struct link_message *take_all(struct link *l)
{
    struct link_message *m = atomic_exchange_explicit(&l->top, NULL, memory_order_acquire);
    struct link_message *oldest = NULL;
    while (m != NULL) {
        struct link_message *next = m->next;
        m->next = oldest;
        oldest = m;
        m = next;
    }
    return oldest;
}

/* Replies to control calls hold new keys. */
static void free_message(struct link_message *m)
{
    if (m->kind == LINK_CONTROL) {
        secret_cleanse(m->bytes, m->len);
    }
    free(m);
}

static void on_async(uv_async_t *async)
{
    struct link *l = async->data;
    struct link_message *m = take_all(l);
    bool any = m != NULL;
    while (m != NULL) {
        struct link_message *next = m->next;
        l->on_message(l->user, m);
        free_message(m);
        m = next;
    }
    if (any) {
        l->on_batch_end(l->user);
    }
}

int link_open(struct link *l, uv_loop_t *loop,
              void (*on_message)(void *user, const struct link_message *m),
              void (*on_batch_end)(void *user), void *user)
{
    atomic_init(&l->top, NULL);
    l->on_message = on_message;
    l->on_batch_end = on_batch_end;
    l->user = user;
    if (uv_async_init(loop, &l->async, on_async) < 0) {
        return ERROR_INTERNAL;
    }
    l->async.data = l;
    return 0;
}

void link_free_rest(struct link *l)
{
    struct link_message *m = take_all(l);
    while (m != NULL) {
        struct link_message *next = m->next;
        free_message(m);
        m = next;
    }
}

static void on_async_closed(uv_handle_t *handle)
{
    link_free_rest(handle->data);
}

void link_close(struct link *l)
{
    if (!uv_is_closing((uv_handle_t *)&l->async)) {
        uv_close((uv_handle_t *)&l->async, on_async_closed);
    }
}

struct link_message *link_message_new(enum link_kind kind, size_t len)
{
    struct link_message *m = malloc(sizeof(*m) + len);
    if (m != NULL) {
        memset(m, 0, sizeof(*m));
        m->kind = kind;
        m->len = len;
    }
    return m;
}

void link_post(struct link *l, struct link_message *m)
{
    struct link_message *top = atomic_load_explicit(&l->top, memory_order_relaxed);
    do {
        m->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&l->top, &top, m, memory_order_release,
                                                    memory_order_relaxed));
    if (top == NULL) {
        uv_async_send(&l->async);
    }
}
