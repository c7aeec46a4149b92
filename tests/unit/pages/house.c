/* SPDX-License-Identifier: Apache-2.0 */
/* Device files, honest and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buffer.h"
#include "proto/json/json_text.h"
#include "proto/pages/house.h"
#include "tests/unit/base/allocator.h"

/* The house as compact JSON, owned; or NULL with the sentence in `e`. */
static char *parse(const char *text, size_t len, struct error_text *e)
{
    json_t *house = NULL;
    size_t n = 0;

    e->text[0] = '\0';
    if (house_parse((struct span){text, len}, &house, &n, e) != 0) {
        assert_null(house);
        assert_string_not_equal(e->text, "");
        return NULL;
    }
    char *json = json_dumps(house, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(house);
    assert_non_null(json);
    return json;
}

static void expect(const char *text, const char *wanted)
{
    struct error_text e;
    char *json = parse(text, strlen(text), &e);
    assert_non_null(json);
    assert_string_equal(json, wanted);
    free(json);
}

static void refused(const char *text, size_t len, const char *sentence)
{
    struct error_text e;
    char *json = parse(text, len, &e);
    if (json != NULL || strstr(e.text, sentence) == NULL) {
        fail_msg("%.60s: %s", text, json != NULL ? json : e.text);
    }
}

static void json_keeps_what_is_known(void **state)
{
    (void)state;
    expect(
        "{\"version\":1,\"rooms\":[{\"name\":\"Hall\",\"devices\":[{\"class\":\"light\",\"guid\":"
        "\"a\",\"dimmable\":true,\"state\":7,\"min\":\"x\"},{\"class\":\"analog\",\"guid\":\"b\","
        "\"name\":\"Wind\",\"min\":0,\"max\":2.5,\"dimmable\":3}]}]}",
        "{\"rooms\":[{\"devices\":[{\"class\":\"light\",\"dimmable\":true,\"guid\":\"a\",\"name\":"
        "\"a\"},{\"class\":\"analog\",\"guid\":\"b\",\"max\":2.5,\"min\":0,\"name\":\"Wind\"}],"
        "\"name\":\"Hall\"}]}");
    expect("{\"rooms\":[]}", "{\"rooms\":[]}");
}

static void csv_is_read_as_spreadsheets_write_it(void **state)
{
    static const char wanted[] =
        "{\"rooms\":[{\"devices\":[{\"class\":\"light\",\"dimmable\":true,\"guid\":\"a\",\"name\":"
        "\"Big; \\\"old\\\" lamp\"},{\"class\":\"scene\",\"guid\":\"c\",\"name\":\"c\"}],\"name\":"
        "\"Living, room\"},{\"devices\":[{\"class\":\"analog\",\"guid\":\"b\",\"max\":5.0,\"min\":"
        "-1.5,\"name\":\"b\"}],\"name\":\"Roof\"}]}";
    (void)state;
    expect("room,class,guid,name,dimmable,min,max\n"
           "\"Living, room\",light,a,\"Big; \"\"old\"\" lamp\",yes,,\n"
           "Roof,analog,b,,,-1.5,5\n"
           "\"Living, room\",scene,c,,no,,\n",
           wanted);
    /* Semicolons, CRLF, other columns in another order, empty lines, no end of the last line. */
    expect("\xef\xbb\xbf\r\nGUID;Max;note;Class;Room;min;Name;Dimmable\r\n"
           " a ;;x;light;Living, room;;\"Big; \"\"old\"\" lamp\";TRUE\r\n\r\n"
           "b;5;;analog;Roof;-1.5\r\n"
           "c;;;scene;Living, room",
           wanted);
}

static void what_is_no_house_is_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *text;
        const char *sentence;
    } cases[] = {
        {"", "empty"},
        {" \n", "empty"},
        {"{", "no JSON"},
        {"{\"rooms\":[],\"rooms\":[]}", "no JSON"},
        {"{}", "must be an array"},
        {"{\"rooms\":{}}", "must be an array"},
        {"{\"rooms\":[{\"name\":\"\",\"devices\":[]}]}", "each room needs a \"name\""},
        {"{\"rooms\":[{\"name\":\"a\\u0007\",\"devices\":[]}]}", "each room needs a \"name\""},
        {"{\"rooms\":[{\"name\":\"a\"}]}", "needs an array"},
        {"{\"rooms\":[{\"name\":\"a\",\"devices\":[1]}]}", "needs a \"class\""},
        {"{\"rooms\":[{\"name\":\"a\",\"devices\":[{\"class\":\"system\",\"guid\":\"a\"}]}]}",
         "needs a \"class\""},
        {"{\"rooms\":[{\"name\":\"a\",\"devices\":[{\"class\":\"light\",\"guid\":\"a b\"}]}]}",
         "needs a \"guid\""},
        {"{\"rooms\":[{\"name\":\"a\",\"devices\":[{\"class\":\"light\",\"guid\":\"<b>\"}]}]}",
         "needs a \"guid\""},
        {"room,class\na,light\n", "\"guid\" is missing"},
        {"room,class,guid\n,light,a\n", "each room needs a \"name\""},
        {"room,class,guid\nHall,lamp,a\n", "needs a \"class\""},
        {"room,class,guid\nHall,light,\xff\n", "line 2"},
        {"room,class,guid\n\xff,light,a\n", "line 2"},
        {",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\n", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        refused(cases[i].text, strlen(cases[i].text), cases[i].sentence);
    }
    refused("room,class,guid\nHall\0,light,a\n", 31, "line 2");
}

