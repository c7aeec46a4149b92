/* SPDX-License-Identifier: Apache-2.0 */
/* Streams from request to answer, between two muxes. */
#include "proto/wire/mux.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/pipe.h"

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

static void get_is_answered(void **state)
{
    struct pipe *p = *state;
    uint32_t id = pipe_get(p, "/api/V1/power");
    assert_int_equal(id, 1);
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 GET /api/V1/power body=0 end\n");
    pipe_respond(p, id, 200, "hello", 5);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 200 body=5\ndata 1 \"hello\" end\ndone 1\n");
    pipe_expect_agent(p, "done 1\n");
    assert_int_equal(mux_n_streams(p->relay), 0);
    assert_int_equal(mux_n_streams(p->agent), 0);
}

static void answer_without_body_ends_with_its_head(void **state)
{
    struct pipe *p = *state;
    uint32_t id = pipe_get(p, "/");
    pipe_settle(p);
    pipe_respond(p, id, 404, NULL, 0);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 404 body=0 end\ndone 1\n");
}

static void post_body_arrives_whole(void **state)
{
    struct pipe *p = *state;
    pipe_post(p, "/api/V1/power", "a=1&b=2", 7);
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 POST /api/V1/power body=7\ndata 1 \"a=1&b=2\" end\n");
}

static void head_fields_query_and_id_travel_unchanged(void **state)
{
    struct pipe *p = *state;
    const struct head_field field = {span_of("Accept"), span_of("a/b; q=1")};
    struct head_request head = {
        .method = HEAD_METHOD_GET,
        .has_query = true,
        .path = span_of("/x"),
        .query = span_of("fb&&a=%20"),
        .request_id = span_of("id-9"),
        .fields = &field,
        .n_fields = 1,
    };
    uint32_t id;
    assert_int_equal(mux_request(p->relay, &head, NULL, NULL, &id, 0), 0);
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 GET /x?fb&&a=%20 body=0 id=id-9 end\n    Accept: a/b; q=1\n");
}

static void many_requests_share_one_message(void **state)
{
    struct pipe *p = *state;
    for (int i = 0; i < 50; i++) {
        pipe_get(p, "/api/V1/power");
    }
    size_t before = p->n_messages;
    pipe_settle(p);
    assert_int_equal(p->n_messages - before, 1);
    for (uint32_t id = 1; id <= 50; id++) {
        pipe_respond(p, id, 200, "0123456789", 10);
    }
    before = p->n_messages;
    pipe_settle(p);
    assert_int_equal(p->n_messages - before, 1);
    assert_int_equal(mux_n_streams(p->relay), 0);
    assert_int_equal(mux_n_streams(p->agent), 0);
}

static void answers_may_come_in_any_order(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/1");
    pipe_get(p, "/2");
    pipe_settle(p);
    pipe_respond(p, 2, 200, "two", 3);
    pipe_settle(p);
    pipe_respond(p, 1, 200, "one", 3);
    pipe_settle(p);
    pipe_expect_relay(p, "response 2 200 body=3\ndata 2 \"two\" end\ndone 2\n"
                         "response 1 200 body=3\ndata 1 \"one\" end\ndone 1\n");
}

static void body_of_unknown_length_ends_by_end(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    pipe_settle(p);
    struct head_response head = {.status = 200, .body_bytes = -1};
    assert_int_equal(mux_respond(p->agent, 1, &head, false), 0);
    assert_int_equal(mux_send_data(p->agent, 1, "ab", 2, false), 0);
    pipe_settle(p);
    assert_int_equal(mux_send_data(p->agent, 1, NULL, 0, true), 0);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 200 body=?\ndata 1 \"ab\"\ndata 1 \"\" end\ndone 1\n");
}

static void answer_to_head_may_announce_a_length_it_does_not_send(void **state)
{
    struct pipe *p = *state;
    struct head_request head = {.method = HEAD_METHOD_HEAD, .path = span_of("/")};
    uint32_t id;
    assert_int_equal(mux_request(p->relay, &head, NULL, NULL, &id, 0), 0);
    pipe_settle(p);
    struct head_response answer = {.status = 200, .body_bytes = 1234};
    assert_int_equal(mux_respond(p->agent, id, &answer, true), 0);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 200 body=1234 end\ndone 1\n");
}

