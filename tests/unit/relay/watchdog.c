/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/watchdog.h: workers that turn, that are stuck, that have ended. */
#include "relay/watchdog.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define NOW_MS    UINT64_C(1000000)
#define WITHIN_MS 1000
#define N_WORKERS 3

static struct worker workers[N_WORKERS];
static struct relay relay = {.workers = workers, .n_workers = N_WORKERS};

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_WORKERS; i++) {
        workers[i].started = true;
        atomic_store(&workers[i].ended, false);
        atomic_store(&workers[i].turned_ms, NOW_MS - WITHIN_MS);
    }
    return 0;
}

static void assert_turn(bool turn)
{
    assert_int_equal(watchdog_workers_turn(&relay, NOW_MS, WITHIN_MS), turn);
}

static void test_workers_that_turned_in_time_are_alive(void **state)
{
    (void)state;
    assert_turn(true);
}

static void test_one_that_did_not_is_enough(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_WORKERS; i++) {
        (void)set_up(NULL);
        atomic_store(&workers[i].turned_ms, NOW_MS - WITHIN_MS - 1);
        assert_turn(false);
    }
}

static void test_one_that_ended_or_never_ran_is_not_waited_for(void **state)
{
    (void)state;
    atomic_store(&workers[0].turned_ms, 0);
    atomic_store(&workers[0].ended, true);
    atomic_store(&workers[1].turned_ms, 0);
    workers[1].started = false;
    assert_turn(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_workers_that_turned_in_time_are_alive, set_up),
        cmocka_unit_test_setup(test_one_that_did_not_is_enough, set_up),
        cmocka_unit_test_setup(test_one_that_ended_or_never_ran_is_not_waited_for, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
