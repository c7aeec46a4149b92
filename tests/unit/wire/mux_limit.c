/* SPDX-License-Identifier: Apache-2.0 */
/* Every named maximum: at it, and one past it. */
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

static const uint8_t zeros[UINT16_MAX];

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

/* Cheap frames: all of a second's share pass, one more is a flood; a second later all is well. */
static void assert_cheap(enum frame_type type, uint32_t stream, size_t len)
{
    struct pipe *p = pipe_new_ready();
    pipe_get(p, "/");
    pipe_settle(p);
    pipe_respond(p, 1, 200, NULL, 0);
    pipe_settle(p);
    if (type == FRAME_GOAWAY) {
        assert_int_equal(pipe_feed(p, p->relay, stream, type, 0, zeros, len), 0);
    }
    for (int second = 0; second < 2; second++) {
        p->now_ms += 1000;
        for (int i = 0; i < MUX_CHEAP_FRAMES_PER_S; i++) {
            assert_int_equal(pipe_feed(p, p->relay, stream, type, 0, zeros, len), 0);
        }
    }
    assert_int_equal(pipe_feed(p, p->relay, stream, type, 0, zeros, len), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_FLOOD);
    pipe_free(p);
}

static void cheap_frames_are_counted(void **state)
{
    (void)state;
    assert_cheap(FRAME_PING, 0, 8);
    assert_cheap(FRAME_PONG, 0, 8);
    assert_cheap(FRAME_GOAWAY, 0, 8);
    assert_cheap(FRAME_RESET, 1, 4);
    assert_cheap(FRAME_WINDOW, 1, 4);
    assert_cheap(FRAME_WINDOW, 0, 4);
    assert_cheap(FRAME_DATA, 1, 0);
    assert_cheap(FRAME_EVENT, 9, 3);
    assert_cheap((enum frame_type)99, 9, 3);
}

static void data_without_bytes_is_counted_on_an_open_stream(void **state)
{
    struct pipe *p = *state;
    struct head_response head = {.status = 200, .body_bytes = -1};
    pipe_get(p, "/");
    pipe_settle(p);
    assert_int_equal(mux_respond(p->agent, 1, &head, false), 0);
    pipe_settle(p);
    for (int i = 0; i < MUX_CHEAP_FRAMES_PER_S; i++) {
        assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_DATA, 0, NULL, 0), 0);
    }
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_DATA, 0, NULL, 0), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_FLOOD);
    assert_null(strstr(p->relay_log->text, "data"));
}

static void relay_opens_max_streams_and_no_more(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    agent.max_streams = 3; /* the lesser of both counts */
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of("/")};
    uint32_t id = 0;
    for (int i = 0; i < 3; i++) {
        pipe_get(p, "/");
    }
    assert_int_equal(mux_request(p->relay, &head, NULL, NULL, &id, 0), ERROR_LIMIT);
    assert_int_equal(id, 0);
    pipe_settle(p);
    pipe_respond(p, 2, 200, NULL, 0);
    pipe_settle(p);
    assert_int_equal(mux_request(p->relay, &head, NULL, NULL, &id, 0), 0);
    assert_int_equal(id, 4);
    pipe_free(p);
}

static void agent_takes_max_streams_and_no_more(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    agent.max_streams = 2;
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    static const char request[] = "\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0/";
    assert_int_equal(pipe_feed(p, p->agent, 1, FRAME_REQUEST, 1, request, 17), 0);
    assert_int_equal(pipe_feed(p, p->agent, 9, FRAME_REQUEST, 1, request, 17), 0);
    assert_int_equal(pipe_feed(p, p->agent, 10, FRAME_REQUEST, 1, request, 17), ERROR_PEER);
    assert_int_equal(mux_fault(p->agent), MUX_FAULT_STREAMS);
    pipe_free(p);
}

static void request_body_ends_at_one_window(void **state)
{
    struct pipe *p = *state;
    struct head_request head = {.method = HEAD_METHOD_POST,
                                .path = span_of("/"),
                                .body_bytes = MUX_STREAM_WINDOW_BYTES + 1};
    static const char body[MUX_STREAM_WINDOW_BYTES + 1];
    uint32_t id;
    assert_int_equal(mux_request(p->relay, &head, body, NULL, &id, 0), ERROR_LIMIT);
    head.body_bytes--;
    assert_int_equal(mux_request(p->relay, &head, body, NULL, &id, 0), 0);
}

