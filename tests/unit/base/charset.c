/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/charset.h: each set against the characters it is meant to have. */
#include "proto/base/charset.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"

/* For every byte there is. */
static void expect_set(const struct charset *set, const char *characters)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        bool wanted = byte != 0 && strchr(characters, (int)byte) != NULL;
        assert_int_equal(charset_has(set, (char)byte), wanted);
    }
}

static void test_charset_parts_are_what_their_names_say(void **state)
{
    (void)state;
    const struct charset digits = {{CHARSET_DIGITS}};
    const struct charset capitals = {{0, CHARSET_CAPITALS}};
    const struct charset letters = {{0, CHARSET_LETTERS}};
    const struct charset marks = {{CHARSET_LOW('"') | CHARSET_LOW('?'), CHARSET_HIGH('@')}};
    expect_set(&digits, DIGITS);
    expect_set(&capitals, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    expect_set(&letters, LETTERS);
    expect_set(&marks, "\"?@");
}

static void test_charset_token_is_that_of_rfc_9110_5_6_2(void **state)
{
    (void)state;
    expect_set(&CHARSET_TOKEN, "!#$%&'*+-.^_`|~" DIGITS LETTERS);
}

static void test_charset_field_value_is_all_but_controls(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool wanted = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        assert_int_equal(charset_has(&CHARSET_FIELD_VALUE, (char)byte), wanted);
    }
}

static void test_charset_covers_looks_at_every_character(void **state)
{
    (void)state;
    const struct charset digits = {{CHARSET_DIGITS}};
    assert_true(charset_covers(&digits, span_of("")));
    assert_true(charset_covers(&digits, span_of(NULL)));
    assert_true(charset_covers(&digits, span_of("0123456789")));
    assert_false(charset_covers(&digits, span_of("x123")));
    assert_false(charset_covers(&digits, span_of("12x3")));
    assert_false(charset_covers(&digits, span_of("123\xb0"))); /* '0' + 0x80 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_charset_parts_are_what_their_names_say),
        cmocka_unit_test(test_charset_token_is_that_of_rfc_9110_5_6_2),
        cmocka_unit_test(test_charset_field_value_is_all_but_controls),
        cmocka_unit_test(test_charset_covers_looks_at_every_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
