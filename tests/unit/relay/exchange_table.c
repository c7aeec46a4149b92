/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/front/exchange_table.h. The table only borrows exchanges, so the addresses of
 * bytes stand for them. */
#include "relay/front/exchange_table.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proto/base/error.h"

#define WORKER 5
#define N_MANY 1000

static struct exchange_table t;
static char bytes[N_MANY];

static int set_up(void **state)
{
    (void)state;
    exchange_table_init(&t, WORKER);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    exchange_table_close(&t);
    return 0;
}

static struct exchange *exchange(size_t i)
{
    return (struct exchange *)(void *)&bytes[i % N_MANY];
}

static exchange_ref add(size_t i)
{
    exchange_ref ref = 0;
    assert_int_equal(exchange_table_add(&t, exchange(i), &ref), 0);
    assert_int_not_equal(ref, 0);
    assert_int_equal(ref_worker(ref), WORKER);
    return ref;
}

static void test_exchange_table_finds_what_is_open_and_nothing_else(void **state)
{
    (void)state;
    static exchange_ref refs[N_MANY];
    for (size_t i = 0; i < N_MANY; i++) {
        refs[i] = add(i);
    }
    assert_int_equal(t.n_open, N_MANY);
    for (size_t i = 0; i < N_MANY; i += 2) {
        exchange_table_remove(&t, refs[i]);
    }
    assert_int_equal(t.n_open, N_MANY / 2);
    for (size_t i = 0; i < N_MANY; i++) {
        assert_ptr_equal(exchange_table_find(&t, refs[i]), i % 2 == 0 ? NULL : exchange(i));
    }
}

static void test_exchange_table_late_reference_finds_nothing_in_a_slot_used_again(void **state)
{
    (void)state;
    exchange_ref old = add(0);
    for (size_t i = 1; i < 500; i++) {
        exchange_table_remove(&t, old);
        exchange_ref new = add(i);
        assert_int_equal(ref_slot(new), ref_slot(old));
        assert_null(exchange_table_find(&t, old));
        exchange_table_remove(&t, old);
        assert_ptr_equal(exchange_table_find(&t, new), exchange(i));
        old = new;
    }
    assert_int_equal(t.n_open, 1);
}

static void test_exchange_table_foreign_and_made_up_references_find_nothing(void **state)
{
    (void)state;
    assert_null(exchange_table_find(&t, 0));
    exchange_table_remove(&t, 0);
    exchange_ref ref = add(0);
    assert_null(exchange_table_find(&t, 0));
    assert_null(exchange_table_find(&t, UINT64_MAX));
    assert_null(exchange_table_find(&t, ref_exchange(WORKER + 1, ref_slot(ref), ref)));
    assert_null(exchange_table_find(&t, ref_exchange(WORKER, ref_slot(ref) + 1, ref)));
    assert_null(exchange_table_find(&t, ref_exchange(WORKER, ref_slot(ref), ref + 1)));
    assert_null(exchange_table_find(&t, ref_exchange(WORKER, REF_SLOTS_MAX - 1, ref)));
    exchange_table_remove(&t, UINT64_MAX);
    assert_int_equal(t.n_open, 1);
    assert_ptr_equal(exchange_table_find(&t, ref), exchange(0));
}

static void test_exchange_table_first_reference_of_worker_0_is_not_0(void **state)
{
    (void)state;
    exchange_ref ref = 0;
    exchange_table_init(&t, 0);
    assert_int_equal(exchange_table_add(&t, exchange(0), &ref), 0);
    assert_int_not_equal(ref, 0);
}

static void test_exchange_table_holds_as_many_as_a_reference_has_slots(void **state)
{
    (void)state;
    exchange_ref first = add(0);
    for (size_t i = 1; i < REF_SLOTS_MAX; i++) {
        exchange_ref ref = add(i);
        assert_int_equal(ref_slot(ref), i);
    }
    exchange_ref ref = 77;
    assert_int_equal(exchange_table_add(&t, exchange(0), &ref), ERROR_LIMIT);
    assert_int_equal(ref, 77);
    assert_int_equal(t.n_open, REF_SLOTS_MAX);
    exchange_table_remove(&t, first);
    assert_int_equal(ref_slot(add(0)), ref_slot(first));
}

static void test_exchange_table_can_be_used_again_after_its_close(void **state)
{
    (void)state;
    exchange_ref ref = add(0);
    exchange_table_close(&t);
    exchange_table_close(&t);
    assert_null(exchange_table_find(&t, ref));
    (void)add(1);
    assert_int_equal(t.n_open, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_exchange_table_finds_what_is_open_and_nothing_else),
        CASE(test_exchange_table_late_reference_finds_nothing_in_a_slot_used_again),
        CASE(test_exchange_table_foreign_and_made_up_references_find_nothing),
        CASE(test_exchange_table_first_reference_of_worker_0_is_not_0),
        CASE(test_exchange_table_holds_as_many_as_a_reference_has_slots),
        CASE(test_exchange_table_can_be_used_again_after_its_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
