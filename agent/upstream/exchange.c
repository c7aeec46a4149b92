/* SPDX-License-Identifier: Apache-2.0 */
/* One request, written in one system call where the kernel takes it, and its answer.
 *
 * Happy path: exchange_send writes all of it, on_handed; a read brings the head, on_head, and the
 * body, on_data; at the end the connection becomes idle and the call ends.
 *
 * Otherwise: what the kernel does not take is kept until it does, and an early answer is read
 * meanwhile (its connection is then not used again). A 401 is judged at its head: either the call
 * fails, or the 401's body is dropped and the call goes back to the front of the queue. A
 * connection that dies fails its call, but for two cases in which the call goes back to the queue,
 * for a new connection: not a byte was written; or the call only reads, the connection was a kept
 * one, no byte of the answer has come, and it is the first time. Every callback may cancel the call
 * or close the upstream: the connection is then CLOSING, which is looked at after each. */
#include "agent/upstream/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/base/secret.h"
#include "proto/http/field.h"

/* Head and body. */
#define PIECES 2
/* An Authorization field, but for the target that a digest repeats. */
#define HEAD_FIELD_BYTES 2048
/* Memory of a head that is kept for the next one. */
#define HEAD_KEEP_BYTES 16384

_Static_assert(UPSTREAM_HEAD_BYTES_MAX == RESPONSE_HEAD_BYTES_MAX, "a promise of upstream.h");
_Static_assert(HEAD_FIELDS_MAX >= RESPONSE_FIELDS_MAX, "all fields of an answer can be passed on");

enum head_delivered exchange_delivered(const struct connection *c, enum head_reset reason)
{
    if (c->is_challenge) {
        return HEAD_DELIVERED_NO;
    }
    if (c->is_answered) {
        return HEAD_DELIVERED_YES;
    }
    if (c->written == CONNECTION_WROTE_NOTHING) {
        return pool_unsent(c->call);
    }
    return c->written == CONNECTION_WROTE_ALL && reason == HEAD_RESET_DEADLINE
               ? HEAD_DELIVERED_YES
               : HEAD_DELIVERED_UNKNOWN;
}

void exchange_fail(struct connection *c, enum head_reset reason, const char *why)
{
    enum head_delivered delivered = exchange_delivered(c, reason);
    struct upstream *u = c->upstream;
    error_set(&u->last_error, ERROR_PEER, "%s: %s", u->origin.authority, why);
    struct upstream_call *call = connection_take_call(c);
    connection_close(c);
    pool_fail_call(call, reason, delivered);
}

/* The call will be sent once more; the connection is closed already, or idle. */
static void send_again(struct connection *c, struct upstream_call *call, bool wants_fresh)
{
    call->wants_fresh = wants_fresh;
    pool_requeue(c->upstream, call);
}

static void retry_elsewhere(struct connection *c)
{
    struct upstream_call *call = connection_take_call(c);
    connection_close(c);
    send_again(c, call, true);
}

/* ---- the request ---- */

static void handed(struct connection *c)
{
    struct upstream_call *call = c->call;
    c->written = CONNECTION_WROTE_ALL;
    c->handed_us = clock_now_us();
    if (!call->handed && !call->told) {
        call->handed = true;
        call->callbacks.on_handed(call->user);
    }
}

/* Keeps what is left of the pieces, after `n` bytes, until the socket takes more. 0, or
 * ERROR_NOMEM. */
static int keep_rest(struct connection *c, const struct iovec *pieces, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < PIECES; i++) {
        total += pieces[i].iov_len;
    }
    char *rest = malloc(total - n);
    if (rest == NULL) {
        return ERROR_NOMEM;
    }
    size_t len = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t skip = n < pieces[i].iov_len ? n : pieces[i].iov_len;
        n -= skip;
        if (pieces[i].iov_len > skip) {
            memcpy(rest + len, (const char *)pieces[i].iov_base + skip, pieces[i].iov_len - skip);
            len += pieces[i].iov_len - skip;
        }
    }
    c->unwritten = rest;
    c->unwritten_bytes = len;
    c->unwritten_at = 0;
    connection_update_poll(c);
    return 0;
}

