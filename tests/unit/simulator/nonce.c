/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/nonce. */
#include "tests/simulator/nonce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct nonces nonces;
};

static struct fixture fixture;

static void start(uint32_t max_uses, uint32_t lifetime_ms, enum nonce_count count)
{
    nonces_init(&fixture.nonces, max_uses, lifetime_ms, count);
}

static int teardown(void **state)
{
    (void)state;
    nonces_close(&fixture.nonces);
    return 0;
}

static struct span issue(uint64_t now_ms)
{
    const char *text = NULL;
    assert_int_equal(nonces_issue(&fixture.nonces, now_ms, &text), 0);
    assert_int_equal(strlen(text), NONCE_BYTES - 1);
    return span_of(text);
}

static bool use(struct span nonce, uint32_t count, uint64_t now_ms)
{
    return nonces_use(&fixture.nonces, nonce, count, now_ms);
}

static void counts_must_grow(void **state)
{
    (void)state;
    start(0, 0, NONCE_COUNT_GROWS);
    struct span a = issue(0);
    struct span b = issue(0);
    assert_false(span_equal(a, b));
    assert_true(use(a, 1, 0));
    assert_false(use(a, 1, 0));
    assert_true(use(a, 5, 0));
    assert_false(use(a, 4, 0));
    assert_true(use(a, 6, 0));
    assert_true(use(b, 1, 0));
}

static void counts_in_any_order_once_each(void **state)
{
    (void)state;
    start(0, 0, NONCE_COUNT_WINDOW);
    struct span a = issue(0);
    assert_true(use(a, 3, 0));
    assert_true(use(a, 1, 0));
    assert_true(use(a, 2, 0));
    assert_false(use(a, 2, 0));
    assert_false(use(a, 3, 0));
    assert_true(use(a, 3 + NONCE_WINDOW, 0));
    assert_false(use(a, 3, 0));
    assert_true(use(a, 4, 0));
    assert_true(use(a, 4000000000U, 0));
    assert_false(use(a, 5, 0));
    assert_true(use(a, 4000000000U - NONCE_WINDOW + 1, 0));
}

static void used_up(void **state)
{
    (void)state;
    start(2, 0, NONCE_COUNT_GROWS);
    struct span a = issue(0);
    assert_true(use(a, 1, 0));
    assert_false(use(a, 1, 0));
    assert_true(use(a, 2, 0));
    assert_false(use(a, 3, 0));
}

static void too_old(void **state)
{
    (void)state;
    start(0, 1000, NONCE_COUNT_GROWS);
    struct span a = issue(500);
    assert_true(use(a, 1, 1500));
    assert_false(use(a, 2, 1501));
}

static void unknown(void **state)
{
    (void)state;
    start(0, 0, NONCE_COUNT_GROWS);
    assert_false(use(span_of("00112233445566778899aabbccddeeff"), 1, 0));
    assert_false(use(span_of(""), 1, 0));
}

static void the_oldest_is_forgotten(void **state)
{
    (void)state;
    char first[NONCE_BYTES];
    start(0, 0, NONCE_COUNT_GROWS);
    assert_int_equal(span_copy(issue(0), first, sizeof first), 0);
    for (size_t i = 1; i < NONCES_MAX; i++) {
        (void)issue(0);
    }
    assert_true(use(span_of(first), 1, 0));
    struct span newest = issue(0);
    assert_false(use(span_of(first), 2, 0));
    assert_true(use(newest, 1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(counts_must_grow, teardown),
        cmocka_unit_test_teardown(counts_in_any_order_once_each, teardown),
        cmocka_unit_test_teardown(used_up, teardown),
        cmocka_unit_test_teardown(too_old, teardown),
        cmocka_unit_test_teardown(unknown, teardown),
        cmocka_unit_test_teardown(the_oldest_is_forgotten, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
