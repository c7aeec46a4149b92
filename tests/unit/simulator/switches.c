/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/switches. */
#include "tests/simulator/switches.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int set(struct switches *s, const char *name, const char *text)
{
    struct error_text e = {""};
    for (size_t i = 0; i < switches_count(); i++) {
        if (strcmp(switches_name(i), name) == 0) {
            return switches_set(s, i, text, &e);
        }
    }
    fail_msg("no switch %s", name);
    return -1;
}

/* Reads a control file of this content on top of `s`. */
static int read_text(struct switches *s, const char *text, struct error_text *e)
{
    char path[] = "/tmp/tnx-switches-XXXXXX";
    struct switches base = *s;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    int rc = switches_read(path, &base, s, e);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static void from_the_command_line(void **state)
{
    (void)state;
    struct switches s;
    switches_init(&s);
    assert_int_equal(s.feedback_delay_ms, 50);
    assert_int_equal(set(&s, "answer-delay-ms", "20"), 0);
    assert_int_equal(set(&s, "drop-answers", "3"), 0);
    assert_int_equal(set(&s, "broken-answer", "1xx-first"), 0);
    assert_int_equal(set(&s, "answer-status", "429"), 0);
    assert_int_equal(set(&s, "big-body", "67108864"), 0);
    assert_int_equal(set(&s, "stall", NULL), 0);
    assert_int_equal(s.answer_delay_ms, 20);
    assert_int_equal(s.drop_answers, 3);
    assert_int_equal(s.broken_answer, BROKEN_1XX_FIRST);
    assert_int_equal(s.answer_status, 429);
    assert_true(s.stall);
    assert_false(s.refuse_connections);
    assert_int_equal(set(&s, "answer-delay-ms", "20ms"), ERROR_CONFIG);
    assert_int_equal(set(&s, "answer-delay-ms", "600001"), ERROR_CONFIG);
    assert_int_equal(set(&s, "broken-answer", "rubbish"), ERROR_CONFIG);
    assert_int_equal(set(&s, "answer-status", "200"), ERROR_CONFIG);
    assert_int_equal(set(&s, "big-body", "67108865"), ERROR_CONFIG);
    assert_int_equal(s.answer_delay_ms, 20);
}

static void from_a_file(void **state)
{
    (void)state;
    struct switches s;
    struct error_text e = {""};
    switches_init(&s);
    s.close_after = 7;
    assert_int_equal(read_text(&s, "{\"stall\": true, \"feedback-delay-ms\": 5}", &e), 0);
    assert_true(s.stall);
    assert_int_equal(s.feedback_delay_ms, 5);
    assert_int_equal(s.close_after, 7);
    assert_int_equal(read_text(&s, "{\"stall\":false,\"broken-answer\":\"none\"}", &e), 0);
    assert_false(s.stall);
}

static void files_with_errors(void **state)
{
    (void)state;
    const char *const wrong[] = {"",
                                 "[]",
                                 "{\"stall\":1}",
                                 "{\"stalls\":true}",
                                 "{\"close-after\":-1}",
                                 "{\"close-after\":\"1\"}",
                                 "{\"answer-status\":200}",
                                 "{\"close-after\":1, \"broken-answer\":\"rubbish\"}",
                                 "{\"stall\":true,\"stall\":false}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct switches s;
        struct error_text e = {""};
        switches_init(&s);
        assert_int_equal(read_text(&s, wrong[i], &e), ERROR_CONFIG);
        assert_non_null(strstr(e.text, "/tmp/tnx-switches-"));
        assert_int_equal(s.close_after, 0);
    }
    struct switches s;
    struct error_text e = {""};
    switches_init(&s);
    assert_int_equal(switches_read("/nonexistent", &s, &s, &e), ERROR_CONFIG);
}

static void every_kind_has_its_name(void **state)
{
    (void)state;
    char names[512];
    char *rest = names;
    size_t n = 0;
    assert_true(snprintf(names, sizeof names, "%s", broken_names()) < (int)sizeof names);
    while (rest != NULL) {
        enum broken kind = BROKEN_NONE;
        char *name = rest;
        char *comma = strstr(rest, ", ");
        rest = comma == NULL ? NULL : comma + 2;
        if (comma != NULL) {
            *comma = '\0';
        }
        assert_int_equal(broken_parse(name, &kind), 0);
        assert_int_equal(kind, n++);
    }
    assert_int_equal(n, BROKEN_CHUNKED + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_command_line),
        cmocka_unit_test(from_a_file),
        cmocka_unit_test(files_with_errors),
        cmocka_unit_test(every_kind_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