/* The socket takes more. */
static void send_rest(struct connection *c)
{
    ssize_t n = send(c->socket.fd, c->unwritten + c->unwritten_at,
                     c->unwritten_bytes - c->unwritten_at, MSG_NOSIGNAL);
    if (n < 0 && polled_is_for_later(errno)) {
        return;
    }
    c->unwritten_at += n < 0 ? 0 : (size_t)n;
    if (n >= 0 && c->unwritten_at < c->unwritten_bytes) {
        return;
    }
    connection_free_unwritten(c);
    if (n < 0) {
        /* The reading side learns how it ends: the server may have answered before it closed. */
        c->is_broken = true;
    } else if (c->state == CONNECTION_BUSY) {
        handed(c);
    }
}

/* send(2) takes the kernel a shorter way than sendmsg(2), and most requests have no body. */
static ssize_t send_pieces(const struct connection *c, struct iovec *pieces)
{
    if (pieces[1].iov_len == 0) {
        return send(c->socket.fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
    }
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = PIECES};
    return sendmsg(c->socket.fd, &message, MSG_NOSIGNAL);
}

static void write_pieces(struct connection *c, struct iovec *pieces)
{
    ssize_t n = send_pieces(c, pieces);
    if (n < 0 && !polled_is_for_later(errno)) {
        int error = errno;
        /* Not a byte has gone. A kept connection may just have been closed; a new one not. */
        if (c->is_reused) {
            retry_elsewhere(c);
        } else {
            exchange_fail(c, HEAD_RESET_SERVER_UNREACHABLE,
                          uv_strerror(uv_translate_sys_error(error)));
        }
        return;
    }
    size_t taken = n < 0 ? 0 : (size_t)n;
    if (taken == pieces[0].iov_len + pieces[1].iov_len) {
        handed(c);
        return;
    }
    c->written = CONNECTION_WROTE_SOME;
    if (keep_rest(c, pieces, taken) != 0) {
        exchange_fail(c, HEAD_RESET_INTERNAL, "cannot write the rest of a request");
    }
}

static void begin(struct connection *c, struct upstream_call *call)
{
    struct upstream *u = c->upstream;
    uint64_t deadline_ms = uv_now(u->loop) + call->answer_timeout_ms;
    c->state = CONNECTION_BUSY;
    c->call = call;
    call->connection = c;
    call->n_attempts++;
    c->deadline_ms = deadline_ms < call->deadline_ms ? deadline_ms : call->deadline_ms;
    c->written = CONNECTION_WROTE_NOTHING;
    c->is_broken = false;
    c->is_answered = false;
    c->is_challenge = false;
    c->dropped_bytes = 0;
    c->handed_us = 0;
    c->server_us = 0;
    list_remove(&c->node);
    list_push(&u->busy, &c->node);
    response_begin(&c->answer, call->to_head);
}

/* It has credentials, in the target or a field of its own. */
static void forget_head(struct upstream *u)
{
    if (u->head.len > 0) {
        secret_cleanse(u->head.data + u->head.start, u->head.len);
    }
    buffer_clear(&u->head);
    if (u->head.cap > HEAD_KEEP_BYTES) {
        buffer_release(&u->head);
    }
}

/* In one piece: to gather two costs the kernel more than to copy so little. */
static int make_head(struct upstream *u, struct upstream_call *call)
{
    uint8_t *room = NULL;
    /* In one step: each growth would leave a copy in memory that is free. What cannot be reserved
     * fails below. */
    (void)buffer_reserve(&u->head, call->head.len + call->target.len + HEAD_FIELD_BYTES, &room);
    int rc = buffer_append(&u->head, call->head.p, call->head.len);
    if (rc == 0) {
        rc = authorization_append(&u->authorization, call->method, call->target, &u->head,
                                  &call->attempt);
    }
    return rc == 0 ? buffer_append(&u->head, "\r\n", 2) : rc;
}

