/* SPDX-License-Identifier: Apache-2.0 */
/* How a tunnel ends: drained, closed, with its ids used up. */
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

static void closing_resets_every_stream_oldest_first(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/answered");
    pipe_get(p, "/sent");
    pipe_settle(p);
    struct head_response head = {.status = 200, .body_bytes = 1};
    assert_int_equal(mux_respond(p->agent, 1, &head, false), 0);
    pipe_settle(p);
    pipe_get(p, "/queued");
    event_log_clear(p->relay_log);
    assert_int_equal(mux_delivered(p->relay, 1), HEAD_DELIVERED_YES);
    assert_int_equal(mux_delivered(p->relay, 2), HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(mux_delivered(p->relay, 3), HEAD_DELIVERED_NO);
    mux_close(p->relay);
    pipe_expect_relay(p, "reset 1 tunnel_lost delivered=yes\n"
                         "reset 2 tunnel_lost delivered=unknown\n"
                         "reset 3 tunnel_lost delivered=no\n");
    mux_close(p->relay);
    pipe_expect_relay(p, "");
    assert_false(mux_wants_send(p->relay));
    assert_int_equal(pipe_drop(p, p->relay), 0);
    assert_int_equal(mux_recv(p->relay, (const uint8_t *)"x", 1, 0), ERROR_STATE);
    assert_int_equal(mux_recv_end(p->relay, 0), ERROR_STATE);
    assert_int_equal(mux_tick(p->relay, 0), ERROR_STATE);
    assert_int_equal(mux_n_streams(p->relay), 0);
}

/* Before a websocket is closed. */
static void goodbye_leaves_only_if_no_request_would(void **state)
{
    struct pipe *p = *state;
    assert_false(mux_wants_goodbye(p->relay));
    pipe_get(p, "/queued");
    assert_false(mux_wants_goodbye(p->relay));
    mux_goaway(p->relay, HEAD_GOAWAY_SHUTDOWN, 0);
    assert_false(mux_wants_goodbye(p->relay));
    mux_reset(p->relay, 1, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_NO);
    assert_true(mux_wants_goodbye(p->relay));
    pipe_settle(p);
    assert_false(mux_wants_goodbye(p->relay));
    pipe_expect_agent(p, "goaway shutdown 0\n");
}

static void goodbye_after_a_fault_leaves_though_requests_wait(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/queued");
    static const uint8_t nothing[1] = {0};
    assert_int_equal(pipe_feed(p, p->relay, 9, FRAME_HANDED, 0, nothing, 0), ERROR_PEER);
    assert_true(mux_wants_goodbye(p->relay));
    assert_true(pipe_to_agent(p));
    pipe_expect_agent(p, "goaway protocol 0\n");
    mux_close(p->relay);
    assert_false(mux_wants_goodbye(p->relay));
}

static void goaway_of_the_relay_lets_open_streams_finish(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/1");
    mux_goaway(p->relay, HEAD_GOAWAY_SHUTDOWN, 1500);
    mux_goaway(p->relay, HEAD_GOAWAY_DISABLED, 0);
    struct head_request request = {.method = HEAD_METHOD_GET, .path = span_of("/2")};
    uint32_t id;
    assert_int_equal(mux_request(p->relay, &request, NULL, NULL, &id, 0), ERROR_STATE);
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 GET /1 body=0 end\ngoaway shutdown 1500\n");
    pipe_respond(p, 1, 200, "x", 1);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 200 body=1\ndata 1 \"x\" end\ndone 1\n");
}

static void goaway_of_the_relay_stays_behind_requests_of_several_messages(void **state)
{
    struct pipe *p = *state;
    static char path[FRAME_MESSAGE_BYTES];
    /* Leaves less room in the first message than the GOAWAY needs. */
    size_t len = FRAME_MESSAGE_BYTES - FRAME_HEADER_BYTES - 16 - 10;
    memset(path, 'a', len);
    path[0] = '/';
    p->agent->events.on_request = NULL;
    pipe_get(p, path);
    pipe_get(p, path);
    mux_goaway(p->relay, HEAD_GOAWAY_SHUTDOWN, 0);
    while (pipe_to_agent(p)) {
        assert_true(p->message_len <= FRAME_MESSAGE_BYTES);
    }
    assert_int_equal(mux_n_streams(p->agent), 2);
    pipe_expect_agent(p, "goaway shutdown 0\n");
}

static void goaway_of_the_agent_is_answered_and_gives_back_what_has_not_left(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/1");
    pipe_settle(p);
    mux_goaway(p->agent, HEAD_GOAWAY_SHUTDOWN, 0);
    pipe_get(p, "/2");
    assert_true(pipe_to_agent(p)); /* crosses the GOAWAY: the agent takes it */
    pipe_get(p, "/3");
    assert_true(pipe_to_relay(p));
    pipe_expect_relay(p, "goaway shutdown 0\nreset 3 tunnel_lost delivered=no\n");
    pipe_settle(p);
    pipe_expect_agent(p, "request 1 GET /1 body=0 end\nrequest 2 GET /2 body=0 end\n"
                         "goaway shutdown 0\n");
    pipe_respond(p, 1, 200, NULL, 0);
    pipe_respond(p, 2, 200, NULL, 0);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 200 body=0 end\ndone 1\nresponse 2 200 body=0 end\ndone 2\n");
}

static void relay_may_drain_before_the_handshake(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    struct pipe *p = pipe_new(&relay, &agent);
    mux_goaway(p->relay, HEAD_GOAWAY_DISABLED, 60000);
    pipe_settle(p);
    pipe_expect_agent(p, "ready version=1 generation=0 software=r\ngoaway disabled 60000\n");
    pipe_free(p);
}

static void used_up_ids_end_in_a_goaway(void **state)
{
    struct pipe *p = *state;
    p->relay->last_stream = UINT32_MAX - 1;
    uint32_t id = pipe_get(p, "/last");
    assert_int_equal(id, UINT32_MAX);
    struct head_request request = {.method = HEAD_METHOD_GET, .path = span_of("/")};
    assert_int_equal(mux_request(p->relay, &request, NULL, NULL, &id, 0), ERROR_STATE);
    pipe_settle(p);
    pipe_expect_agent(p, "request 4294967295 GET /last body=0 end\ngoaway exhausted 0\n");
    pipe_respond(p, UINT32_MAX, 200, NULL, 0);
    pipe_settle(p);
    pipe_expect_relay(p, "response 4294967295 200 body=0 end\ndone 4294967295\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(closing_resets_every_stream_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(goodbye_leaves_only_if_no_request_would, setup, teardown),
        cmocka_unit_test_setup_teardown(goodbye_after_a_fault_leaves_though_requests_wait, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(goaway_of_the_relay_lets_open_streams_finish, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            goaway_of_the_relay_stays_behind_requests_of_several_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(
            goaway_of_the_agent_is_answered_and_gives_back_what_has_not_left, setup, teardown),
        cmocka_unit_test(relay_may_drain_before_the_handshake),
        cmocka_unit_test_setup_teardown(used_up_ids_end_in_a_goaway, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
