/* SPDX-License-Identifier: Apache-2.0 */
/* Credit, turns and the shape of messages. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/pipe.h"

#define STREAM_WINDOW 1000
#define TUNNEL_WINDOW 2500

/* Small windows on both sides; the logs do not give credit back. */
static int setup(void **state)
{
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    relay.stream_window_bytes = STREAM_WINDOW;
    relay.tunnel_window_bytes = TUNNEL_WINDOW;
    agent.stream_window_bytes = STREAM_WINDOW;
    agent.tunnel_window_bytes = TUNNEL_WINDOW;
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    p->relay_log->consumes = false;
    p->agent_log->consumes = false;
    *state = p;
    return 0;
}

static int setup_wide(void **state)
{
    *state = pipe_new_ready();
    return 0;
}

static int teardown(void **state)
{
    pipe_free(*state);
    return 0;
}

/* Opens `n` streams whose answers have begun, bodies of unknown length. */
static void begin_answers(struct pipe *p, uint32_t n)
{
    struct head_response head = {.status = 200, .body_bytes = -1};
    for (uint32_t id = 1; id <= n; id++) {
        assert_int_equal(pipe_get(p, "/"), id);
        pipe_settle(p);
        assert_int_equal(mux_respond(p->agent, id, &head, false), 0);
    }
    pipe_settle(p);
    event_log_clear(p->relay_log);
}

static void send(struct pipe *p, uint32_t id, size_t len)
{
    static const char bytes[MUX_STREAM_WINDOW_BYTES];
    assert_int_equal(mux_send_data(p->agent, id, bytes, len, false), 0);
}

static void stream_stops_at_its_credit_and_goes_on_with_more(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 1);
    send(p, 1, STREAM_WINDOW);
    pipe_settle(p);
    pipe_expect_relay(p, "data 1 *1000\n");
    send(p, 1, 100);
    assert_false(mux_wants_send(p->agent));
    pipe_settle(p);
    pipe_expect_relay(p, "");
    mux_consume(p->relay, 1, 249); /* under a quarter: not told yet */
    assert_false(mux_wants_send(p->relay));
    mux_consume(p->relay, 1, 1);
    assert_true(mux_wants_send(p->relay));
    pipe_settle(p);
    pipe_expect_relay(p, "data 1 *100\n");
}

static void stalled_stream_does_not_stall_another(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 2);
    send(p, 1, STREAM_WINDOW);
    send(p, 1, 500);
    send(p, 2, 50);
    pipe_settle(p);
    pipe_expect_relay(p,
                      "data 1 *1000\ndata 2 \"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
                      "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
                      "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
                      "\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\"\n");
}

static void tunnel_stops_at_its_credit_and_goes_on_with_more(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 3);
    send(p, 1, STREAM_WINDOW);
    send(p, 2, STREAM_WINDOW);
    send(p, 3, STREAM_WINDOW);
    pipe_settle(p);
    pipe_expect_relay(p, "data 1 *1000\ndata 2 *1000\ndata 3 *500\n");
    assert_false(mux_wants_send(p->agent));
    mux_consume(p->relay, 1, 625); /* a quarter of the tunnel's */
    pipe_settle(p);
    pipe_expect_relay(p, "data 3 *500\n");
}

static void end_without_bytes_needs_no_credit(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 3);
    send(p, 1, STREAM_WINDOW);
    send(p, 2, STREAM_WINDOW);
    send(p, 3, 500);
    pipe_settle(p);
    event_log_clear(p->relay_log);
    assert_int_equal(mux_send_data(p->agent, 3, NULL, 0, true), 0);
    pipe_settle(p);
    pipe_expect_relay(p, "data 3 \"\" end\ndone 3\n");
}

static void request_bodies_wait_for_credit_too(void **state)
{
    struct pipe *p = *state;
    static const char body[STREAM_WINDOW];
    for (int i = 0; i < 4; i++) {
        pipe_post(p, "/", body, sizeof(body));
    }
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 POST / body=1000\nrequest 2 POST / body=1000\n"
                         "request 3 POST / body=1000\nrequest 4 POST / body=1000\n"
                         "data 1 *1000 end\ndata 2 *1000 end\ndata 3 *500\n");
    for (uint32_t id = 1; id <= 3; id++) {
        mux_consume(p->agent, id, id < 3 ? 1000 : 500);
    }
    pipe_settle(p);
    pipe_expect_agent(p, "data 4 *1000 end\ndata 3 *500 end\n");
}

