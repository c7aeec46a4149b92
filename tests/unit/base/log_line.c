/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/log_line.h: a line made in steps has the same bytes as one of log_write.
 * Both go to a socket that keeps the bounds of every write(2), as they do to the journal, so that
 * no time stands in them. */
#include "proto/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ELLIPSIS "\xe2\x80\xa6"

/* The end of a line that is kept free, and so the longest that a line without marks may be. */
#define TAIL_BYTES 20

static int written_fd;
static int own_stderr;
static char filler[LOG_LINE_BYTES + 1];

static int set_up_journal(void **state)
{
    (void)state;
    char stream[64];
    struct stat st;
    int fds[2];
    own_stderr = dup(STDERR_FILENO);
    if (own_stderr < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0 ||
        dup2(fds[1], STDERR_FILENO) < 0 || close(fds[1]) != 0 || fstat(STDERR_FILENO, &st) != 0) {
        return -1;
    }
    written_fd = fds[0];
    (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    memset(filler, 'a', sizeof(filler));
    return setenv("JOURNAL_STREAM", stream, 1);
}

static int tear_down_journal(void **state)
{
    (void)state;
    (void)dup2(own_stderr, STDERR_FILENO);
    return close(own_stderr) == 0 ? close(written_fd) : -1;
}

/* The line that was written, without its newline. */
static size_t take_line(char line[LOG_LINE_BYTES + 1])
{
    ssize_t n = recv(written_fd, line, LOG_LINE_BYTES + 1, MSG_DONTWAIT);
    assert_true(n > 0 && n <= LOG_LINE_BYTES);
    assert_int_equal(line[n - 1], '\n');
    line[n - 1] = '\0';
    return (size_t)n - 1;
}

/* One line of `before` bytes of filler, a text and one pair of each other kind. */
static void log_in_steps(size_t before, struct span text)
{
    struct log_line l;
    log_begin(&l, LOG_LEVEL_INFO, "m", 0);
    log_put_span(&l, "filler", (struct span){filler, before});
    log_put_span(&l, "text", text);
    log_put_text(&l, "absent", NULL);
    log_put_uint(&l, "most", UINT64_MAX);
    log_put_int(&l, "least", INT64_MIN);
    log_put_int(&l, "one", 1);
    log_put_bool(&l, "yes", true);
    log_put_text(&l, "end", "x");
    log_put_bool(&l, "no", false);
    log_end(&l);
}

static void log_at_once(size_t before, struct span text)
{
    log_event(LOG_LEVEL_INFO, "m", log_span("filler", (struct span){filler, before}),
              log_span("text", text), log_text("absent", NULL), log_uint("most", UINT64_MAX),
              log_int("least", INT64_MIN), log_int("one", 1), log_bool("yes", true),
              log_text("end", "x"), log_bool("no", false));
}

static void assert_both_ways_are_the_same(size_t before, struct span text)
{
    char in_steps[LOG_LINE_BYTES + 1];
    char at_once[LOG_LINE_BYTES + 1];
    log_in_steps(before, text);
    size_t len = take_line(in_steps);
    log_at_once(before, text);
    assert_int_equal(take_line(at_once), len);
    assert_memory_equal(in_steps, at_once, len);
}

static void assert_both_ways_are_the_same_wherever_the_cut_is(void)
{
    static const char *const texts[] = {"",          "x",    "plain-text",  "eight888",
                                        "two words", "a\"b", "caf\xc3\xa9", "\x1b[2J\xff"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_both_ways_are_the_same(0, span_of(texts[i]));
        for (size_t before = LOG_LINE_BYTES - 240; before <= LOG_LINE_BYTES; before++) {
            assert_both_ways_are_the_same(before, span_of(texts[i]));
        }
    }
    assert_both_ways_are_the_same(0, (struct span){NULL, 0});
    assert_both_ways_are_the_same(0, (struct span){"a\0b", 3});
}

static void test_log_line_in_steps_is_the_line_of_log_event(void **state)
{
    (void)state;
    assert_both_ways_are_the_same_wherever_the_cut_is();
}

static void test_log_line_in_steps_is_the_line_of_log_event_as_json(void **state)
{
    (void)state;
    log_set_format(LOG_FORMAT_JSON);
    assert_both_ways_are_the_same_wherever_the_cut_is();
    log_set_format(LOG_FORMAT_LOGFMT);
}

static void expect(const char *expected)
{
    char line[LOG_LINE_BYTES + 1];
    (void)take_line(line);
    assert_string_equal(line, expected);
}

static void test_log_line_in_steps_has_a_pair_for_each_call(void **state)
{
    (void)state;
    log_in_steps(1, span_of("two words"));
    expect("<6>level=info msg=m filler=a text=\"two words\" most=18446744073709551615 "
           "least=-9223372036854775808 one=1 yes=true end=x no=false");
    log_set_format(LOG_FORMAT_JSON);
    log_in_steps(1, span_of("two words"));
    log_set_format(LOG_FORMAT_LOGFMT);
    expect("<6>{\"level\":\"info\",\"msg\":\"m\",\"filler\":\"a\",\"text\":\"two words\","
           "\"most\":18446744073709551615,\"least\":-9223372036854775808,\"one\":1,"
           "\"yes\":true,\"end\":\"x\",\"no\":false}");
}

/* A line of `filler` and then one pair, as `put` makes it; its last bytes. */
static const char *end_of_line(size_t before, void (*put)(struct log_line *l))
{
    static char line[LOG_LINE_BYTES + 1];
    struct log_line l;
    log_begin(&l, LOG_LEVEL_INFO, "m", 0);
    log_put_span(&l, "f", (struct span){filler, before});
    put(&l);
    log_put_text(&l, "x", "");
    log_end(&l);
    size_t len = take_line(line);
    return line + len - strlen("aa pair=-10 cut=" ELLIPSIS);
}

static void put_number(struct log_line *l)
{
    log_put_int(l, "pair", -10);
}

static void put_bool(struct log_line *l)
{
    log_put_bool(l, "pair", true);
}

static void put_text(struct log_line *l)
{
    log_put_text(l, "pair", "abc");
}

/* The longest filler with which ` pair=` and `value_bytes` still end at the limit. */
static size_t filler_before(size_t value_bytes)
{
    size_t around = strlen("<6>level=info msg=m f=") + strlen(" pair=") + value_bytes;
    return LOG_LINE_BYTES - TAIL_BYTES - around;
}

static void assert_ends(const char *line_end, const char *expected)
{
    size_t len = strlen(line_end);
    assert_true(len >= strlen(expected));
    assert_string_equal(line_end + len - strlen(expected), expected);
}

static void test_log_line_has_a_pair_at_the_limit_and_not_one_byte_past_it(void **state)
{
    (void)state;
    assert_ends(end_of_line(filler_before(3), put_number), "aa pair=-10 cut=" ELLIPSIS);
    assert_ends(end_of_line(filler_before(3) + 1, put_number), "aaa cut=" ELLIPSIS);
    assert_ends(end_of_line(filler_before(4), put_bool), "a pair=true cut=" ELLIPSIS);
    assert_ends(end_of_line(filler_before(4) + 1, put_bool), "aaa cut=" ELLIPSIS);
    assert_ends(end_of_line(filler_before(3), put_text), "aa pair=abc cut=" ELLIPSIS);
    assert_ends(end_of_line(filler_before(3) + 1, put_text), "aaa pair=ab" ELLIPSIS);
    assert_ends(end_of_line(filler_before(0), put_text), "aaa pair=" ELLIPSIS);
    assert_ends(end_of_line(filler_before(0) + 1, put_text), "aaa cut=" ELLIPSIS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_line_in_steps_is_the_line_of_log_event),
        cmocka_unit_test(test_log_line_in_steps_is_the_line_of_log_event_as_json),
        cmocka_unit_test(test_log_line_in_steps_has_a_pair_for_each_call),
        cmocka_unit_test(test_log_line_has_a_pair_at_the_limit_and_not_one_byte_past_it),
    };
    return cmocka_run_group_tests(tests, set_up_journal, tear_down_journal);
}
