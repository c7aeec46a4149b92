/* SPDX-License-Identifier: Apache-2.0 */
/* The queue, the two lists of connections, and the clock they share.
 *
 * Calls are never started from inside upstream_call: they are queued, and an idle handle makes the
 * loop come back to them in its next turn without sleeping in between. A connection that was read
 * to the end of its answer takes the next call at once, so that the server has something to do
 * while the other answers are read. A call takes the kept connection that was used last; without
 * one a new one is opened, up to max_connections, of which paused ones are no part; else it waits.
 * How many are paused is counted when somebody would have to wait, and kept nowhere. One timer
 * ticks while there is a call or a connection; each tick looks at all deadlines, which are few.
 * Since ending a call runs foreign code that may end others, every walk over a list starts again
 * from its beginning after each. */
#include "agent/upstream/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "agent/upstream/connection.h"
#include "agent/upstream/exchange.h"
#include "proto/base/secret.h"

static struct connection *connection_of(struct list *node)
{
    return LIST_ITEM(node, struct connection, node);
}

static struct upstream_call *call_of(struct list *node)
{
    return LIST_ITEM(node, struct upstream_call, node);
}

/* ---- calls that end ---- */

enum head_delivered pool_unsent(const struct upstream_call *call)
{
    return call->was_retried ? HEAD_DELIVERED_UNKNOWN : HEAD_DELIVERED_NO;
}

void pool_end_call(struct upstream_call *call)
{
    struct upstream_callbacks callbacks = call->callbacks;
    void *user = call->user;
    call_free(call);
    callbacks.on_end(user);
}

void pool_fail_call(struct upstream_call *call, enum head_reset reason,
                    enum head_delivered delivered)
{
    struct upstream_callbacks callbacks = call->callbacks;
    void *user = call->user;
    call->upstream->n_failed++;
    call_free(call);
    callbacks.on_fail(user, reason, delivered);
}

static struct upstream_call *pop_call(struct upstream *u)
{
    struct list *node = list_pop(&u->queue);
    u->n_queued -= node == NULL ? 0 : 1;
    return node == NULL ? NULL : call_of(node);
}

static void fail_first(struct upstream *u, enum head_reset reason)
{
    struct upstream_call *call = pop_call(u);
    assert(call != NULL); /* whoever calls this has looked */
    pool_fail_call(call, reason, pool_unsent(call));
}

/* ---- who gets which connection ---- */

uint32_t pool_n_paused(const struct upstream *u)
{
    uint32_t n = 0;
    for (struct list *node = u->busy.next; node != &u->busy; node = node->next) {
        n += connection_waits_for_caller(connection_of(node)) ? 1 : 0;
    }
    return n;
}

/* Those that count against max_connections. */
static uint32_t n_counted(const struct upstream *u)
{
    uint32_t n_paused = pool_n_paused(u);
    return u->n_open - (n_paused < u->max_paused ? n_paused : u->max_paused);
}

static bool is_full(const struct upstream *u)
{
    return u->n_open >= u->max_connections && n_counted(u) >= u->max_connections;
}

bool pool_is_over(const struct upstream *u)
{
    return u->n_open > u->max_connections && n_counted(u) > u->max_connections;
}

/* For a call that wants a new connection a kept one makes room, the one unused longest. */
static void make_room(struct upstream *u)
{
    if (is_full(u) && !list_empty(&u->idle)) {
        connection_close(connection_of(u->idle.prev));
    }
}

/* False if the first call in the queue has to wait. */
static bool dispatch_first(struct upstream *u)
{
    struct list *first = list_first(&u->queue);
    struct list *idle = list_first(&u->idle);
    assert(first != NULL); /* whoever calls this has looked */
    struct upstream_call *call = call_of(first);
    if (idle != NULL && !call->wants_fresh) {
        pop_call(u);
        exchange_send(connection_of(idle), call);
        return true;
    }
    make_room(u);
    if (is_full(u)) {
        return false;
    }
    pop_call(u);
    int rc = connection_open(u, call);
    if (rc != 0) {
        error_set(&u->last_error, rc, "cannot open a connection: %s",
                  rc == ERROR_NOMEM ? "out of memory" : "no resolver");
        pool_fail_call(call, HEAD_RESET_INTERNAL, pool_unsent(call));
    }
    return true;
}

void pool_dispatch(struct upstream *u)
{
    while (!u->closing && !list_empty(&u->queue) && dispatch_first(u)) {
    }
}

static void on_turn(uv_idle_t *turn)
{
    uv_idle_stop(turn);
    pool_dispatch(turn->data);
}

void pool_wake(struct upstream *u)
{
    if (!u->closing && !list_empty(&u->queue)) {
        uv_idle_start(&u->turn, on_turn); /* fails only without a callback */
    }
}

/* ---- time ---- */