static void bytes_of_ended_streams_are_given_back_to_the_tunnel(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 1);
    send(p, 1, STREAM_WINDOW);
    pipe_settle(p);
    mux_reset(p->relay, 1, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_YES);
    assert_int_equal(p->relay->recv_credit, TUNNEL_WINDOW - STREAM_WINDOW);
    mux_consume(p->relay, 1, STREAM_WINDOW);
    assert_int_equal(p->relay->recv_credit, TUNNEL_WINDOW);
}

static void late_data_is_given_back_to_the_tunnel_by_itself(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 1);
    send(p, 1, STREAM_WINDOW);
    mux_reset(p->relay, 1, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_YES);
    pipe_settle(p);
    pipe_expect_relay(p, "");
    assert_int_equal(p->relay->recv_credit, TUNNEL_WINDOW);
    assert_int_equal(p->agent->send_credit, TUNNEL_WINDOW);
}

static void more_consumed_than_received_is_not_given_back(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 1);
    send(p, 1, 300);
    pipe_settle(p);
    mux_consume(p->relay, 1, SIZE_MAX);
    mux_consume(p->relay, 1, SIZE_MAX);
    mux_consume(p->relay, 0, SIZE_MAX);
    pipe_settle(p);
    assert_true(p->relay->recv_credit <= TUNNEL_WINDOW);
    assert_true(p->agent->send_credit <= TUNNEL_WINDOW);
    assert_int_equal(mux_streams_find(&p->agent->streams, 1)->send_credit, STREAM_WINDOW);
}

static void room_shrinks_with_what_is_queued_and_comes_back(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 1);
    assert_int_equal(mux_send_room(p->agent, 1), STREAM_WINDOW);
    send(p, 1, STREAM_WINDOW); /* has credit: leaves no trace in the queue */
    assert_int_equal(mux_send_room(p->agent, 1), STREAM_WINDOW);
    send(p, 1, STREAM_WINDOW);
    assert_int_equal(mux_send_room(p->agent, 1), 0);
    assert_int_equal(mux_send_data(p->agent, 1, "x", 1, false), ERROR_LIMIT);
    pipe_settle(p);
    assert_int_equal(p->agent_log->n_room, 0);
    mux_consume(p->relay, 1, 600);
    pipe_settle(p);
    assert_int_equal(p->agent_log->n_room, 1);
    assert_int_equal(mux_send_room(p->agent, 1), 600);
}

static void one_byte_more_than_the_room_changes_nothing(void **state)
{
    struct pipe *p = *state;
    static const char bytes[STREAM_WINDOW + 1];
    begin_answers(p, 1);
    assert_int_equal(mux_send_data(p->agent, 1, bytes, sizeof(bytes), true), ERROR_LIMIT);
    assert_int_equal(mux_queued_bytes(p->agent), 0);
    assert_int_equal(mux_send_data(p->agent, 1, bytes, STREAM_WINDOW, true), 0);
}

static void peer_without_windows_gets_no_bytes(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    agent.stream_window_bytes = 0;
    agent.tunnel_window_bytes = 0;
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    pipe_post(p, "/", "abc", 3);
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 POST / body=3\n");
    assert_false(mux_wants_send(p->relay));
    pipe_free(p);
}

/* Walks the frames of the last message: types as letters, checks the lengths. */
static void frames_of(const struct pipe *p, char *letters, size_t cap)
{
    static const char names[] = "?HWQhRDXwPpGCcE";
    size_t n = 0;
    for (size_t at = 0; at < p->message_len;) {
        struct frame_header h;
        frame_unpack_header(p->message + at, &h);
        assert_true(h.type < sizeof(names) && n + 1 < cap);
        assert_true(h.type != FRAME_DATA || h.len <= FRAME_DATA_MAX);
        letters[n++] = names[h.type];
        at += FRAME_HEADER_BYTES + (size_t)h.len;
        assert_true(at <= p->message_len);
    }
    letters[n] = '\0';
}

