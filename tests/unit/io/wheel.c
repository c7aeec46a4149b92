/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/wheel.h. Time is a number that the tests turn the wheel to. */
#include "proto/io/wheel.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define START_MS UINT64_C(123456789)
#define ROUND_MS ((uint64_t)WHEEL_TICK_MS * WHEEL_SLOTS)
#define STEP_MS  37
#define N_TIMERS 4000
#define LIMIT_MS (5 * ROUND_MS)

struct alarm {
    struct wheel_timer timer;
    unsigned n_fired;
    uint64_t fired_ms;
    struct alarm *victim; /* cancelled when this one fires */
    uint64_t again_ms;    /* set again to then when this one fires; 0 = not */
};

static struct wheel w;
static uint64_t now_ms;
static struct alarm alarms[N_TIMERS];

static void on_due(struct wheel_timer *t)
{
    struct alarm *a = LIST_ITEM(t, struct alarm, timer);
    assert_int_equal(t->due_ms, 0);
    a->n_fired++;
    a->fired_ms = now_ms;
    if (a->victim != NULL) {
        wheel_cancel(&a->victim->timer);
    }
    if (a->again_ms != 0) {
        uint64_t again_ms = a->again_ms;
        a->again_ms = 0;
        wheel_set(&w, &a->timer, again_ms);
    }
}

static int set_up(void **state)
{
    (void)state;
    now_ms = START_MS;
    wheel_init(&w, now_ms);
    for (size_t i = 0; i < N_TIMERS; i++) {
        alarms[i] = (struct alarm){.n_fired = 0};
        wheel_timer_init(&alarms[i].timer, on_due);
    }
    return 0;
}

static void set_in(struct alarm *a, uint64_t ms)
{
    wheel_set(&w, &a->timer, START_MS + ms);
}

static void turn_to(uint64_t ms)
{
    now_ms = START_MS + ms;
    wheel_turn(&w, now_ms);
}

/* A tick is the coarseness that the header promises. */
static void assert_fired_at(const struct alarm *a, uint64_t ms)
{
    assert_int_equal(a->n_fired, 1);
    assert_in_range(a->fired_ms, START_MS + ms, START_MS + ms + WHEEL_TICK_MS);
}

static void test_wheel_fires_once_within_a_tick_and_never_early(void **state)
{
    (void)state;
    for (uint64_t due = 1; due <= 450; due++) {
        set_in(&alarms[due], due);
    }
    for (uint64_t ms = 0; ms < 1000; ms++) {
        turn_to(ms);
    }
    for (uint64_t due = 1; due <= 450; due++) {
        assert_fired_at(&alarms[due], due);
    }
}

static void test_wheel_fires_at_the_right_round(void **state)
{
    (void)state;
    static const uint64_t dues[] = {ROUND_MS - 1,     ROUND_MS,     ROUND_MS + 1,
                                    2 * ROUND_MS - 1, 2 * ROUND_MS, 3 * ROUND_MS + 12345};
    size_t n = sizeof(dues) / sizeof(dues[0]);
    for (size_t i = 0; i < n; i++) {
        set_in(&alarms[i], dues[i]);
    }
    for (uint64_t ms = 0; ms < LIMIT_MS; ms += 10) {
        turn_to(ms);
    }
    for (size_t i = 0; i < n; i++) {
        assert_fired_at(&alarms[i], dues[i]);
    }
}

/* A loop that was blocked, or a machine that slept. */
static void test_wheel_fires_all_that_is_due_after_a_leap_in_time(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < N_TIMERS; i++) {
        set_in(&alarms[i], i * 97);
    }
    uint64_t leap_ms = 3 * ROUND_MS + 50;
    turn_to(leap_ms);
    for (uint64_t i = 0; i < N_TIMERS; i++) {
        uint64_t due = i * 97;
        assert_in_range(alarms[i].n_fired, due + WHEEL_TICK_MS <= leap_ms, due <= leap_ms);
    }
    turn_to(N_TIMERS * 97 + WHEEL_TICK_MS);
    for (uint64_t i = 0; i < N_TIMERS; i++) {
        assert_int_equal(alarms[i].n_fired, 1);
    }
}

static void test_wheel_with_a_deadline_in_the_past_fires_at_the_next_tick(void **state)
{
    (void)state;
    turn_to(ROUND_MS);
    set_in(&alarms[0], 5);
    assert_int_equal(alarms[0].n_fired, 0);
    turn_to(ROUND_MS + WHEEL_TICK_MS);
    assert_int_equal(alarms[0].n_fired, 1);
}

