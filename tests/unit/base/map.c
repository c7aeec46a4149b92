/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/map.h. */
#include "proto/base/map.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/error.h"
#include "tests/unit/base/allocator.h"

#define N_NAMES 2000

static char names[N_NAMES][16];
static struct map m;

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "TNX-%04zu", i);
    }
    map_init(&m, N_NAMES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)allocator_reset();
    map_close(&m);
    return 0;
}

static int put(size_t i)
{
    return map_put(&m, names[i], strlen(names[i]), names[i]);
}

static void *get(size_t i)
{
    return map_get(&m, names[i], strlen(names[i]));
}

static void *take(size_t i)
{
    return map_remove(&m, names[i], strlen(names[i]));
}

/* A hash as a fresh process computes it. */
static uint64_t hash_of_a_child(void)
{
    int fds[2];
    uint64_t hash = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        hash = map_hash("TNX-0001", 8);
        _exit(write(fds[1], &hash, sizeof(hash)) == (ssize_t)sizeof(hash) ? 0 : 1);
    }
    assert_int_equal(read(fds[0], &hash, sizeof(hash)), sizeof(hash));
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(fds[0]);
    close(fds[1]);
    return hash;
}

/* Must run first: the children would inherit a key once it is drawn. */
static void test_map_hashes_differ_from_process_to_process(void **state)
{
    (void)state;
    assert_true(hash_of_a_child() != hash_of_a_child());
}

static void test_map_hash_depends_on_every_byte_and_on_the_length(void **state)
{
    (void)state;
    char key[24] = {0};
    for (size_t len = 1; len <= sizeof(key); len++) {
        uint64_t before = map_hash(key, len);
        assert_true(before == map_hash(key, len));
        assert_true(before != map_hash(key, len - 1));
        key[len - 1] = 1;
        assert_true(before != map_hash(key, len));
    }
}

static void test_map_empty_has_nothing(void **state)
{
    (void)state;
    size_t cursor = 0;
    assert_null(get(0));
    assert_null(take(0));
    assert_null(map_next(&m, &cursor));
    assert_null(m.slots);
}

static void test_map_finds_what_was_put_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES / 2; i++) {
        assert_int_equal(put(i), 0);
    }
    for (size_t i = 0; i < N_NAMES; i++) {
        assert_ptr_equal(get(i), i < N_NAMES / 2 ? names[i] : NULL);
    }
    assert_int_equal(m.n_items, N_NAMES / 2);
}

static void test_map_refuses_a_key_twice_and_keeps_the_first_value(void **state)
{
    (void)state;
    char same[] = "TNX-0007";
    assert_int_equal(put(7), 0);
    assert_int_equal(map_put(&m, same, strlen(same), same), ERROR_EXISTS);
    assert_ptr_equal(get(7), names[7]);
    assert_int_equal(m.n_items, 1);
}

static void test_map_keys_are_bytes_with_a_length(void **state)
{
    (void)state;
    int a = 1;
    int b = 2;
    int c = 3;
    assert_int_equal(map_put(&m, "a\0b", 3, &a), 0);
    assert_int_equal(map_put(&m, "a\0c", 3, &b), 0);
    assert_int_equal(map_put(&m, NULL, 0, &c), 0);
    assert_ptr_equal(map_get(&m, "a\0b", 3), &a);
    assert_ptr_equal(map_get(&m, "a\0c", 3), &b);
    assert_ptr_equal(map_get(&m, "", 0), &c);
    assert_null(map_get(&m, "a", 1));
}

static void test_map_never_holds_more_than_its_maximum(void **state)
{
    (void)state;
    map_init(&m, 3);
    assert_int_equal(put(0), 0);
    assert_int_equal(put(1), 0);
    assert_int_equal(put(2), 0);
    assert_int_equal(put(3), ERROR_LIMIT);
    assert_int_equal(put(2), ERROR_EXISTS);
    assert_null(get(3));
    assert_ptr_equal(take(1), names[1]);
    assert_int_equal(put(3), 0);
    assert_int_equal(put(1), ERROR_LIMIT);
}