static void streams_take_turns(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 3);
    send(p, 1, FRAME_DATA_MAX); /* the short cut */
    for (uint32_t id = 1; id <= 3; id++) {
        send(p, id, 40000);
    }
    pipe_settle(p);
    const char *line = p->relay_log->text;
    static const uint32_t turns[] = {1, 1, 2, 3, 1, 2, 3};
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        assert_non_null(line);
        assert_int_equal(strtoul(line + strlen("data "), NULL, 10), turns[i]);
        line = strchr(line, '\n') + 1;
    }
}

static void messages_fit_one_tls_record(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 8);
    for (uint32_t id = 1; id <= 8; id++) {
        send(p, id, 50000);
        pipe_get(p, "/");
    }
    char letters[1024];
    while (pipe_to_relay(p)) {
        assert_true(p->message_len <= FRAME_MESSAGE_BYTES);
        frames_of(p, letters, sizeof(letters));
        pipe_to_agent(p);
    }
}

static void answers_heads_pass_large_bodies(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 1);
    send(p, 1, 60000);
    pipe_get(p, "/");
    assert_true(pipe_to_agent(p));
    struct head_response head = {.status = 200, .body_bytes = 0};
    assert_int_equal(mux_respond(p->agent, 2, &head, true), 0);
    assert_true(pipe_to_relay(p));
    char letters[64];
    frames_of(p, letters, sizeof(letters));
    assert_int_equal(letters[0], 'R');
}

static void small_answer_waits_at_most_one_round_behind_large_bodies(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 3);
    send(p, 1, 60000);
    send(p, 2, 60000);
    assert_int_equal(mux_send_data(p->agent, 3, "small", 5, true), 0);
    size_t n = 0;
    while (strstr(p->relay_log->text, "small") == NULL) {
        assert_true(pipe_to_relay(p));
        n++;
    }
    assert_true(n <= 3);
}

static void small_answer_does_not_overtake_bodies_that_wait_their_turn(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 2);
    send(p, 1, 20000);
    send(p, 2, 5);
    pipe_settle(p);
    assert_memory_equal(p->relay_log->text, "data 1", 6);
}

static void credit_of_a_finished_half_is_not_told(void **state)
{
    struct pipe *p = *state;
    static const char body[40000];
    pipe_post(p, "/", body, sizeof(body));
    p->agent_log->consumes = false;
    pipe_settle(p);
    mux_consume(p->agent, 1, sizeof(body)); /* less than a quarter of the tunnel's window */
    assert_false(mux_wants_send(p->agent));
}

static void frame_larger_than_a_message_travels_alone(void **state)
{
    struct pipe *p = *state;
    static char path[20000];
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    pipe_get(p, "/1");
    pipe_get(p, path);
    pipe_get(p, "/3");
    char letters[64];
    assert_true(pipe_to_agent(p));
    frames_of(p, letters, sizeof(letters));
    assert_string_equal(letters, "Q");
    assert_true(pipe_to_agent(p));
    assert_true(p->message_len > FRAME_MESSAGE_BYTES);
    frames_of(p, letters, sizeof(letters));
    assert_string_equal(letters, "Q");
    assert_true(pipe_to_agent(p));
    assert_false(pipe_to_agent(p));
}

static void large_head_in_the_out_queue_travels_alone(void **state)
{
    struct pipe *p = *state;
    static char value[20000];
    memset(value, 'v', sizeof(value));
    struct head_field field = {span_of("X"), {value, sizeof(value)}};
    struct head_response small = {.status = 200, .body_bytes = 0};
    struct head_response large = {.status = 200, .body_bytes = 0, .fields = &field, .n_fields = 1};
    for (int i = 0; i < 3; i++) {
        pipe_get(p, "/");
    }
    pipe_settle(p);
    assert_int_equal(mux_respond(p->agent, 1, &small, true), 0);
    assert_int_equal(mux_respond(p->agent, 2, &large, true), 0);
    assert_int_equal(mux_respond(p->agent, 3, &small, true), 0);
    size_t before = p->n_messages;
    pipe_settle(p);
    assert_int_equal(p->n_messages - before, 3);
    assert_int_equal(mux_n_streams(p->relay), 0);
}

