/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream: answers that wait for their callers, and who else is served. */
#include "tests/unit/upstream/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PART "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"

/* So many calls that are paused at the first piece of their bodies. */
static void pause_some(struct fixture *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fake_reply(&f->server, PART, FAKE_KEEP);
    }
    for (size_t i = 0; i < n; i++) {
        get(f, STATUS)->on_data = ACT_PAUSE;
    }
    for (size_t i = 0; i < n; i++) {
        until_data(&f->calls[i]);
    }
}

static struct upstream_stats stats_of(const struct fixture *f)
{
    struct upstream_stats stats;
    upstream_read_stats(f->u, &stats);
    return stats;
}

static size_t peer_of(const struct fixture *f, size_t request)
{
    return f->server.requests[request].peer;
}

static void finish(struct fixture *f, size_t n)
{
    struct call *call = &f->calls[n];
    call->on_data = ACT_NONE;
    upstream_resume(call->call);
    fake_send(&f->server, peer_of(f, n), "-rest");
    until_done(call);
    expect_answer(call, 200, "part-rest");
}

static void paused_answers_keep_nobody_waiting(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 2;
    f->settings.max_paused = 8;
    start(f);
    pause_some(f, 8);
    assert_int_equal(stats_of(f).n_paused, 8);
    for (int i = 0; i < 4; i++) {
        struct call *call = get(f, COMMAND);
        until_done(call);
        expect_answer(call, 200, "ok");
    }
    assert_int_equal(f->server.n_peers, 9); /* one served the four */
    for (size_t i = 0; i < 8; i++) {
        finish(f, i);
    }
}

static void a_pause_lets_the_next_one_in(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 1;
    f->settings.max_paused = 1;
    fake_reply(&f->server, PART, FAKE_KEEP);
    start(f);
    struct call *large = get(f, STATUS);
    struct call *small = get(f, COMMAND);
    until_data(large);
    run_turns(f, 20);
    assert_int_equal(stats_of(f).n_queued, 1);
    upstream_pause(large->call);
    until_done(small);
    expect_answer(small, 200, "ok");
    finish(f, 0);
}

static void never_more_than_both_together(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 2;
    f->settings.max_paused = 3;
    start(f);
    pause_some(f, 5);
    struct call *late = get(f, COMMAND);
    until_done(late);
    expect_failure(late, HEAD_RESET_DEADLINE, HEAD_DELIVERED_NO);
    assert_int_equal(stats_of(f).n_open, 5);
    struct call *next = get(f, COMMAND);
    upstream_cancel(f->calls[0].call);
    f->calls[0].call = NULL;
    until_done(next);
    expect_answer(next, 200, "ok");
    assert_in_range(stats_of(f).n_open, 0, 5);
}

static void without_the_setting_they_count_like_others(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 2;
    f->settings.max_paused = 0;
    start(f);
    pause_some(f, 2);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_NO);
    assert_int_equal(f->server.n_peers, 2);
}

static void what_goes_on_counts_again_and_the_surplus_is_closed(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 1;
    f->settings.max_paused = 4;
    start(f);
    pause_some(f, 4);
    for (size_t i = 0; i < 4; i++) {
        f->calls[i].on_data = ACT_NONE;
        upstream_resume(f->calls[i].call);
    }
    assert_int_equal(stats_of(f).n_paused, 0);
    struct call *call = get(f, COMMAND); /* four are at work, so it waits for the last of them */
    for (size_t i = 0; i < 4; i++) {
        run_turns(f, 20);
        assert_int_equal(stats_of(f).n_open, 4 - i);
        assert_int_equal(call->n_handed, 0);
        fake_send(&f->server, peer_of(f, i), "-rest");
        until_done(&f->calls[i]);
        expect_answer(&f->calls[i], 200, "part-rest");
    }
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(stats_of(f).n_open, 1);
    assert_int_equal(f->server.n_peers, 4);
}

static void a_pause_before_the_head_counts_from_the_head_on(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 1;
    f->settings.max_paused = 1;
    fake_reply(&f->server, "", FAKE_KEEP);
    start(f);
    struct call *large = get(f, STATUS);
    upstream_pause(large->call);
    until_requests(f, 1);
    struct call *small = get(f, COMMAND);
    run_turns(f, 20);
    assert_int_equal(stats_of(f).n_paused, 0);
    assert_int_equal(small->n_handed, 0);
    fake_send(&f->server, 0, PART);
    until_done(small);
    expect_answer(small, 200, "ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(paused_answers_keep_nobody_waiting),
        CASE(a_pause_lets_the_next_one_in),
        CASE(never_more_than_both_together),
        CASE(without_the_setting_they_count_like_others),
        CASE(what_goes_on_counts_again_and_the_surplus_is_closed),
        CASE(a_pause_before_the_head_counts_from_the_head_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
