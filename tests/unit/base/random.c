/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/random.h. */
#include "proto/base/random.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static void test_random_fills_every_byte_and_not_one_more(void **state)
{
    (void)state;
    uint8_t bytes[18] = {0};
    uint8_t seen[16] = {0};
    /* A byte that is never filled stays 0; by chance all rounds do so once in 2^256. */
    for (int round = 0; round < 32; round++) {
        random_bytes(bytes + 1, 16);
        for (size_t i = 0; i < 16; i++) {
            seen[i] |= bytes[i + 1];
        }
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_not_equal(seen[i], 0);
    }
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[17], 0);
}

static void test_random_numbers_differ(void **state)
{
    (void)state;
    assert_true(random_u64() != random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_fills_every_byte_and_not_one_more),
        cmocka_unit_test(test_random_numbers_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
