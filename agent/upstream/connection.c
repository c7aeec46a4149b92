/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing of a connection.
 *
 * Happy path: RESOLVING (only for a name) - CONNECTING - BUSY with the call it was opened for -
 * IDLE - BUSY … - CLOSING, when it has idled long enough or the server closes it.
 *
 * An address that refuses leads over REOPENING to the next one, because a socket cannot connect
 * twice; after the last one the call fails with SERVER_UNREACHABLE. One deadline covers all of
 * that. connection_close may come in any state: the resolver, if it is at work, comes back with
 * UV_ECANCELED or finds it CLOSING, and the memory is freed when both it and the poll handle's
 * close callback are back. */
#include "agent/upstream/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/upstream/exchange.h"
#include "proto/base/error.h"
#include "proto/base/secret.h"

static void connect_next(struct connection *c);

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
    if (c->has_socket || c->is_resolving) {
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

static void on_poll_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    c->has_socket = false;
    if (c->state == CONNECTION_REOPENING) {
        connect_next(c);
        return;
    }
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
    if (c->has_socket && before != CONNECTION_REOPENING) {
        polled_close(&c->socket, on_poll_closed);
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
    polled_close(&c->socket, on_poll_closed);
}

/* connect(2) has come to an end. */
static void on_connected(struct connection *c)
{
    int error = c->connect_error;
    int on = 1;
    socklen_t len = sizeof(error);
    if (error == 0) {
        (void)getsockopt(c->socket.fd, SOL_SOCKET, SO_ERROR, &error, &len); /* the socket is ours */
    }
    if (error != 0) {
        address_failed(c, uv_translate_sys_error(error));
        return;
    }
    /* Without it the second part of a request could wait for the acknowledgement of the first; if
     * it cannot be set, requests are slower, no more. */
    (void)setsockopt(c->socket.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    exchange_send(c, c->call);
    connection_update_poll(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct connection *c = poll->data;
    events = polled_events(&c->socket, status, events);
    if (c->state == CONNECTION_CONNECTING) {
        on_connected(c);
        return;
    }
    exchange_on_ready(c, events);
    connection_update_poll(c);
}

/* A socket that begins to connect. 0, or libuv's error and there is none. */
static int open_socket(struct connection *c, const struct sockaddr_storage *address)
{
    bool is_v6 = address->ss_family == AF_INET6;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return uv_translate_sys_error(errno);
    }
    int rc = polled_open(&c->socket, c->upstream->loop, fd, on_poll);
    if (rc < 0) {
        return rc;
    }
    c->has_socket = true;
    c->socket.poll.data = c;
    rc = connect(fd, (const struct sockaddr *)address,
                 is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    /* What fails at once is told as if it had failed later: such a socket is writable too. */
    c->connect_error = rc == 0 || errno == EINPROGRESS ? 0 : errno;
    polled_wait(&c->socket, UV_WRITABLE);
    return 0;
}

static void connect_next(struct connection *c)
{
    int rc = 0;
    c->state = CONNECTION_CONNECTING;
    for (; c->next_address < c->n_addresses; c->next_address++) {
        rc = open_socket(c, &c->addresses[c->next_address]);
        if (rc == 0) {
            return;
        }
    }
    fail_unreachable(c, "cannot connect to", uv_strerror(rc));
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
    free_if_closed(c);
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
        free_if_closed(c);
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
    connection_update_poll(c);
    pool_wake(u);
}

bool connection_waits_for_caller(const struct connection *c)
{
    return c->call != NULL && c->call->paused && c->call->told;
}

bool connection_wants_input(const struct connection *c)
{
    bool is_up = c->state == CONNECTION_IDLE || c->state == CONNECTION_BUSY;
    return is_up && !connection_waits_for_caller(c);
}

void connection_update_poll(struct connection *c)
{
    if (c->state != CONNECTION_IDLE && c->state != CONNECTION_BUSY) {
        return;
    }
    bool reads = connection_wants_input(c);
    polled_wait(&c->socket, (reads ? UV_READABLE : 0) | (c->unwritten != NULL ? UV_WRITABLE : 0));
    if (!reads) {
        pool_wake(c->upstream); /* there may be room for another one now */
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
