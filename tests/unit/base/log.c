/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/log.h. Each case logs in a child process whose stderr is a socket that keeps
 * the bounds of every write(2); the parent looks at what was written. */
#include "proto/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"

#define LINES_MAX 4096

static char *lines[LINES_MAX];
static size_t lens[LINES_MAX];
static size_t n_lines;

static void set_journal_stream(void)
{
    char text[64];
    struct stat st;
    if (fstat(STDERR_FILENO, &st) != 0) {
        _exit(3);
    }
    (void)snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    if (setenv("JOURNAL_STREAM", text, 1) != 0) {
        _exit(3);
    }
}

static void run_child(int fd, void (*body)(void))
{
    if (dup2(fd, STDERR_FILENO) < 0 || unsetenv("JOURNAL_STREAM") != 0) {
        _exit(3);
    }
    body();
    _exit(0);
}

/* Runs `body` in a child; fills `lines` with one item for each write. */
static void capture(void (*body)(void))
{
    static char message[LOG_LINE_BYTES * 2];
    int fds[2];
    int status = -1;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run_child(fds[1], body);
    }
    close(fds[1]);
    for (;;) {
        ssize_t n = recv(fds[0], message, sizeof(message), 0);
        if (n <= 0) {
            break;
        }
        assert_true(n_lines < LINES_MAX);
        lines[n_lines] = strndup(message, (size_t)n);
        lens[n_lines] = (size_t)n;
        n_lines++;
    }
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (size_t i = 0; i < n_lines; i++) {
        /* Each write is one line: it ends with the only newline, and has no NUL. */
        assert_int_equal(strlen(lines[i]), lens[i]);
        assert_ptr_equal(strchr(lines[i], '\n'), lines[i] + lens[i] - 1);
        lines[i][lens[i] - 1] = '\0';
    }
}

static int free_lines(void **state)
{
    (void)state;
    for (; n_lines > 0; n_lines--) {
        free(lines[n_lines - 1]);
    }
    return 0;
}

/* The line from its level on; in front of it stands the time. */
static const char *after_time(const char *line)
{
    assert_int_equal(strncmp(line, "time=", 5), 0);
    assert_int_equal(line[5 + 23], 'Z');
    return line + 5 + 25;
}

static json_t *load(const char *line)
{
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (object == NULL) {
        fail_msg("%s in: %s", error.text, line);
    }
    return object;
}

static void assert_json_text(const char *line, const char *key, const char *expected)
{
    json_t *object = load(line);
    assert_string_equal(json_string_value(json_object_get(object, key)), expected);
    json_decref(object);
}

static void log_every_kind(void)
{
    log_event(LOG_LEVEL_INFO, "tunnel up", log_text("serial", "TNX-0001"),
              log_uint("tunnel", UINT64_MAX), log_int("delta", INT64_MIN), log_bool("tls", true),
              log_bool("old", false), log_text("absent", NULL), log_text("empty", ""),
              log_span("part", (struct span){"abcdef", 3}));
}

static void log_every_kind_as_json(void)
{
    log_set_format(LOG_FORMAT_JSON);
    log_every_kind();
}

static void test_log_line_has_time_level_message_and_pairs(void **state)
{
    (void)state;
    capture(log_every_kind);
    assert_int_equal(n_lines, 1);
    assert_string_equal(after_time(lines[0]),
                        "level=info msg=\"tunnel up\" serial=TNX-0001 "
                        "tunnel=18446744073709551615 delta=-9223372036854775808 tls=true "
                        "old=false empty=\"\" part=abc");
}

/* The kernel's clock of seconds may be a tick behind that of microseconds: a line may be a second
 * ahead. */
static void test_log_line_has_the_time_of_its_writing(void **state)
{
    (void)state;
    char before[CLOCK_ISO_BYTES];
    char after[CLOCK_ISO_BYTES];
    size_t second_len = strlen("2026-01-31T23:59:59");
    clock_format(clock_wall_s(), before);
    capture(log_every_kind);
    clock_format(clock_wall_s() + 1, after);
    const char *written = lines[0] + strlen("time=");
    assert_true(strncmp(before, written, second_len) <= 0);
    assert_true(strncmp(written, after, second_len) <= 0);
}

