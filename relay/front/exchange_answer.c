/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a building's answer back to the client: head and body are put together in
 * worker->answer and written once per batch of the tunnel's bytes; the tunnel's credit is returned
 * as the client takes them. */
#include "relay/front/exchange.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/error.h"
#include "relay/front/call.h"
#include "relay/front/exchange_internal.h"
#include "relay/front/session.h"
#include "relay/router.h"
#include "relay/worker.h"

/* While an answer runs, what counts is that it goes on. */
static void exchange_restart_write_deadline(struct exchange *x)
{
    wheel_set(&x->worker->wheel, &x->deadline, exchange_now_ms(x) + x->worker->settings.write_ms);
}

static void write_assembled(struct exchange *x)
{
    struct worker *w = x->worker;
    w->assembling = NULL;
    if (w->answer.len == 0) {
        return;
    }
    int err = session_write(x->session, buffer_bytes(&w->answer), w->answer.len);
    buffer_clear(&w->answer);
    if (err < 0) {
        session_lost(x->session);
    }
}

void exchange_flush_assembled(struct worker *w)
{
    if (w->assembling != NULL) {
        write_assembled(w->assembling);
    }
}

/* worker->answer belongs to `x` from here on. */
static void assemble_for(struct exchange *x)
{
    struct worker *w = x->worker;
    if (w->assembling != x) {
        exchange_flush_assembled(w);
        buffer_clear(&w->answer);
        w->assembling = x;
    }
}

static void complete(struct exchange *x)
{
    struct session *s = x->session;
    exchange_ref ref = x->ref;
    struct worker *w = x->worker;
    write_assembled(x);
    if (exchange_find(w, ref) == NULL) {
        return; /* the client turned out to be gone */
    }
    exchange_remember_for_log(x);
    exchange_release(x);
    session_done(s);
}

static enum answer_framing framing_of(const struct exchange *x, const struct head_response *head)
{
    const struct request *r = x->session->request;
    if (r->method == REQUEST_HEAD || head->status == 204 || head->status == 304) {
        return ANSWER_NO_BODY;
    }
    if (head->body_bytes >= 0) {
        return ANSWER_LENGTH;
    }
    return r->minor == 0 ? ANSWER_CLOSE : ANSWER_CHUNKED;
}

static void begin_answer(struct exchange *x, const struct head_response *head)
{
    struct worker *w = x->worker;
    x->state = EXCHANGE_ANSWERING;
    x->handed = true;
    x->half_closed = false;
    x->status = head->status;
    x->server_us = head->server_us;
    x->framing = framing_of(x, head);
    x->body_left = x->framing == ANSWER_LENGTH ? head->body_bytes : 0;
    if (x->framing == ANSWER_CLOSE) {
        x->session->request->keep_alive = false;
    }
    session_begin_answer(x->session, head->status);
    struct answer_context c = session_answer_context(x->session);
    assemble_for(x);
    if (answer_format_head(&w->answer, &c, head, x->framing) < 0) {
        buffer_clear(&w->answer);
        exchange_reset_stream(x, HEAD_RESET_BAD_ANSWER);
        exchange_fail(x, ANSWER_BAD_ANSWER, HEAD_DELIVERED_YES);
        return;
    }
    exchange_restart_write_deadline(x);
}

void exchange_on_opened(struct worker *w, exchange_ref ref, tunnel_ref tunnel, uint32_t stream)
{
    struct exchange *x = exchange_find(w, ref);
    if (x == NULL) {
        router_reset(w, tunnel, stream, HEAD_RESET_CLIENT_GONE);
        return;
    }
    x->state = EXCHANGE_SENT;
    x->tunnel = tunnel;
    x->stream = stream;
}

void exchange_on_handed(struct worker *w, exchange_ref ref)
{
    struct exchange *x = exchange_find(w, ref);
    if (x != NULL && x->call != NULL) {
        call_on_handed(x->call);
    } else if (x != NULL) {
        x->handed = true;
    }
}

void exchange_on_head(struct worker *w, exchange_ref ref, const struct head_response *head,
                      bool end)
{
    struct exchange *x = exchange_find(w, ref);
    if (x == NULL || x->state == EXCHANGE_ANSWERING) {
        return;
    }
    if (x->call != NULL) {
        call_on_head(x->call, head, end);
        return;
    }
    begin_answer(x, head);
    if (end) {
        exchange_on_data(w, ref, 0, 0, NULL, 0, true);
    }
}

static int append_chunk(struct buffer *out, const uint8_t *bytes, size_t len, bool end)
{
    char line[20];
    int err = 0;
    if (len > 0) {
        int line_len = snprintf(line, sizeof(line), "%zx\r\n", len);
        err = buffer_append(out, line, (size_t)line_len);
        err = err == 0 ? buffer_append(out, bytes, len) : err;
        err = err == 0 ? buffer_append(out, "\r\n", 2) : err;
    }
    return err == 0 && end ? buffer_append(out, "0\r\n\r\n", 5) : err;
}

