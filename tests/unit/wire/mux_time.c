/* SPDX-License-Identifier: Apache-2.0 */
/* What the passing of time does: handshake deadline, pings, HANDED. */
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

static void handshake_has_a_deadline_on_both_sides(void **state)
{
    struct pipe *p = *state;
    struct mux *both[] = {p->relay, p->agent};
    for (size_t i = 0; i < 2; i++) {
        assert_true(mux_next_ms(both[i]) == p->now_ms + MUX_HELLO_DEADLINE_MS);
        assert_int_equal(mux_tick(both[i], p->now_ms + MUX_HELLO_DEADLINE_MS - 1), 0);
        assert_int_equal(mux_tick(both[i], p->now_ms + MUX_HELLO_DEADLINE_MS), ERROR_TIMEOUT);
        assert_int_equal(mux_fault(both[i]), MUX_FAULT_TIMEOUT);
        assert_int_equal(mux_recv(both[i], (const uint8_t *)"x", 1, 0), ERROR_TIMEOUT);
    }
}

static void bytes_do_not_prolong_the_handshake(void **state)
{
    struct pipe *p = *state;
    static const uint8_t byte = 0;
    p->now_ms += MUX_HELLO_DEADLINE_MS;
    assert_int_equal(mux_recv(p->relay, &byte, 1, p->now_ms), 0);
    assert_int_equal(mux_tick(p->relay, p->now_ms), ERROR_TIMEOUT);
}

static void idle_tunnel_is_pinged_and_the_pong_keeps_it(void **state)
{
    struct pipe *p = *state;
    uint64_t start = p->now_ms;
    p->now_ms = start + MUX_PING_IDLE_MS - 1;
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
    assert_false(mux_wants_send(p->relay));
    assert_true(mux_next_ms(p->relay) == start + MUX_PING_IDLE_MS);
    p->now_ms++;
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
    assert_true(mux_wants_send(p->relay));
    assert_true(mux_next_ms(p->relay) == p->now_ms + MUX_REPLY_DEADLINE_MS);
    assert_true(pipe_to_agent(p));
    p->now_ms += 37;
    assert_true(pipe_to_relay(p));
    assert_int_equal(mux_rtt_us(p->relay), 37000);
    assert_true(mux_next_ms(p->relay) == p->now_ms + MUX_PING_IDLE_MS);
    p->now_ms += MUX_REPLY_DEADLINE_MS;
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
}

static void silent_peer_is_dead_after_the_reply_deadline(void **state)
{
    struct pipe *p = *state;
    struct mux *both[] = {p->relay, p->agent};
    for (size_t i = 0; i < 2; i++) {
        uint64_t ping_ms = p->now_ms + MUX_PING_IDLE_MS;
        assert_int_equal(mux_tick(both[i], ping_ms), 0);
        assert_int_equal(mux_tick(both[i], ping_ms + MUX_REPLY_DEADLINE_MS - 1), 0);
        assert_int_equal(mux_tick(both[i], ping_ms + MUX_REPLY_DEADLINE_MS), ERROR_TIMEOUT);
        assert_int_equal(mux_fault(both[i]), MUX_FAULT_TIMEOUT);
    }
}

static void any_byte_proves_life(void **state)
{
    struct pipe *p = *state;
    static const uint8_t byte = 0;
    p->now_ms += MUX_PING_IDLE_MS;
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
    p->now_ms += MUX_REPLY_DEADLINE_MS - 1;
    assert_int_equal(mux_recv(p->relay, &byte, 1, p->now_ms), 0);
    p->now_ms += 1;
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
}

static void no_byte_proves_nothing(void **state)
{
    struct pipe *p = *state;
    p->now_ms += MUX_PING_IDLE_MS;
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
    p->now_ms += MUX_REPLY_DEADLINE_MS;
    assert_int_equal(mux_recv(p->relay, NULL, 0, p->now_ms), 0);
    assert_int_equal(mux_recv_end(p->relay, p->now_ms), 0);
    assert_int_equal(mux_tick(p->relay, p->now_ms), ERROR_TIMEOUT);
}

static void waiting_requests_are_pinged_for_sooner(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    uint64_t start = p->now_ms;
    assert_true(mux_next_ms(p->relay) == start + MUX_PING_BUSY_MS);
    pipe_settle(p);
    assert_int_equal(mux_tick(p->relay, start + MUX_PING_BUSY_MS), 0);
    assert_true(mux_wants_send(p->relay));
}

static void who_doubts_the_line_asks_at_once_and_once(void **state)
{
    struct pipe *p = *state;
    mux_ask(p->agent, p->now_ms);
    assert_true(mux_next_ms(p->agent) == p->now_ms + MUX_REPLY_DEADLINE_MS);
    p->now_ms += 10;
    mux_ask(p->agent, p->now_ms); /* the first one waits for its answer */
    assert_true(mux_next_ms(p->agent) == p->now_ms - 10 + MUX_REPLY_DEADLINE_MS);
    assert_true(pipe_to_relay(p));
    assert_true(pipe_to_agent(p));
    assert_int_equal(mux_rtt_us(p->agent), 10000);
    assert_false(mux_wants_send(p->agent));
    assert_true(mux_next_ms(p->agent) == p->now_ms + MUX_PING_IDLE_MS);
}

static void nobody_is_asked_before_the_handshake(void **state)
{
    struct pipe *p = *state;
    mux_ask(p->relay, p->now_ms);
    assert_false(mux_wants_send(p->relay));
}