static void not_modified_may_announce_a_length_it_does_not_send(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    pipe_settle(p);
    struct head_response answer = {.status = 304, .body_bytes = 1234};
    assert_int_equal(mux_respond(p->agent, 1, &answer, true), 0);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 304 body=1234 end\ndone 1\n");
}

static void answer_before_the_whole_request_ends_both_sides(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    agent.stream_window_bytes = 4; /* the request's body cannot leave at once */
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    p->agent_log->consumes = false;
    pipe_post(p, "/", "12345678", 8);
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 POST / body=8\ndata 1 \"1234\"\n");
    pipe_respond(p, 1, 413, NULL, 0);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 413 body=0 end\ndone 1\n");
    pipe_expect_agent(p, "reset 1 client_gone delivered=yes\n");
    assert_int_equal(mux_queued_bytes(p->relay), 0);
    pipe_free(p);
}

static void request_taken_back_before_it_was_pulled_never_leaves(void **state)
{
    struct pipe *p = *state;
    uint32_t id = pipe_get(p, "/light/on");
    assert_int_equal(mux_delivered(p->relay, id), HEAD_DELIVERED_NO);
    assert_true(mux_wants_send(p->relay));
    mux_reset(p->relay, id, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_NO);
    assert_false(mux_wants_send(p->relay));
    assert_int_equal(pipe_drop(p, p->relay), 0);
    pipe_get(p, "/other");
    pipe_settle(p);
    pipe_expect_agent(p, "request 2 GET /other body=0 end\n");
}

static void reset_by_the_relay_reaches_the_agent(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    pipe_settle(p);
    mux_reset(p->relay, 1, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_UNKNOWN);
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 GET / body=0 end\nreset 1 client_gone delivered=unknown\n");
    pipe_expect_relay(p, "");
    assert_int_equal(mux_n_streams(p->agent), 0);
}

static void reset_by_the_agent_says_whether_it_was_delivered(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/1");
    pipe_get(p, "/2");
    pipe_get(p, "/3");
    pipe_settle(p);
    mux_reset(p->agent, 1, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    mux_reset(p->agent, 2, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    mux_reset(p->agent, 3, HEAD_RESET_INTERNAL, HEAD_DELIVERED_UNKNOWN);
    pipe_settle(p);
    pipe_expect_relay(p, "reset 1 server_unreachable delivered=no\n"
                         "reset 2 deadline delivered=yes\nreset 3 internal delivered=unknown\n");
}

static void reset_that_denies_a_handed_request_is_not_believed(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    pipe_settle(p);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_HANDED, 0, NULL, 0), 0);
    mux_reset(p->agent, 1, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
    pipe_settle(p);
    pipe_expect_relay(p, "handed 1\nreset 1 internal delivered=yes\n");
}

static void crossing_answer_of_a_reset_stream_is_ignored(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    pipe_settle(p);
    pipe_respond(p, 1, 200, "late", 4);
    mux_reset(p->relay, 1, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_UNKNOWN);
    pipe_settle(p);
    pipe_expect_relay(p, "");
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_NONE);
    assert_int_equal(mux_fault(p->agent), MUX_FAULT_NONE);
}

static void reset_drops_what_the_stream_had_queued(void **state)
{
    struct pipe *p = *state;
    static const char body[40000];
    pipe_get(p, "/");
    pipe_settle(p);
    struct head_response head = {.status = 200, .body_bytes = sizeof(body)};
    assert_int_equal(mux_respond(p->agent, 1, &head, false), 0);
    assert_int_equal(mux_send_data(p->agent, 1, body, sizeof(body), true), 0);
    mux_reset(p->agent, 1, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_YES);
    assert_true(mux_queued_bytes(p->agent) < 100);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 200 body=40000\nreset 1 bad_answer delivered=yes\n");
}

