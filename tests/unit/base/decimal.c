/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/decimal.h. */
#include "proto/base/decimal.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void assert_as_snprintf(uint64_t n)
{
    char expected[DECIMAL_BYTES + 1];
    char text[DECIMAL_BYTES];
    int len = snprintf(expected, sizeof(expected), "%" PRIu64, n);
    assert_int_equal(decimal_format(n, text), len);
    assert_memory_equal(text, expected, (size_t)len);
}

static void test_every_length_of_a_number(void **state)
{
    (void)state;
    uint64_t power = 1;
    for (int i = 0; i < DECIMAL_BYTES; i++) {
        assert_as_snprintf(power - 1);
        assert_as_snprintf(power);
        power *= 10;
    }
    assert_as_snprintf(UINT64_MAX);
    assert_as_snprintf(UINT64_MAX - 1);
}

static void test_nothing_is_written_behind_the_digits(void **state)
{
    (void)state;
    char text[DECIMAL_BYTES];
    memset(text, '#', sizeof(text));
    assert_int_equal(decimal_format(42, text), 2);
    assert_memory_equal(text, "42####", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_of_a_number),
        cmocka_unit_test(test_nothing_is_written_behind_the_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