/* A body of 10 MB, written whenever there is room, read at leisure. */
static void large_body_arrives_whole_in_bounded_memory(void **state)
{
    struct pipe *p = *state;
    enum { TOTAL = 10000000 };
    static uint8_t chunk[8192];
    p->relay_log->joins_data = true;
    begin_answers(p, 1);
    size_t sent = 0;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    while (sent < TOTAL) {
        size_t room = mux_send_room(p->agent, 1);
        size_t n = TOTAL - sent < sizeof(chunk) ? TOTAL - sent : sizeof(chunk);
        if (room < n) {
            bool moved = pipe_to_relay(p);
            assert_true(pipe_to_agent(p) || moved);
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            chunk[i] = (uint8_t)((sent + i) * 7 >> 3);
            hash = (hash ^ chunk[i]) * UINT64_C(0x100000001b3);
        }
        sent += n;
        assert_int_equal(mux_send_data(p->agent, 1, chunk, n, sent == TOTAL), 0);
        assert_true(mux_queued_bytes(p->agent) <= MUX_STREAM_WINDOW_BYTES + FRAME_MESSAGE_BYTES);
    }
    pipe_settle(p);
    char expected[128];
    (void)snprintf(expected, sizeof(expected), "body 1 %d %016llx\ndone 1\n", TOTAL,
                   (unsigned long long)hash);
    pipe_expect_relay(p, expected);
}

static void window_is_told_at_every_quarter_only(void **state)
{
    struct pipe *p = *state;
    begin_answers(p, 1);
    size_t n_windows = 0;
    for (int i = 0; i < 64; i++) {
        send(p, 1, 1024); /* 64 KiB in all: one window */
        assert_true(pipe_to_relay(p));
        n_windows += pipe_to_agent(p) ? 1 : 0;
    }
    assert_int_equal(n_windows, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stream_stops_at_its_credit_and_goes_on_with_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stalled_stream_does_not_stall_another, setup, teardown),
        cmocka_unit_test_setup_teardown(tunnel_stops_at_its_credit_and_goes_on_with_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(end_without_bytes_needs_no_credit, setup, teardown),
        cmocka_unit_test_setup_teardown(request_bodies_wait_for_credit_too, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_of_ended_streams_are_given_back_to_the_tunnel, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(late_data_is_given_back_to_the_tunnel_by_itself, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_consumed_than_received_is_not_given_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(room_shrinks_with_what_is_queued_and_comes_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_byte_more_than_the_room_changes_nothing, setup,
                                        teardown),
        cmocka_unit_test(peer_without_windows_gets_no_bytes),
        cmocka_unit_test_setup_teardown(streams_take_turns, setup_wide, teardown),
        cmocka_unit_test_setup_teardown(messages_fit_one_tls_record, setup_wide, teardown),
        cmocka_unit_test_setup_teardown(answers_heads_pass_large_bodies, setup_wide, teardown),
        cmocka_unit_test_setup_teardown(small_answer_waits_at_most_one_round_behind_large_bodies,
                                        setup_wide, teardown),
        cmocka_unit_test_setup_teardown(small_answer_does_not_overtake_bodies_that_wait_their_turn,
                                        setup_wide, teardown),
        cmocka_unit_test_setup_teardown(credit_of_a_finished_half_is_not_told, setup_wide,
                                        teardown),
        cmocka_unit_test_setup_teardown(frame_larger_than_a_message_travels_alone, setup_wide,
                                        teardown),
        cmocka_unit_test_setup_teardown(large_head_in_the_out_queue_travels_alone, setup_wide,
                                        teardown),
        cmocka_unit_test_setup_teardown(large_body_arrives_whole_in_bounded_memory, setup_wide,
                                        teardown),
        cmocka_unit_test_setup_teardown(window_is_told_at_every_quarter_only, setup_wide, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