static void reset_of_an_answered_stream_says_nothing(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    pipe_settle(p);
    pipe_respond(p, 1, 200, "x", 1);
    mux_reset(p->agent, 1, HEAD_RESET_INTERNAL, HEAD_DELIVERED_YES);
    event_log_clear(p->agent_log);
    assert_true(pipe_to_relay(p));
    assert_int_equal(p->message_len, FRAME_HEADER_BYTES + 16 + FRAME_HEADER_BYTES + 1);
    pipe_expect_relay(p, "response 1 200 body=1\ndata 1 \"x\" end\ndone 1\n");
    pipe_expect_agent(p, "");
}

static void lost_message_leaves_delivery_unknown(void **state)
{
    struct pipe *p = *state;
    uint32_t id = pipe_get(p, "/");
    assert_true(pipe_drop(p, p->relay) > 0);
    assert_int_equal(mux_delivered(p->relay, id), HEAD_DELIVERED_UNKNOWN);
}

static void calls_that_make_no_sense_are_refused(void **state)
{
    struct pipe *p = *state;
    struct head_response answer = {.status = 200, .body_bytes = -1};
    struct head_request request = {.method = HEAD_METHOD_GET, .path = span_of("/")};
    uint32_t id = 77;
    assert_int_equal(mux_request(p->agent, &request, NULL, NULL, &id, 0), ERROR_STATE);
    assert_int_equal(id, 77);
    assert_int_equal(mux_respond(p->agent, 1, &answer, false), ERROR_STATE);
    assert_int_equal(mux_send_data(p->agent, 1, "a", 1, false), ERROR_STATE);
    assert_int_equal(mux_send_room(p->agent, 1), 0);
    pipe_get(p, "/");
    assert_int_equal(mux_send_data(p->relay, 1, "a", 1, false), ERROR_STATE);
    pipe_settle(p);
    assert_int_equal(mux_respond(p->relay, 1, &answer, false), ERROR_STATE);
    assert_int_equal(mux_send_data(p->agent, 1, "a", 1, false), ERROR_STATE);
    assert_int_equal(mux_respond(p->agent, 1, &answer, false), 0);
    assert_int_equal(mux_respond(p->agent, 1, &answer, false), ERROR_STATE);
    assert_int_equal(mux_send_data(p->agent, 1, "a", 1, true), 0);
    assert_int_equal(mux_send_data(p->agent, 1, "a", 1, true), ERROR_STATE);
    assert_int_equal(mux_control(p->relay, 1, span_of(""), &id), ERROR_STATE);
    assert_int_equal(mux_control_reply(p->relay, 1, 0, span_of("")), ERROR_STATE);
    mux_handed(p->relay, 1, 0);
    mux_handed(p->agent, 99, 0);
    mux_reset(p->agent, 99, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
    mux_consume(p->agent, 99, 1);
    pipe_settle(p);
    assert_int_equal(mux_n_streams(p->relay), 0);
}

static void control_call_is_answered_once(void **state)
{
    struct pipe *p = *state;
    uint32_t id;
    assert_int_equal(mux_control(p->agent, 1, span_of("{}"), &id), 0);
    assert_int_equal(id, 1);
    pipe_settle(p);
    pipe_expect_relay(p, "control 1 1 \"{}\"\n");
    assert_int_equal(mux_control_reply(p->relay, id, 0, span_of("[1]")), 0);
    assert_int_equal(mux_control_reply(p->relay, id, 0, span_of("[1]")), ERROR_STATE);
    pipe_settle(p);
    pipe_expect_agent(p, "control_reply 1 0 \"[1]\"\n");
}

static void call_that_nobody_listens_to_is_answered_unknown(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    p->relay->events.on_control = NULL;
    uint32_t id;
    assert_int_equal(mux_control(p->agent, 9, span_of(""), &id), 0);
    pipe_settle(p);
    pipe_expect_agent(p, "control_reply 1 1 \"\"\n");
    pipe_free(p);
}

static void mux_without_listeners_works_in_silence(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    p->relay->events = (struct mux_events){0};
    p->agent->events = (struct mux_events){0};
    pipe_post(p, "/", "abc", 3);
    pipe_get(p, "/");
    pipe_settle(p);
    mux_handed(p->agent, 1, p->now_ms);
    assert_int_equal(mux_tick(p->agent, p->now_ms + MUX_HANDED_DELAY_MS), 0);
    pipe_settle(p);
    pipe_respond(p, 1, 200, "abc", 3);
    mux_reset(p->agent, 2, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
    mux_goaway(p->agent, HEAD_GOAWAY_SHUTDOWN, 0);
    pipe_settle(p);
    assert_int_equal(mux_n_streams(p->relay), 0);
    assert_int_equal(mux_n_streams(p->agent), 0);
    pipe_free(p);
}

/* Resets the stream in the middle of its own events, and opens another. */
static void reset_and_reopen(struct event_log *log, uint32_t stream)
{
    struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of("/again")};
    uint32_t id;
    mux_reset(log->mux, stream, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_YES);
    (void)mux_request(log->mux, &head, NULL, NULL, &id, 0);
}

static void response_that_resets(void *user, uint32_t stream, void *stream_user,
                                 const struct head_response *head, bool end)
{
    (void)stream_user;
    (void)head;
    (void)end;
    reset_and_reopen(user, stream);
}

static void data_that_resets(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                             size_t len, bool end)
{
    (void)stream_user;
    (void)bytes;
    (void)len;
    (void)end;
    reset_and_reopen(user, stream);
}

static void request_that_resets(void *user, uint32_t stream, const struct head_request *head,
                                bool end, void **stream_user)
{
    struct event_log *log = user;
    (void)head;
    (void)end;
    mux_reset(log->mux, stream, HEAD_RESET_OVERLOADED, HEAD_DELIVERED_NO);
    *stream_user = log;
}

static void owner_may_reset_a_stream_inside_its_own_events(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/1");
    pipe_get(p, "/2");
    pipe_settle(p);
    p->relay->events.on_response = response_that_resets;
    pipe_respond(p, 1, 200, "abc", 3);
    pipe_settle(p);
    p->relay->events.on_response = NULL;
    p->relay->events.on_data = data_that_resets;
    pipe_respond(p, 2, 200, "abc", 3);
    pipe_settle(p);
    assert_int_equal(mux_n_streams(p->relay), 2);
    p->agent->events.on_request = request_that_resets;
    pipe_get(p, "/5");
    pipe_settle(p);
    pipe_expect_relay(p, "reset 5 overloaded delivered=no\n");
    assert_int_equal(mux_n_streams(p->agent), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(get_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(answer_without_body_ends_with_its_head, setup, teardown),
        cmocka_unit_test_setup_teardown(post_body_arrives_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(head_fields_query_and_id_travel_unchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(many_requests_share_one_message, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_may_come_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(body_of_unknown_length_ends_by_end, setup, teardown),
        cmocka_unit_test_setup_teardown(answer_to_head_may_announce_a_length_it_does_not_send,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(not_modified_may_announce_a_length_it_does_not_send, setup,
                                        teardown),
        cmocka_unit_test(answer_before_the_whole_request_ends_both_sides),
        cmocka_unit_test_setup_teardown(request_taken_back_before_it_was_pulled_never_leaves, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(reset_by_the_relay_reaches_the_agent, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_by_the_agent_says_whether_it_was_delivered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(reset_that_denies_a_handed_request_is_not_believed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(crossing_answer_of_a_reset_stream_is_ignored, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(reset_drops_what_the_stream_had_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_of_an_answered_stream_says_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_message_leaves_delivery_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_that_make_no_sense_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(control_call_is_answered_once, setup, teardown),
        cmocka_unit_test(call_that_nobody_listens_to_is_answered_unknown),
        cmocka_unit_test(mux_without_listeners_works_in_silence),
        cmocka_unit_test_setup_teardown(owner_may_reset_a_stream_inside_its_own_events, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
