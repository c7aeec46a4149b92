/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded calls, and waiting for what happens to them. */
#include "tests/unit/upstream/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

#define WATCHDOG_MS     20000
#define CONNECT_MS      1000
#define ANSWER_MS       300
#define FEEDBACK_MS     900
#define MAX_CONNECTIONS 4

static void on_upstream_closed(void *user)
{
    struct fixture *f = user;
    assert_false(f->closed);
    f->closed = true;
    f->u = NULL;
}

/* The second close does nothing, and no call begins any more. */
static void close_from_inside(struct fixture *f)
{
    const struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of("/api/v1/power")};
    struct call *call = NULL;
    upstream_close(f->u, on_upstream_closed, f);
    upstream_close(f->u, on_upstream_closed, f);
    assert_int_equal(try_request(f, &head, NULL, &call), ERROR_STATE);
}

static void act(struct call *c, enum act what)
{
    struct upstream_call *call = c->call;
    switch (what) {
    case ACT_CANCEL:
        c->call = NULL;
        upstream_cancel(call);
        break;
    case ACT_CLOSE: close_from_inside(c->f); break;
    case ACT_PAUSE: upstream_pause(call); break;
    case ACT_NONE:
    default: break;
    }
}

static void on_handed(void *user)
{
    struct call *c = user;
    assert_non_null(c->call);
    assert_int_equal(c->n_handed + c->n_heads, 0);
    c->n_handed++;
    act(c, c->on_handed);
}

static void on_head(void *user, const struct head_response *head)
{
    struct call *c = user;
    assert_non_null(c->call);
    assert_int_equal(c->n_heads, 0);
    c->n_heads++;
    c->status = head->status;
    c->body_bytes = head->body_bytes;
    c->server_us = head->server_us;
    for (size_t i = 0; i < head->n_fields; i++) {
        size_t len = strlen(c->fields);
        (void)snprintf(c->fields + len, sizeof(c->fields) - len, "[%.*s=%.*s]",
                       (int)head->fields[i].name.len, head->fields[i].name.p,
                       (int)head->fields[i].value.len, head->fields[i].value.p);
    }
    act(c, c->on_head);
}

/* realloc is what a failing allocator leaves alone (tests/unit/base/allocator.h). */
static void append_body(struct call *c, const uint8_t *bytes, size_t len)
{
    if (c->body.len + len > c->body.cap) {
        c->body.cap = 2 * (c->body.len + len);
        c->body.p = realloc(c->body.p, c->body.cap);
        assert_non_null(c->body.p);
    }
    memcpy(c->body.p + c->body.len, bytes, len);
    c->body.len += len;
}

static void on_data(void *user, const uint8_t *bytes, size_t len)
{
    struct call *c = user;
    assert_non_null(c->call);
    assert_int_equal(c->n_heads, 1);
    assert_true(len > 0);
    append_body(c, bytes, len);
    act(c, c->on_data);
}

static void on_end(void *user)
{
    struct call *c = user;
    assert_non_null(c->call);
    assert_int_equal(c->n_heads, 1);
    c->call = NULL;
    c->n_ends++;
}

static void on_fail(void *user, enum head_reset reason, enum head_delivered delivered)
{
    struct call *c = user;
    assert_non_null(c->call);
    c->call = NULL;
    c->n_fails++;
    c->reason = reason;
    c->delivered = delivered;
}

void start(struct fixture *f)
{
    struct error_text e;
    if (upstream_new(&f->loop, &f->settings, &f->u, &e) != 0) {
        fail_msg("upstream_new: %s", e.text);
    }
}

int try_request(struct fixture *f, const struct head_request *head, const char *body,
                struct call **call)
{
    static const struct upstream_callbacks CALLBACKS = {on_handed, on_head, on_data, on_end,
                                                        on_fail};
    assert_true(f->n_calls < FIXTURE_CALLS_MAX);
    struct call *c = &f->calls[f->n_calls];
    c->f = f;
    int rc = upstream_call(f->u, head, body, &CALLBACKS, c, &c->call);
    if (rc == 0) {
        f->n_calls++;
        *call = c;
        assert_int_equal(c->n_handed + c->n_heads + c->n_ends + c->n_fails, 0);
    }
    return rc;
}