static void request_head_ends_at_the_largest_payload(void **state)
{
    struct pipe *p = *state;
    static char path[FRAME_PAYLOAD_MAX];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    struct head_request head = {.method = HEAD_METHOD_GET,
                                .path = {path, FRAME_PAYLOAD_MAX - 16 + 1}};
    uint32_t id;
    assert_int_equal(mux_request(p->relay, &head, NULL, NULL, &id, 0), ERROR_LIMIT);
    assert_int_equal(mux_n_streams(p->relay), 0);
    assert_int_equal(mux_queued_bytes(p->relay), 0);
    head.path.len--;
    assert_int_equal(mux_request(p->relay, &head, NULL, NULL, &id, 0), 0);
    assert_int_equal(id, 1);
    assert_true(pipe_to_agent(p));
    assert_int_equal(p->message_len, FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX);
    assert_int_equal(mux_n_streams(p->agent), 1);
}

static void response_head_ends_at_the_largest_payload(void **state)
{
    struct pipe *p = *state;
    static char value[FRAME_PAYLOAD_MAX];
    memset(value, 'v', sizeof(value));
    struct head_field field = {span_of("X"), {value, FRAME_PAYLOAD_MAX - 16 - 4 - 1 + 1}};
    struct head_response head = {.status = 200, .fields = &field, .n_fields = 1};
    pipe_get(p, "/");
    pipe_settle(p);
    assert_int_equal(mux_respond(p->agent, 1, &head, true), ERROR_LIMIT);
    assert_int_equal(mux_queued_bytes(p->agent), 0);
    field.value.len--;
    assert_int_equal(mux_respond(p->agent, 1, &head, true), 0);
    pipe_settle(p);
    assert_int_equal(mux_n_streams(p->relay), 0);
}

static void frame_length_is_judged_by_its_header_alone(void **state)
{
    (void)state;
    static const struct {
        enum frame_type type;
        size_t max;
    } types[] = {
        {FRAME_DATA, FRAME_DATA_MAX},
        {FRAME_CONTROL, 4 + MUX_CONTROL_BYTES_MAX},
        {FRAME_RESPONSE, FRAME_PAYLOAD_MAX},
        {FRAME_EVENT, FRAME_PAYLOAD_MAX},
        {(enum frame_type)99, FRAME_PAYLOAD_MAX},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct pipe *p = pipe_new_ready();
        uint8_t header[FRAME_HEADER_BYTES];
        struct frame_header h = {1, (uint8_t)types[i].type, 0, (uint16_t)types[i].max};
        frame_pack_header(header, &h);
        assert_int_equal(mux_recv(p->relay, header, sizeof(header), 0), 0);
        pipe_free(p);
        p = pipe_new_ready();
        h.len++;
        frame_pack_header(header, &h);
        assert_int_equal(mux_recv(p->relay, header, sizeof(header), 0), ERROR_PEER);
        assert_int_equal(mux_fault(p->relay), MUX_FAULT_FRAME);
        pipe_free(p);
    }
}

static void control_calls_end_at_sixteen(void **state)
{
    struct pipe *p = *state;
    uint32_t id;
    for (uint32_t i = 1; i <= MUX_CONTROL_CALLS_MAX; i++) {
        assert_int_equal(mux_control(p->agent, 1, span_of(""), &id), 0);
    }
    assert_int_equal(mux_control(p->agent, 1, span_of(""), &id), ERROR_LIMIT);
    pipe_settle(p);
    assert_int_equal(mux_control_reply(p->relay, 7, 0, span_of("")), 0);
    pipe_settle(p);
    assert_int_equal(mux_control(p->agent, 1, span_of(""), &id), 0);
    pipe_settle(p);
    assert_int_equal(pipe_feed(p, p->relay, 18, FRAME_CONTROL, 0, zeros, 4), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_STREAMS);
}

