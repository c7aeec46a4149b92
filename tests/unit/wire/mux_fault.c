/* SPDX-License-Identifier: Apache-2.0 */
/* What a broken peer can do, and which fault it is. */
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

static const uint8_t zeros[64];

static int setup(void **state)
{
    *state = pipe_new_ready();
    return 0;
}

/* Muxes that have not heard of each other. */
static int setup_fresh(void **state)
{
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    *state = pipe_new(&relay, &agent);
    return 0;
}

static int teardown(void **state)
{
    pipe_free(*state);
    return 0;
}

/* One frame of a peer, and what it is. */
struct offence {
    const char *what;
    enum frame_type type;
    uint8_t flags;
    uint32_t stream;
    size_t len; /* payload bytes, of `payload` or zeros */
    const void *payload;
    enum mux_fault fault;
};

/* The state in which all offences happen: streams 1 and 2 are open, 2 is answered without END;
 * stream 3 has ended; stream 4 is a POST whose body has come whole. */
static struct pipe *busy_pipe(void)
{
    struct pipe *p = pipe_new_ready();
    struct head_response head = {.status = 200, .body_bytes = -1};
    pipe_get(p, "/1");
    pipe_get(p, "/2");
    pipe_get(p, "/3");
    pipe_post(p, "/4", "x", 1);
    pipe_settle(p);
    assert_int_equal(mux_respond(p->agent, 2, &head, false), 0);
    pipe_respond(p, 3, 200, NULL, 0);
    pipe_settle(p);
    return p;
}

