/* SPDX-License-Identifier: Apache-2.0 */
/* The same bytes cut differently give the same events. */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/pipe.h"

/* A conversation with every kind of frame. The logs of both sides hold what was seen. */
static struct pipe *converse(size_t cut_bytes, uint64_t random)
{
    static const char body[50000] = "body";
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "relay/1");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "agent/1");
    relay.stream_window_bytes = 20000;
    struct pipe *p = pipe_new(&relay, &agent);
    struct head_response head = {.status = 200, .body_bytes = sizeof(body)};
    uint32_t id;
    p->cut_bytes = cut_bytes;
    p->random = random;
    pipe_settle(p);
    for (int i = 0; i < 4; i++) {
        pipe_get(p, "/api/V1/power");
        pipe_post(p, "/api/V1/dimmer", body, 300);
    }
    pipe_settle(p);
    mux_handed(p->agent, 8, p->now_ms);
    p->now_ms += MUX_PING_IDLE_MS;
    assert_int_equal(mux_tick(p->agent, p->now_ms), 0);
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
    assert_int_equal(mux_respond(p->agent, 1, &head, false), 0);
    assert_int_equal(mux_send_data(p->agent, 1, body, sizeof(body), true), 0);
    pipe_respond(p, 2, 200, "small", 5);
    pipe_respond(p, 3, 404, NULL, 0);
    mux_reset(p->agent, 4, HEAD_RESET_OVERLOADED, HEAD_DELIVERED_NO);
    mux_reset(p->relay, 5, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(mux_control(p->agent, 1, span_of("{}"), &id), 0);
    pipe_settle(p);
    assert_int_equal(mux_control_reply(p->relay, id, 0, span_of("[]")), 0);
    mux_goaway(p->agent, HEAD_GOAWAY_SHUTDOWN, 5);
    pipe_settle(p);
    mux_close(p->relay);
    mux_close(p->agent);
    return p;
}

static void assert_same(const struct pipe *a, const struct pipe *b)
{
    assert_string_equal(a->relay_log->text, b->relay_log->text);
    assert_string_equal(a->agent_log->text, b->agent_log->text);
}

static void pieces_of_any_one_length_give_the_same_events(void **state)
{
    (void)state;
    struct pipe *whole = converse(0, 0);
    assert_non_null(strstr(whole->relay_log->text, "handed 8"));
    for (size_t cut = 1; cut <= 40; cut++) {
        struct pipe *p = converse(cut, 0);
        assert_same(whole, p);
        pipe_free(p);
    }
    pipe_free(whole);
}

static void pieces_of_random_lengths_give_the_same_events(void **state)
{
    (void)state;
    struct pipe *whole = converse(0, 0);
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct pipe *p = converse(seed % 3 == 0 ? 20000 : 64, seed);
        assert_same(whole, p);
        pipe_free(p);
    }
    pipe_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_one_length_give_the_same_events),
        cmocka_unit_test(pieces_of_random_lengths_give_the_same_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
