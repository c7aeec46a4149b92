/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/bucket.h. */
#include "proto/base/bucket.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>

#define US_PER_S 1000000U
#define NOW_US   (5000 * (uint64_t)US_PER_S)

static const struct bucket_rate ten_per_s = {.per_s = 10, .burst = 5};

/* Takes until refused; the number taken. */
static unsigned drain(struct bucket *b, struct bucket_rate rate, uint64_t now_us)
{
    unsigned n = 0;
    while (bucket_take(b, rate, now_us, NULL)) {
        n++;
    }
    return n;
}

static void test_bucket_zeroed_is_full(void **state)
{
    (void)state;
    struct bucket b = {0};
    struct bucket_state s;
    bucket_peek(&b, ten_per_s, 1, &s);
    assert_int_equal(s.remaining, 5);
    assert_int_equal(s.retry_after_us, 0);
    assert_int_equal(s.reset_us, 0);
}

static void test_bucket_gives_the_burst_and_not_one_more(void **state)
{
    (void)state;
    static const struct bucket_rate rates[] = {{1, 1},       {10, 5},         {30, 40},   {7, 1000},
                                               {999999, 17}, {UINT32_MAX, 9}, {1, 100000}};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct bucket b = {0};
        assert_int_equal(drain(&b, rates[i], NOW_US), rates[i].burst);
    }
}

static void test_bucket_of_burst_zero_holds_one(void **state)
{
    (void)state;
    struct bucket b = {0};
    assert_int_equal(drain(&b, (struct bucket_rate){1, 0}, NOW_US), 1);
}

static void test_bucket_gives_the_next_token_exactly_after_its_interval(void **state)
{
    (void)state;
    struct bucket b = {0};
    assert_int_equal(drain(&b, ten_per_s, NOW_US), 5);
    assert_false(bucket_take(&b, ten_per_s, NOW_US + 99999, NULL));
    assert_true(bucket_take(&b, ten_per_s, NOW_US + 100000, NULL));
    assert_false(bucket_take(&b, ten_per_s, NOW_US + 100000, NULL));
}

static void test_bucket_never_gives_more_than_rate_times_time_plus_burst(void **state)
{
    (void)state;
    static const struct bucket_rate rates[] = {{3, 1}, {7, 20}, {30, 40}, {1, 30}, {999, 3}};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct bucket b = {0};
        uint64_t n = 0;
        for (uint64_t us = 0; us <= 10 * (uint64_t)US_PER_S; us += 997) {
            n += bucket_take(&b, rates[i], NOW_US + us, NULL) ? 1 : 0;
            assert_true(n <= rates[i].burst + us * rates[i].per_s / US_PER_S);
        }
        /* And not much less: within one in a thousand of ten seconds' worth. */
        assert_true(n >= rates[i].burst + rates[i].per_s * 10 * 995 / 1000 - 1);
    }
}

static void test_bucket_is_full_again_after_the_burst_interval_and_never_fuller(void **state)
{
    (void)state;
    struct bucket b = {0};
    assert_int_equal(drain(&b, ten_per_s, NOW_US), 5);
    assert_int_equal(drain(&b, ten_per_s, NOW_US + 499999), 4);
    assert_int_equal(drain(&b, ten_per_s, NOW_US + 10 * (uint64_t)US_PER_S), 5);
    assert_int_equal(drain(&b, ten_per_s, NOW_US + 1000 * (uint64_t)US_PER_S), 5);
}

static void test_bucket_state_tells_what_remains_and_how_long_to_wait(void **state)
{
    (void)state;
    struct bucket b = {0};
    struct bucket_state s;
    for (unsigned n = 5; n > 0; n--) {
        assert_true(bucket_take(&b, ten_per_s, NOW_US, &s));
        assert_int_equal(s.remaining, n - 1);
        assert_int_equal(s.retry_after_us, n > 1 ? 0 : 100000);
        assert_int_equal(s.reset_us, (6 - n) * 100000);
    }
    assert_false(bucket_take(&b, ten_per_s, NOW_US + 30000, &s));
    assert_int_equal(s.remaining, 0);
    assert_int_equal(s.retry_after_us, 70000);
    assert_int_equal(s.reset_us, 470000);
    assert_true(bucket_take(&b, ten_per_s, NOW_US + 30000 + s.retry_after_us, NULL));
}

static void test_bucket_refused_take_costs_nothing(void **state)
{
    (void)state;
    struct bucket b = {0};
    assert_int_equal(drain(&b, ten_per_s, NOW_US), 5);
    for (int i = 0; i < 1000; i++) {
        assert_false(bucket_take(&b, ten_per_s, NOW_US + 50000, NULL));
    }
    assert_true(bucket_take(&b, ten_per_s, NOW_US + 100000, NULL));
}