static void assert_fault(struct pipe *p, struct mux *m, const struct offence *o)
{
    int rc = pipe_feed(p, m, o->stream, o->type, o->flags, o->payload != NULL ? o->payload : zeros,
                       o->len);
    if (mux_fault(m) != o->fault) {
        fail_msg("%s: fault %s, expected %s", o->what, mux_fault_name(mux_fault(m)),
                 mux_fault_name(o->fault));
    }
    assert_int_equal(rc, ERROR_PEER);
    /* It sticks, the peer learns of it by a GOAWAY, and nothing else happens any more. */
    assert_int_equal(mux_recv(m, zeros, 1, p->now_ms), ERROR_PEER);
    assert_int_equal(mux_recv_end(m, p->now_ms), ERROR_PEER);
    assert_int_equal(mux_tick(m, p->now_ms), ERROR_PEER);
    assert_true(mux_wants_send(m));
    assert_true(pipe_drop(p, m) > 0);
    assert_false(mux_wants_send(m));
    mux_reset(m, 1, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
    mux_consume(m, 1, 1);
    mux_goaway(m, HEAD_GOAWAY_SHUTDOWN, 0);
    assert_int_equal(pipe_drop(p, m), 0);
}

static const struct offence by_agent[] = {
    {"hello twice", FRAME_HELLO, 0, 0, 25, NULL, MUX_FAULT_ORDER},
    {"welcome from an agent", FRAME_WELCOME, 0, 0, 41, NULL, MUX_FAULT_ORDER},
    {"request from an agent", FRAME_REQUEST, 1, 5, 17, NULL, MUX_FAULT_ORDER},
    {"reply from an agent", FRAME_CONTROL_REPLY, 0, 1, 4, NULL, MUX_FAULT_ORDER},
    {"handed twice", FRAME_HANDED, 0, 2, 0, NULL, MUX_FAULT_ORDER},
    {"handed, never opened", FRAME_HANDED, 0, 5, 0, NULL, MUX_FAULT_STREAM},
    {"handed on stream 0", FRAME_HANDED, 0, 0, 0, NULL, MUX_FAULT_STREAM},
    {"response twice", FRAME_RESPONSE, 0, 2, 16, NULL, MUX_FAULT_ORDER},
    {"response, never opened", FRAME_RESPONSE, 0, 5, 16, NULL, MUX_FAULT_STREAM},
    {"response on stream 0", FRAME_RESPONSE, 0, 0, 16, NULL, MUX_FAULT_STREAM},
    {"data before the response", FRAME_DATA, 0, 1, 1, NULL, MUX_FAULT_ORDER},
    {"data, never opened", FRAME_DATA, 0, 5, 1, NULL, MUX_FAULT_STREAM},
    {"data on stream 0", FRAME_DATA, 0, 0, 1, NULL, MUX_FAULT_STREAM},
    {"reset, never opened", FRAME_RESET, 0, 5, 4, NULL, MUX_FAULT_STREAM},
    {"reset on stream 0", FRAME_RESET, 0, 0, 4, NULL, MUX_FAULT_STREAM},
    {"short reset", FRAME_RESET, 0, 1, 3, NULL, MUX_FAULT_PAYLOAD},
    {"window, never opened", FRAME_WINDOW, 0, 5, 4, NULL, MUX_FAULT_STREAM},
    {"short window", FRAME_WINDOW, 0, 1, 3, NULL, MUX_FAULT_PAYLOAD},
    {"stream credit of 2^31", FRAME_WINDOW, 0, 1, 4, "\0\0\0\x80", MUX_FAULT_FLOW},
    {"tunnel credit of 2^31", FRAME_WINDOW, 0, 0, 4, "\0\0\0\x80", MUX_FAULT_FLOW},
    {"credit that wraps", FRAME_WINDOW, 0, 1, 4, "\xff\xff\xff\xff", MUX_FAULT_FLOW},
    {"short ping", FRAME_PING, 0, 0, 7, NULL, MUX_FAULT_PAYLOAD},
    {"ping on a stream", FRAME_PING, 0, 1, 8, NULL, MUX_FAULT_STREAM},
    {"short pong", FRAME_PONG, 0, 0, 7, NULL, MUX_FAULT_PAYLOAD},
    {"pong on a stream", FRAME_PONG, 0, 1, 8, NULL, MUX_FAULT_STREAM},
    {"short goaway", FRAME_GOAWAY, 0, 0, 7, NULL, MUX_FAULT_PAYLOAD},
    {"goaway on a stream", FRAME_GOAWAY, 0, 1, 8, NULL, MUX_FAULT_STREAM},
    {"short control", FRAME_CONTROL, 0, 1, 3, NULL, MUX_FAULT_PAYLOAD},
    {"control call 0", FRAME_CONTROL, 0, 0, 4, NULL, MUX_FAULT_STREAM},
};

static const struct offence by_relay[] = {
    {"welcome twice", FRAME_WELCOME, 0, 0, 41, NULL, MUX_FAULT_ORDER},
    {"hello from a relay", FRAME_HELLO, 0, 0, 25, NULL, MUX_FAULT_ORDER},
    {"handed from a relay", FRAME_HANDED, 0, 1, 0, NULL, MUX_FAULT_ORDER},
    {"response from a relay", FRAME_RESPONSE, 0, 1, 16, NULL, MUX_FAULT_ORDER},
    {"control from a relay", FRAME_CONTROL, 0, 1, 4, NULL, MUX_FAULT_ORDER},
    {"request on stream 0", FRAME_REQUEST, 1, 0, 17, NULL, MUX_FAULT_STREAM},
    {"request opened twice", FRAME_REQUEST, 1, 4, 17, NULL, MUX_FAULT_STREAM},
    {"request downwards", FRAME_REQUEST, 1, 3, 17, NULL, MUX_FAULT_STREAM},
    {"data after the request's end", FRAME_DATA, 0, 1, 1, NULL, MUX_FAULT_ORDER},
    {"data after the body's end", FRAME_DATA, 1, 4, 0, NULL, MUX_FAULT_ORDER},
    {"data, never opened", FRAME_DATA, 0, 5, 1, NULL, MUX_FAULT_STREAM},
    {"reset, never opened", FRAME_RESET, 0, 5, 4, NULL, MUX_FAULT_STREAM},
    {"window, never opened", FRAME_WINDOW, 0, 5, 4, NULL, MUX_FAULT_STREAM},
    {"reply to no call", FRAME_CONTROL_REPLY, 0, 1, 4, NULL, MUX_FAULT_STREAM},
    {"reply to call 0", FRAME_CONTROL_REPLY, 0, 0, 4, NULL, MUX_FAULT_STREAM},
    {"end without announced body", FRAME_REQUEST, 1, 5, 17, "\1\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0/",
     MUX_FAULT_LENGTH},
    {"announced body without end", FRAME_REQUEST, 0, 5, 17, "\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0/",
     MUX_FAULT_LENGTH},
};

static void frames_out_of_place_from_an_agent_are_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(by_agent) / sizeof(by_agent[0]); i++) {
        struct pipe *p = busy_pipe();
        assert_fault(p, p->relay, &by_agent[i]);
        pipe_free(p);
    }
}

static void frames_out_of_place_from_a_relay_are_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(by_relay) / sizeof(by_relay[0]); i++) {
        struct pipe *p = busy_pipe();
        assert_fault(p, p->agent, &by_relay[i]);
        pipe_free(p);
    }
}

