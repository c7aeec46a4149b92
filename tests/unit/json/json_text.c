/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/json/json_text.h. */
#include "proto/json/json_text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/base/allocator.h"

/* The first three names are so long that jansson's buffer (16, 32, 64 bytes) has to grow for the
 * quote at their end; then escapes, characters of several bytes, numbers, and things inside things.
 */
static const char TEXT[] =
    "{\"0123456789abcd\":\"k_1\",\"0123456789abcdef0123456789abcd\":null,"
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\":true,"
    "\"escapes\":\"\\\"\\\\\\u00e4\\ud834\\udd1e and more behind "
    "them\",\"\303\244\":\"\342\202\254\","
    "\"numbers\":[1,-2.5,12345678901234567,1e10],\"deep\":{\"deeper\":{\"deepest\":[[],{},true]}},"
    "\"long\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}";

static int set_up(void **state)
{
    (void)state;
    json_text_start();
    return 0;
}

static json_t *sample(void)
{
    json_t *value = json_text_parse(TEXT, sizeof(TEXT) - 1, 0, NULL);
    assert_non_null(value);
    return value;
}

static void text_becomes_a_value_and_text_again(void **state)
{
    (void)state;
    json_t *value = sample();
    char *text = json_text_format(value, JSON_COMPACT);
    assert_non_null(text);
    json_t *again = json_text_parse(text, strlen(text), JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_equal(value, again));
    assert_int_equal(strlen(json_string_value(json_object_get(value, "long"))), 70);
    json_decref(again);
    free(text);
    json_decref(value);
}

static void what_is_no_json_says_where(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",      "{",     "{\"a\":1,\"a\":2}",
                                        "[1] x", "\"a\"", "{\"\xff\":1}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json_error_t e;
        assert_null(json_text_parse(wrong[i], strlen(wrong[i]), JSON_REJECT_DUPLICATES, &e));
        assert_int_not_equal(json_error_code(&e), json_error_out_of_memory);
        assert_true(e.text[0] != '\0' && e.line >= 1);
    }
    assert_null(json_text_format(NULL, 0));
}

static void a_refused_allocation_makes_a_parse_fail_and_harms_nothing(void **state)
{
    (void)state;
    json_t *wanted = sample();
    size_t n_refused = 0;
    for (bool refused = true; refused; n_refused++) {
        json_error_t e;
        allocator_refuse_after(n_refused);
        json_t *value = json_text_parse(TEXT, sizeof(TEXT) - 1, 0, &e);
        refused = allocator_reset();
        if (refused) {
            assert_null(value);
            assert_int_equal(json_error_code(&e), json_error_out_of_memory);
        } else {
            assert_true(json_equal(value, wanted));
        }
        json_decref(value);
    }
    assert_true(n_refused > 50);
    json_decref(wanted);
    assert_true(json_text_failed()); /* once, as the next text would have been */
    assert_false(json_text_failed());
}

static json_t *put_together(void)
{
    json_t *list = json_array();
    json_t *object = json_pack("{s:s, s:i}", "a name", "and its text", "number", 1);
    for (int i = 0; i < 20; i++) {
        (void)json_array_append_new(list, json_pack("{s:i}", "i", i));
    }
    json_t *read = json_text_parse("[true]", 6, 0, NULL);
    (void)json_object_set_new(object, "list", list);
    (void)json_object_set_new(object, "read", read);
    (void)json_object_set_new(object, "last", json_string("text"));
    return object;
}

static void what_was_left_out_of_a_value_fails_the_next_text_only(void **state)
{
    (void)state;
    json_t *whole = put_together();
    size_t n_refused = 0;
    for (bool refused = true; refused; n_refused++) {
        allocator_refuse_after(n_refused);
        json_t *value = put_together();
        refused = allocator_reset();
        char *text = json_text_format(value, 0);
        if (refused) {
            assert_null(text);
        } else {
            assert_true(json_equal(value, whole));
        }
        free(text);
        text = json_text_format(whole, 0);
        assert_non_null(text);
        free(text);
        json_decref(value);
    }
    assert_true(n_refused > 50);
    json_decref(whole);
}

static void a_refused_allocation_leaves_nothing_out_of_a_text(void **state)
{
    (void)state;
    json_t *value = sample();
    char *wanted = json_text_format(value, JSON_INDENT(2));
    size_t n_refused = 0;
    for (bool refused = true; refused; n_refused++) {
        allocator_refuse_after(n_refused);
        char *text = json_text_format(value, JSON_INDENT(2));
        refused = allocator_reset();
        if (refused) {
            assert_null(text);
        } else {
            assert_string_equal(text, wanted);
        }
        free(text);
    }
    assert_true(n_refused > 5);
    free(wanted);
    json_decref(value);
}

static void values_made_elsewhere_are_of_the_same_memory(void **state)
{
    (void)state;
    json_t *value = json_pack("{s:s, s:[i, i]}", "a", "text", "b", 1, 2);
    char *text = json_text_format(value, JSON_COMPACT);
    assert_string_equal(text, "{\"a\":\"text\",\"b\":[1,2]}");
    free(text);
    json_decref(value);
}

static void a_file_is_read_to_its_end(void **state)
{
    (void)state;
    char path[] = "/tmp/json-text-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, TEXT, sizeof(TEXT) - 1), sizeof(TEXT) - 1);
    json_t *wanted = sample();
    json_t *value = json_text_load(path, 0, NULL);
    assert_true(json_equal(value, wanted));
    json_decref(value);
    json_decref(wanted);

    json_error_t e;
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_null(json_text_load(path, 0, &e));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_null(json_text_load(path, 0, &e));
    close(fd);
    (void)unlink(path);
    assert_null(json_text_load(path, 0, &e));
    assert_int_equal(json_error_code(&e), json_error_cannot_open_file);
    assert_string_equal(e.source, path);
    assert_string_equal(e.text, "No such file or directory");
    assert_null(json_text_load("/usr", 0, &e)); /* a folder can be opened, and has a size */
    assert_int_equal(json_error_code(&e), json_error_premature_end_of_input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_a_value_and_text_again),
        cmocka_unit_test(what_is_no_json_says_where),
        cmocka_unit_test(a_refused_allocation_makes_a_parse_fail_and_harms_nothing),
        cmocka_unit_test(what_was_left_out_of_a_value_fails_the_next_text_only),
        cmocka_unit_test(a_refused_allocation_leaves_nothing_out_of_a_text),
        cmocka_unit_test(values_made_elsewhere_are_of_the_same_memory),
        cmocka_unit_test(a_file_is_read_to_its_end),
    };
    return cmocka_run_group_tests_name("json/json_text", tests, set_up, NULL);
}
