/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/backoff.h. */
#include "proto/base/backoff.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>

static struct backoff b;

static int set_up(void **state)
{
    (void)state;
    backoff_init(&b, 1000, 60000);
    return 0;
}

/* With N random bits of value (span - 1), the draw is the ceiling: from and to are inclusive. */
static uint64_t highest(uint32_t from_ms, uint32_t to_ms)
{
    return (uint64_t)to_ms - from_ms;
}

static void test_backoff_waits_between_half_the_minimum_and_a_doubling_ceiling(void **state)
{
    (void)state;
    static const uint32_t ceilings[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (size_t i = 0; i < sizeof(ceilings) / sizeof(ceilings[0]); i++) {
        struct backoff low = b;
        struct backoff past = b;
        assert_int_equal(backoff_next_ms(&low, 0), 500);
        assert_int_equal(backoff_next_ms(&past, highest(500, ceilings[i]) + 1), 500);
        assert_int_equal(backoff_next_ms(&b, highest(500, ceilings[i])), ceilings[i]);
        assert_int_equal(b.n_failures, i + 1);
    }
}

static void test_backoff_stays_within_its_limits_after_many_failures(void **state)
{
    (void)state;
    uint64_t random = 0;
    for (int i = 0; i < 10000; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        uint32_t wait_ms = backoff_next_ms(&b, random);
        assert_in_range(wait_ms, 500, 60000);
    }
    assert_int_equal(backoff_next_ms(&b, highest(500, 60000)), 60000);
}

static void test_backoff_spreads_equal_failures_over_the_whole_range(void **state)
{
    (void)state;
    uint64_t random = 7;
    bool low = false;
    bool high = false;
    for (int i = 0; i < 1000; i++) {
        struct backoff one = b;
        one.n_failures = 4;
        random = random * 6364136223846793005U + 1442695040888963407U;
        uint32_t wait_ms = backoff_next_ms(&one, random >> 11);
        low = low || wait_ms < 2000;
        high = high || wait_ms > 14000;
    }
    assert_true(low && high);
}

static void test_backoff_slow_lies_between_half_the_maximum_and_the_maximum(void **state)
{
    (void)state;
    assert_int_equal(backoff_slow_ms(&b, 0), 30000);
    assert_int_equal(backoff_slow_ms(&b, highest(30000, 60000)), 60000);
    assert_int_equal(backoff_slow_ms(&b, highest(30000, 60000) + 1), 30000);
}

static void test_backoff_stays_slow_until_a_reset(void **state)
{
    (void)state;
    (void)backoff_slow_ms(&b, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(backoff_next_ms(&b, 0), 30000);
    }
    backoff_reset(&b);
    assert_int_equal(backoff_next_ms(&b, highest(500, 1000)), 1000);
}

static void test_backoff_reset_starts_over(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)backoff_next_ms(&b, 0);
    }
    backoff_reset(&b);
    assert_int_equal(b.n_failures, 0);
    assert_int_equal(backoff_next_ms(&b, highest(500, 1000)), 1000);
    assert_int_equal(backoff_next_ms(&b, highest(500, 2000)), 2000);
}

static void test_backoff_accepts_extreme_limits(void **state)
{
    (void)state;
    backoff_init(&b, UINT32_MAX, UINT32_MAX);
    for (int i = 0; i < 100; i++) {
        assert_in_range(backoff_next_ms(&b, UINT64_MAX), UINT32_MAX / 2, UINT32_MAX);
    }
    backoff_init(&b, 0, 0);
    assert_int_equal(backoff_next_ms(&b, UINT64_MAX), 0);
    backoff_init(&b, 500, 100);
    assert_int_equal(backoff_next_ms(&b, 250), 500);
    assert_int_equal(backoff_next_ms(&b, 250), 500);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_backoff_waits_between_half_the_minimum_and_a_doubling_ceiling),
        CASE(test_backoff_stays_within_its_limits_after_many_failures),
        CASE(test_backoff_spreads_equal_failures_over_the_whole_range),
        CASE(test_backoff_slow_lies_between_half_the_maximum_and_the_maximum),
        CASE(test_backoff_stays_slow_until_a_reset),
        CASE(test_backoff_reset_starts_over),
        CASE(test_backoff_accepts_extreme_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