static void test_bucket_peek_takes_nothing(void **state)
{
    (void)state;
    struct bucket b = {0};
    struct bucket_state s;
    for (int i = 0; i < 100; i++) {
        bucket_peek(&b, ten_per_s, NOW_US, &s);
    }
    assert_int_equal(drain(&b, ten_per_s, NOW_US), 5);
    bucket_peek(&b, ten_per_s, NOW_US, &s);
    assert_int_equal(s.remaining, 0);
    assert_int_equal(s.retry_after_us, 100000);
}

static void test_bucket_without_a_rate_has_no_limit(void **state)
{
    (void)state;
    struct bucket b = {0};
    struct bucket_state s;
    const struct bucket_rate none = {0, 1};
    for (int i = 0; i < 1000; i++) {
        assert_true(bucket_take(&b, none, NOW_US, &s));
    }
    assert_int_equal(s.remaining, UINT32_MAX);
    assert_int_equal(s.retry_after_us, 0);
    assert_int_equal(s.reset_us, 0);
    bucket_peek(&b, none, NOW_US, &s);
    assert_int_equal(s.remaining, UINT32_MAX);
}

static void test_bucket_follows_a_changed_rate_at_once(void **state)
{
    (void)state;
    struct bucket b = {0};
    struct bucket_state s;
    const struct bucket_rate slow = {.per_s = 1, .burst = 3600};
    assert_int_equal(drain(&b, slow, NOW_US), 3600);
    bucket_peek(&b, ten_per_s, NOW_US, &s);
    assert_int_equal(s.remaining, 0);
    assert_int_equal(s.reset_us, 500000);
    assert_false(bucket_take(&b, ten_per_s, NOW_US, &s));
    assert_int_equal(s.retry_after_us, 100000);
    assert_false(bucket_take(&b, ten_per_s, NOW_US + 99999, NULL));
    assert_true(bucket_take(&b, ten_per_s, NOW_US + 100000, NULL));
    assert_int_equal(drain(&b, ten_per_s, NOW_US + 600000), 5);
}

static void test_bucket_gives_nothing_more_to_a_thread_with_an_older_clock(void **state)
{
    (void)state;
    struct bucket b = {0};
    struct bucket_state s;
    assert_int_equal(drain(&b, ten_per_s, NOW_US), 5);
    for (uint64_t age_us = 1; age_us <= US_PER_S; age_us *= 10) {
        assert_false(bucket_take(&b, ten_per_s, NOW_US - age_us, &s));
        assert_int_equal(s.remaining, 0);
        assert_int_equal(s.retry_after_us, 100000 + age_us);
        assert_false(bucket_take(&b, ten_per_s, NOW_US + 99999, NULL));
    }
    assert_int_equal(drain(&b, ten_per_s, NOW_US + 500000), 5);
}

#define N_THREADS 8
#define N_TRIES   20000

static struct bucket shared;
static const struct bucket_rate shared_rate = {.per_s = 1, .burst = 50000};

static void *take_many(void *taken)
{
    unsigned n = 0;
    for (unsigned i = 0; i < N_TRIES; i++) {
        n += bucket_take(&shared, shared_rate, NOW_US, NULL) ? 1 : 0;
    }
    *(unsigned *)taken = n;
    return NULL;
}

static void test_bucket_threads_taking_at_once_get_exactly_the_limit(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    unsigned taken[N_THREADS] = {0};
    unsigned sum = 0;
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, &taken[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sum += taken[i];
    }
    assert_int_equal(sum, shared_rate.burst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket_zeroed_is_full),
        cmocka_unit_test(test_bucket_gives_the_burst_and_not_one_more),
        cmocka_unit_test(test_bucket_of_burst_zero_holds_one),
        cmocka_unit_test(test_bucket_gives_the_next_token_exactly_after_its_interval),
        cmocka_unit_test(test_bucket_never_gives_more_than_rate_times_time_plus_burst),
        cmocka_unit_test(test_bucket_is_full_again_after_the_burst_interval_and_never_fuller),
        cmocka_unit_test(test_bucket_state_tells_what_remains_and_how_long_to_wait),
        cmocka_unit_test(test_bucket_refused_take_costs_nothing),
        cmocka_unit_test(test_bucket_peek_takes_nothing),
        cmocka_unit_test(test_bucket_without_a_rate_has_no_limit),
        cmocka_unit_test(test_bucket_follows_a_changed_rate_at_once),
        cmocka_unit_test(test_bucket_gives_nothing_more_to_a_thread_with_an_older_clock),
        cmocka_unit_test(test_bucket_threads_taking_at_once_get_exactly_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
