/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/watchdog.h: workers that turn, that are stuck, that have ended. */
#include "relay/watchdog.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/clock.h"

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

static void all_turned_at(uint64_t ms)
{
    for (size_t i = 0; i < N_WORKERS; i++) {
        atomic_store(&workers[i].turned_ms, ms);
    }
}

/* With a socket in systemd's place, and a timer of the shortest interval there is. */
static void test_systemd_hears_of_workers_that_turn_only(void **state)
{
    char folder[] = "/tmp/test-watchdog-XXXXXX";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char got[32] = "";
    struct watchdog d;
    uv_loop_t loop;
    (void)state;

    assert_non_null(mkdtemp(folder));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
    int listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "3000", 1), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    watchdog_init(&d, &loop, &relay);
    watchdog_start(&d);
    for (int i = 0; i < 3; i++) {
        all_turned_at(0);
        (void)uv_run(&loop, UV_RUN_ONCE);
        assert_true(d.stuck);
        assert_int_equal(recv(listener, got, sizeof(got), 0), -1);
    }
    all_turned_at(clock_now_ms() + 60000);
    (void)uv_run(&loop, UV_RUN_ONCE);
    assert_false(d.stuck);
    assert_int_equal(recv(listener, got, sizeof(got), 0), 10);
    assert_memory_equal(got, "WATCHDOG=1", 10);
    watchdog_stop(&d);
    assert_int_equal(uv_run(&loop, UV_RUN_NOWAIT), 0);
    uv_close((uv_handle_t *)&d.timer, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(close(listener), 0);
    assert_int_equal(unlink(address.sun_path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_workers_that_turned_in_time_are_alive, set_up),
        cmocka_unit_test_setup(test_one_that_did_not_is_enough, set_up),
        cmocka_unit_test_setup(test_one_that_ended_or_never_ran_is_not_waited_for, set_up),
        cmocka_unit_test_setup(test_systemd_hears_of_workers_that_turn_only, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
