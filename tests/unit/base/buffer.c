/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/buffer.h. */
#include "proto/base/buffer.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proto/base/error.h"
#include "tests/unit/base/allocator.h"

#define MAX_BYTES 1000

static struct buffer b;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&b, MAX_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_close(&b);
    (void)allocator_reset();
    return 0;
}

static int append(size_t len, uint8_t byte)
{
    static uint8_t bytes[MAX_BYTES + 1];
    memset(bytes, byte, len);
    return buffer_append(&b, bytes, len);
}

static void test_buffer_allocates_nothing_before_the_first_byte(void **state)
{
    (void)state;
    assert_int_equal(buffer_append(&b, NULL, 0), 0);
    assert_null(b.data);
    assert_null(buffer_bytes(&b));
    buffer_clear(&b);
    buffer_consume(&b, 0);
    buffer_release(&b);
    assert_int_equal(b.len, 0);
}

static void test_buffer_never_holds_more_than_its_maximum(void **state)
{
    (void)state;
    assert_int_equal(append(MAX_BYTES + 1, 'a'), ERROR_LIMIT);
    assert_int_equal(b.len, 0);
    assert_int_equal(append(MAX_BYTES - 1, 'a'), 0);
    assert_int_equal(append(2, 'b'), ERROR_LIMIT);
    assert_int_equal(b.len, MAX_BYTES - 1);
    assert_int_equal(append(1, 'b'), 0);
    assert_int_equal(append(1, 'c'), ERROR_LIMIT);
    assert_int_equal(b.len, MAX_BYTES);
    assert_true(b.cap <= MAX_BYTES);
    assert_int_equal(buffer_bytes(&b)[MAX_BYTES - 1], 'b');
}

static void test_buffer_takes_what_fits(void **state)
{
    (void)state;
    assert_int_equal(append(MAX_BYTES - 2, 'a'), 0);
    assert_int_equal(buffer_append_fitting(&b, "b", 1), 0);
    assert_int_equal(buffer_append_fitting(&b, "cd", 2), ERROR_LIMIT);
    assert_int_equal(b.len, MAX_BYTES);
    assert_memory_equal(buffer_bytes(&b) + MAX_BYTES - 2, "bc", 2);
    assert_int_equal(buffer_append_fitting(&b, "e", 1), ERROR_LIMIT);
    assert_int_equal(b.len, MAX_BYTES);
    assert_int_equal(buffer_append_fitting(&b, NULL, 0), 0);
}

static void test_buffer_refuses_a_length_that_would_overflow(void **state)
{
    (void)state;
    uint8_t *room = NULL;
    assert_int_equal(append(10, 'a'), 0);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX, &room), ERROR_LIMIT);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX - 9, &room), ERROR_LIMIT);
    assert_null(room);
    assert_int_equal(b.len, 10);
}

static void test_buffer_with_maximum_zero_takes_nothing(void **state)
{
    (void)state;
    buffer_init(&b, 0);
    assert_int_equal(append(0, 'a'), 0);
    assert_int_equal(append(1, 'a'), ERROR_LIMIT);
}

static void test_buffer_gives_back_what_was_appended_in_order(void **state)
{
    (void)state;
    uint8_t in = 0;
    uint8_t out = 0;
    /* Odd and growing sizes, so that the queue wraps, moves and grows at all positions. */
    for (size_t round = 1; round < 500; round++) {
        for (size_t i = 0; i < round % 37 && b.len < MAX_BYTES; i++, in++) {
            assert_int_equal(buffer_append(&b, &in, 1), 0);
        }
        for (size_t i = 0; i < round % 31 && b.len > 0; i++, out++) {
            assert_int_equal(buffer_bytes(&b)[0], out);
            buffer_consume(&b, 1);
        }
    }
    for (; b.len > 0; out++) {
        assert_int_equal(buffer_bytes(&b)[0], out);
        buffer_consume(&b, 1);
    }
    assert_int_equal(in, out);
}

static void test_buffer_reuses_consumed_room_when_full(void **state)
{
    (void)state;
    assert_int_equal(append(MAX_BYTES, 'a'), 0);
    buffer_consume(&b, 600);
    assert_int_equal(append(600, 'b'), 0);
    assert_int_equal(append(1, 'c'), ERROR_LIMIT);
    assert_int_equal(buffer_bytes(&b)[399], 'a');
    assert_int_equal(buffer_bytes(&b)[400], 'b');
    assert_int_equal(buffer_bytes(&b)[999], 'b');
    assert_true(b.cap <= MAX_BYTES);
}

static void test_buffer_commit_keeps_only_what_was_written(void **state)
{
    (void)state;
    uint8_t *room = NULL;
    assert_int_equal(buffer_reserve(&b, 100, &room), 0);
    assert_int_equal(b.len, 0);
    memset(room, 'h', 5);
    buffer_commit(&b, 5);
    assert_int_equal(b.len, 5);
    assert_memory_equal(buffer_bytes(&b), "hhhhh", 5);
    assert_int_equal(buffer_reserve(&b, MAX_BYTES - 5, &room), 0);
    assert_int_equal(buffer_reserve(&b, MAX_BYTES - 4, &room), ERROR_LIMIT);
}

static void test_buffer_clear_keeps_the_memory_and_release_gives_it_back(void **state)
{
    (void)state;
    assert_int_equal(append(300, 'a'), 0);
    buffer_release(&b);
    assert_int_equal(b.len, 300);
    buffer_clear(&b);
    assert_int_equal(b.len, 0);
    assert_non_null(b.data);
    buffer_release(&b);
    assert_null(b.data);
    assert_int_equal(append(MAX_BYTES, 'a'), 0);
}

static void test_buffer_close_is_idempotent_and_keeps_the_maximum(void **state)
{
    (void)state;
    assert_int_equal(append(300, 'a'), 0);
    buffer_close(&b);
    buffer_close(&b);
    assert_int_equal(append(MAX_BYTES + 1, 'a'), ERROR_LIMIT);
    assert_int_equal(append(MAX_BYTES, 'a'), 0);
}

static void test_buffer_is_unchanged_when_memory_runs_out(void **state)
{
    (void)state;
    allocator_refuse_after(0);
    assert_int_equal(append(10, 'a'), ERROR_NOMEM);
    assert_true(allocator_reset());
    assert_int_equal(b.len, 0);
    assert_int_equal(append(10, 'a'), 0);
    allocator_refuse_after(0);
    assert_int_equal(append(500, 'b'), ERROR_NOMEM);
    assert_true(allocator_reset());
    assert_int_equal(b.len, 10);
    assert_memory_equal(buffer_bytes(&b), "aaaaaaaaaa", 10);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_buffer_allocates_nothing_before_the_first_byte),
        CASE(test_buffer_never_holds_more_than_its_maximum),
        CASE(test_buffer_takes_what_fits),
        CASE(test_buffer_refuses_a_length_that_would_overflow),
        CASE(test_buffer_with_maximum_zero_takes_nothing),
        CASE(test_buffer_gives_back_what_was_appended_in_order),
        CASE(test_buffer_reuses_consumed_room_when_full),
        CASE(test_buffer_commit_keeps_only_what_was_written),
        CASE(test_buffer_clear_keeps_the_memory_and_release_gives_it_back),
        CASE(test_buffer_close_is_idempotent_and_keeps_the_maximum),
        CASE(test_buffer_is_unchanged_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
