/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/span.h. */
#include "proto/base/span.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proto/base/error.h"

static const struct span nothing = {NULL, 0};

static void assert_span(struct span s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.p, expected, s.len);
}

static void test_span_of_null_is_empty(void **state)
{
    (void)state;
    assert_null(span_of(NULL).p);
    assert_int_equal(span_of(NULL).len, 0);
    assert_span(span_of("abc"), "abc");
}

static void test_span_equal_compares_every_byte_and_the_length(void **state)
{
    (void)state;
    assert_true(span_equal(span_of("abc"), span_of("abc")));
    assert_false(span_equal(span_of("abc"), span_of("abd")));
    assert_false(span_equal(span_of("abc"), span_of("ab")));
    assert_false(span_equal(span_of("abc"), span_of("ABC")));
    assert_true(span_equal((struct span){"a\0b", 3}, (struct span){"a\0b", 3}));
    assert_false(span_equal((struct span){"a\0b", 3}, (struct span){"a\0c", 3}));
    assert_true(span_equal(nothing, span_of("")));
}

static void test_span_equal_nocase_folds_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(span_equal_nocase(span_of("aZ09-"), span_of("Az09-")));
    assert_false(span_equal_nocase(span_of("@"), span_of("`")));
    assert_false(span_equal_nocase(span_of("["), span_of("{")));
    assert_false(span_equal_nocase(span_of("\xc4"), span_of("\xe4")));
    assert_false(span_equal_nocase(span_of("a"), span_of("ab")));
    assert_true(span_equal_nocase(nothing, nothing));
}

static void test_span_starts_with_its_prefix_and_with_nothing(void **state)
{
    (void)state;
    assert_true(span_starts(span_of("abc"), span_of("ab")));
    assert_true(span_starts(span_of("abc"), span_of("abc")));
    assert_true(span_starts(span_of("abc"), nothing));
    assert_true(span_starts(nothing, nothing));
    assert_false(span_starts(span_of("abc"), span_of("abcd")));
    assert_false(span_starts(span_of("abc"), span_of("b")));
}

static void test_span_find_returns_the_first_index_or_the_length(void **state)
{
    (void)state;
    assert_int_equal(span_find(span_of("a:b:c"), ':'), 1);
    assert_int_equal(span_find(span_of("abc"), ':'), 3);
    assert_int_equal(span_find(nothing, ':'), 0);
}

static void test_span_trim_takes_blanks_off_both_ends_only(void **state)
{
    (void)state;
    assert_span(span_trim(span_of(" \t a b\t ")), "a b");
    assert_span(span_trim(span_of("\na\n")), "\na\n");
    assert_int_equal(span_trim(span_of(" \t ")).len, 0);
    assert_int_equal(span_trim(nothing).len, 0);
}

static void test_span_cut_tells_an_empty_rest_from_none(void **state)
{
    (void)state;
    struct span rest = span_of("a,,b,");
    assert_span(span_cut(&rest, ','), "a");
    assert_span(span_cut(&rest, ','), "");
    assert_span(span_cut(&rest, ','), "b");
    assert_non_null(rest.p);
    assert_int_equal(rest.len, 0);
    assert_span(span_cut(&rest, ','), "");
    assert_null(rest.p);
    assert_int_equal(span_cut(&rest, ',').len, 0);
    assert_null(rest.p);
}

static int parse(const char *text, uint64_t max, uint64_t *value)
{
    return span_parse_u64(span_of(text), max, value);
}

static void test_span_parse_u64_accepts_the_maximum_and_refuses_one_more(void **state)
{
    (void)state;
    uint64_t value = 0;
    assert_int_equal(parse("65535", 65535, &value), 0);
    assert_int_equal(value, 65535);
    assert_int_equal(parse("65536", 65535, &value), ERROR_SYNTAX);
    assert_int_equal(parse("18446744073709551615", UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(parse("18446744073709551616", UINT64_MAX, &value), ERROR_SYNTAX);
    assert_int_equal(parse("99999999999999999999999", UINT64_MAX, &value), ERROR_SYNTAX);
    assert_int_equal(parse("0", 0, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(parse("1", 0, &value), ERROR_SYNTAX);
    assert_int_equal(parse("007", 7, &value), 0);
    assert_int_equal(value, 7);
}

static void test_span_parse_u64_takes_digits_only_and_leaves_the_value_on_failure(void **state)
{
    (void)state;
    static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "a", "1:"};
    uint64_t value = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i], UINT64_MAX, &value), ERROR_SYNTAX);
    }
    assert_int_equal(span_parse_u64(nothing, 1, &value), ERROR_SYNTAX);
    assert_int_equal(value, 42);
}

static void test_span_copy_fits_with_its_nul_and_not_with_one_byte_less(void **state)
{
    (void)state;
    char text[4] = "zzz";
    assert_int_equal(span_copy(span_of("abc"), text, 3), ERROR_LIMIT);
    assert_int_equal(span_copy(nothing, text, 0), ERROR_LIMIT);
    assert_string_equal(text, "zzz");
    assert_int_equal(span_copy(span_of("abc"), text, 4), 0);
    assert_string_equal(text, "abc");
    assert_int_equal(span_copy(nothing, text, 1), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_span_of_null_is_empty),
        cmocka_unit_test(test_span_equal_compares_every_byte_and_the_length),
        cmocka_unit_test(test_span_equal_nocase_folds_ascii_letters_only),
        cmocka_unit_test(test_span_starts_with_its_prefix_and_with_nothing),
        cmocka_unit_test(test_span_find_returns_the_first_index_or_the_length),
        cmocka_unit_test(test_span_trim_takes_blanks_off_both_ends_only),
        cmocka_unit_test(test_span_cut_tells_an_empty_rest_from_none),
        cmocka_unit_test(test_span_parse_u64_accepts_the_maximum_and_refuses_one_more),
        cmocka_unit_test(test_span_parse_u64_takes_digits_only_and_leaves_the_value_on_failure),
        cmocka_unit_test(test_span_copy_fits_with_its_nul_and_not_with_one_byte_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
