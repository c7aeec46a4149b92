/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing of a connection.
 *
 * Happy path: RESOLVING (only for a name) - CONNECTING - BUSY with the call it was opened for -
 * IDLE - BUSY … - CLOSING, when it has idled long enough or the server closes it.
 *
 * An address that refuses leads over REOPENING to the next one, because a socket cannot connect
 * twice; after the last one the call fails with SERVER_UNREACHABLE. One deadline covers all of
 * that. connection_close may come in any state: what libuv still has under way (resolver, connect,
 * write) comes back with UV_ECANCELED or is found CLOSING, and the memory is freed when both the
 * socket's close callback and the resolver are back. */
#include "agent/upstream/connection.h"

#include <stdlib.h>
#include <string.h>

#include "agent/upstream/exchange.h"
#include "proto/base/error.h"
#include "proto/base/secret.h"

static void reopen(struct connection *c);

struct upstream_call *connection_take_call(struct connection *c)
{
    struct upstream_call *call = c->call;
    c->call = NULL;
    if (call != NULL) {
        call->connection = NULL;
    }
    return call;
}

void connection_free_unwritten(struct connection *c)
{
    if (c->unwritten != NULL) {
        secret_cleanse(c->unwritten, c->unwritten_bytes);
        free(c->unwritten);
        c->unwritten = NULL;
    }
}

static void free_if_closed(struct connection *c)
{
    if (!c->is_tcp_closed || c->is_resolving) {
        return;
    }
    struct upstream *u = c->upstream;
    response_close(&c->answer);
    connection_free_unwritten(c);
    free(c);
    pool_handle_closed(u);
}

/* Counts no more. */
static void give_up_place(struct upstream *u)
{
    u->n_open--;
    pool_wake(u);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    if (c->state == CONNECTION_REOPENING) {
        reopen(c);
        return;
    }
    c->is_tcp_closed = true;
    free_if_closed(c);
}

void connection_close(struct connection *c)
{
    enum connection_state before = c->state;
    if (before == CONNECTION_CLOSING) {
        return;
    }
    c->state = CONNECTION_CLOSING;
    connection_take_call(c);
    list_remove(&c->node);
    if (before != CONNECTION_REOPENING) {
        uv_close((uv_handle_t *)&c->tcp, on_tcp_closed);
    }
    if (c->is_resolving) {
        /* A resolver that is at work cannot be stopped; its place is given up when it is done, so
         * that resolvers cannot pile up. */
        (void)uv_cancel((uv_req_t *)&c->resolve);
    } else {
        give_up_place(c->upstream);
    }
}

/* The call fails before a byte of it was written. */
static void fail_unsent(struct connection *c, enum head_reset reason)
{
    struct upstream_call *call = connection_take_call(c);
    connection_close(c);
    pool_fail_call(call, reason, pool_unsent(call));
}

static void fail_unreachable(struct connection *c, const char *what, const char *why)
{
    struct upstream *u = c->upstream;
    error_set(&u->last_error, ERROR_IO, "%s %s: %s", what, u->origin.authority, why);
    fail_unsent(c, HEAD_RESET_SERVER_UNREACHABLE);
}

static void address_failed(struct connection *c, int status)
{
    c->next_address++;
    if (c->next_address == c->n_addresses) {
        fail_unreachable(c, "cannot connect to", uv_strerror(status));
        return;
    }
    c->state = CONNECTION_REOPENING;
    uv_close((uv_handle_t *)&c->tcp, on_tcp_closed);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct connection *c = req->data;
    if (c->state != CONNECTION_CONNECTING) {
        return;
    }
    if (status == 0) {
        status = exchange_start_reading(c);
    }
    if (status < 0) {
        address_failed(c, status);
        return;
    }
    /* Without it the second part of a request could wait for the acknowledgement of the first; if
     * it cannot be set, requests are slower, no more. */
    (void)uv_tcp_nodelay(&c->tcp, 1);
    exchange_send(c, c->call);
}

static void connect_next(struct connection *c)
{
    const struct sockaddr_storage *address = &c->addresses[c->next_address];
    c->state = CONNECTION_CONNECTING;
    c->connect.data = c;
    int rc = uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)address, on_connected);
    if (rc < 0) {
        address_failed(c, rc);
    }
}

/* The socket of the address that failed is closed: a new one for the next. */
static void reopen(struct connection *c)
{
    int rc = uv_tcp_init(c->upstream->loop, &c->tcp);
    c->tcp.data = c;
    if (rc == 0) {
        connect_next(c);
        return;
    }
    /* There is nothing that could be closed: in this state connection_close does not try. */
    c->is_tcp_closed = true;
    fail_unreachable(c, "no socket for", uv_strerror(rc));
    free_if_closed(c);
}

