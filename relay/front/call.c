/* SPDX-License-Identifier: Apache-2.0 */
/* A call of an operator's own.
 *
 * Happy path: call_start -> router_request -> (HANDED) -> head -> data ... end -> on_done. It fails
 * when its time is up, when the tunnel is lost, or when the agent says so; it is never sent again.
 * To the router it is an exchange like any other, whose events come here instead of to a session.
 */
#include "relay/front/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/base/log.h"
#include "proto/base/random.h"
#include "relay/front/activity.h"
#include "relay/front/answer.h"
#include "relay/front/exchange.h"
#include "relay/front/exchange_internal.h"
#include "relay/router.h"
#include "relay/worker.h"

#define ID_BYTES 17

struct call {
    struct exchange x; /* no session */
    char id[ID_BYTES];
    void (*on_done)(void *user, const struct call_result *result);
    void *user;
    struct call_result result;
    struct buffer body;
    bool is_quiet;
    struct activity_record record;
};

static void note(struct call *c)
{
    struct activity_record *r = &c->record;
    if (c->is_quiet) {
        return;
    }
    r->at_us = clock_wall_us();
    r->status = (uint16_t)c->result.status;
    r->reason = c->result.reason;
    r->total_us = (uint32_t)c->result.total_us;
    r->agent_us = r->total_us;
    r->server_us = c->result.server_us;
    r->n_bytes = c->body.len;
    activity_note(c->x.worker->activity, r, false); /* an operator's is not counted by class */
    log_event(LOG_LEVEL_INFO, "operator's call", log_text("id", c->id),
              log_text("client", r->client), log_text("serial", r->serial),
              log_text("controller", r->controller), log_uint("status", c->result.status),
              log_text("reason", c->result.reason), log_uint("us", c->result.total_us),
              log_uint("server_us", c->result.server_us));
}

static void release(struct call *c)
{
    wheel_cancel(&c->x.deadline);
    exchange_table_remove(&c->x.worker->exchanges, c->x.ref);
    buffer_close(&c->body);
    free(c);
}

static void finish(struct call *c)
{
    c->result.total_us = clock_now_us() - c->x.started_us;
    c->result.body = (struct span){(const char *)buffer_bytes(&c->body), c->body.len};
    note(c);
    c->on_done(c->user, &c->result);
    release(c);
}

static void fail(struct call *c, enum answer_reason reason, enum head_delivered delivered)
{
    c->result.status = answer_status(reason);
    c->result.reason = answer_word(reason);
    c->result.delivered = delivered;
    buffer_clear(&c->body);
    finish(c);
}

static void on_deadline(struct wheel_timer *t)
{
    struct exchange *x = LIST_ITEM(t, struct exchange, deadline);
    struct call *c = x->call;
    enum head_delivered delivered = x->handed ? HEAD_DELIVERED_YES : HEAD_DELIVERED_UNKNOWN;
    exchange_reset_stream(x, HEAD_RESET_DEADLINE);
    fail(c, ANSWER_SERVER_TIMEOUT, delivered);
}

void call_on_handed(struct call *c)
{
    c->x.handed = true;
}

void call_on_head(struct call *c, const struct head_response *head, bool end)
{
    c->x.state = EXCHANGE_ANSWERING;
    c->x.handed = true;
    c->result.status = head->status;
    c->result.delivered = HEAD_DELIVERED_YES;
    c->result.server_us = head->server_us;
    for (size_t i = 0; i < head->n_fields; i++) {
        if (span_equal_nocase(head->fields[i].name, span_of("Content-Type"))) {
            (void)span_copy(head->fields[i].value, c->result.type, sizeof(c->result.type));
        }
    }
    if (end) {
        finish(c);
    }
}

void call_on_data(struct call *c, const uint8_t *bytes, size_t len, bool end)
{
    if (buffer_append_fitting(&c->body, bytes, len) < 0) {
        c->result.truncated = true;
        exchange_reset_stream(&c->x, HEAD_RESET_CLIENT_GONE);
        end = true;
    }
    if (end) {
        finish(c);
    }
}

void call_on_failed(struct call *c, enum head_reset reason, enum head_delivered delivered)
{
    fail(c, exchange_reason_of(reason), delivered);
}

static void set_record(struct call *c, const struct call_request *r)
{
    struct activity_record *a = &c->record;
    a->server = r->server;
    (void)snprintf(a->serial, sizeof(a->serial), "%s", r->serial);
    (void)snprintf(a->id, sizeof(a->id), "%s", c->id);
    (void)snprintf(a->method, sizeof(a->method), "GET");
    (void)snprintf(a->client, sizeof(a->client), "%s", r->who);
    (void)span_copy(r->controller, a->controller, sizeof(a->controller));
}

static int send_request(struct call *c, const struct call_request *r)
{
    struct worker *w = c->x.worker;
    uint32_t wait_ms = r->with_feedback ? w->settings.server_fb_ms : w->settings.server_ms;
    struct head_request head = {
        .method = HEAD_METHOD_GET,
        .has_query = r->query.len > 0,
        .deadline_ms = wait_ms,
        .path = r->path,
        .query = r->query,
        .request_id = span_of(c->id),
    };
    const struct span no_body = {NULL, 0};
    switch (router_request(w, r->server, c->x.ref, &head, no_body, &c->x.tunnel, &c->x.stream)) {
    case ROUTER_OPENED: c->x.state = EXCHANGE_SENT; break;
    case ROUTER_HANDED_ON: c->x.state = EXCHANGE_OPENING; break;
    case ROUTER_NO_TUNNEL: return ERROR_NOT_FOUND;
    case ROUTER_FULL: return ERROR_LIMIT;
    case ROUTER_FAILED:
    default: return ERROR_NOMEM;
    }
    wheel_set(&w->wheel, &c->x.deadline, worker_now_ms(w) + wait_ms + EXCHANGE_MARGIN_MS);
    return 0;
}

int call_start(struct worker *w, const struct call_request *r,
               void (*on_done)(void *user, const struct call_result *result), void *user,
               struct call **call)
{
    struct call *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ERROR_NOMEM;
    }
    c->x.worker = w;
    c->x.call = c;
    c->x.server = r->server;
    c->x.started_us = clock_now_us();
    c->is_quiet = r->is_quiet;
    c->on_done = on_done;
    c->user = user;
    (void)snprintf(c->id, sizeof(c->id), "%016llx", (unsigned long long)random_u64());
    buffer_init(&c->body, r->body_bytes_max != 0 ? r->body_bytes_max : CALL_BODY_BYTES_MAX);
    list_init(&c->x.parked);
    wheel_timer_init(&c->x.deadline, on_deadline);
    set_record(c, r);
    int err = exchange_table_add(&w->exchanges, &c->x, &c->x.ref);
    if (err < 0) {
        free(c);
        return err;
    }
    err = send_request(c, r);
    if (err < 0) {
        release(c);
        return err;
    }
    *call = c;
    return 0;
}

void call_cancel(struct call *c)
{
    exchange_reset_stream(&c->x, HEAD_RESET_CLIENT_GONE);
    release(c);
}