static void nothing_but_hello_may_come_first(void **state)
{
    (void)state;
    for (int type = FRAME_WELCOME; type < FRAME_EVENT; type++) {
        struct pipe *p;
        setup_fresh((void **)&p);
        assert_int_equal(pipe_feed(p, p->relay, 0, (enum frame_type)type, 0, zeros, 41),
                         ERROR_PEER);
        assert_int_equal(mux_fault(p->relay), MUX_FAULT_ORDER);
        pipe_free(p);
    }
}

static void nothing_but_welcome_or_goaway_may_come_first(void **state)
{
    (void)state;
    for (int type = FRAME_HELLO; type < FRAME_EVENT; type++) {
        struct pipe *p;
        setup_fresh((void **)&p);
        bool fine = type == FRAME_GOAWAY;
        if (type != FRAME_WELCOME) {
            assert_int_equal(pipe_feed(p, p->agent, 0, (enum frame_type)type, 0, zeros, 41),
                             fine ? 0 : ERROR_PEER);
            assert_int_equal(mux_fault(p->agent), fine ? MUX_FAULT_NONE : MUX_FAULT_ORDER);
        }
        pipe_free(p);
    }
}

static void malformed_hello_and_welcome_are_faults(void **state)
{
    struct pipe *p = *state;
    assert_int_equal(pipe_feed(p, p->relay, 0, FRAME_HELLO, 0, zeros, 24), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_PAYLOAD);
    assert_int_equal(pipe_feed(p, p->agent, 0, FRAME_WELCOME, 0, zeros, 40), ERROR_PEER);
    assert_int_equal(mux_fault(p->agent), MUX_FAULT_PAYLOAD);
}

static void window_beyond_31_bits_in_the_handshake_is_a_fault(void **state)
{
    struct pipe *p = *state;
    uint8_t hello[25] = {[0] = 1, [2] = 1, [11] = 0x80};
    assert_int_equal(pipe_feed(p, p->relay, 0, FRAME_HELLO, 0, hello, sizeof(hello)), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_FLOW);
    uint8_t welcome[41] = {[0] = 1, [15] = 0x80};
    assert_int_equal(pipe_feed(p, p->agent, 0, FRAME_WELCOME, 0, welcome, sizeof(welcome)),
                     ERROR_PEER);
    assert_int_equal(mux_fault(p->agent), MUX_FAULT_FLOW);
}

static void frame_of_a_request_that_has_not_left_is_a_fault(void **state)
{
    struct pipe *p = *state;
    uint32_t id = pipe_get(p, "/");
    assert_int_equal(pipe_feed(p, p->relay, id, FRAME_HANDED, 0, NULL, 0), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_STREAM);
}

static void frame_of_a_request_that_waits_behind_others_is_a_fault(void **state)
{
    struct pipe *p = *state;
    static char path[16000];
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    pipe_get(p, path);
    uint32_t id = pipe_get(p, path);
    assert_true(pipe_to_agent(p)); /* the first only: both do not fit one message */
    assert_int_equal(pipe_feed(p, p->relay, id, FRAME_HANDED, 0, NULL, 0), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_STREAM);
}

static void request_behind_the_relays_goaway_is_a_fault(void **state)
{
    struct pipe *p = *state;
    mux_goaway(p->relay, HEAD_GOAWAY_SHUTDOWN, 0);
    pipe_settle(p);
    const struct offence late = {
        "request after goaway", FRAME_REQUEST, 1, 1, 17, "\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0/",
        MUX_FAULT_ORDER};
    assert_fault(p, p->agent, &late);
}

static void a_reply_must_have_its_status(void **state)
{
    struct pipe *p = *state;
    uint32_t id = 0;
    assert_int_equal(mux_control(p->agent, 1, span_of(""), &id), 0);
    pipe_settle(p);
    const struct offence cut = {"short reply", FRAME_CONTROL_REPLY, 0, id, 3,
                                NULL,          MUX_FAULT_PAYLOAD};
    assert_fault(p, p->agent, &cut);
}

static void control_calls_must_count_upwards(void **state)
{
    struct pipe *p = *state;
    assert_int_equal(pipe_feed(p, p->relay, 5, FRAME_CONTROL, 0, zeros, 4), 0);
    assert_int_equal(mux_control_reply(p->relay, 5, 0, span_of("")), 0);
    assert_int_equal(pipe_feed(p, p->relay, 5, FRAME_CONTROL, 0, zeros, 4), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_STREAM);
}