static void test_log_json_line_has_the_same_pairs(void **state)
{
    (void)state;
    capture(log_every_kind_as_json);
    assert_int_equal(n_lines, 1);
    const char *rest = strstr(lines[0], ",\"level\"");
    assert_int_equal(strncmp(lines[0], "{\"time\":\"", 9), 0);
    assert_string_equal(rest, ",\"level\":\"info\",\"msg\":\"tunnel up\",\"serial\":\"TNX-0001\","
                              "\"tunnel\":18446744073709551615,\"delta\":-9223372036854775808,"
                              "\"tls\":true,\"old\":false,\"empty\":\"\",\"part\":\"abc\"}");
}

static void log_at_every_level(void)
{
    log_event(LOG_LEVEL_ERROR, "e", log_uint("n", 1));
    log_event(LOG_LEVEL_WARN, "w", log_uint("n", 1));
    log_event(LOG_LEVEL_INFO, "i", log_uint("n", 1));
    log_event(LOG_LEVEL_DEBUG, "d", log_uint("n", 1));
}

static void log_all_levels(void)
{
    log_set_level(LOG_LEVEL_DEBUG);
    log_at_every_level();
}

static void log_errors_only(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    log_at_every_level();
}

static void test_log_level_lets_through_what_is_at_least_as_grave(void **state)
{
    (void)state;
    capture(log_at_every_level);
    assert_int_equal(n_lines, 3);
    (void)free_lines(state);
    capture(log_errors_only);
    assert_int_equal(n_lines, 1);
    (void)free_lines(state);
    capture(log_all_levels);
    assert_int_equal(n_lines, 4);
    assert_string_equal(after_time(lines[0]), "level=error msg=e n=1");
    assert_string_equal(after_time(lines[1]), "level=warn msg=w n=1");
    assert_string_equal(after_time(lines[2]), "level=info msg=i n=1");
    assert_string_equal(after_time(lines[3]), "level=debug msg=d n=1");
}

static void log_as_a_service(void)
{
    set_journal_stream();
    log_all_levels();
    log_set_format(LOG_FORMAT_JSON);
    log_event(LOG_LEVEL_WARN, "w", log_uint("n", 1));
}

static void log_with_the_stream_of_a_parent(void)
{
    (void)setenv("JOURNAL_STREAM", "1:2", 1);
    log_event(LOG_LEVEL_INFO, "i", log_uint("n", 1));
}

static void test_log_to_the_journal_has_a_priority_and_no_time(void **state)
{
    (void)state;
    capture(log_as_a_service);
    assert_int_equal(n_lines, 5);
    assert_string_equal(lines[0], "<3>level=error msg=e n=1");
    assert_string_equal(lines[1], "<4>level=warn msg=w n=1");
    assert_string_equal(lines[2], "<6>level=info msg=i n=1");
    assert_string_equal(lines[3], "<7>level=debug msg=d n=1");
    assert_string_equal(lines[4], "<4>{\"level\":\"warn\",\"msg\":\"w\",\"n\":1}");
}

static void test_log_has_a_time_when_the_journal_is_not_its_stderr(void **state)
{
    (void)state;
    capture(log_with_the_stream_of_a_parent);
    assert_string_equal(after_time(lines[0]), "level=info msg=i n=1");
}

static void log_forgeries(void)
{
    /* NOLINTBEGIN(misc-misleading-bidirectional): one of the values turns the direction */
    static const char *const values[] = {"a\nlevel=error msg=forged",
                                         "x key=admin",
                                         "a\" key=b",
                                         "a\\",
                                         "k=v",
                                         "\x1b[2J",
                                         "a\r\x7f",
                                         "\xe2\x80\xa8",
                                         "\xe2\x80\xae",
                                         "caf\xc3\xa9",
                                         "\xc2\x9b"};
    /* NOLINTEND(misc-misleading-bidirectional) */
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        log_event(LOG_LEVEL_INFO, "m", log_text("v", values[i]), log_bool("end", true));
    }
    log_event(LOG_LEVEL_INFO, "m\nlevel=error", log_span("v", (struct span){"a\0b", 3}));
}