static void take_addresses(struct connection *c, const struct addrinfo *list)
{
    for (; list != NULL && c->n_addresses < CONNECTION_ADDRESSES_MAX; list = list->ai_next) {
        if (list->ai_addrlen <= sizeof(c->addresses[0])) {
            memcpy(&c->addresses[c->n_addresses++], list->ai_addr, list->ai_addrlen);
        }
    }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct connection *c = req->data;
    c->is_resolving = false;
    if (c->state == CONNECTION_CLOSING) {
        uv_freeaddrinfo(list);
        give_up_place(c->upstream);
        free_if_closed(c);
        return;
    }
    take_addresses(c, list);
    uv_freeaddrinfo(list);
    if (status == 0 && c->n_addresses > 0) {
        connect_next(c);
        return;
    }
    fail_unreachable(c, "cannot resolve", uv_strerror(status == 0 ? UV_EAI_NODATA : status));
}

static int resolve(struct connection *c)
{
    const struct origin *o = &c->upstream->origin;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    c->resolve.data = c;
    int rc =
        uv_getaddrinfo(c->upstream->loop, &c->resolve, on_resolved, o->host, o->service, &hints);
    c->is_resolving = rc == 0;
    return rc;
}

/* Begins to connect, or to find out where to. */
static int start(struct connection *c)
{
    const struct origin *o = &c->upstream->origin;
    if (!o->is_literal) {
        c->state = CONNECTION_RESOLVING;
        return resolve(c) == 0 ? 0 : ERROR_IO;
    }
    c->addresses[0] = o->address;
    c->n_addresses = 1;
    connect_next(c);
    return 0;
}

static void take_over(struct connection *c, struct upstream_call *call)
{
    struct upstream *u = c->upstream;
    uint64_t deadline_ms = uv_now(u->loop) + u->connect_timeout_ms;
    c->deadline_ms = deadline_ms < call->deadline_ms ? deadline_ms : call->deadline_ms;
    c->call = call;
    call->connection = c;
}

int connection_open(struct upstream *u, struct upstream_call *call)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ERROR_NOMEM;
    }
    if (uv_tcp_init(u->loop, &c->tcp) < 0) {
        free(c);
        return ERROR_IO;
    }
    c->tcp.data = c;
    c->upstream = u;
    response_init(&c->answer);
    list_init(&c->node);
    list_push(&u->busy, &c->node);
    u->n_handles++;
    u->n_open++;
    take_over(c, call);
    int rc = start(c);
    if (rc < 0) {
        connection_close(c);
    }
    return rc;
}

void connection_set_idle(struct connection *c, uint32_t idle_ms)
{
    struct upstream *u = c->upstream;
    connection_take_call(c);
    c->state = CONNECTION_IDLE;
    c->is_reused = true;
    c->deadline_ms = uv_now(u->loop) + idle_ms;
    list_remove(&c->node);
    list_push(u->idle.next, &c->node); /* to the front: the one used last is the next one used */
    connection_update_reading(c);
    pool_wake(u);
}

bool connection_waits_for_caller(const struct connection *c)
{
    return c->call != NULL && c->call->paused && c->call->told;
}

void connection_update_reading(struct connection *c)
{
    bool up = c->state == CONNECTION_IDLE || c->state == CONNECTION_BUSY;
    bool wanted = up && !connection_waits_for_caller(c);
    if (!up || wanted == c->is_reading) {
        return;
    }
    if (!wanted) {
        uv_read_stop((uv_stream_t *)&c->tcp);
        c->is_reading = false;
        pool_wake(c->upstream); /* there may be room for another one now */
    } else if (exchange_start_reading(c) < 0) {
        /* libuv refuses only a connection that is broken: its deadline ends the call. */
        c->is_reading = false;
    }
}

static void expire_opening(struct connection *c)
{
    struct upstream *u = c->upstream;
    if (uv_now(u->loop) >= c->call->deadline_ms) {
        error_set(&u->last_error, ERROR_TIMEOUT, "deadline passed while connecting to %s",
                  u->origin.authority);
        fail_unsent(c, HEAD_RESET_DEADLINE);
        return;
    }
    fail_unreachable(c, "cannot connect to", "no answer in time");
    pool_server_is_silent(u);
}

void connection_expire(struct connection *c)
{
    switch (c->state) {
    case CONNECTION_RESOLVING:
    case CONNECTION_CONNECTING:
    case CONNECTION_REOPENING: expire_opening(c); break;
    case CONNECTION_BUSY: exchange_fail(c, HEAD_RESET_DEADLINE, "no answer in time"); break;
    case CONNECTION_IDLE: connection_close(c); break;
    case CONNECTION_CLOSING:
    default: break;
    }
}