struct call *request(struct fixture *f, enum head_method method, const char *target,
                     const struct head_field *fields, size_t n_fields, const char *body,
                     size_t body_len, uint32_t deadline_ms)
{
    struct span rest = span_of(target);
    struct span path = span_cut(&rest, '?');
    struct head_request head = {
        .method = method,
        .has_query = rest.p != NULL,
        .deadline_ms = deadline_ms,
        .body_bytes = (uint32_t)body_len,
        .path = path,
        .query = rest,
        .fields = fields,
        .n_fields = n_fields,
    };
    struct call *call = NULL;
    assert_int_equal(try_request(f, &head, body, &call), 0);
    return call;
}

struct call *get(struct fixture *f, const char *target)
{
    return request(f, HEAD_METHOD_GET, target, NULL, 0, NULL, 0, 0);
}

/* ---- waiting ---- */

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing more happens");
}

#define RUN_UNTIL(f, condition)                                                                    \
    while (!(condition)) {                                                                         \
        uv_run(&(f)->loop, UV_RUN_ONCE);                                                           \
    }

void until_done(struct call *call)
{
    RUN_UNTIL(call->f, call->n_ends + call->n_fails > 0);
}

void until_handed(struct call *call)
{
    RUN_UNTIL(call->f, call->n_handed > 0);
}

void until_data(struct call *call)
{
    RUN_UNTIL(call->f, call->body.len > 0);
}

void until_requests(struct fixture *f, size_t n)
{
    RUN_UNTIL(f, f->server.n_requests >= n);
}

static uint32_t n_open(const struct fixture *f)
{
    struct upstream_stats stats;
    upstream_read_stats(f->u, &stats);
    return stats.n_open;
}

void until_open(struct fixture *f, uint32_t n)
{
    RUN_UNTIL(f, n_open(f) == n);
}

void until_peers(struct fixture *f, size_t n)
{
    RUN_UNTIL(f, f->server.n_peers >= n);
}

void until_end_seen(struct fixture *f, size_t peer)
{
    RUN_UNTIL(f, f->server.peers[peer].saw_end);
}

void until_resolving(struct fixture *f)
{
    /* The thread in which the resolver begins cannot wake this loop. */
    while (!fake_is_resolving()) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
}

void until_closed(struct fixture *f)
{
    if (f->u != NULL) {
        upstream_close(f->u, on_upstream_closed, f);
    }
    RUN_UNTIL(f, f->closed);
}

void run_turns(struct fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
}

void expect_answer(const struct call *call, unsigned status, const char *body)
{
    assert_int_equal(call->n_fails, 0);
    assert_int_equal(call->n_ends, 1);
    assert_int_equal(call->n_heads, 1);
    assert_int_equal(call->status, status);
    assert_int_equal(call->body.len, strlen(body));
    assert_true(call->body.len == 0 || memcmp(call->body.p, body, call->body.len) == 0);
}

void expect_failure(const struct call *call, enum head_reset reason, enum head_delivered delivered)
{
    assert_int_equal(call->n_ends, 0);
    assert_int_equal(call->n_fails, 1);
    assert_int_equal(call->reason, reason);
    assert_int_equal(call->delivered, delivered);
}

/* ---- fixture ---- */

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->calls = calloc(FIXTURE_CALLS_MAX, sizeof(*f->calls));
    assert_non_null(f->calls);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    uv_timer_init(&f->loop, &f->watchdog);
    uv_timer_start(&f->watchdog, on_watchdog, WATCHDOG_MS, 0);
    fake_server_start(&f->server, &f->loop);
    f->settings = (struct upstream_settings){
        .url = f->server.url,
        .auth = UPSTREAM_AUTH_NONE,
        .user = "service",
        .password = "secret",
        .max_connections = MAX_CONNECTIONS,
        .connect_timeout_ms = CONNECT_MS,
        .answer_timeout_ms = ANSWER_MS,
        .feedback_timeout_ms = FEEDBACK_MS,
    };
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->u != NULL || f->closed) {
        until_closed(f);
    }
    fake_server_close(&f->server);
    uv_close((uv_handle_t *)&f->watchdog, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    fake_server_free(&f->server);
    for (size_t i = 0; i < f->n_calls; i++) {
        free(f->calls[i].body.p);
    }
    free(f->calls);
    free(f);
    return 0;
}