static void test_log_value_cannot_begin_a_line_or_forge_a_pair(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "level=info msg=m v=\"a\\u000alevel=error msg=forged\" end=true",
        "level=info msg=m v=\"x key=admin\" end=true",
        "level=info msg=m v=\"a\\\" key=b\" end=true",
        "level=info msg=m v=\"a\\\\\" end=true",
        "level=info msg=m v=\"k=v\" end=true",
        "level=info msg=m v=\"\\u001b[2J\" end=true",
        "level=info msg=m v=\"a\\u000d\\u007f\" end=true",
        "level=info msg=m v=\"\\u2028\" end=true",
        "level=info msg=m v=\"\\u202e\" end=true",
        "level=info msg=m v=\"caf\xc3\xa9\" end=true",
        "level=info msg=m v=\"\\u009b\" end=true",
        "level=info msg=\"m\\u000alevel=error\" v=\"a\\u0000b\"",
    };
    capture(log_forgeries);
    assert_int_equal(n_lines, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < n_lines; i++) {
        assert_string_equal(after_time(lines[i]), expected[i]);
    }
}

static void log_bad_utf8(void)
{
    static const char *const values[] = {"\x80",         "\xc0\xaf",         "\xe2\x82",
                                         "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
                                         "\xe2\x28\xa1", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf",
                                         "\xef\xbf\xbf"};
    log_set_format(LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        log_event(LOG_LEVEL_INFO, "m", log_text("v", values[i]));
    }
}

static void test_log_replaces_each_byte_that_is_not_utf8(void **state)
{
    (void)state;
#define BAD "\xef\xbf\xbd"
    static const char *const expected[] = {BAD,
                                           BAD BAD,
                                           BAD BAD,
                                           BAD BAD BAD,
                                           BAD BAD BAD BAD,
                                           BAD BAD BAD BAD BAD,
                                           BAD "(" BAD,
                                           "\xf0\x9f\x98\x80",
                                           "\xf4\x8f\xbf\xbf",
                                           "\xef\xbf\xbf"};
    capture(log_bad_utf8);
    assert_int_equal(n_lines, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < n_lines; i++) {
        assert_json_text(lines[i], "v", expected[i]);
    }
}

static void log_noise(void)
{
    static char noise[LOG_LINE_BYTES + 100];
    uint32_t random = 1;
    log_set_format(LOG_FORMAT_JSON);
    for (size_t round = 0; round < 1000; round++) {
        size_t len = round * 4;
        for (size_t i = 0; i < len; i++) {
            random = random * 1664525U + 1013904223U;
            noise[i] = (char)(random >> 24);
        }
        log_event(LOG_LEVEL_INFO, "noise", log_span("a", (struct span){noise, len / 4}),
                  log_span("b", (struct span){noise, len}), log_uint("round", round));
    }
}

static void test_log_json_is_valid_whatever_the_bytes(void **state)
{
    (void)state;
    capture(log_noise);
    assert_int_equal(n_lines, 1000);
    for (size_t i = 0; i < n_lines; i++) {
        assert_true(lens[i] <= LOG_LINE_BYTES);
        assert_json_text(lines[i], "msg", "noise");
    }
}

/* Values of growing length around the limit, in both formats, so that the cut falls on every
 * place: into the value, between the pairs, into the pair after it. */
static void log_around_the_limit(void)
{
    static char value[LOG_LINE_BYTES + 1];
    memset(value, 'a', sizeof(value));
    for (size_t len = LOG_LINE_BYTES - 160; len <= LOG_LINE_BYTES; len++) {
        log_event(LOG_LEVEL_INFO, "m", log_span("v", (struct span){value, len}),
                  log_uint("number", 1234567890), log_text("end", "x"));
    }
}

static void log_around_the_limit_as_json(void)
{
    log_set_format(LOG_FORMAT_JSON);
    log_around_the_limit();
}