static void frame_cut_by_the_end_of_a_message_is_a_fault(void **state)
{
    struct pipe *p = *state;
    static const uint8_t ping[16] = {[4] = FRAME_PING, [6] = 8};
    for (size_t len = 1; len < sizeof(ping); len++) {
        struct pipe *q = pipe_new_ready();
        assert_int_equal(mux_recv(q->relay, ping, len, 0), 0);
        assert_int_equal(mux_recv_end(q->relay, 0), ERROR_PEER);
        assert_int_equal(mux_fault(q->relay), MUX_FAULT_FRAME);
        pipe_free(q);
    }
    assert_int_equal(mux_recv(p->relay, ping, sizeof(ping), 0), 0);
    assert_int_equal(mux_recv_end(p->relay, 0), 0);
}

static void empty_message_is_fine(void **state)
{
    struct pipe *p = *state;
    assert_int_equal(mux_recv(p->relay, NULL, 0, 0), 0);
    assert_int_equal(mux_recv_end(p->relay, 0), 0);
}

static void data_beyond_the_streams_credit_is_a_fault(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    relay.stream_window_bytes = 10;
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    p->relay_log->consumes = false;
    struct head_response head = {.status = 200, .body_bytes = -1};
    pipe_get(p, "/");
    pipe_settle(p);
    assert_int_equal(mux_respond(p->agent, 1, &head, false), 0);
    pipe_settle(p);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_DATA, 0, zeros, 10), 0);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_DATA, 0, zeros, 1), ERROR_PEER);
    assert_int_equal(mux_fault(p->relay), MUX_FAULT_FLOW);
    pipe_free(p);
}

static void data_beyond_the_tunnels_credit_is_a_fault_even_if_late(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    agent.tunnel_window_bytes = 10;
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    p->agent_log->consumes = false;
    static const char body[11];
    pipe_post(p, "/", body, sizeof(body));
    pipe_settle(p);
    mux_reset(p->agent, 1, HEAD_RESET_OVERLOADED, HEAD_DELIVERED_NO);
    assert_int_equal(pipe_feed(p, p->agent, 1, FRAME_DATA, 0, zeros, 1), ERROR_PEER);
    assert_int_equal(mux_fault(p->agent), MUX_FAULT_FLOW);
    pipe_free(p);
}

static void request_body_of_the_wrong_length_is_a_fault(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint8_t flags;
    } bodies[] = {{4, 0}, {4, 1}, {2, 1}, {0, 1}};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct pipe *p = pipe_new_ready();
        assert_int_equal(
            pipe_feed(p, p->agent, 1, FRAME_REQUEST, 0, "\3\0\0\0\0\0\0\0\3\0\0\0\1\0\0\0/", 17),
            0);
        assert_int_equal(
            pipe_feed(p, p->agent, 1, FRAME_DATA, bodies[i].flags, zeros, bodies[i].len),
            ERROR_PEER);
        assert_int_equal(mux_fault(p->agent), MUX_FAULT_LENGTH);
        pipe_free(p);
    }
}

/* What a home server can bring about ends its stream only. */
static void answer_of_the_wrong_length_ends_only_its_stream(void **state)
{
    struct pipe *p = *state;
    struct head_response head = {.status = 200, .body_bytes = 3};
    for (uint32_t id = 1; id <= 4; id++) {
        pipe_get(p, "/");
    }
    pipe_settle(p);
    assert_int_equal(mux_respond(p->agent, 1, &head, true), 0);
    assert_int_equal(mux_respond(p->agent, 2, &head, false), 0);
    assert_int_equal(mux_send_data(p->agent, 2, "1234", 4, false), 0);
    assert_int_equal(mux_respond(p->agent, 3, &head, false), 0);
    assert_int_equal(mux_send_data(p->agent, 3, "12", 2, true), 0);
    pipe_respond(p, 4, 200, "fine", 4);
    pipe_settle(p);
    pipe_expect_relay(p, "reset 1 bad_answer delivered=yes\n"
                         "response 2 200 body=3\nreset 2 bad_answer delivered=yes\n"
                         "response 3 200 body=3\nreset 3 bad_answer delivered=yes\n"
                         "response 4 200 body=4\ndata 4 \"fine\" end\ndone 4\n");
    assert_int_equal(p->relay->recv_credit + p->relay->recv_consumed, MUX_TUNNEL_WINDOW_BYTES);
    assert_int_equal(mux_n_streams(p->agent), 0);
}

