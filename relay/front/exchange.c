/* SPDX-License-Identifier: Apache-2.0 */
/* One request on its way to a building and back.
 *
 * Happy path: exchange_start -> router_request -> (HANDED) -> head -> data ... end -> session_done.
 * Head and data are put together in worker->answer and written once per batch of the tunnel's
 * bytes.
 *
 * A request is sent at most once. It may go to a second tunnel only if the first did not take it
 * (ROUTER_NO_TUNNEL) or says that it never left the relay (TUNNEL_LOST, delivered NO); then it is
 * parked until a tunnel comes or its time is up. */
#include "relay/front/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/base/poison.h"
#include "proto/http/field.h"
#include "relay/front/exchange_internal.h"
#include "relay/front/session.h"
#include "relay/router.h"
#include "relay/worker.h"

struct exchange *exchange_find(const struct worker *w, exchange_ref ref)
{
    return exchange_table_find(&w->exchanges, ref);
}

uint64_t exchange_now_ms(const struct exchange *x)
{
    return worker_now_ms(x->worker);
}

static struct exchange *take_exchange(struct worker *w)
{
    if (w->n_spare_exchanges == 0) {
        return malloc(sizeof(struct exchange));
    }
    struct exchange *x = w->spare_exchanges[--w->n_spare_exchanges];
    unpoison(x, sizeof(*x));
    return x;
}

static void give_exchange(struct worker *w, struct exchange *x)
{
    if (w->n_spare_exchanges == WORKER_SPARE_EXCHANGES) {
        free(x);
        return;
    }
    poison(x, sizeof(*x));
    w->spare_exchanges[w->n_spare_exchanges++] = x;
}

/* Takes it out of everything and gives its memory back. Its session has no exchange afterwards. */
void exchange_release(struct exchange *x)
{
    struct worker *w = x->worker;
    if (x->unreturned > 0) { /* of the client's share nothing is left, the tunnel's goes on */
        router_consumed(w, x->tunnel, x->stream, x->unreturned);
        x->unreturned = 0;
    }
    if (w->assembling == x) {
        w->assembling = NULL;
        buffer_clear(&w->answer);
    }
    if (!list_alone(&x->parked)) {
        list_remove(&x->parked);
        w->n_parked--;
    }
    wheel_cancel(&x->deadline);
    exchange_table_remove(&w->exchanges, x->ref);
    x->session->exchange = NULL;
    give_exchange(w, x);
}

/* The tunnel's stream is of no use any more. */
void exchange_reset_stream(struct exchange *x, enum head_reset reason)
{
    if (x->state == EXCHANGE_SENT || x->state == EXCHANGE_ANSWERING) {
        router_reset(x->worker, x->tunnel, x->stream, reason);
    }
}

void exchange_remember_for_log(struct exchange *x)
{
    struct session_result *r = &x->session->result;
    r->server_us = x->server_us;
    r->ended_us = clock_now_us();
    r->agent_us = x->sent_us != 0 ? r->ended_us - x->sent_us : 0;
    r->queued_us = x->sent_us != 0 ? x->sent_us - x->started_us : 0;
}

/* Ends without the building's answer: the relay's own one goes out. */
void exchange_fail(struct exchange *x, enum answer_reason reason, enum head_delivered delivered)
{
    struct session *s = x->session;
    struct answer_details d = {.delivered = delivered};
    if (answer_status(reason) == 503) {
        d.retry_after_s = ANSWER_RETRY_S;
    }
    bool cut = x->state == EXCHANGE_ANSWERING;
    exchange_remember_for_log(x);
    if (x->worker->assembling == x && cut) {
        /* The head is not yet written: nothing of this answer has reached the client. */
        cut = s->result.bytes > 0;
    }
    exchange_release(x);
    if (cut) {
        session_cut(s, reason);
    } else {
        session_answer(s, reason, &d);
    }
}

/* ---- the way out ---- */

static bool method_of(enum request_method method, enum head_method *m)
{
    switch (method) {
    case REQUEST_GET: *m = HEAD_METHOD_GET; return true;
    case REQUEST_HEAD: *m = HEAD_METHOD_HEAD; return true;
    case REQUEST_POST: *m = HEAD_METHOD_POST; return true;
    case REQUEST_OTHER:
    default: return false;
    }
}

/* Fields that a Connection field of the request names belong to the connection too. */
static bool connection_names(const struct request *r, struct span name)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        if (span_equal_nocase(r->fields[i].name, span_of("Connection")) &&
            field_connection_lists(r->fields[i].value, name)) {
            return true;
        }
    }
    return false;
}

static size_t forwarded_fields(const struct request *r, struct head_field *fields)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_fields; i++) {
        struct span name = r->fields[i].name;
        if (!field_is_hop_by_hop(name) && !field_is_private(name) && !connection_names(r, name)) {
            fields[n++] = (struct head_field){name, r->fields[i].value};
        }
    }
    return n;
}

/* What the agent may take, a little less than what is left to us. */
static uint32_t agent_deadline_ms(const struct exchange *x)
{
    uint64_t left_ms =
        x->answer_by_ms > exchange_now_ms(x) ? x->answer_by_ms - exchange_now_ms(x) : 0;
    return left_ms > EXCHANGE_MARGIN_MS + EXCHANGE_MARGIN_MS
               ? (uint32_t)left_ms - EXCHANGE_MARGIN_MS
               : EXCHANGE_MARGIN_MS;
}