static void assert_cut_lines(bool json)
{
    bool whole = false;
    bool cut_value = false;
    bool cut_pairs = false;

    for (size_t i = 0; i < n_lines; i++) {
        assert_true(lens[i] <= LOG_LINE_BYTES);
        bool marked = strstr(lines[i], "\xe2\x80\xa6") != NULL;
        bool ends = strstr(lines[i], json ? "\"end\":\"x\"" : " end=x") != NULL;
        assert_true(marked != ends);
        whole = whole || ends;
        cut_value = cut_value || strstr(lines[i], "a\xe2\x80\xa6") != NULL;
        cut_pairs = cut_pairs || (marked && strstr(lines[i], "cut") != NULL);
        if (json) {
            json_decref(load(lines[i]));
        }
    }
    assert_true(whole && cut_value && cut_pairs);
}

static void test_log_line_past_the_limit_is_cut_and_marked(void **state)
{
    (void)state;
    capture(log_around_the_limit);
    assert_cut_lines(false);
}

static void test_log_json_line_past_the_limit_is_cut_and_still_valid(void **state)
{
    (void)state;
    capture(log_around_the_limit_as_json);
    assert_cut_lines(true);
}

#define N_THREADS    4
#define N_PER_THREAD 200

static void *log_from_a_thread(void *name)
{
    static char filler[2000];
    for (uint64_t i = 0; i < N_PER_THREAD; i++) {
        log_event(LOG_LEVEL_INFO, "m", log_text("thread", name), log_uint("i", i),
                  log_span("filler", (struct span){filler, sizeof(filler) / 8}));
    }
    return NULL;
}

static void log_from_threads(void)
{
    static char names[N_THREADS][2] = {"a", "b", "c", "d"};
    pthread_t threads[N_THREADS];
    log_set_format(LOG_FORMAT_JSON);
    for (size_t i = 0; i < N_THREADS; i++) {
        if (pthread_create(&threads[i], NULL, log_from_a_thread, names[i]) != 0) {
            _exit(4);
        }
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

static void test_log_lines_of_several_threads_never_mix(void **state)
{
    (void)state;
    capture(log_from_threads);
    assert_int_equal(n_lines, N_THREADS * N_PER_THREAD);
    for (size_t i = 0; i < n_lines; i++) {
        json_decref(load(lines[i]));
    }
}

static void test_log_parses_levels_and_formats_by_their_names(void **state)
{
    (void)state;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    enum log_level level = LOG_LEVEL_ERROR;
    enum log_format format = LOG_FORMAT_LOGFMT;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(log_parse_level(names[i], &level), 0);
        assert_int_equal(level, i);
    }
    assert_int_equal(log_parse_level("Info", &level), ERROR_SYNTAX);
    assert_int_equal(log_parse_level("", &level), ERROR_SYNTAX);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_int_equal(log_parse_format("json", &format), 0);
    assert_int_equal(format, LOG_FORMAT_JSON);
    assert_int_equal(log_parse_format("xml", &format), ERROR_SYNTAX);
    assert_int_equal(format, LOG_FORMAT_JSON);
    assert_int_equal(log_parse_format("logfmt", &format), 0);
    assert_int_equal(format, LOG_FORMAT_LOGFMT);
}

#define CASE(name) cmocka_unit_test_teardown(name, free_lines)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_log_line_has_time_level_message_and_pairs),
        CASE(test_log_line_has_the_time_of_its_writing),
        CASE(test_log_json_line_has_the_same_pairs),
        CASE(test_log_level_lets_through_what_is_at_least_as_grave),
        CASE(test_log_to_the_journal_has_a_priority_and_no_time),
        CASE(test_log_has_a_time_when_the_journal_is_not_its_stderr),
        CASE(test_log_value_cannot_begin_a_line_or_forge_a_pair),
        CASE(test_log_replaces_each_byte_that_is_not_utf8),
        CASE(test_log_json_is_valid_whatever_the_bytes),
        CASE(test_log_line_past_the_limit_is_cut_and_marked),
        CASE(test_log_json_line_past_the_limit_is_cut_and_still_valid),
        CASE(test_log_lines_of_several_threads_never_mix),
        CASE(test_log_parses_levels_and_formats_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
