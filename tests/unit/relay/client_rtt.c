/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of relay/front/client_rtt. */
#include "relay/front/client_rtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct client_rtt_summary sum_of(const struct client_rtt *a, const struct client_rtt *b,
                                        uint64_t now_ms)
{
    const struct client_rtt *all[] = {a, b};
    return client_rtt_summarize(all, b != NULL ? 2 : 1, now_ms);
}

static void nothing_is_known_at_first(void **state)
{
    (void)state;
    static struct client_rtt c;
    struct client_rtt_summary s = sum_of(&c, NULL, 12345);
    assert_int_equal(s.n_samples, 0);
    assert_int_equal(s.median_us, 0);
    assert_false(s.has_latest);
}

static void median_and_latest_of_all_workers(void **state)
{
    (void)state;
    static struct client_rtt a;
    static struct client_rtt b;
    client_rtt_note(&a, 10, 0);
    client_rtt_note(&a, 900, 1000);
    client_rtt_note(&b, 30, 2000);
    struct client_rtt_summary s = sum_of(&a, &b, 5000);
    assert_int_equal(s.n_samples, 3);
    assert_int_equal(s.median_us, 30);
    assert_int_equal(s.latest_us, 30);
    assert_true(s.has_latest);
    assert_int_equal(s.latest_age_s, 3);
}

static void old_ones_do_not_count_but_the_latest_is_remembered(void **state)
{
    (void)state;
    static struct client_rtt c;
    uint64_t second = 1000;
    client_rtt_note(&c, 10, 0);
    client_rtt_note(&c, 20, 100 * second);
    assert_int_equal(sum_of(&c, NULL, (CLIENT_RTT_WINDOW_S + 0) * second).n_samples, 2);
    assert_int_equal(sum_of(&c, NULL, (CLIENT_RTT_WINDOW_S + 1) * second).n_samples, 1);
    struct client_rtt_summary s = sum_of(&c, NULL, 5000 * second);
    assert_int_equal(s.n_samples, 0);
    assert_int_equal(s.median_us, 0);
    assert_int_equal(s.latest_us, 20);
    assert_int_equal(s.latest_age_s, 4900);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    static struct client_rtt c;
    for (uint32_t i = 1; i <= 2 * CLIENT_RTT_SAMPLES_MAX + 7; i++) {
        client_rtt_note(&c, i, 77000);
    }
    struct client_rtt_summary s = sum_of(&c, NULL, 77000);
    assert_int_equal(s.n_samples, CLIENT_RTT_SAMPLES_MAX);
    assert_int_equal(s.median_us, 2 * CLIENT_RTT_SAMPLES_MAX + 7 - CLIENT_RTT_SAMPLES_MAX / 2 + 1);
}

static void looked_at_once_in_a_while(void **state)
{
    (void)state;
    static struct client_rtt c;
    assert_true(client_rtt_is_due(&c, 5000));
    client_rtt_note(&c, 0, 5000); /* not known */
    assert_false(client_rtt_is_due(&c, 5000 + CLIENT_RTT_EVERY_MS - 1));
    assert_true(client_rtt_is_due(&c, 5000 + CLIENT_RTT_EVERY_MS));
    assert_int_equal(sum_of(&c, NULL, 5000).n_samples, 0);
    assert_false(sum_of(&c, NULL, 5000).has_latest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(median_and_latest_of_all_workers),
        cmocka_unit_test(old_ones_do_not_count_but_the_latest_is_remembered),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(looked_at_once_in_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
