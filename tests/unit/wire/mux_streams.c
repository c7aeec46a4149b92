/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire/mux_streams.h"

#include <stdarg.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct mux_streams t;

static int setup(void **state)
{
    (void)state;
    mux_streams_init(&t);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mux_streams_close(&t);
    return 0;
}

static void add(uint32_t id)
{
    struct mux_stream *s = mux_streams_add(&t, id, 100);
    assert_non_null(s);
    assert_int_equal(s->id, id);
}

static void empty_table_holds_no_memory_and_finds_nothing(void **state)
{
    (void)state;
    assert_null(t.slots);
    assert_null(mux_streams_find(&t, 1));
    assert_null(mux_streams_first(&t));
}

static void streams_are_found_by_id_and_walked_by_age(void **state)
{
    (void)state;
    for (uint32_t id = 1; id <= 100; id++) {
        add(id);
    }
    uint32_t expected = 1;
    for (struct mux_stream *s = mux_streams_first(&t); s != NULL; s = mux_streams_next(&t, s)) {
        assert_int_equal(s->id, expected);
        assert_ptr_equal(mux_streams_find(&t, expected), s);
        expected++;
    }
    assert_int_equal(expected, 101);
    assert_null(mux_streams_find(&t, 101));
    assert_true(t.n_slots >= 200);
}

/* Ids that all want the same slot of the first table, as a hostile relay would choose them; taken
 * out from the middle, the others stay reachable. */
static void colliding_ids_survive_each_others_removal(void **state)
{
    (void)state;
    uint32_t ids[7];
    size_t n = 0;
    for (uint32_t id = 1; n < 7; id++) {
        if ((uint32_t)(id * UINT32_C(2654435769)) >> 28 == 15) {
            ids[n++] = id;
            add(id);
        }
    }
    for (size_t i = 1; i < 7; i += 2) {
        mux_streams_remove(&t, mux_streams_find(&t, ids[i]));
    }
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(mux_streams_find(&t, ids[i]) != NULL, i % 2 == 0);
    }
}

static void table_agrees_with_a_plain_array_over_a_long_life(void **state)
{
    (void)state;
    enum { N = 600 };
    uint32_t open[N];
    size_t n_open = 0;
    uint64_t random = 1;
    uint32_t id = UINT32_MAX - 40000; /* the table must not mind large ids */
    for (int step = 0; step < 30000; step++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        size_t pick = n_open == 0 ? 0 : (size_t)(random >> 33) % n_open;
        if (n_open < N && (random >> 32) % 100 < 52) {
            id += 1 + (uint32_t)((random >> 20) % 2) * (step % 3 == 0);
            add(id);
            open[n_open++] = id;
        } else if (n_open > 0) {
            mux_streams_remove(&t, mux_streams_find(&t, open[pick]));
            assert_null(mux_streams_find(&t, open[pick]));
            open[pick] = open[--n_open];
        }
        assert_int_equal(t.n_open, n_open);
        for (size_t i = step % 50 == 0 ? 0 : n_open; i < n_open; i++) {
            assert_int_equal(mux_streams_find(&t, open[i])->id, open[i]);
        }
    }
}

static void spare_objects_are_few_and_reused(void **state)
{
    (void)state;
    uint32_t n = MUX_STREAMS_SPARE_MAX + 10;
    for (uint32_t id = 1; id <= n; id++) {
        add(id);
    }
    while (mux_streams_first(&t) != NULL) {
        mux_streams_remove(&t, mux_streams_first(&t));
    }
    assert_int_equal(t.n_spare, MUX_STREAMS_SPARE_MAX);
    add(n + 1);
    assert_int_equal(t.n_spare, MUX_STREAMS_SPARE_MAX - 1);
}

static void spare_object_of_the_last_stream_is_the_next_one(void **state)
{
    (void)state;
    add(1);
    add(2);
    const struct mux_stream *last = mux_streams_find(&t, 1);
    mux_streams_remove(&t, mux_streams_find(&t, 2));
    mux_streams_remove(&t, mux_streams_find(&t, 1));
    add(3);
    assert_ptr_equal(mux_streams_find(&t, 3), last);
}

static void spare_object_remembers_nothing(void **state)
{
    (void)state;
    add(1);
    struct mux_stream *s = mux_streams_find(&t, 1);
    s->user = s;
    s->send_credit = 5;
    s->end_sent = true;
    assert_int_equal(buffer_append(&s->queue, "abc", 3), 0);
    mux_streams_remove(&t, s);
    add(2);
    s = mux_streams_find(&t, 2);
    assert_null(s->user);
    assert_int_equal(s->send_credit, 0);
    assert_false(s->end_sent);
    assert_int_equal(s->queue.len, 0);
}

static void trim_gives_everything_back_once_nothing_is_open(void **state)
{
    (void)state;
    add(1);
    mux_streams_trim(&t);
    assert_non_null(t.slots);
    mux_streams_remove(&t, mux_streams_find(&t, 1));
    mux_streams_trim(&t);
    assert_null(t.slots);
    assert_int_equal(t.n_spare, 0);
    add(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_table_holds_no_memory_and_finds_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(streams_are_found_by_id_and_walked_by_age, setup, teardown),
        cmocka_unit_test_setup_teardown(colliding_ids_survive_each_others_removal, setup, teardown),
        cmocka_unit_test_setup_teardown(table_agrees_with_a_plain_array_over_a_long_life, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(spare_objects_are_few_and_reused, setup, teardown),
        cmocka_unit_test_setup_teardown(spare_object_of_the_last_stream_is_the_next_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(spare_object_remembers_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(trim_gives_everything_back_once_nothing_is_open, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
