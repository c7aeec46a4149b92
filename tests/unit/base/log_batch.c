/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of log_batch and log_flush: what a child process logs goes to a socket that keeps the
 * bounds of every write(2); the parent counts the lines in each. */
#include "proto/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITES_MAX 64

static size_t lines_of_write[WRITES_MAX];
static size_t n_writes;
static size_t longest_write;

static size_t count_lines(const char *bytes, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += bytes[i] == '\n' ? 1 : 0;
    }
    return n;
}

static void capture(void (*body)(void))
{
    static char message[LOG_LINE_BYTES * 4];
    int fds[2];
    int status = -1;
    n_writes = 0;
    longest_write = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dup2(fds[1], STDERR_FILENO) < 0 || unsetenv("JOURNAL_STREAM") != 0) {
            _exit(3);
        }
        body();
        _exit(0);
    }
    close(fds[1]);
    ssize_t n = 0;
    while ((n = recv(fds[0], message, sizeof(message), 0)) > 0) {
        assert_true(n_writes < WRITES_MAX);
        assert_int_equal(message[n - 1], '\n');
        lines_of_write[n_writes++] = count_lines(message, (size_t)n);
        longest_write = (size_t)n > longest_write ? (size_t)n : longest_write;
    }
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void log_lines(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        log_event(LOG_LEVEL_INFO, "request", log_uint("number", i));
    }
}

static void batch_three(void)
{
    log_batch(true);
    log_lines(3);
    log_flush();
    log_flush();
}

static void test_log_batch_leaves_in_one_write_at_flush(void **state)
{
    (void)state;
    capture(batch_three);
    assert_int_equal(n_writes, 1);
    assert_int_equal(lines_of_write[0], 3);
}

static void batch_with_warning(void)
{
    log_batch(true);
    log_lines(2);
    log_event(LOG_LEVEL_WARN, "degraded", log_uint("number", 1));
}

static void test_log_warning_does_not_wait_in_a_batch(void **state)
{
    (void)state;
    capture(batch_with_warning);
    assert_int_equal(n_writes, 1);
    assert_int_equal(lines_of_write[0], 3);
}

static void batch_many(void)
{
    log_batch(true);
    log_lines(300);
    log_batch(false);
}

static void test_log_batch_is_never_longer_than_a_line_may_be(void **state)
{
    (void)state;
    capture(batch_many);
    size_t n = 0;
    for (size_t i = 0; i < n_writes; i++) {
        n += lines_of_write[i];
    }
    assert_int_equal(n, 300);
    assert_true(n_writes > 1);
    assert_true(longest_write <= LOG_LINE_BYTES);
}

static void no_batch(void)
{
    log_batch(true);
    log_batch(false);
    log_lines(2);
}

static void test_log_line_outside_a_batch_is_written_at_once(void **state)
{
    (void)state;
    capture(no_batch);
    assert_int_equal(n_writes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_batch_leaves_in_one_write_at_flush),
        cmocka_unit_test(test_log_warning_does_not_wait_in_a_batch),
        cmocka_unit_test(test_log_batch_is_never_longer_than_a_line_may_be),
        cmocka_unit_test(test_log_line_outside_a_batch_is_written_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