static void test_map_removal_breaks_no_other_lookup(void **state)
{
    (void)state;
    bool held[N_NAMES] = {false};
    uint32_t random = 1;

    for (size_t step = 0; step < 20000; step++) {
        random = random * 1664525U + 1013904223U;
        /* Few enough names that most steps meet one that is there. */
        size_t i = (random >> 8) % 300;
        if (held[i]) {
            assert_ptr_equal(take(i), names[i]);
            assert_null(take(i));
        } else {
            assert_int_equal(put(i), 0);
        }
        held[i] = !held[i];
        for (size_t k = 0; step % 50 == 0 && k < 300; k++) {
            assert_ptr_equal(get(k), held[k] ? names[k] : NULL);
        }
    }
}

static void test_map_next_visits_every_item_once(void **state)
{
    (void)state;
    bool seen[N_NAMES] = {false};
    size_t cursor = 0;
    size_t n = 0;

    for (size_t i = 0; i < N_NAMES; i++) {
        assert_int_equal(put(i), 0);
    }
    for (char *p = map_next(&m, &cursor); p != NULL; p = map_next(&m, &cursor), n++) {
        size_t i = (size_t)(p - names[0]) / sizeof(names[0]);
        assert_false(seen[i]);
        seen[i] = true;
    }
    assert_int_equal(n, N_NAMES);
    assert_null(map_next(&m, &cursor));
}

static void test_map_close_is_idempotent_and_the_map_usable_after(void **state)
{
    (void)state;
    assert_int_equal(put(1), 0);
    map_close(&m);
    map_close(&m);
    assert_null(get(1));
    assert_int_equal(put(1), 0);
    assert_ptr_equal(get(1), names[1]);
}

static void test_map_is_unchanged_when_memory_runs_out(void **state)
{
    (void)state;
    size_t n = 0;
    allocator_refuse_after(0);
    assert_int_equal(put(0), ERROR_NOMEM);
    assert_null(get(0));
    allocator_refuse_after(1);
    while (put(n) == 0) {
        n++;
    }
    assert_true(allocator_reset());
    assert_int_equal(m.n_items, n);
    for (size_t i = 0; i <= n; i++) {
        assert_ptr_equal(get(i), i < n ? names[i] : NULL);
    }
    assert_int_equal(put(n), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Counters, ids of a table, and what has nothing but high bits. */
static void test_map_of_numbers_finds_each_and_nothing_else(void **state)
{
    (void)state;
    static uint64_t numbers[3 * 64];
    struct map by_number;
    map_init_numbers(&by_number, sizeof(numbers) / sizeof(numbers[0]));
    for (uint64_t i = 0; i < 64; i++) {
        numbers[3 * i] = i;
        numbers[3 * i + 1] = 1000000 + 16 * i;
        numbers[3 * i + 2] = (i + 1) << 48;
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_null(map_get(&by_number, &numbers[i], sizeof(numbers[i])));
        assert_int_equal(map_put(&by_number, &numbers[i], sizeof(numbers[i]), &numbers[i]), 0);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uint64_t key = numbers[i];
        assert_ptr_equal(map_get(&by_number, &key, sizeof(key)), &numbers[i]);
        assert_ptr_equal(map_remove(&by_number, &key, sizeof(key)), &numbers[i]);
        assert_null(map_get(&by_number, &key, sizeof(key)));
    }
    map_close(&by_number);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_map_hashes_differ_from_process_to_process),
        CASE(test_map_hash_depends_on_every_byte_and_on_the_length),
        CASE(test_map_empty_has_nothing),
        CASE(test_map_finds_what_was_put_and_nothing_else),
        CASE(test_map_refuses_a_key_twice_and_keeps_the_first_value),
        CASE(test_map_keys_are_bytes_with_a_length),
        CASE(test_map_never_holds_more_than_its_maximum),
        CASE(test_map_removal_breaks_no_other_lookup),
        CASE(test_map_next_visits_every_item_once),
        CASE(test_map_close_is_idempotent_and_the_map_usable_after),
        CASE(test_map_of_numbers_finds_each_and_nothing_else),
        CASE(test_map_is_unchanged_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
