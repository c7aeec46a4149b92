/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream: connections that are kept and shared, and that die while kept. */
#include "tests/unit/upstream/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

static int code_of(struct fixture *f, struct head_request head)
{
    struct call *call = NULL;
    return try_request(f, &head, NULL, &call);
}

static void connections_are_kept_and_shared(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    start(f);
    for (int i = 0; i < 5; i++) {
        until_done(get(f, COMMAND));
    }
    assert_int_equal(f->server.n_peers, 1);
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_open, 1);
    assert_int_equal(stats.n_busy, 0);
    assert_int_equal(stats.n_calls, 5);
    assert_int_equal(stats.n_failed, 0);
    assert_true(stats.last_answer_ms > 0);
    assert_string_equal(stats.last_error, "");
}

static void no_more_connections_than_allowed(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    f->settings.max_connections = 2;
    start(f);
    for (int i = 0; i < 7; i++) {
        get(f, COMMAND);
    }
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_queued, 7);
    until_handed(&f->calls[1]);
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_open, 2);
    assert_int_equal(stats.n_queued, 5);
    for (int i = 0; i < 7; i++) {
        until_done(&f->calls[i]);
        expect_answer(&f->calls[i], 200, "ok");
    }
    assert_int_equal(f->server.n_peers, 2);
}

static void the_connection_used_last_is_used_next(void **state)
{
    struct fixture *f = *state;
    start(f);
    fake_reply(&f->server, "", FAKE_KEEP);
    struct call *held = get(f, COMMAND);
    until_requests(f, 1);
    until_done(get(f, COMMAND)); /* on the second connection */
    fake_send(&f->server, 0, OK);
    until_done(held); /* the first is now the one used last */
    until_done(get(f, COMMAND));
    assert_int_equal(f->server.requests[2].peer, 0);
}

static void the_queue_has_an_end(void **state)
{
    struct fixture *f = *state;
    struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of("/api/v1/power")};
    start(f);
    for (int i = 0; i < UPSTREAM_QUEUE_MAX; i++) {
        assert_int_equal(code_of(f, head), 0);
    }
    assert_int_equal(code_of(f, head), ERROR_LIMIT);
    until_closed(f);
    for (size_t i = 0; i < UPSTREAM_QUEUE_MAX; i++) {
        expect_failure(&f->calls[i], HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_NO);
    }
}

static void connection_close_is_honoured(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
               FAKE_KEEP);
    fake_reply(&f->server, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", FAKE_KEEP);
    fake_reply(&f->server,
               "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=0\r\n\r\nok",
               FAKE_KEEP);
    start(f);
    for (size_t i = 0; i < 3; i++) {
        struct call *call = get(f, COMMAND);
        until_done(call);
        expect_answer(call, 200, "ok");
        until_end_seen(f, i);
    }
    until_open(f, 0);
}

static void an_idle_connection_is_closed_before_the_server_does(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server,
               "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\nok",
               FAKE_KEEP);
    start(f);
    until_done(get(f, COMMAND));
    uint64_t start_ms = uv_now(&f->loop);
    until_end_seen(f, 0);
    uint64_t idle_ms = uv_now(&f->loop) - start_ms;
    assert_in_range(idle_ms, 400, UPSTREAM_IDLE_MS - 1); /* what the server said counted */
}

static void the_servers_close_is_noticed_at_once(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_done(get(f, COMMAND));
    fake_hang_up(&f->server, 0);
    until_open(f, 0);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(f->server.requests[1].peer, 1);
}

static void bytes_nobody_asked_for_end_a_connection(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_done(get(f, COMMAND));
    fake_send(&f->server, 0, OK);
    until_open(f, 0);
    until_end_seen(f, 0);
}

static void a_second_answer_is_never_used(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, OK OK, FAKE_KEEP);
    fake_reply(&f->server, OK, FAKE_AGAIN);
    start(f);
    for (size_t i = 0; i < 2; i++) {
        struct call *call = get(f, COMMAND);
        until_done(call);
        expect_answer(call, 200, "ok");
        until_end_seen(f, i);
    }
    struct call *call = get(f, COMMAND);
    until_done(call);
    assert_int_equal(f->server.requests[2].peer, 2);
}

/* ---- a kept connection that has died ---- */

static void a_reading_call_is_tried_once_more(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, OK, FAKE_KEEP);
    fake_reply(&f->server, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    struct call *call = get(f, STATUS);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(call->n_handed, 1);
    assert_int_equal(f->server.n_requests, 3);
    assert_string_equal(f->server.requests[1].text, f->server.requests[2].text);
    assert_int_equal(f->server.requests[2].peer, 1);
}

static void a_reading_call_is_tried_no_third_time(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, OK, FAKE_KEEP);
    fake_reply(&f->server, "", FAKE_RESET);
    fake_reply(&f->server, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    struct call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(f->server.n_requests, 3);
}

static void a_retry_that_finds_no_server_is_unknown(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, OK, FAKE_KEEP);
    fake_reply(&f->server, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    fake_stop_listening(&f->server);
    struct call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_UNKNOWN);
}

static void a_reading_call_is_not_tried_again_after_a_byte(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, OK, FAKE_KEEP);
    fake_reply(&f->server, "H", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    struct call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_YES);
    assert_int_equal(f->server.n_requests, 2);
}

static void a_command_is_never_tried_again(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, OK, FAKE_KEEP);
    fake_reply(&f->server, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, COMMAND));
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(f->server.n_requests, 2);
}

static void an_unknown_controller_counts_as_a_command(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, OK, FAKE_KEEP);
    fake_reply(&f->server, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    struct call *call = get(f, "/api/v1/newstatus?guid=1");
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(f->server.n_requests, 2);
}

static void a_retry_takes_no_other_kept_connection(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 2;
    start(f);
    get(f, STATUS);
    until_done(get(f, STATUS));
    until_done(&f->calls[0]);
    assert_int_equal(f->server.n_peers, 2);
    f->server.n_script = 2;
    fake_reply(&f->server, "", FAKE_CLOSE);
    struct call *call = get(f, STATUS);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(f->server.requests[3].peer, 2);
}

/* The connection is broken before the loop could notice: the first write finds it out. */
static void a_command_that_was_not_written_goes_elsewhere(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_done(get(f, COMMAND));
    fake_reset(&f->server, 0);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(f->server.n_requests, 2);
    assert_int_equal(f->server.requests[1].peer, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(connections_are_kept_and_shared),
        CASE(no_more_connections_than_allowed),
        CASE(the_connection_used_last_is_used_next),
        CASE(the_queue_has_an_end),
        CASE(connection_close_is_honoured),
        CASE(an_idle_connection_is_closed_before_the_server_does),
        CASE(the_servers_close_is_noticed_at_once),
        CASE(bytes_nobody_asked_for_end_a_connection),
        CASE(a_second_answer_is_never_used),
        CASE(a_reading_call_is_tried_once_more),
        CASE(a_reading_call_is_tried_no_third_time),
        CASE(a_retry_that_finds_no_server_is_unknown),
        CASE(a_reading_call_is_not_tried_again_after_a_byte),
        CASE(a_command_is_never_tried_again),
        CASE(an_unknown_controller_counts_as_a_command),
        CASE(a_retry_takes_no_other_kept_connection),
        CASE(a_command_that_was_not_written_goes_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