void exchange_send(struct connection *c, struct upstream_call *call)
{
    struct upstream *u = c->upstream;
    begin(c, call);
    if (make_head(u, call) != 0) {
        forget_head(u);
        exchange_fail(c, HEAD_RESET_INTERNAL, "cannot make the head of a request");
        return;
    }
    struct iovec pieces[PIECES] = {
        {(void *)(uintptr_t)buffer_bytes(&u->head), u->head.len},
        {call->text + call->head.len, call->body.len},
    };
    write_pieces(c, pieces);
    forget_head(u);
}

/* ---- the answer ---- */

/* How long the connection may idle; 0 = not at all. */
static uint32_t idle_ms(const struct connection *c, size_t n_left)
{
    const struct response *r = &c->answer;
    if (!r->keep_alive || n_left > 0 || c->written != CONNECTION_WROTE_ALL ||
        c->upstream->closing) {
        return 0;
    }
    if (r->keep_alive_s > UPSTREAM_IDLE_MS / 1000) {
        return UPSTREAM_IDLE_MS; /* the server says nothing, or more than we would wait */
    }
    uint32_t server_ms = r->keep_alive_s * 1000;
    return server_ms > CONNECTION_IDLE_MARGIN_MS ? server_ms - CONNECTION_IDLE_MARGIN_MS : 0;
}

/* The answer is complete, and `n_left` bytes came behind it. */
static void end_exchange(struct connection *c, size_t n_left)
{
    bool again = c->is_challenge;
    uint32_t ms = idle_ms(c, n_left);
    struct upstream_call *call = connection_take_call(c);
    if (ms > 0 && !pool_is_over(c->upstream)) {
        connection_set_idle(c, ms);
    } else {
        connection_close(c);
    }
    if (again) {
        /* A server that closes after a 401 without saying so must not cost a command, which could
         * then not be sent a third time. */
        send_again(c, call, !call->reads);
    } else {
        pool_end_call(call);
    }
}

/* What is not sent through the tunnel. The length travels beside the fields; Date and Server stand
 * in nearly every answer, and the relay puts none of them through. */
static bool is_left_out(struct span name)
{
    static const struct span NAMES[] = {SPAN_LITERAL("Content-Length"), SPAN_LITERAL("Date"),
                                        SPAN_LITERAL("Server")};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (span_equal_nocase(name, NAMES[i])) {
            return true;
        }
    }
    return false;
}

static bool passes(const struct response *r, struct span name)
{
    if (is_left_out(name) || field_is_hop_by_hop(name)) {
        return false;
    }
    for (size_t i = 0; i < r->n_fields; i++) {
        if (span_equal_nocase(r->fields[i].name, span_of("Connection")) &&
            field_connection_lists(r->fields[i].value, name)) {
            return false;
        }
    }
    return true;
}

static void tell_head(struct connection *c)
{
    struct upstream *u = c->upstream;
    struct upstream_call *call = c->call;
    const struct response *r = &c->answer;
    struct head_field fields[RESPONSE_FIELDS_MAX];
    struct head_response head = {.status = r->status,
                                 .body_bytes = r->body_bytes,
                                 .server_us = c->server_us,
                                 .fields = fields};
    for (size_t i = 0; i < r->n_fields; i++) {
        if (passes(r, r->fields[i].name)) {
            fields[head.n_fields++] = (struct head_field){r->fields[i].name, r->fields[i].value};
        }
    }
    u->last_answer_ms = uv_now(u->loop);
    u->last_answer_us = c->server_us;
    u->last_error.text[0] = '\0';
    call->told = true;
    c->deadline_ms = uv_now(u->loop) + call->answer_timeout_ms;
    /* `paused` counts from now on, also if it was set before. */
    connection_update_poll(c);
    call->callbacks.on_head(call->user, &head);
}

