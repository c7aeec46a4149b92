/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of log_batch and log_flush: what a child process logs goes to a socket that keeps the
 * bounds of every write(2); the parent counts the lines in each. Or to a file. */
#include "proto/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITES_MAX 64

/* Writers into one file, each with a letter of its own and more lines than a batch has. */
#define THREADS          4
#define LINES_PER_THREAD 2000
#define LETTERS          40

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

/* Stderr is an open file without a name from here on; returns it, with another offset. */
static FILE *log_into_file(int flags)
{
    char path[] = "/tmp/log_batch.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    fd = open(path, O_WRONLY | flags);
    FILE *written = fopen(path, "r");
    assert_non_null(written);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
    assert_int_equal(unlink(path), 0);
    return written;
}

static off_t size_of(FILE *file)
{
    struct stat st;
    assert_int_equal(fstat(fileno(file), &st), 0);
    return st.st_size;
}

static void test_log_batch_to_a_file_holds_many_lines(void **state)
{
    (void)state;
    int own_stderr = dup(STDERR_FILENO);
    FILE *written = log_into_file(0);
    log_batch(true);
    log_lines(300);
    off_t before = size_of(written);
    log_batch(false);
    off_t after = size_of(written);
    (void)dup2(own_stderr, STDERR_FILENO);
    close(own_stderr);
    (void)fclose(written);
    assert_int_equal(before, 0);
    assert_true(after > 4 * (off_t)LOG_LINE_BYTES);
}

static void *log_letters(void *arg)
{
    char text[LETTERS + 1] = {0};
    memset(text, *(const char *)arg, LETTERS);
    log_batch(true);
    for (size_t i = 0; i < LINES_PER_THREAD; i++) {
        log_event(LOG_LEVEL_INFO, text, log_text("same", text));
    }
    log_batch(false);
    return NULL;
}

/* `msg=` and `same=` of the same letters, and the line ends there. */
static bool is_whole(const char *line)
{
    char expected[2 * LETTERS + sizeof("msg= same=\n")];
    const char *msg = strstr(line, "msg=");
    if (strncmp(line, "time=", strlen("time=")) != 0 || msg == NULL) {
        return false;
    }
    char text[LETTERS + 1] = {0};
    memset(text, msg[strlen("msg=")], LETTERS);
    (void)snprintf(expected, sizeof(expected), "msg=%s same=%s\n", text, text);
    return strcmp(msg, expected) == 0;
}

static void assert_threads_share_a_file(int flags)
{
    static char letters[THREADS] = {'a', 'b', 'c', 'd'};
    pthread_t threads[THREADS];
    char line[LOG_LINE_BYTES];
    size_t n = 0;
    size_t n_whole = 0;
    int own_stderr = dup(STDERR_FILENO);
    FILE *written = log_into_file(flags);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_letters, &letters[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    (void)dup2(own_stderr, STDERR_FILENO);
    close(own_stderr);
    for (; fgets(line, sizeof(line), written) != NULL; n++) {
        n_whole += is_whole(line) ? 1 : 0;
    }
    (void)fclose(written);
    assert_int_equal(n, THREADS * LINES_PER_THREAD);
    assert_int_equal(n_whole, n);
}

static void test_log_lines_of_threads_that_share_a_file_stay_whole(void **state)
{
    (void)state;
    assert_threads_share_a_file(O_APPEND);
    assert_threads_share_a_file(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_batch_leaves_in_one_write_at_flush),
        cmocka_unit_test(test_log_warning_does_not_wait_in_a_batch),
        cmocka_unit_test(test_log_batch_is_never_longer_than_a_line_may_be),
        cmocka_unit_test(test_log_line_outside_a_batch_is_written_at_once),
        cmocka_unit_test(test_log_batch_to_a_file_holds_many_lines),
        cmocka_unit_test(test_log_lines_of_threads_that_share_a_file_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
