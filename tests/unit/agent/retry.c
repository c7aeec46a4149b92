/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/tunnel/retry.h. */
#include "agent/tunnel/retry.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "agent/tunnel/race.h"

/* Any bits; the extremes are tried by hand. */
#define RANDOM 0x9e3779b97f4a7c15U

static struct retry r;

static int set_up(void **state)
{
    (void)state;
    retry_init(&r);
    return 0;
}

static uint32_t wait_ms(enum retry_class class, uint64_t lived_ms, uint64_t random)
{
    return retry_wait_ms(&r, class, lived_ms, 0, random);
}

static void fail_often(enum retry_class class, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)wait_ms(class, 0, RANDOM);
    }
}

static void test_retry_reaches_a_line_that_was_away_for_days_in_time(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        assert_in_range(wait_ms(RETRY_UNREACHABLE, 0, RANDOM * i), RETRY_MIN_MS / 2,
                        RETRY_UNREACHABLE_MS);
    }
    /* The last SYN of a race is at most one before its end: see RETRY_UNREACHABLE_MS. */
    assert_in_range(1000 + RETRY_UNREACHABLE_MS + RACE_RESOLVE_MS, 0, 2500);
}

static void test_retry_spares_a_proxy(void **state)
{
    static const uint32_t ceilings[] = {1000, 2000, 4000, 8000, 10000, 10000};
    (void)state;
    for (size_t i = 0; i < sizeof(ceilings) / sizeof(ceilings[0]); i++) {
        /* The draw that is the ceiling. */
        assert_int_equal(wait_ms(RETRY_PROXY, 0, ceilings[i] - RETRY_MIN_MS / 2), ceilings[i]);
    }
}

static void test_retry_of_what_reached_nobody_forgets_no_failure(void **state)
{
    (void)state;
    fail_often(RETRY_FAILED, RETRY_EAGER + 10);
    fail_often(RETRY_UNREACHABLE, 1000);
    assert_int_equal(wait_ms(RETRY_FAILED, 0, RETRY_MAX_MS - RETRY_MIN_MS / 2), RETRY_MAX_MS);
    assert_in_range(wait_ms(RETRY_UNREACHABLE, 0, RANDOM), RETRY_MIN_MS / 2, RETRY_UNREACHABLE_MS);
}

static void test_retry_is_eager_first_and_doubles_then(void **state)
{
    static const uint32_t ceilings[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    (void)state;
    for (size_t i = 0; i < RETRY_EAGER; i++) {
        assert_in_range(wait_ms(RETRY_FAILED, 0, RANDOM + i), RETRY_MIN_MS / 2, RETRY_EAGER_MS);
    }
    for (size_t i = 0; i < sizeof(ceilings) / sizeof(ceilings[0]); i++) {
        /* The draw that is the ceiling. */
        assert_int_equal(wait_ms(RETRY_FAILED, 0, ceilings[i] - RETRY_MIN_MS / 2), ceilings[i]);
    }
}

static void test_retry_refused_is_slow_at_once_and_stays_so(void **state)
{
    (void)state;
    assert_in_range(wait_ms(RETRY_REFUSED, 0, 0), RETRY_MAX_MS / 2, RETRY_MAX_MS);
    assert_in_range(wait_ms(RETRY_FAILED, 0, RANDOM), RETRY_MAX_MS / 2, RETRY_MAX_MS);
    assert_in_range(wait_ms(RETRY_DROPPED, 0, RANDOM), RETRY_MAX_MS / 2, RETRY_MAX_MS);
    assert_in_range(wait_ms(RETRY_REFUSED, 0, UINT64_MAX), RETRY_MAX_MS / 2, RETRY_MAX_MS);
}

static void test_retry_replaced_is_slow_even_after_a_long_life(void **state)
{
    (void)state;
    assert_in_range(wait_ms(RETRY_REPLACED, 3600000, RANDOM), RETRY_MAX_MS / 2, RETRY_MAX_MS);
}

static void test_retry_dropped_is_fast(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        assert_in_range(wait_ms(RETRY_DROPPED, RETRY_LIVED_MS, i), 0, RETRY_FAST_MS);
    }
}

