/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/number and group. */
#include "tests/simulator/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"
#include "tests/simulator/group.h"

static void integer_is(const char *text, const char *expected)
{
    struct number n = {"untouched", 0};
    int rc = number_parse_integer(span_of(text), &n);
    assert_int_equal(rc, expected == NULL ? ERROR_SYNTAX : 0);
    assert_string_equal(n.text, expected == NULL ? "untouched" : expected);
}

static void decimal_is(const char *text, const char *expected)
{
    struct number n = {"untouched", 0};
    int rc = number_parse_decimal(span_of(text), &n);
    assert_int_equal(rc, expected == NULL ? ERROR_SYNTAX : 0);
    assert_string_equal(n.text, expected == NULL ? "untouched" : expected);
}

static void integers(void **state)
{
    (void)state;
    integer_is("0", "0");
    integer_is("007", "7");
    integer_is("-128", "-128");
    integer_is("-0", "0");
    integer_is("999999999", "999999999");
    const char *const wrong[] = {"", "-", "+1", " 1", "1 ", "1.0", "0x1", "1e1", "1000000000"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        integer_is(wrong[i], NULL);
    }
}

static void decimals_keep_their_text(void **state)
{
    (void)state;
    decimal_is("85.325", "85.325");
    decimal_is("20.50", "20.50");
    decimal_is("-0.1", "-0.1");
    decimal_is("007.5", "7.5");
    decimal_is("21", "21");
    decimal_is("123456789012345678901234567890.1", "123456789012345678901234567890.1");
    const char *const wrong[] = {"",
                                 "-",
                                 ".5",
                                 "5.",
                                 "1,5",
                                 "+1.5",
                                 "1.5.0",
                                 "1e3",
                                 "nan",
                                 "inf",
                                 "0x1",
                                 " 1.5",
                                 "1.5 ",
                                 "--1",
                                 "1.-5",
                                 "1 .5",
                                 "123456789012345678901234567890.12"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        decimal_is(wrong[i], NULL);
    }
}

static void ranges_include_their_ends(void **state)
{
    (void)state;
    struct number n;
    assert_int_equal(number_parse_decimal(span_of("-671088.64"), &n), 0);
    assert_true(number_within(&n, -671088.64, 670760.96));
    assert_int_equal(number_parse_decimal(span_of("-671088.65"), &n), 0);
    assert_false(number_within(&n, -671088.64, 670760.96));
    assert_int_equal(number_parse_decimal(span_of("670760.97"), &n), 0);
    assert_false(number_within(&n, -671088.64, 670760.96));
}

static void group_addresses(void **state)
{
    (void)state;
    const char *const right[] = {"1/0/1", "31/7/255", "0/0/1", "0/1", "31/2047", "1/1"};
    const char *const wrong[] = {"",       "1",       "257",   "32/0/1", "1/8/1",  "1/0/256",
                                 "1/2048", "1/0/1/1", "1//1",  "/0/1",   "1/0/",   "1/",
                                 "0/0/0",  "0/0",     "a/0/1", "1/-1/1", " 1/0/1", "1.0.1",
                                 "1/0/1 ", "1/0/x",   "//",    "/"};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_true(group_ok(span_of(right[i])));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(group_ok(span_of(wrong[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(decimals_keep_their_text),
        cmocka_unit_test(ranges_include_their_ends),
        cmocka_unit_test(group_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