static void control_bodies_end_at_their_maximum(void **state)
{
    struct pipe *p = *state;
    struct span body = {(const char *)zeros, MUX_CONTROL_BYTES_MAX + 1};
    uint32_t id;
    assert_int_equal(mux_control(p->agent, 1, body, &id), ERROR_LIMIT);
    body.len--;
    assert_int_equal(mux_control(p->agent, 1, body, &id), 0);
    pipe_settle(p);
    body.len++;
    assert_int_equal(mux_control_reply(p->relay, id, 0, body), ERROR_LIMIT);
    body.len--;
    assert_int_equal(mux_control_reply(p->relay, id, 0, body), 0);
    pipe_settle(p);
    pipe_expect_agent(p, "control_reply 1 0 *16000\n");
}

static void used_up_call_ids_are_a_limit(void **state)
{
    struct pipe *p = *state;
    uint32_t id;
    p->agent->last_call = UINT32_MAX - 1;
    assert_int_equal(mux_control(p->agent, 1, span_of(""), &id), 0);
    assert_int_equal(mux_control(p->agent, 1, span_of(""), &id), ERROR_LIMIT);
}

static void credit_ends_at_31_bits(void **state)
{
    struct pipe *p = *state;
    uint32_t more = MUX_CREDIT_MAX - MUX_STREAM_WINDOW_BYTES;
    uint8_t payload[4] = {(uint8_t)more, (uint8_t)(more >> 8), (uint8_t)(more >> 16),
                          (uint8_t)(more >> 24)};
    pipe_get(p, "/");
    pipe_settle(p);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_WINDOW, 0, payload, 4), 0);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_WINDOW, 0, "\1\0\0\0", 4), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_FLOW);
}

/* A peer that makes us answer and reads nothing. */
static void what_waits_for_a_peer_that_does_not_read_is_bounded(void **state)
{
    struct pipe *p = *state;
    int rc = 0;
    while (rc == 0) {
        p->now_ms += 1000;
        for (int i = 0; i < MUX_CHEAP_FRAMES_PER_S && rc == 0; i++) {
            rc = pipe_feed(p, p->relay, 0, FRAME_PING, 0, zeros, 8);
        }
        assert_true(mux_queued_bytes(p->relay) <= MUX_OUT_BYTES_MAX);
    }
    assert_int_equal(rc, ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_FLOOD);
}

static void answers_to_a_stalled_tunnel_are_bounded(void **state)
{
    struct pipe *p = *state;
    static char value[20000];
    memset(value, 'v', sizeof(value));
    struct head_field field = {span_of("X"), {value, sizeof(value)}};
    struct head_response head = {.status = 200, .fields = &field, .n_fields = 1};
    int rc = 0;
    for (uint32_t id = 1; rc == 0; id++) {
        assert_int_equal(pipe_get(p, "/"), id);
        assert_true(pipe_to_agent(p));
        rc = mux_respond(p->agent, id, &head, true);
        assert_true(mux_queued_bytes(p->agent) <= MUX_OUT_HEADS_BYTES + FRAME_PAYLOAD_MAX);
    }
    assert_int_equal(rc, ERROR_LIMIT);
    uint32_t id = p->agent->last_stream;
    mux_reset(p->agent, id, HEAD_RESET_OVERLOADED, HEAD_DELIVERED_YES);
    assert_int_equal(mux_fault(p->agent), MUX_FAULT_NONE);
    assert_int_equal(mux_control(p->agent, 1, span_of(""), &id), ERROR_LIMIT);
    p->relay->events = (struct mux_events){0}; /* the log has no room for such heads */
    pipe_settle(p);
    assert_int_equal(mux_n_streams(p->relay), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cheap_frames_are_counted),
        cmocka_unit_test_setup_teardown(data_without_bytes_is_counted_on_an_open_stream, setup,
                                        teardown),
        cmocka_unit_test(relay_opens_max_streams_and_no_more),
        cmocka_unit_test(agent_takes_max_streams_and_no_more),
        cmocka_unit_test_setup_teardown(request_body_ends_at_one_window, setup, teardown),
        cmocka_unit_test_setup_teardown(request_head_ends_at_the_largest_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(response_head_ends_at_the_largest_payload, setup, teardown),
        cmocka_unit_test(frame_length_is_judged_by_its_header_alone),
        cmocka_unit_test_setup_teardown(control_calls_end_at_sixteen, setup, teardown),
        cmocka_unit_test_setup_teardown(control_bodies_end_at_their_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(used_up_call_ids_are_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(credit_ends_at_31_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_for_a_peer_that_does_not_read_is_bounded, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(answers_to_a_stalled_tunnel_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
