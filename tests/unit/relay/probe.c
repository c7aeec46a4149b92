/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/tunnel/probe.h. */
#include "relay/tunnel/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define INTERVAL_MS 60000
#define BEGIN_MS    5000

static struct probe p;

static int set_up(void **state)
{
    (void)state;
    probe_init(&p, INTERVAL_MS, BEGIN_MS);
    return 0;
}

static void test_probe_is_due_at_once_and_one_at_a_time(void **state)
{
    (void)state;
    assert_true(probe_is_due(&p, BEGIN_MS));
    probe_started(&p, 1, BEGIN_MS);
    assert_false(probe_is_due(&p, BEGIN_MS + 10 * INTERVAL_MS));
}

static void test_probe_comes_once_per_interval_spread_over_a_quarter(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 20000; random += 37) {
        probe_ended(&p, random, BEGIN_MS);
        assert_false(probe_is_due(&p, BEGIN_MS + INTERVAL_MS - INTERVAL_MS / 4 - 1));
        assert_true(probe_is_due(&p, BEGIN_MS + INTERVAL_MS));
    }
}

static void test_probe_fails_after_its_deadline(void **state)
{
    (void)state;
    assert_false(probe_is_late(&p, BEGIN_MS + INTERVAL_MS));
    probe_started(&p, 1, BEGIN_MS);
    assert_false(probe_is_late(&p, BEGIN_MS + PROBE_DEADLINE_MS - 1));
    assert_true(probe_is_late(&p, BEGIN_MS + PROBE_DEADLINE_MS));
}

/* As many as fail, they cause one a second. */
static void test_probe_for_failing_calls_is_limited_in_rate(void **state)
{
    unsigned n_probes = 0;
    (void)state;
    probe_started(&p, 1, BEGIN_MS);
    probe_ended(&p, 0, BEGIN_MS);
    for (uint64_t now_ms = BEGIN_MS; now_ms < BEGIN_MS + 10000; now_ms++) {
        probe_suspect(&p, now_ms);
        if (probe_is_due(&p, now_ms)) {
            n_probes++;
            probe_started(&p, 1 + n_probes, now_ms);
            probe_suspect(&p, now_ms); /* of no effect while one is under way */
            probe_ended(&p, 0, now_ms);
        }
    }
    assert_int_equal(n_probes, 10000 / PROBE_SUSPECT_MS - 1);
}

static void test_probe_can_be_turned_off(void **state)
{
    (void)state;
    probe_init(&p, 0, BEGIN_MS);
    assert_false(probe_is_due(&p, BEGIN_MS));
    probe_suspect(&p, BEGIN_MS);
    probe_ended(&p, UINT64_MAX, BEGIN_MS);
    assert_false(probe_is_due(&p, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_probe_is_due_at_once_and_one_at_a_time, set_up),
        cmocka_unit_test_setup(test_probe_comes_once_per_interval_spread_over_a_quarter, set_up),
        cmocka_unit_test_setup(test_probe_fails_after_its_deadline, set_up),
        cmocka_unit_test_setup(test_probe_for_failing_calls_is_limited_in_rate, set_up),
        cmocka_unit_test_setup(test_probe_can_be_turned_off, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
