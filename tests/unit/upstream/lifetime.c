/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream: calls that are cancelled, paused or shut down in every state. The
 * fixture's teardown asserts that nothing is left in the loop. */
#include "tests/unit/upstream/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

#define PART "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"
#define BIG  (4 * 1024 * 1024)

static void cancel(struct call *call)
{
    struct upstream_call *c = call->call;
    assert_non_null(c);
    call->call = NULL;
    upstream_cancel(c);
}

/* Nothing was told after the cancelling, and the upstream still works. */
static void expect_cancelled(struct fixture *f, const struct call *call)
{
    struct upstream_stats stats;
    struct call *next = get(f, STATUS);
    until_done(next);
    expect_answer(next, 200, "ok");
    assert_int_equal(call->n_ends + call->n_fails, 0);
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_queued, 0);
    assert_int_equal(stats.n_busy, 0);
    assert_int_equal(stats.n_failed, 0);
}

/* ---- cancel ---- */

static void cancel_before_the_first_turn(void **state)
{
    struct fixture *f = *state;
    start(f);
    struct call *call = get(f, COMMAND);
    cancel(call);
    expect_cancelled(f, call);
    assert_int_equal(f->server.n_requests, 1);
}

static void cancel_in_the_queue(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 1;
    start(f);
    fake_reply(&f->server, "", FAKE_KEEP);
    struct call *first = get(f, COMMAND);
    struct call *queued = get(f, COMMAND);
    until_handed(first);
    cancel(queued);
    cancel(first);
    expect_cancelled(f, queued);
    assert_int_equal(queued->n_handed, 0);
}

static void cancel_while_resolving(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(&f->server, FAKE_NAME_SLOW);
    f->settings.max_connections = 1;
    start(f);
    struct call *call = get(f, COMMAND);
    until_resolving(f);
    cancel(call);
    /* The resolver still has the only place: the next call waits for it, and asks anew. */
    fake_resolve_slow();
    fake_resolve_slow();
    expect_cancelled(f, call);
    assert_int_equal(f->server.n_peers, 1);
}

static void cancel_between_two_addresses(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(&f->server, FAKE_NAME_TWO);
    /* Somewhere in these turns the first address has failed and the second is not yet tried. */
    for (int n_turns = 0; n_turns < 12; n_turns++) {
        f->closed = false;
        start(f);
        struct call *call = get(f, COMMAND);
        run_turns(f, n_turns);
        if (call->call != NULL) {
            cancel(call);
        }
        until_closed(f);
    }
}

static void cancel_while_connecting(void **state)
{
    struct fixture *f = *state;
    struct fake_hole hole;
    fake_hole_open(&hole);
    f->settings.url = hole.url;
    start(f);
    struct call *call = get(f, COMMAND);
    until_open(f, 1);
    run_turns(f, 3);
    cancel(call);
    until_open(f, 0);
    until_closed(f);
    assert_int_equal(call->n_handed + call->n_ends + call->n_fails, 0);
    fake_hole_close(&hole);
}

static void cancel_while_waiting(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "", FAKE_KEEP);
    start(f);
    struct call *call = get(f, COMMAND);
    until_requests(f, 1);
    cancel(call);
    until_end_seen(f, 0);
    expect_cancelled(f, call);
}

static void cancel_in_the_body(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, PART, FAKE_KEEP);
    start(f);
    struct call *call = get(f, COMMAND);
    until_data(call);
    cancel(call);
    until_end_seen(f, 0);
    expect_cancelled(f, call);
}

static void cancel_while_paused(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, PART, FAKE_KEEP);
    start(f);
    struct call *call = get(f, COMMAND);
    call->on_data = ACT_PAUSE;
    until_data(call);
    cancel(call);
    until_end_seen(f, 0);
    expect_cancelled(f, call);
}

static void cancel_from_on_handed(void **state)
{
    struct fixture *f = *state;
    start(f);
    struct call *call = get(f, COMMAND);
    call->on_handed = ACT_CANCEL;
    until_handed(call);
    expect_cancelled(f, call);
    assert_int_equal(call->n_heads, 0);
}

static void cancel_from_on_head(void **state)
{
    struct fixture *f = *state;
    start(f);
    struct call *call = get(f, COMMAND);
    call->on_head = ACT_CANCEL;
    until_peers(f, 1);
    until_end_seen(f, 0);
    assert_int_equal(call->n_heads, 1);
    assert_int_equal(call->body.len, 0);
    expect_cancelled(f, call);
}

