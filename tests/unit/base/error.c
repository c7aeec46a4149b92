/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/error.h. */
#include "proto/base/error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static void test_error_every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = ERROR_INTERNAL; a <= 0; a++) {
        assert_string_not_equal(error_name(a), error_name(1));
        for (int b = ERROR_INTERNAL; b < a; b++) {
            assert_string_not_equal(error_name(a), error_name(b));
        }
    }
}

static void test_error_a_foreign_code_has_a_name_too(void **state)
{
    (void)state;
    assert_string_equal(error_name(ERROR_INTERNAL - 1), "unknown error");
}

static void test_error_set_writes_the_sentence_and_returns_the_code(void **state)
{
    (void)state;
    struct error_text e = {""};
    assert_int_equal(error_set(&e, ERROR_IO, "cannot open %s: %d", "x", 2), ERROR_IO);
    assert_string_equal(e.text, "cannot open x: 2");
}

static void test_error_set_without_a_text_only_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERROR_PEER, "%s", "unseen"), ERROR_PEER);
}

static void test_error_set_cuts_a_sentence_one_past_the_limit(void **state)
{
    (void)state;
    struct error_text e;
    char sentence[ERROR_TEXT_BYTES + 1];

    memset(sentence, 'a', sizeof(sentence));
    sentence[ERROR_TEXT_BYTES] = '\0';
    (void)error_set(&e, ERROR_IO, "%s", sentence);
    assert_int_equal(strlen(e.text), ERROR_TEXT_BYTES - 1);
    sentence[ERROR_TEXT_BYTES - 1] = '\0';
    (void)error_set(&e, ERROR_IO, "%s", sentence);
    assert_string_equal(e.text, sentence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_every_code_has_a_name_of_its_own),
        cmocka_unit_test(test_error_a_foreign_code_has_a_name_too),
        cmocka_unit_test(test_error_set_writes_the_sentence_and_returns_the_code),
        cmocka_unit_test(test_error_set_without_a_text_only_returns_the_code),
        cmocka_unit_test(test_error_set_cuts_a_sentence_one_past_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