/* The body in the framing that the head announced. ERROR_PEER if it does not fit that. */
static int append_body(struct exchange *x, const uint8_t *bytes, size_t len, bool end)
{
    struct buffer *out = &x->worker->answer;
    switch (x->framing) {
    case ANSWER_CHUNKED: return append_chunk(out, bytes, len, end);
    case ANSWER_NO_BODY: return 0;
    case ANSWER_LENGTH:
        if ((uint64_t)len > (uint64_t)x->body_left) {
            return ERROR_PEER;
        }
        x->body_left -= (int64_t)len;
        if (end && x->body_left > 0) {
            return ERROR_PEER;
        }
        break;
    case ANSWER_CLOSE:
    default: break;
    }
    return len > 0 ? buffer_append(out, bytes, len) : 0;
}

/* Gives the tunnel its credit back, unless the client is behind: then exchange_on_drain does. */
static void return_credit(struct exchange *x)
{
    if (x->unreturned > 0 && session_pending(x->session) < EXCHANGE_PENDING_BYTES) {
        router_consumed(x->worker, x->tunnel, x->stream, x->unreturned);
        x->unreturned = 0;
    }
}

void exchange_on_data(struct worker *w, exchange_ref ref, tunnel_ref tunnel, uint32_t stream,
                      const uint8_t *bytes, size_t len, bool end)
{
    struct exchange *x = exchange_find(w, ref);
    if (x == NULL || x->state != EXCHANGE_ANSWERING) {
        if (len > 0) {
            router_consumed(w, tunnel, stream, len);
        }
        return;
    }
    if (x->call != NULL) {
        if (len > 0) {
            router_consumed(w, tunnel, stream, len); /* it is kept, not passed on */
        }
        call_on_data(x->call, bytes, len, end);
        return;
    }
    assemble_for(x);
    if (append_body(x, bytes, len, end) < 0) {
        exchange_reset_stream(x, HEAD_RESET_BAD_ANSWER);
        exchange_fail(x, ANSWER_BAD_ANSWER, HEAD_DELIVERED_YES);
        return;
    }
    x->unreturned += len;
    if (end) {
        if (x->unreturned > 0) {
            router_consumed(w, tunnel, stream, x->unreturned);
            x->unreturned = 0;
        }
        complete(x);
        return;
    }
    exchange_restart_write_deadline(x);
    if (w->answer.len >= EXCHANGE_ASSEMBLED_BYTES) {
        write_assembled(x);
        x = exchange_find(w, ref);
    }
    if (x != NULL) {
        return_credit(x);
    }
}

void exchange_on_drain(struct exchange *x)
{
    if (x->state != EXCHANGE_ANSWERING) {
        return; /* what the client took was an earlier answer */
    }
    exchange_restart_write_deadline(x);
    return_credit(x);
}

enum answer_reason exchange_reason_of(enum head_reset reason)
{
    switch (reason) {
    case HEAD_RESET_DEADLINE: return ANSWER_SERVER_TIMEOUT;
    case HEAD_RESET_SERVER_UNREACHABLE: return ANSWER_SERVER_UNREACHABLE;
    case HEAD_RESET_BAD_ANSWER: return ANSWER_BAD_ANSWER;
    case HEAD_RESET_OVERLOADED: return ANSWER_OVERLOADED;
    case HEAD_RESET_REFUSED: return ANSWER_AGENT_REFUSED;
    case HEAD_RESET_SHUTDOWN: return ANSWER_SERVER_OFFLINE;
    case HEAD_RESET_SERVER_AUTH: return ANSWER_SERVER_AUTH;
    case HEAD_RESET_TUNNEL_LOST: return ANSWER_TUNNEL_LOST;
    case HEAD_RESET_INTERNAL:
    case HEAD_RESET_CLIENT_GONE:
    default: return ANSWER_INTERNAL;
    }
}

void exchange_on_failed(struct worker *w, exchange_ref ref, enum head_reset reason,
                        enum head_delivered delivered)
{
    struct exchange *x = exchange_find(w, ref);
    if (x == NULL) {
        return;
    }
    if (x->call != NULL) {
        call_on_failed(x->call, reason, delivered);
        return;
    }
    bool never_left = reason == HEAD_RESET_TUNNEL_LOST && delivered == HEAD_DELIVERED_NO;
    if (never_left && x->state != EXCHANGE_ANSWERING) {
        /* Should this worker still believe in that tunnel, it would be asked again and again. */
        registry_down(&w->registry, x->server, x->tunnel, exchange_now_ms(x));
        x->state = EXCHANGE_PARKED;
        if (!session_still_allowed(x->session)) {
            exchange_fail(x, ANSWER_KEY_REFUSED, HEAD_DELIVERED_NO);
            return;
        }
        exchange_dispatch(x); /* to a newer tunnel if there is one, else it is parked */
        return;
    }
    x->handed = x->handed || delivered == HEAD_DELIVERED_YES;
    exchange_fail(x, exchange_reason_of(reason), delivered);
}