static void malformed_answer_ends_only_its_stream(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/1");
    pipe_get(p, "/2");
    pipe_settle(p);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_RESPONSE, 1, zeros, 16), 0);
    assert_int_equal(pipe_feed(p, p->relay, 2, FRAME_RESPONSE, 1, zeros, 3), 0);
    pipe_expect_relay(p, "reset 1 bad_answer delivered=yes\nreset 2 bad_answer delivered=yes\n");
    event_log_clear(p->agent_log);
    pipe_settle(p);
    pipe_expect_agent(p, "reset 1 bad_answer delivered=yes\nreset 2 bad_answer delivered=yes\n");
}

static void malformed_request_is_refused_alone(void **state)
{
    struct pipe *p = *state;
    assert_int_equal(pipe_feed(p, p->agent, 1, FRAME_REQUEST, 0, zeros, 17), 0);
    assert_int_equal(pipe_feed(p, p->agent, 1, FRAME_DATA, 1, zeros, 5), 0);
    pipe_expect_agent(p, "");
    assert_true(pipe_drop(p, p->agent) == FRAME_HEADER_BYTES + 4);
    assert_int_equal(p->message[FRAME_HEADER_BYTES], HEAD_RESET_REFUSED);
    assert_int_equal(p->message[FRAME_HEADER_BYTES + 2], HEAD_DELIVERED_NO);
}

static void unknown_reasons_count_as_the_general_one(void **state)
{
    struct pipe *p = *state;
    for (int i = 0; i < 3; i++) {
        pipe_get(p, "/");
    }
    pipe_settle(p);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_RESET, 0, "\xff\xff\x00\x00", 4), 0);
    assert_int_equal(pipe_feed(p, p->relay, 2, FRAME_RESET, 0, "\x0a\x00\x03\x00", 4), 0);
    assert_int_equal(pipe_feed(p, p->relay, 3, FRAME_RESET, 0, "\x00\x00\xff\x00", 4), 0);
    assert_int_equal(pipe_feed(p, p->relay, 0, FRAME_GOAWAY, 0, "\x63\0\0\0\x01\0\0\0", 8), 0);
    pipe_expect_relay(p, "reset 1 internal delivered=no\nreset 2 internal delivered=unknown\n"
                         "reset 3 internal delivered=unknown\ngoaway shutdown 1\n");
}

static void every_fault_has_a_name(void **state)
{
    (void)state;
    for (int fault = MUX_FAULT_NONE; fault <= MUX_FAULT_MEMORY; fault++) {
        assert_string_not_equal(mux_fault_name((enum mux_fault)fault), "unknown");
    }
    assert_string_equal(mux_fault_name(MUX_FAULT_FLOW), "flow");
    assert_string_equal(mux_fault_name((enum mux_fault)(MUX_FAULT_MEMORY + 1)), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_out_of_place_from_an_agent_are_faults),
        cmocka_unit_test(frames_out_of_place_from_a_relay_are_faults),
        cmocka_unit_test(nothing_but_hello_may_come_first),
        cmocka_unit_test(nothing_but_welcome_or_goaway_may_come_first),
        cmocka_unit_test_setup_teardown(malformed_hello_and_welcome_are_faults, setup_fresh,
                                        teardown),
        cmocka_unit_test_setup_teardown(window_beyond_31_bits_in_the_handshake_is_a_fault,
                                        setup_fresh, teardown),
        cmocka_unit_test_setup_teardown(frame_of_a_request_that_has_not_left_is_a_fault, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(frame_of_a_request_that_waits_behind_others_is_a_fault,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(request_behind_the_relays_goaway_is_a_fault, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reply_must_have_its_status, setup, teardown),
        cmocka_unit_test_setup_teardown(control_calls_must_count_upwards, setup, teardown),
        cmocka_unit_test_setup_teardown(frame_cut_by_the_end_of_a_message_is_a_fault, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(empty_message_is_fine, setup, teardown),
        cmocka_unit_test(data_beyond_the_streams_credit_is_a_fault),
        cmocka_unit_test(data_beyond_the_tunnels_credit_is_a_fault_even_if_late),
        cmocka_unit_test(request_body_of_the_wrong_length_is_a_fault),
        cmocka_unit_test_setup_teardown(answer_of_the_wrong_length_ends_only_its_stream, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(malformed_answer_ends_only_its_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_request_is_refused_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_reasons_count_as_the_general_one, setup, teardown),
        cmocka_unit_test(every_fault_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
