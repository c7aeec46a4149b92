/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/params. */
#include "tests/simulator/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

struct fixture {
    struct params p;
};

static int setup(void **state)
{
    static struct fixture f;
    params_init(&f.p);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    params_close(&((struct fixture *)*state)->p);
    return 0;
}

static void read(void **state, const char *query, const char *form)
{
    struct fixture *f = *state;
    assert_int_equal(params_read(&f->p, span_of(query), span_of(form)), 0);
}

static void value_is(void **state, const char *name, const char *expected)
{
    struct fixture *f = *state;
    struct span value;
    assert_true(params_get(&f->p, name, &value));
    assert_int_equal(value.len, strlen(expected));
    assert_memory_equal(value.p, expected, value.len);
}

static bool has(void **state, const char *name)
{
    return params_has(&((struct fixture *)*state)->p, name);
}

static void as_in_the_document(void **state)
{
    read(state, "guid=1IzPszHWAEEuvzxtXBMkzWQ&&cmd=50&fb", NULL);
    value_is(state, "guid", "1IzPszHWAEEuvzxtXBMkzWQ");
    value_is(state, "cmd", "50");
    value_is(state, "fb", "");
    assert_int_equal(((struct fixture *)*state)->p.n_items, 3);
    assert_false(has(state, "val"));
    assert_false(has(state, "FB"));
}

static void decoding(void **state)
{
    read(state, "group=1%2F0%2f1&na%6De=a+b%2B&x=%41%00%ff", NULL);
    value_is(state, "group", "1/0/1");
    value_is(state, "name", "a b+");
    struct span x;
    assert_true(params_get(&((struct fixture *)*state)->p, "x", &x));
    assert_int_equal(x.len, 3);
    assert_memory_equal(x.p, "A\0\xff", 3);
}

static void odd_pieces(void **state)
{
    read(state, "&&&", "");
    assert_int_equal(((struct fixture *)*state)->p.n_items, 0);
    read(state, "a=&=b&c==d&e=f=g", NULL);
    value_is(state, "a", "");
    value_is(state, "", "b");
    value_is(state, "c", "=d");
    value_is(state, "e", "f=g");
    read(state, NULL, NULL);
    assert_false(has(state, "a"));
}

static void the_last_of_a_name_counts(void **state)
{
    read(state, "cmd=1&cmd=2&guid=a", "cmd=3");
    value_is(state, "cmd", "3");
    value_is(state, "guid", "a");
    read(state, "cmd=1&cmd=2", "");
    value_is(state, "cmd", "2");
    read(state, "cmd=1&cmd", "");
    value_is(state, "cmd", "");
}

static void bad_escapes(void **state)
{
    const char *const wrong[] = {"a=%", "a=%1", "a=%zz", "%=a", "a=%%41", "a=%4"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(params_read(&f->p, span_of("ok=1"), span_of(wrong[i])), ERROR_SYNTAX);
        assert_int_equal(f->p.n_items, 0);
    }
}

static void as_many_as_allowed(void **state)
{
    struct fixture *f = *state;
    char query[2 * PARAMS_MAX + 4];
    memset(query, 0, sizeof query);
    for (size_t i = 0; i < PARAMS_MAX; i++) {
        query[2 * i] = 'a';
        query[2 * i + 1] = '&';
    }
    assert_int_equal(params_read(&f->p, span_of(query), span_of("")), 0);
    assert_int_equal(f->p.n_items, PARAMS_MAX);
    assert_int_equal(params_read(&f->p, span_of(query), span_of("a")), ERROR_LIMIT);
    assert_int_equal(f->p.n_items, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_in_the_document, setup, teardown),
        cmocka_unit_test_setup_teardown(decoding, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_of_a_name_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(as_many_as_allowed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