static void cancel_from_on_data(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               "1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
               FAKE_KEEP);
    start(f);
    struct call *call = get(f, COMMAND);
    call->on_data = ACT_CANCEL;
    until_data(call);
    assert_int_equal(call->body.len, 1);
    expect_cancelled(f, call);
}

static void cancel_during_a_401(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server,
               "HTTP/1.1 401 No\r\nContent-Length: 9\r\n"
               "WWW-Authenticate: Digest realm=r, nonce=n\r\n\r\npart",
               FAKE_KEEP);
    f->settings.auth = UPSTREAM_AUTH_DIGEST;
    start(f);
    struct call *call = get(f, COMMAND);
    until_requests(f, 1);
    run_turns(f, 20);
    cancel(call);
    until_end_seen(f, 0);
    expect_cancelled(f, call);
}

static void cancel_with_a_request_half_written(void **state)
{
    static char body[120 * 1024];
    struct fixture *f = *state;
    fake_be_deaf(&f->server);
    memset(body, 'x', sizeof(body));
    start(f);
    struct call *call =
        request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, body, sizeof(body), 0);
    until_peers(f, 1);
    run_turns(f, 5);
    assert_int_equal(call->n_handed, 0);
    cancel(call);
    f->server.deaf = false;
    expect_cancelled(f, call);
}

/* ---- close ---- */

static void note_closed(void *user)
{
    struct fixture *f = user;
    f->closed = true;
    f->u = NULL;
}

static void close_without_any_call(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_closed(f);
}

static void close_with_an_idle_connection(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_done(get(f, COMMAND));
    until_closed(f);
}

static void close_from_on_handed(void **state)
{
    struct fixture *f = *state;
    start(f);
    struct call *call = get(f, COMMAND);
    call->on_handed = ACT_CLOSE;
    until_done(call);
    expect_failure(call, HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_UNKNOWN);
    until_closed(f);
}

static void close_with_calls_in_every_state(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "", FAKE_KEEP);
    fake_reply(&f->server, PART, FAKE_KEEP);
    f->settings.max_connections = 2;
    start(f);
    struct call *waiting = get(f, COMMAND);
    until_requests(f, 1);
    struct call *in_body = get(f, COMMAND);
    until_data(in_body);
    struct call *queued = get(f, COMMAND);
    run_turns(f, 3);
    struct call *untouched = get(f, COMMAND);
    until_closed(f);
    expect_failure(waiting, HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_UNKNOWN);
    expect_failure(in_body, HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_YES);
    expect_failure(queued, HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_NO);
    expect_failure(untouched, HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_NO);
}

static void close_while_connecting(void **state)
{
    struct fixture *f = *state;
    struct fake_hole hole;
    fake_hole_open(&hole);
    f->settings.url = hole.url;
    start(f);
    struct call *call = get(f, COMMAND);
    run_turns(f, 3);
    until_closed(f);
    expect_failure(call, HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_NO);
    fake_hole_close(&hole);
}

static void close_while_resolving(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(&f->server, FAKE_NAME_SLOW);
    start(f);
    struct call *call = get(f, COMMAND);
    until_resolving(f);
    upstream_close(f->u, note_closed, f);
    expect_failure(call, HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_NO);
    run_turns(f, 3);
    assert_false(f->closed);
    fake_resolve_slow();
    until_closed(f);
}

static void close_from_on_head_and_on_data(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, PART, FAKE_KEEP);
    for (int i = 0; i < 2; i++) {
        f->closed = false;
        start(f);
        struct call *call = get(f, COMMAND);
        struct call *other = get(f, COMMAND);
        *(i == 0 ? &call->on_head : &call->on_data) = ACT_CLOSE;
        until_done(call);
        expect_failure(call, HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_YES);
        assert_int_equal(other->n_ends + other->n_fails, 1);
        until_closed(f);
    }
}

/* ---- pause and resume ---- */