static void test_retry_counts_a_tunnel_that_hardly_lived_as_failure(void **state)
{
    (void)state;
    fail_often(RETRY_DROPPED, RETRY_EAGER + 10);
    assert_int_equal(wait_ms(RETRY_DROPPED, RETRY_LIVED_MS - 1, RETRY_MAX_MS - RETRY_MIN_MS / 2),
                     RETRY_MAX_MS);
    assert_int_equal(wait_ms(RETRY_MOVED, RETRY_LIVED_MS - 1, RETRY_MAX_MS - RETRY_MIN_MS / 2),
                     RETRY_MAX_MS);
}

static void test_retry_keeps_the_pause_that_is_asked_for(void **state)
{
    (void)state;
    assert_int_equal(retry_wait_ms(&r, RETRY_MOVED, RETRY_LIVED_MS, 0, RANDOM), 0);
    for (uint64_t i = 0; i < 500; i++) {
        assert_in_range(retry_wait_ms(&r, RETRY_MOVED, RETRY_LIVED_MS, 2000, RANDOM * i), 2000,
                        3000);
        assert_in_range(retry_wait_ms(&r, RETRY_DROPPED, RETRY_LIVED_MS, 5000, RANDOM * i), 5000,
                        7500);
    }
    assert_in_range(retry_wait_ms(&r, RETRY_REFUSED, 0, 90000, RANDOM), 90000, 135000);
    assert_in_range(retry_wait_ms(&r, RETRY_REFUSED, 0, 1000, RANDOM), RETRY_MAX_MS / 2,
                    RETRY_MAX_MS);
    /* An absurd one is not. */
    assert_in_range(retry_wait_ms(&r, RETRY_MOVED, RETRY_LIVED_MS, UINT32_MAX, UINT64_MAX), 0,
                    RETRY_ADVICE_MAX_MS / 2 * 3);
}

static void test_retry_forgets_after_a_stable_minute(void **state)
{
    (void)state;
    fail_often(RETRY_REFUSED, 3);
    assert_in_range(wait_ms(RETRY_DROPPED, RETRY_STABLE_MS - 1, RANDOM), 0, RETRY_FAST_MS);
    assert_in_range(wait_ms(RETRY_FAILED, 0, RANDOM), RETRY_MAX_MS / 2, RETRY_MAX_MS);
    assert_in_range(wait_ms(RETRY_DROPPED, RETRY_STABLE_MS, RANDOM), 0, RETRY_FAST_MS);
    assert_in_range(wait_ms(RETRY_FAILED, 0, RANDOM), RETRY_MIN_MS / 2, RETRY_MIN_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_retry_reaches_a_line_that_was_away_for_days_in_time, set_up),
        cmocka_unit_test_setup(test_retry_spares_a_proxy, set_up),
        cmocka_unit_test_setup(test_retry_of_what_reached_nobody_forgets_no_failure, set_up),
        cmocka_unit_test_setup(test_retry_is_eager_first_and_doubles_then, set_up),
        cmocka_unit_test_setup(test_retry_refused_is_slow_at_once_and_stays_so, set_up),
        cmocka_unit_test_setup(test_retry_replaced_is_slow_even_after_a_long_life, set_up),
        cmocka_unit_test_setup(test_retry_dropped_is_fast, set_up),
        cmocka_unit_test_setup(test_retry_counts_a_tunnel_that_hardly_lived_as_failure, set_up),
        cmocka_unit_test_setup(test_retry_keeps_the_pause_that_is_asked_for, set_up),
        cmocka_unit_test_setup(test_retry_forgets_after_a_stable_minute, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
