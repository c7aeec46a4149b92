/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/signals.h, with real signals to this process. */
#include "proto/io/signals.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/base/error.h"

#define SEEN_MAX 8

static const int numbers[] = {SIGTERM, SIGHUP};

static struct signals signals;
static uv_loop_t loop;
static int seen[SEEN_MAX];
static size_t n_seen;
static bool close_at_first;

static void on_signal(void *user, int number)
{
    assert_ptr_equal(user, seen);
    assert_in_range(n_seen, 0, SEEN_MAX - 1);
    seen[n_seen++] = number;
    if (close_at_first) {
        signals_close(&signals);
    }
}

static int set_up(void **state)
{
    (void)state;
    n_seen = 0;
    close_at_first = false;
    signals_hold(&signals, numbers, sizeof(numbers) / sizeof(numbers[0]));
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    signals_close(&signals);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    /* What is still pending would reach the next case. */
    const struct timespec at_once = {0};
    while (sigtimedwait(&signals.held, NULL, &at_once) > 0) {
    }
    return uv_loop_close(&loop);
}

static void open_it(void)
{
    assert_int_equal(signals_open(&signals, &loop, on_signal, seen), 0);
}

static void test_signals_come_as_events(void **state)
{
    (void)state;
    open_it();
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(n_seen, 2);
    assert_int_equal(seen[0], SIGTERM);
    assert_int_equal(seen[1], SIGHUP);
}

static void test_signals_sent_before_the_loop_runs_are_not_lost(void **state)
{
    (void)state;
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    open_it();
    (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(n_seen, 1);
}

static void test_signals_sent_after_the_close_do_nothing(void **state)
{
    (void)state;
    open_it();
    signals_close(&signals);
    signals_close(&signals);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(n_seen, 0);
}

static void test_signals_callback_may_close(void **state)
{
    (void)state;
    close_at_first = true;
    open_it();
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(n_seen, 1);
}

static void *wait_for_the_end(void *end)
{
    assert_int_equal(pthread_mutex_lock(end), 0);
    assert_int_equal(pthread_mutex_unlock(end), 0);
    return NULL;
}

/* A signal to the process goes to any thread that does not hold it. */
static void test_signals_are_held_in_threads_too(void **state)
{
    (void)state;
    pthread_mutex_t end = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;

    assert_int_equal(pthread_mutex_lock(&end), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_the_end, &end), 0);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    open_it();
    (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(n_seen, 1);
    assert_int_equal(pthread_mutex_unlock(&end), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_signals_without_a_descriptor_is_an_error(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = signals_open(&signals, &loop, on_signal, seen);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rc, ERROR_IO);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_signals_come_as_events),
        CASE(test_signals_sent_before_the_loop_runs_are_not_lost),
        CASE(test_signals_sent_after_the_close_do_nothing),
        CASE(test_signals_callback_may_close),
        CASE(test_signals_are_held_in_threads_too),
        CASE(test_signals_without_a_descriptor_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
