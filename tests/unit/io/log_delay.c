/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/log_delay.h: this process's stderr is a socket that keeps the bounds of every
 * write(2). */
#include "proto/io/log_delay.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/log.h"

static uv_loop_t loop;
static struct log_delay delay;
static int reader;
static int own_stderr;

static int set_up(void **state)
{
    int fds[2];
    (void)state;
    own_stderr = dup(STDERR_FILENO);
    if (uv_loop_init(&loop) < 0 || own_stderr < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0 || dup2(fds[1], STDERR_FILENO) < 0) {
        return -1;
    }
    close(fds[1]);
    reader = fds[0];
    log_batch(true);
    log_delay_init(&delay, &loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_delay_close(&delay);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    log_batch(false);
    (void)dup2(own_stderr, STDERR_FILENO);
    close(own_stderr);
    close(reader);
    return uv_loop_close(&loop);
}

static void log_line(void)
{
    log_event(LOG_LEVEL_INFO, "request", log_uint("number", 1));
}

/* Lines in the next write; 0 = there was none. */
static size_t written_lines(void)
{
    char bytes[LOG_LINE_BYTES];
    size_t n = 0;
    ssize_t len = recv(reader, bytes, sizeof(bytes), MSG_DONTWAIT);
    for (ssize_t i = 0; i < len; i++) {
        n += bytes[i] == '\n' ? 1 : 0;
    }
    return n;
}

static uint64_t due_in_ms(void)
{
    return uv_timer_get_due_in(&delay.timer);
}

static void test_log_line_leaves_in_time_though_nothing_else_happens(void **state)
{
    (void)state;
    log_line();
    log_delay_turn(&delay);
    assert_int_equal(written_lines(), 0);
    assert_int_equal(due_in_ms(), LOG_DELAY_MS);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* as long as the timer is set */
    assert_int_equal(written_lines(), 1);
}

static void test_log_lines_of_several_turns_share_a_write_and_none_waits_longer(void **state)
{
    (void)state;
    log_line();
    log_delay_turn(&delay);
    usleep(1000 * LOG_DELAY_MS / 2);
    uv_update_time(&loop);
    log_line();
    log_delay_turn(&delay);
    assert_in_range(due_in_ms(), 0, LOG_DELAY_MS / 2);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(written_lines(), 2);
    assert_int_equal(written_lines(), 0);
}

static void test_log_without_lines_that_wait_wakes_nobody(void **state)
{
    (void)state;
    log_delay_turn(&delay);
    assert_false(uv_is_active((uv_handle_t *)&delay.timer));
    log_line();
    log_delay_turn(&delay);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    log_delay_turn(&delay);
    assert_false(uv_is_active((uv_handle_t *)&delay.timer));
    log_event(LOG_LEVEL_WARN, "degraded", log_uint("number", 1));
    log_delay_turn(&delay);
    assert_false(uv_is_active((uv_handle_t *)&delay.timer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log_line_leaves_in_time_though_nothing_else_happens,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_log_lines_of_several_turns_share_a_write_and_none_waits_longer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_without_lines_that_wait_wakes_nobody, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