static char *make_big_reply(size_t *len)
{
    char *reply = malloc(BIG + 128);
    assert_non_null(reply);
    int n = snprintf(reply, 128, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
    for (size_t i = 0; i < BIG; i++) {
        reply[(size_t)n + i] = (char)(i * 31 % 251);
    }
    *len = (size_t)n + BIG;
    return reply;
}

static void expect_big_body(const struct call *call, const char *body)
{
    assert_int_equal(call->n_ends, 1);
    assert_int_equal(call->body.len, BIG);
    assert_memory_equal(call->body.p, body, BIG);
}

static void a_paused_body_waits_as_long_as_it_must(void **state)
{
    struct fixture *f = *state;
    size_t len = 0;
    char *reply = make_big_reply(&len);
    fake_reply_bytes(&f->server, reply, len, FAKE_KEEP);
    start(f);
    struct call *call = get(f, STATUS);
    call->on_data = ACT_PAUSE;
    while (call->body.len < BIG) {
        size_t before = call->body.len;
        until_data(call);
        run_turns(f, 20);
        /* While it is paused no more comes than was read already. */
        assert_in_range(call->body.len - before, 0, 2 * UPSTREAM_RECEIVE_BYTES);
        size_t paused_at = call->body.len;
        run_turns(f, 20);
        assert_int_equal(call->body.len, paused_at);
        assert_int_equal(call->n_ends + call->n_fails, paused_at == BIG);
        if (call->call != NULL) {
            upstream_resume(call->call);
            while (call->body.len == paused_at) {
                uv_run(&f->loop, UV_RUN_ONCE);
            }
        }
    }
    expect_big_body(call, reply + len - BIG);
    free(reply);
}

static void a_pause_is_not_a_delay_of_the_server(void **state)
{
    struct fixture *f = *state;
    struct call *other = NULL;
    fake_reply(&f->server, PART, FAKE_KEEP);
    fake_reply(&f->server, "", FAKE_KEEP);
    start(f);
    struct call *call = get(f, STATUS);
    call->on_data = ACT_PAUSE;
    until_data(call);
    other = get(f, STATUS);
    until_done(other); /* its deadline is later than the paused one's would be */
    expect_failure(other, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    assert_int_equal(call->n_fails, 0);
    call->on_data = ACT_NONE;
    upstream_resume(call->call);
    upstream_resume(call->call);
    fake_send(&f->server, 0, "-rest");
    until_done(call);
    expect_answer(call, 200, "part-rest");
}

static void after_a_resume_the_deadline_counts_again(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, PART, FAKE_KEEP);
    start(f);
    struct call *call = get(f, STATUS);
    call->on_data = ACT_PAUSE;
    until_data(call);
    upstream_resume(call->call);
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
}

static void a_pause_from_the_start_holds_back_the_body_only(void **state)
{
    struct fixture *f = *state;
    size_t len = 0;
    char *reply = make_big_reply(&len);
    fake_reply_bytes(&f->server, reply, len, FAKE_KEEP);
    start(f);
    struct call *call = get(f, STATUS);
    upstream_pause(call->call);
    while (call->n_heads == 0) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    run_turns(f, 50);
    assert_in_range(call->body.len, 0, UPSTREAM_RECEIVE_BYTES);
    upstream_resume(call->call);
    until_done(call);
    expect_big_body(call, reply + len - BIG);
    free(reply);
}

static void a_kept_connection_reads_again_after_a_pause(void **state)
{
    struct fixture *f = *state;
    start(f);
    struct call *call = get(f, STATUS);
    call->on_head = ACT_PAUSE; /* head and body come in one read */
    until_done(call);
    expect_answer(call, 200, "ok");
    fake_hang_up(&f->server, 0);
    until_open(f, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(cancel_before_the_first_turn),
        CASE(cancel_in_the_queue),
        CASE(cancel_while_resolving),
        CASE(cancel_between_two_addresses),
        CASE(cancel_while_connecting),
        CASE(cancel_while_waiting),
        CASE(cancel_in_the_body),
        CASE(cancel_while_paused),
        CASE(cancel_from_on_handed),
        CASE(cancel_from_on_head),
        CASE(cancel_from_on_data),
        CASE(cancel_during_a_401),
        CASE(cancel_with_a_request_half_written),
        CASE(close_without_any_call),
        CASE(close_with_an_idle_connection),
        CASE(close_from_on_handed),
        CASE(close_with_calls_in_every_state),
        CASE(close_while_connecting),
        CASE(close_while_resolving),
        CASE(close_from_on_head_and_on_data),
        CASE(a_paused_body_waits_as_long_as_it_must),
        CASE(a_pause_is_not_a_delay_of_the_server),
        CASE(after_a_resume_the_deadline_counts_again),
        CASE(a_pause_from_the_start_holds_back_the_body_only),
        CASE(a_kept_connection_reads_again_after_a_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