static void expire_queue(struct upstream *u, uint64_t now_ms)
{
    struct list *node = u->queue.next;
    while (node != &u->queue) {
        struct upstream_call *call = call_of(node);
        node = node->next;
        if (now_ms >= call->deadline_ms) {
            list_remove(&call->node);
            u->n_queued--;
            error_set(&u->last_error, ERROR_TIMEOUT,
                      "deadline passed before a connection to %s "
                      "was free",
                      u->origin.authority);
            pool_fail_call(call, HEAD_RESET_DEADLINE, pool_unsent(call));
            node = u->queue.next;
        }
    }
}

/* A body that the caller does not want at the moment is not late. */
static bool is_late(const struct connection *c, uint64_t now_ms)
{
    return now_ms >= c->deadline_ms && !connection_waits_for_caller(c);
}

static void expire_connections(struct list *connections, uint64_t now_ms)
{
    struct list *node = connections->next;
    while (node != connections) {
        struct connection *c = connection_of(node);
        node = node->next;
        if (is_late(c, now_ms)) {
            connection_expire(c);
            node = connections->next;
        }
    }
}

/* libuv runs timers before it looks at sockets. After the process was held up (SIGSTOP, a machine
 * without time to spare) answers may lie there unread: then one tick is passed over. */
static bool was_held_up(struct upstream *u, uint64_t now_ms)
{
    bool late = now_ms - u->last_tick_ms > 2 * POOL_TICK_MS && !u->passed_over;
    u->last_tick_ms = now_ms;
    u->passed_over = late;
    return late;
}

static void on_tick(uv_timer_t *timer)
{
    struct upstream *u = timer->data;
    uint64_t now_ms = uv_now(u->loop);
    if (was_held_up(u, now_ms)) {
        return;
    }
    expire_connections(&u->busy, now_ms);
    expire_queue(u, now_ms);
    expire_connections(&u->idle, now_ms);
    if (list_empty(&u->queue) && list_empty(&u->busy) && list_empty(&u->idle)) {
        uv_timer_stop(timer);
    }
}

static void start_ticking(struct upstream *u)
{
    if (!uv_is_active((uv_handle_t *)&u->timer)) {
        u->last_tick_ms = uv_now(u->loop);
        u->passed_over = false;
        uv_timer_start(&u->timer, on_tick, POOL_TICK_MS, POOL_TICK_MS); /* as above */
    }
}

void pool_queue(struct upstream *u, struct upstream_call *call)
{
    list_push(&u->queue, &call->node);
    u->n_queued++;
    start_ticking(u);
    pool_wake(u);
}

void pool_requeue(struct upstream *u, struct upstream_call *call)
{
    list_push(u->queue.next, &call->node);
    u->n_queued++;
    start_ticking(u);
    pool_wake(u);
}

void pool_server_is_silent(struct upstream *u)
{
    for (struct list *node = u->busy.next; node != &u->busy; node = node->next) {
        if (connection_of(node)->state == CONNECTION_BUSY) {
            return;
        }
    }
    /* Counted beforehand: who is queued by a callback now has not waited yet. */
    for (uint32_t n = list_empty(&u->idle) ? u->n_queued : 0; n > 0 && !list_empty(&u->queue);
         n--) {
        fail_first(u, HEAD_RESET_SERVER_UNREACHABLE);
    }
}

/* ---- beginning and end ---- */

void pool_init(struct upstream *u, uv_loop_t *loop)
{
    u->loop = loop;
    list_init(&u->queue);
    list_init(&u->idle);
    list_init(&u->busy);
    buffer_init(&u->head, POOL_HEAD_BYTES_MAX);
    /* Neither opens anything, so they cannot fail. */
    uv_timer_init(loop, &u->timer);
    uv_idle_init(loop, &u->turn);
    u->timer.data = u;
    u->turn.data = u;
    u->n_handles = 2;
}

static void shut_down(struct connection *c)
{
    struct upstream_call *call = c->call;
    enum head_delivered delivered = c->state == CONNECTION_BUSY
                                        ? exchange_delivered(c, HEAD_RESET_SHUTDOWN)
                                        : pool_unsent(call);
    connection_close(c);
    pool_fail_call(call, HEAD_RESET_SHUTDOWN, delivered);
}

static void on_handle_closed(uv_handle_t *handle)
{
    pool_handle_closed(handle->data);
}

void pool_close(struct upstream *u)
{
    u->closing = true;
    while (!list_empty(&u->queue)) {
        fail_first(u, HEAD_RESET_SHUTDOWN);
    }
    while (!list_empty(&u->busy)) {
        shut_down(connection_of(u->busy.next));
    }
    while (!list_empty(&u->idle)) {
        connection_close(connection_of(u->idle.next));
    }
    uv_close((uv_handle_t *)&u->timer, on_handle_closed);
    uv_close((uv_handle_t *)&u->turn, on_handle_closed);
}

void pool_handle_closed(struct upstream *u)
{
    u->n_handles--;
    if (u->n_handles > 0) {
        return;
    }
    void (*on_closed)(void *user) = u->on_closed;
    void *user = u->closed_user;
    authorization_close(&u->authorization);
    secret_cleanse(u->head.data, u->head.cap); /* credentials */
    buffer_close(&u->head);
    free(u);
    on_closed(user);
}