static void relay_decides_the_times_for_both_within_reason(void **state)
{
    (void)state;
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    relay.ping_idle_ms = 4000;
    relay.reply_deadline_ms = 3000;
    struct pipe *p = pipe_new_ready_with(&relay, &agent);
    assert_true(mux_next_ms(p->agent) == p->now_ms + 4000);
    assert_int_equal(p->agent->settings.reply_deadline_ms, 3000);
    pipe_free(p);
    relay.ping_idle_ms = 0;
    relay.reply_deadline_ms = UINT32_MAX;
    p = pipe_new_ready_with(&relay, &agent);
    assert_int_equal(p->agent->settings.ping_idle_ms, 1000);
    assert_int_equal(p->agent->settings.reply_deadline_ms, 600000);
    pipe_free(p);
}

static void forged_pong_measures_nothing(void **state)
{
    struct pipe *p = *state;
    assert_int_equal(pipe_feed(p, p->relay, 0, FRAME_PONG, 0, "12345678", 8), 0);
    assert_int_equal(mux_rtt_us(p->relay), 0);
    p->now_ms += MUX_PING_IDLE_MS;
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
    p->now_ms += 5;
    assert_int_equal(pipe_feed(p, p->relay, 0, FRAME_PONG, 0, "12345678", 8), 0);
    assert_int_equal(mux_rtt_us(p->relay), 0);
    pipe_settle(p);
    assert_int_equal(mux_rtt_us(p->relay), 5000);
}

static void handed_is_told_after_a_delay(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/1");
    pipe_get(p, "/2");
    pipe_settle(p);
    mux_handed(p->agent, 1, p->now_ms);
    mux_handed(p->agent, 2, p->now_ms + 1);
    mux_handed(p->agent, 2, p->now_ms + 2);
    assert_false(mux_wants_send(p->agent));
    assert_true(mux_next_ms(p->agent) == p->now_ms + MUX_HANDED_DELAY_MS);
    assert_int_equal(mux_tick(p->agent, p->now_ms + MUX_HANDED_DELAY_MS - 1), 0);
    assert_false(mux_wants_send(p->agent));
    assert_int_equal(mux_tick(p->agent, p->now_ms + MUX_HANDED_DELAY_MS), 0);
    pipe_settle(p);
    pipe_expect_relay(p, "handed 1\n");
    assert_int_equal(mux_delivered(p->relay, 1), HEAD_DELIVERED_YES);
    assert_int_equal(mux_delivered(p->relay, 2), HEAD_DELIVERED_UNKNOWN);
    p->now_ms += MUX_HANDED_DELAY_MS + 1;
    assert_int_equal(mux_tick(p->agent, p->now_ms), 0);
    pipe_settle(p);
    pipe_expect_relay(p, "handed 2\n");
    pipe_respond(p, 1, 200, NULL, 0);
    pipe_settle(p);
    pipe_expect_relay(p, "response 1 200 body=0 end\ndone 1\n");
}

static void due_handed_leaves_with_any_message(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/1");
    pipe_get(p, "/2");
    pipe_settle(p);
    mux_handed(p->agent, 1, p->now_ms);
    p->now_ms += MUX_HANDED_DELAY_MS;
    pipe_respond(p, 2, 200, NULL, 0);
    assert_true(pipe_to_relay(p));
    pipe_expect_relay(p, "response 2 200 body=0 end\ndone 2\nhanded 1\n");
}

static void answer_makes_handed_needless(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    pipe_settle(p);
    mux_handed(p->agent, 1, p->now_ms);
    pipe_respond(p, 1, 200, NULL, 0);
    mux_handed(p->agent, 1, p->now_ms);
    pipe_settle(p);
    p->now_ms += MUX_HANDED_DELAY_MS;
    assert_int_equal(mux_tick(p->agent, p->now_ms), 0);
    assert_false(mux_wants_send(p->agent));
    pipe_expect_relay(p, "response 1 200 body=0 end\ndone 1\n");
}

static void reset_makes_handed_needless(void **state)
{
    struct pipe *p = *state;
    pipe_get(p, "/");
    pipe_settle(p);
    mux_handed(p->agent, 1, p->now_ms);
    mux_reset(p->agent, 1, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    p->now_ms += MUX_HANDED_DELAY_MS;
    pipe_settle(p);
    pipe_expect_relay(p, "reset 1 deadline delivered=yes\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(handshake_has_a_deadline_on_both_sides, setup_fresh,
                                        teardown),
        cmocka_unit_test_setup_teardown(bytes_do_not_prolong_the_handshake, setup_fresh, teardown),
        cmocka_unit_test_setup_teardown(idle_tunnel_is_pinged_and_the_pong_keeps_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(silent_peer_is_dead_after_the_reply_deadline, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(any_byte_proves_life, setup, teardown),
        cmocka_unit_test_setup_teardown(no_byte_proves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_requests_are_pinged_for_sooner, setup, teardown),
        cmocka_unit_test_setup_teardown(who_doubts_the_line_asks_at_once_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_asked_before_the_handshake, setup_fresh,
                                        teardown),
        cmocka_unit_test(relay_decides_the_times_for_both_within_reason),
        cmocka_unit_test_setup_teardown(forged_pong_measures_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(handed_is_told_after_a_delay, setup, teardown),
        cmocka_unit_test_setup_teardown(due_handed_leaves_with_any_message, setup, teardown),
        cmocka_unit_test_setup_teardown(answer_makes_handed_needless, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_makes_handed_needless, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