/* `n` times `item` behind what is there. */
static void put(struct buffer *text, const char *item, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(buffer_append(text, item, strlen(item)), 0);
    }
}

/* The longest lists that a file can become: lines that say much with little. */
static void the_list_of_a_file_within_its_limits_is_within_its_own(void **state)
{
    static const char *const rows[] = {"a,hvac,b,,1,-.1,.7\n", "a,hvac,b,\\\\\\\\,1,.1,-.7\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error_text e;
        struct buffer text;
        buffer_init(&text, HOUSE_FILE_BYTES_MAX);
        put(&text, "room,class,guid,name,dimmable,min,max\n", 1);
        put(&text, rows[i], HOUSE_DEVICES_MAX);
        char *json = parse((const char *)buffer_bytes(&text), text.len, &e);
        buffer_close(&text);
        assert_non_null(json);
        assert_in_range(strlen(json), 4 * HOUSE_FILE_BYTES_MAX, HOUSE_LIST_BYTES_MAX);
        /* As the relay takes it. */
        char *again = parse(json, strlen(json), &e);
        assert_non_null(again);
        assert_string_equal(json, again);
        free(again);
        free(json);
    }
}

#define TEXT_BYTES_MAX (4U << 20)

static void bounded(const char *head, const char *item, size_t max, const char *tail,
                    const char *sentence)
{
    struct error_text e;
    struct buffer text;

    buffer_init(&text, TEXT_BYTES_MAX);
    put(&text, head, 1);
    put(&text, item, max);
    put(&text, tail, 1);
    char *json = parse((const char *)buffer_bytes(&text), text.len, &e);
    if (json == NULL) {
        fail_msg("at the limit: %s", e.text);
    }
    free(json);
    buffer_clear(&text);
    put(&text, head, 1);
    put(&text, item, max + 1);
    put(&text, tail, 1);
    refused((const char *)buffer_bytes(&text), text.len, sentence);
    buffer_close(&text);
}

static void numbers_and_lengths_are_bounded(void **state)
{
    (void)state;
    bounded("room,class,guid\n", "Hall,light,a\n", HOUSE_DEVICES_MAX, "", "too many");
    bounded("room,class,guid,name\nHall,light,a,", "n", HOUSE_NAME_BYTES, "\n", "\"name\"");
    bounded("room,class,guid,name\nHall,light,", "g", HOUSE_GUID_BYTES, "\n", "\"guid\"");
    bounded("room,class,guid\n", "r", HOUSE_NAME_BYTES, ",light,a\n", "each room needs");
    bounded("{\"rooms\":[{\"name\":\"a\",\"devices\":[{\"class\":\"light\",\"guid\":\"a\"}",
            ",{\"class\":\"light\",\"guid\":\"a\"}", HOUSE_DEVICES_MAX - 1, "]}]}", "at most");
    bounded("{\"rooms\":[{\"name\":\"a\",\"devices\":[]}", ",{\"name\":\"a\",\"devices\":[]}",
            HOUSE_ROOMS_MAX - 1, "]}", "at most");
    bounded("{\"rooms\":[],\"x\":\"\\\",,[{\",\"y\":[1", ",1", HOUSE_VALUES_MAX - 5, "]}",
            "values");
    refused("room,class,guid\nHall,light,\"\"\"", 29, "\"guid\"");
}

static void a_refused_allocation_is_told_as_such(void **state)
{
    static const char text[] = "{\"rooms\":[{\"name\":\"Hall\",\"devices\":[{\"class\":\"light\","
                               "\"guid\":\"a\"},{\"class\":\"blind\",\"guid\":\"b\"}]}]}";
    size_t n_refused = 0;

    (void)state;
    for (bool refused = true; refused; n_refused++) {
        struct error_text e = {""};
        json_t *house = NULL;
        size_t n = 0;
        allocator_refuse_after(n_refused);
        int rc = house_parse(span_of(text), &house, &n, &e);
        refused = allocator_reset();
        if (refused) {
            assert_int_equal(rc, ERROR_NOMEM);
            assert_string_equal(e.text, "no memory");
            assert_null(house);
        } else {
            assert_int_equal(rc, 0);
            json_decref(house);
        }
    }
    assert_in_range(n_refused, 10, 1000);
}

static int set_up(void **state)
{
    (void)state;
    json_text_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_keeps_what_is_known),
        cmocka_unit_test(csv_is_read_as_spreadsheets_write_it),
        cmocka_unit_test(what_is_no_house_is_refused_with_a_sentence),
        cmocka_unit_test(numbers_and_lengths_are_bounded),
        cmocka_unit_test(the_list_of_a_file_within_its_limits_is_within_its_own),
        cmocka_unit_test(a_refused_allocation_is_told_as_such),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