static void test_wheel_moves_a_timer_that_is_set_again(void **state)
{
    (void)state;
    set_in(&alarms[0], 300);
    set_in(&alarms[0], 900);
    set_in(&alarms[1], 900);
    set_in(&alarms[1], 300);
    for (uint64_t ms = 0; ms < 2000; ms += 10) {
        turn_to(ms);
    }
    assert_fired_at(&alarms[0], 900);
    assert_fired_at(&alarms[1], 300);
}

static void test_wheel_cancel_is_idempotent_and_the_timer_can_be_set_again(void **state)
{
    (void)state;
    wheel_cancel(&alarms[0].timer);
    set_in(&alarms[0], 300);
    wheel_cancel(&alarms[0].timer);
    wheel_cancel(&alarms[0].timer);
    assert_int_equal(alarms[0].timer.due_ms, 0);
    turn_to(2 * ROUND_MS);
    assert_int_equal(alarms[0].n_fired, 0);
    set_in(&alarms[0], 2 * ROUND_MS + 300);
    turn_to(2 * ROUND_MS + 400);
    assert_int_equal(alarms[0].n_fired, 1);
    wheel_cancel(&alarms[0].timer);
}

static void test_wheel_callback_may_cancel_a_timer_that_is_due_too(void **state)
{
    (void)state;
    /* In one slot: whichever is first takes the other with it. */
    set_in(&alarms[0], 300);
    set_in(&alarms[1], 300);
    alarms[0].victim = &alarms[1];
    alarms[1].victim = &alarms[0];
    turn_to(1000);
    assert_int_equal(alarms[0].n_fired + alarms[1].n_fired, 1);
    assert_true(list_alone(&alarms[0].timer.node));
    assert_true(list_alone(&alarms[1].timer.node));
}

static void test_wheel_callback_may_set_its_own_timer_again(void **state)
{
    (void)state;
    set_in(&alarms[0], 300);
    alarms[0].again_ms = START_MS + 300 + ROUND_MS; /* the same slot */
    turn_to(400);
    assert_int_equal(alarms[0].n_fired, 1);
    turn_to(300 + ROUND_MS - 1);
    assert_int_equal(alarms[0].n_fired, 1);
    turn_to(300 + ROUND_MS + WHEEL_TICK_MS);
    assert_int_equal(alarms[0].n_fired, 2);
}

static void test_wheel_does_nothing_when_time_stands_still_or_goes_back(void **state)
{
    (void)state;
    set_in(&alarms[0], 300);
    turn_to(250);
    turn_to(250);
    turn_to(0);
    assert_int_equal(alarms[0].n_fired, 0);
    turn_to(400);
    assert_int_equal(alarms[0].n_fired, 1);
}

/* Against a plain model: a few thousand timers that are set, moved and cancelled at random. */
static void test_wheel_agrees_with_a_list_of_deadlines(void **state)
{
    (void)state;
    static uint64_t model[N_TIMERS]; /* 0 = not set */
    uint32_t seed = 1;
    for (uint64_t ms = 1; ms < 3 * ROUND_MS; ms += STEP_MS) {
        for (int k = 0; k < 4; k++) {
            seed = seed * 1103515245U + 12345U;
            size_t i = (seed >> 8) % N_TIMERS;
            if ((seed >> 28) == 0) {
                wheel_cancel(&alarms[i].timer);
                model[i] = 0;
            } else {
                model[i] = ms + (seed >> 4) % (2 * ROUND_MS);
                set_in(&alarms[i], model[i]);
            }
        }
        turn_to(ms);
        for (size_t i = 0; i < N_TIMERS; i++) {
            if (alarms[i].n_fired > 0) {
                assert_int_not_equal(model[i], 0);
                assert_int_equal(alarms[i].n_fired, 1);
                assert_true(model[i] <= ms);
                alarms[i].n_fired = 0;
                model[i] = 0;
            }
            assert_true(model[i] == 0 || model[i] + WHEEL_TICK_MS + STEP_MS > ms);
        }
    }
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_wheel_fires_once_within_a_tick_and_never_early),
        CASE(test_wheel_fires_at_the_right_round),
        CASE(test_wheel_fires_all_that_is_due_after_a_leap_in_time),
        CASE(test_wheel_with_a_deadline_in_the_past_fires_at_the_next_tick),
        CASE(test_wheel_moves_a_timer_that_is_set_again),
        CASE(test_wheel_cancel_is_idempotent_and_the_timer_can_be_set_again),
        CASE(test_wheel_callback_may_cancel_a_timer_that_is_due_too),
        CASE(test_wheel_callback_may_set_its_own_timer_again),
        CASE(test_wheel_does_nothing_when_time_stands_still_or_goes_back),
        CASE(test_wheel_agrees_with_a_list_of_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