static void take_head(struct connection *c)
{
    struct upstream *u = c->upstream;
    struct upstream_call *call = c->call;
    struct error_text why;
    if (c->answer.status != 401) {
        tell_head(c);
        return;
    }
    c->is_challenge = true;
    if (authorization_judge(&u->authorization, &c->answer, &call->attempt, call->n_attempts,
                            &why) != 0) {
        exchange_fail(c, HEAD_RESET_SERVER_AUTH, why.text);
    }
}

static void take_data(struct connection *c)
{
    struct upstream_call *call = c->call;
    struct span data = c->answer.data;
    if (!c->is_challenge) {
        c->deadline_ms = uv_now(c->upstream->loop) + call->answer_timeout_ms;
        call->callbacks.on_data(call->user, (const uint8_t *)data.p, data.len);
        return;
    }
    c->dropped_bytes += data.len;
    if (c->dropped_bytes > CONNECTION_CHALLENGE_BYTES_MAX) {
        retry_elsewhere(c);
    }
}

static void feed(struct connection *c, struct span input)
{
    enum response_event event = RESPONSE_EVENT_NONE;
    if (!c->is_answered) {
        c->is_answered = true;
        c->server_us = c->handed_us == 0 ? 0 : (uint32_t)(clock_now_us() - c->handed_us);
    }
    do {
        int rc = response_next(&c->answer, &input, &event);
        if (rc != 0) {
            bool ours = rc == ERROR_NOMEM;
            exchange_fail(c, ours ? HEAD_RESET_INTERNAL : HEAD_RESET_BAD_ANSWER, c->answer.why);
            return;
        }
        switch (event) {
        case RESPONSE_EVENT_HEAD: take_head(c); break;
        case RESPONSE_EVENT_DATA: take_data(c); break;
        case RESPONSE_EVENT_END: end_exchange(c, input.len); return;
        case RESPONSE_EVENT_NONE:
        default: return;
        }
    } while (c->state == CONNECTION_BUSY);
}

static bool may_retry(const struct connection *c)
{
    return c->call->reads && c->is_reused && !c->is_answered && !c->call->was_retried;
}

/* The server closed, or the connection broke, in the middle of an exchange. */
static void end_of_connection(struct connection *c, bool is_orderly)
{
    if (is_orderly && response_finish(&c->answer) == 0) {
        end_exchange(c, 0);
    } else if (c->is_challenge) {
        retry_elsewhere(c);
    } else if (may_retry(c)) {
        c->call->was_retried = true;
        retry_elsewhere(c);
    } else {
        exchange_fail(c, HEAD_RESET_BAD_ANSWER,
                      c->is_answered ? "the answer was cut off"
                                     : "the connection was closed without an answer");
    }
}

/* One call: if there is more, libuv tells again, after the others have had their turn. */
static void receive(struct connection *c)
{
    struct upstream *u = c->upstream;
    ssize_t n = recv(c->socket.fd, u->receive, sizeof(u->receive), 0);
    if (n < 0 && polled_is_for_later(errno)) {
        return;
    }
    if (c->state == CONNECTION_IDLE) {
        /* Nobody has asked for anything: whatever comes, it is of no use any more. */
        connection_close(c);
    } else if (n <= 0) {
        end_of_connection(c, n == 0 && !c->is_broken);
    } else {
        feed(c, (struct span){u->receive, (size_t)n});
        pool_dispatch(u);
    }
}

void exchange_on_ready(struct connection *c, int events)
{
    if ((events & UV_WRITABLE) != 0 && c->unwritten != NULL) {
        send_rest(c);
    }
    if ((events & UV_READABLE) != 0 && connection_wants_input(c)) {
        receive(c);
    }
}
