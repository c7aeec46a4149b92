/* SPDX-License-Identifier: Apache-2.0 */
/* When frames wait for others to share a message with: under load, for a few looks, never for good.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/wire/mux.h"
#include "tests/unit/wire/pipe.h"

#define BIG_BYTES FRAME_MESSAGE_BYTES

static int setup(void **state)
{
    *state = pipe_new_ready();
    return 0;
}

static int teardown(void **state)
{
    pipe_free(*state);
    return 0;
}

/* Requests that the agent has been told of and the relay has no answer to. */
static void open_streams(struct pipe *p, int n)
{
    for (int i = 0; i < n; i++) {
        (void)pipe_get(p, "/");
    }
    pipe_settle(p);
}

static void a_request_among_few_leaves_at_once(void **state)
{
    struct pipe *p = *state;

    for (int i = 0; i < MUX_BUSY_STREAMS - 1; i++) {
        (void)pipe_get(p, "/");
        assert_false(mux_expects_more(p->relay, p->now_ms));
    }
}

static void an_answer_among_few_leaves_at_once(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS - 1);
    pipe_respond(p, 1, 200, "1", 1);
    assert_false(mux_expects_more(p->agent, p->now_ms));
}

static void under_load_a_request_waits_for_one_look_that_finds_no_other(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS - 1);
    (void)pipe_get(p, "/");
    assert_true(mux_expects_more(p->relay, p->now_ms));
    assert_false(mux_expects_more(p->relay, p->now_ms));
}

static void under_load_an_answer_waits_for_one_look_that_finds_no_other(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS);
    pipe_respond(p, 1, 200, "1", 1);
    assert_true(mux_expects_more(p->agent, p->now_ms));
    assert_false(mux_expects_more(p->agent, p->now_ms));
}

static void what_each_look_finds_shares_one_message(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS);
    size_t before = p->n_messages;
    for (uint32_t id = 1; id <= MUX_BUSY_STREAMS; id++) {
        pipe_respond(p, id, 200, "1", 1);
        assert_true(mux_expects_more(p->agent, p->now_ms));
    }
    assert_false(mux_expects_more(p->agent, p->now_ms));
    pipe_settle(p);
    assert_int_equal(p->n_messages - before, 1);
}

static void nothing_waits_for_more_than_so_many_looks(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS + MUX_LOOKS_MAX + 1);
    uint32_t id = 1;
    for (int i = 0; i < MUX_LOOKS_MAX; i++) {
        pipe_respond(p, id++, 200, NULL, 0);
        assert_true(mux_expects_more(p->agent, p->now_ms));
    }
    pipe_respond(p, id++, 200, NULL, 0);
    assert_false(mux_expects_more(p->agent, p->now_ms));
    pipe_settle(p);
    pipe_respond(p, id, 200, NULL, 0);
    assert_true(mux_expects_more(p->agent, p->now_ms)); /* the next message has as many */
}

static void nothing_waits_for_looks_that_take_long(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS + 4);
    p->now_ms += 1000;
    pipe_respond(p, 1, 200, NULL, 0);
    assert_true(mux_expects_more(p->agent, p->now_ms));
    p->now_ms += MUX_GATHER_MS;
    pipe_respond(p, 2, 200, NULL, 0);
    assert_true(mux_expects_more(p->agent, p->now_ms));
    p->now_ms++;
    pipe_respond(p, 3, 200, NULL, 0);
    assert_false(mux_expects_more(p->agent, p->now_ms));
}

static void the_next_message_may_wait_again(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS + 2);
    pipe_respond(p, 1, 200, "a longer answer", 15);
    assert_true(mux_expects_more(p->agent, p->now_ms));
    assert_false(mux_expects_more(p->agent, p->now_ms));
    pipe_settle(p);
    pipe_respond(p, 2, 200, "1", 1);
    assert_true(mux_expects_more(p->agent, p->now_ms));
}

static void a_full_message_leaves_at_once(void **state)
{
    struct pipe *p = *state;
    static const char body[BIG_BYTES];

    open_streams(p, MUX_BUSY_STREAMS);
    pipe_respond(p, 1, 200, body, sizeof(body));
    assert_false(mux_expects_more(p->agent, p->now_ms));
}

static void nothing_to_send_expects_nothing(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS);
    assert_false(mux_expects_more(p->relay, p->now_ms));
    assert_false(mux_expects_more(p->agent, p->now_ms));
}

/* More than the credit of the stream's window lets leave. */
static void bytes_without_credit_wait_for_credit_and_not_for_looks(void **state)
{
    struct pipe *p = *state;
    struct head_response head = {.status = 200, .body_bytes = -1};
    static const char body[MUX_STREAM_WINDOW_BYTES];

    p->relay_log->consumes = false;
    open_streams(p, MUX_BUSY_STREAMS);
    assert_int_equal(mux_respond(p->agent, 1, &head, false), 0);
    assert_int_equal(mux_send_data(p->agent, 1, body, sizeof(body), false), 0);
    pipe_settle(p);
    assert_int_equal(mux_send_data(p->agent, 1, body, 1, false), 0);
    assert_false(mux_wants_send(p->agent));
    assert_false(mux_expects_more(p->agent, p->now_ms));
}

static void a_fault_is_told_at_once(void **state)
{
    struct pipe *p = *state;

    open_streams(p, MUX_BUSY_STREAMS);
    pipe_respond(p, 1, 200, "1", 1);
    assert_int_not_equal(pipe_feed(p, p->agent, 1, FRAME_RESPONSE, 0, NULL, 0), 0);
    assert_true(mux_wants_send(p->agent));
    assert_false(mux_expects_more(p->agent, p->now_ms));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_request_among_few_leaves_at_once),
        CASE(an_answer_among_few_leaves_at_once),
        CASE(under_load_a_request_waits_for_one_look_that_finds_no_other),
        CASE(under_load_an_answer_waits_for_one_look_that_finds_no_other),
        CASE(what_each_look_finds_shares_one_message),
        CASE(nothing_waits_for_more_than_so_many_looks),
        CASE(nothing_waits_for_looks_that_take_long),
        CASE(the_next_message_may_wait_again),
        CASE(a_full_message_leaves_at_once),
        CASE(nothing_to_send_expects_nothing),
        CASE(bytes_without_credit_wait_for_credit_and_not_for_looks),
        CASE(a_fault_is_told_at_once),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
