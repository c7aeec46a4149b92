/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake, versions, and peers of another one. */
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

static void both_sides_are_ready_after_hello_and_welcome(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "relay/2");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "agent/3");
    relay.generation = 42;
    struct pipe *p = pipe_new(&relay, &agent);
    assert_false(mux_ready(p->relay) || mux_ready(p->agent));
    pipe_settle(p);
    assert_true(mux_ready(p->relay) && mux_ready(p->agent));
    pipe_expect_relay(p, "ready version=1 generation=42 software=agent/3\n");
    pipe_expect_agent(p, "ready version=1 generation=42 software=relay/2\n");
    pipe_free(p);
}

static void nothing_opens_before_the_handshake(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    struct pipe *p = pipe_new(&relay, &agent);
    struct head_request request = {.method = HEAD_METHOD_GET, .path = span_of("/")};
    uint32_t id;
    assert_int_equal(mux_request(p->relay, &request, NULL, NULL, &id, 0), ERROR_STATE);
    assert_int_equal(mux_control(p->agent, 1, span_of(""), &id), ERROR_STATE);
    pipe_free(p);
}

static void newer_peers_extra_bytes_and_types_are_skipped(void **state)
{
    struct pipe *p = *state;
    static const uint8_t zeros[64] = {[0] = 1};
    assert_int_equal(pipe_feed(p, p->relay, 7, FRAME_EVENT, 0xff, zeros, 5), 0);
    assert_int_equal(pipe_feed(p, p->relay, 7, (enum frame_type)200, 0xff, zeros, 64), 0);
    assert_int_equal(pipe_feed(p, p->relay, 0, FRAME_PING, 0xff, zeros, 64), 0);
    assert_int_equal(pipe_feed(p, p->relay, 0, FRAME_WINDOW, 0xff, zeros, 64), 0);
    pipe_get(p, "/");
    pipe_settle(p);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_HANDED, 0xff, zeros, 64), 0);
    assert_int_equal(pipe_feed(p, p->relay, 1, FRAME_RESET, 0xff, zeros, 64), 0);
    assert_int_equal(pipe_feed(p, p->relay, 0, FRAME_GOAWAY, 0xff, zeros, 64), 0);
    pipe_expect_relay(p, "handed 1\nreset 1 internal delivered=yes\ngoaway shutdown 0\n");
}

static void negotiate(uint16_t relay_min, uint16_t relay_max, uint16_t agent_min,
                      uint16_t agent_max, uint16_t chosen)
{
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    relay.version_min = relay_min;
    relay.version_max = relay_max;
    agent.version_min = agent_min;
    agent.version_max = agent_max;
    struct pipe *p = pipe_new(&relay, &agent);
    pipe_drop(p, p->agent); /* leaves HELLO in p->message */
    uint8_t hello[FRAME_HEADER_BYTES + 32];
    memcpy(hello, p->message, sizeof(hello));
    int rc = mux_recv(p->relay, hello, FRAME_HEADER_BYTES + 26, p->now_ms);
    if (chosen != 0) {
        assert_int_equal(rc, 0);
        assert_true(pipe_to_agent(p));
        assert_int_equal(p->relay->peer.version, chosen);
        assert_int_equal(p->agent->peer.version, chosen);
    } else {
        assert_int_equal(rc, ERROR_PEER);
        assert_int_equal(mux_fault(p->relay), MUX_FAULT_VERSION);
        assert_true(pipe_to_agent(p));
        pipe_expect_agent(p, "goaway version 0\n");
    }
    pipe_free(p);
}

static void highest_common_version_is_chosen(void **state)
{
    (void)state;
    negotiate(1, 1, 1, 1, 1);
    negotiate(1, 3, 1, 1, 1);
    negotiate(1, 1, 1, 3, 1);
    negotiate(2, 5, 1, 3, 3);
    negotiate(1, 3, 2, 5, 3);
    negotiate(3, 5, 1, 3, 3);
}

static void no_common_version_ends_in_a_goaway(void **state)
{
    (void)state;
    negotiate(2, 3, 1, 1, 0);
    negotiate(1, 1, 2, 3, 0);
}

static void welcome_with_a_version_not_offered_is_a_fault(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    struct pipe *p = pipe_new(&relay, &agent);
    static const uint8_t newer[41] = {2};
    assert_int_equal(pipe_feed(p, p->agent, 0, FRAME_WELCOME, 0, newer, sizeof(newer)), ERROR_PEER);
    assert_int_equal(mux_fault(p->agent), MUX_FAULT_VERSION);
    pipe_free(p);
    agent.version_min = 2;
    agent.version_max = 3;
    p = pipe_new(&relay, &agent);
    static const uint8_t older[41] = {1};
    assert_int_equal(pipe_feed(p, p->agent, 0, FRAME_WELCOME, 0, older, sizeof(older)), ERROR_PEER);
    assert_int_equal(mux_fault(p->agent), MUX_FAULT_VERSION);
    pipe_free(p);
}

static void peers_name_is_cut_and_cleaned_for_the_log(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    char name[200];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    name[0] = '\n';
    struct mux_settings agent = mux_default_settings(MUX_AGENT, name);
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    assert_int_equal(strlen(p->relay->peer.software), 63);
    assert_int_equal(p->relay->peer.software[0], '?');
    pipe_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_are_ready_after_hello_and_welcome),
        cmocka_unit_test(nothing_opens_before_the_handshake),
        cmocka_unit_test_setup_teardown(newer_peers_extra_bytes_and_types_are_skipped, setup,
                                        teardown),
        cmocka_unit_test(highest_common_version_is_chosen),
        cmocka_unit_test(no_common_version_ends_in_a_goaway),
        cmocka_unit_test(welcome_with_a_version_not_offered_is_a_fault),
        cmocka_unit_test(peers_name_is_cut_and_cleaned_for_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