static enum router_result route(struct exchange *x)
{
    static _Thread_local struct head_field fields[REQUEST_FIELDS_MAX];
    struct session *s = x->session;
    const struct request *r = s->request;
    struct head_request head = {
        .has_query = r->has_query,
        .deadline_ms = agent_deadline_ms(x),
        .body_bytes = (uint32_t)r->body.len,
        .path = s->forward_path,
        .query = r->query,
        .request_id = session_request_id(s),
        .fields = fields,
        .n_fields = forwarded_fields(r, fields),
    };
    if (!method_of(r->method, &head.method)) {
        return ROUTER_FAILED;
    }
    struct span body = {(const char *)buffer_bytes(&r->body), r->body.len};
    return router_request(x->worker, x->server, x->ref, &head, body, &x->tunnel, &x->stream);
}

static bool may_park(const struct exchange *x)
{
    const struct worker *w = x->worker;
    return !w->draining && w->n_parked < w->settings.parked && w->settings.offline_grace_ms > 0 &&
           registry_is_expected(&w->registry, x->server, exchange_now_ms(x));
}

static void park(struct exchange *x)
{
    struct worker *w = x->worker;
    if (!may_park(x)) {
        exchange_fail(x, ANSWER_SERVER_OFFLINE, HEAD_DELIVERED_NO);
        return;
    }
    x->state = EXCHANGE_PARKED;
    list_push(&w->parked, &x->parked);
    w->n_parked++;
    metrics_add(&w->metrics.parked, 1);
    uint64_t due_ms = exchange_now_ms(x) + w->settings.offline_grace_ms;
    wheel_set(&w->wheel, &x->deadline, due_ms < x->answer_by_ms ? due_ms : x->answer_by_ms);
}

void exchange_dispatch(struct exchange *x)
{
    switch (route(x)) {
    case ROUTER_OPENED: x->state = EXCHANGE_SENT; break;
    case ROUTER_HANDED_ON: x->state = EXCHANGE_OPENING; break;
    case ROUTER_NO_TUNNEL: park(x); return;
    case ROUTER_FULL: exchange_fail(x, ANSWER_OVERLOADED, HEAD_DELIVERED_NO); return;
    case ROUTER_FAILED:
    default: exchange_fail(x, ANSWER_INTERNAL, HEAD_DELIVERED_NO); return;
    }
    x->sent_us = clock_now_us();
    wheel_set(&x->worker->wheel, &x->deadline, x->answer_by_ms);
}

void exchange_unpark(struct worker *w, int64_t server)
{
    struct list waiting;
    list_init(&waiting);
    struct list *node = NULL;
    while ((node = list_pop(&w->parked)) != NULL) {
        list_push(&waiting, node);
    }
    while ((node = list_pop(&waiting)) != NULL) {
        struct exchange *x = LIST_ITEM(node, struct exchange, parked);
        if (x->server != server) {
            list_push(&w->parked, node);
            continue;
        }
        w->n_parked--;
        if (session_still_allowed(x->session)) {
            exchange_dispatch(x);
        } else {
            exchange_fail(x, ANSWER_KEY_REFUSED, HEAD_DELIVERED_NO);
        }
    }
}

/* ---- deadlines ---- */

static enum head_delivered known_delivery(const struct exchange *x)
{
    return x->handed ? HEAD_DELIVERED_YES : HEAD_DELIVERED_UNKNOWN;
}

void exchange_give_up(struct exchange *x)
{
    switch (x->state) {
    case EXCHANGE_PARKED: exchange_fail(x, ANSWER_SERVER_OFFLINE, HEAD_DELIVERED_NO); return;
    case EXCHANGE_OPENING:
    case EXCHANGE_SENT:
        exchange_reset_stream(x, HEAD_RESET_DEADLINE);
        exchange_fail(x, ANSWER_SERVER_TIMEOUT, known_delivery(x));
        return;
    case EXCHANGE_ANSWERING:
    default:
        exchange_reset_stream(x, HEAD_RESET_CLIENT_GONE);
        exchange_fail(x, ANSWER_CLIENT_TIMEOUT, HEAD_DELIVERED_YES);
        return;
    }
}

static void on_deadline(struct wheel_timer *t)
{
    struct exchange *x = LIST_ITEM(t, struct exchange, deadline);
    if (x->half_closed) {
        session_lost(x->session);
    } else {
        exchange_give_up(x);
    }
}

void exchange_half_close(struct exchange *x)
{
    uint64_t due_ms = exchange_now_ms(x) + EXCHANGE_HALF_CLOSED_MS;
    if (x->state == EXCHANGE_ANSWERING || x->deadline.due_ms <= due_ms) {
        return;
    }
    x->half_closed = true;
    wheel_set(&x->worker->wheel, &x->deadline, due_ms);
}

/* ---- life ---- */

int exchange_start(struct session *s, int64_t key, int64_t server, bool with_feedback)
{
    struct worker *w = s->worker;
    struct exchange *x = take_exchange(w);
    if (x == NULL) {
        return ERROR_NOMEM;
    }
    *x = (struct exchange){
        .worker = w,
        .session = s,
        .key = key,
        .server = server,
        .started_us = s->request_us,
        .answer_by_ms = worker_now_ms(w) +
                        (with_feedback ? w->settings.server_fb_ms : w->settings.server_ms) +
                        EXCHANGE_MARGIN_MS,
    };
    int err = exchange_table_add(&w->exchanges, x, &x->ref);
    if (err < 0) {
        give_exchange(w, x);
        return err;
    }
    list_init(&x->parked);
    wheel_timer_init(&x->deadline, on_deadline);
    s->exchange = x;
    exchange_dispatch(x);
    return 0;
}

void exchange_cancel(struct exchange *x)
{
    metrics_add(&x->worker->metrics.client_gone, 1);
    exchange_reset_stream(x, HEAD_RESET_CLIENT_GONE);
    exchange_remember_for_log(x);
    exchange_release(x);
}
