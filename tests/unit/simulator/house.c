/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/house. */
#include "tests/simulator/house.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/http/controller.h"
#include "tests/simulator/house_json.h"
#include "tests/simulator/operation.h"

#define LIGHT "{\"class\":\"light\",\"guid\":\"L\",\"dimmable\":true}"

static int parse(const char *text, struct house *h, struct error_text *e)
{
    return house_parse("test.json", span_of(text), h, e);
}

/* Expects exit code 2's error, and all the words in its sentence. */
static void refused(const char *text, const char *word, const char *other)
{
    struct house h;
    struct error_text e = {""};
    assert_int_equal(parse(text, &h, &e), ERROR_CONFIG);
    assert_int_equal(strncmp(e.text, "test.json:", 10), 0);
    if (strstr(e.text, word) == NULL || strstr(e.text, other) == NULL) {
        fail_msg("\"%s\" says neither %s nor %s", e.text, word, other);
    }
}

static void the_built_in_house(void **state)
{
    (void)state;
    static const char *const SPELLINGS[] = {"1lzPszHWAeuvzxtXBMkzWQ",  "1IzPszHWAEEuvzxtXBMkzWQ",
                                            "1IzPszHWAEuvzxtXBMkzWQ",  "1lzPszHWAEuvzxtXBMkzWQ",
                                            "1lzPszHWAEEuvzxtXBMkzWQ", "1IzPszHWAeuvzxtXBMkzWQ"};
    struct house h;
    struct error_text e = {""};
    struct span text = {(const char *)HOUSE_JSON, HOUSE_JSON_BYTES};
    assert_int_equal(house_parse("built in", text, &h, &e), 0);
    assert_int_equal(h.n_devices, 26);
    for (int c = 0; c < CONTROLLER_CLASS_SYSTEM; c++) {
        enum controller_class device_class = (enum controller_class)c;
        struct device *d = house_find(&h, device_class, span_of(SPELLINGS[0]));
        assert_non_null(d);
        assert_int_equal(d->device_class, c);
        for (size_t i = 0; i < sizeof SPELLINGS / sizeof SPELLINGS[0]; i++) {
            assert_ptr_equal(house_find(&h, device_class, span_of(SPELLINGS[i])), d);
        }
    }
    assert_string_equal(h.pbx_users, "101,102");
    house_close(&h);
}

static void rooms_and_single_devices(void **state)
{
    (void)state;
    struct house h;
    struct error_text e = {""};
    assert_int_equal(
        parse("{\"rooms\":[{\"name\":\"Hall\",\"devices\":[" LIGHT "]}],\"devices\":["
              "{\"class\":\"blind\",\"guid\":\"L\",\"room\":\"Attic\",\"height\":\"25\"},"
              "{\"class\":\"analog\",\"guid\":\"A\",\"value\":21.5,\"delay_ms\":7}]}",
              &h, &e),
        0);
    struct device *light = house_find(&h, CONTROLLER_CLASS_LIGHT, span_of("L"));
    struct device *blind = house_find(&h, CONTROLLER_CLASS_BLIND, span_of("L"));
    struct device *analog = house_find(&h, CONTROLLER_CLASS_ANALOG, span_of("A"));
    assert_string_equal(light->room, "Hall");
    assert_true(light->dimmable);
    assert_string_equal(blind->room, "Attic");
    assert_string_equal(device_status(blind, CONTROLLER_OBJECT_HEIGHT, 0)->text, "25");
    assert_string_equal(device_status(analog, CONTROLLER_OBJECT_VALUE, 0)->text, "21.5");
    assert_int_equal(analog->delay_ms, 7);
    assert_true(house_has(&h, span_of("A")));
    assert_false(house_has(&h, span_of("B")));
    assert_null(house_find(&h, CONTROLLER_CLASS_LIGHT, span_of("A")));
    assert_null(house_find(&h, CONTROLLER_CLASS_LIGHT, span_of("")));
    char longest[DEVICE_GUID_BYTES + 1];
    memset(longest, 'L', DEVICE_GUID_BYTES);
    longest[DEVICE_GUID_BYTES] = '\0'; /* longer than any may be */
    assert_null(house_find(&h, CONTROLLER_CLASS_LIGHT, span_of(longest)));
    house_close(&h);
}

static void scenes_find_devices_behind_them(void **state)
{
    (void)state;
    struct house h;
    struct error_text e = {""};
    assert_int_equal(parse("{\"devices\":[{\"class\":\"scene\",\"guid\":\"S\",\"operations\":["
                           "{\"controller\":\"powerlevel\",\"guid\":\"L\",\"value\":40},"
                           "{\"controller\":\"system/sendKNXbit\",\"group\":\"1/0/1\",\"value\":1,"
                           "\"pause_ms\":5}]}," LIGHT "]}",
                           &h, &e),
                     0);
    const struct device *scene = house_find(&h, CONTROLLER_CLASS_SCENE, span_of("S"));
    assert_int_equal(scene->n_operations, 2);
    assert_ptr_equal(scene->operations[0].device,
                     house_find(&h, CONTROLLER_CLASS_LIGHT, span_of("L")));
    assert_null(scene->operations[1].device);
    assert_string_equal(scene->operations[1].group, "1/0/1");
    assert_int_equal(scene->operations[1].pause_ms, 5);
    house_close(&h);
}

static void files_that_are_no_house(void **state)
{
    (void)state;
    refused("", "test.json:1:", "");
    refused("{\n\"devices\": [}\n", "test.json:2:", "");
    refused("[]", "no JSON object", "");
    refused("{}", "rooms", "devices");
    refused("{\"devices\":{}}", "must be lists", "");
    refused("{\"devices\":[],\"colour\":1}", "unknown key", "colour");
    refused("{\"devices\":[],\"version\":1}", "version", "string");
    refused("{\"devices\":[],\"pbx_users\":[1]}", "pbx_users", "");
    refused("{\"rooms\":[{\"name\":\"a\"}]}", "room 1", "missing");
}

static void devices_with_errors(void **state)
{
    (void)state;
    refused("{\"devices\":[" LIGHT ",{\"guid\":\"a\"}]}", "device 2", "class");
    refused("{\"devices\":[{\"class\":\"light\"}]}", "device 1", "guid");
    refused("{\"devices\":[3]}", "device 1", "missing");
    refused("{\"devices\":[{\"class\":\"lamp\",\"guid\":\"a\"}]}", "device 1", "lamp");
    refused("{\"devices\":[{\"class\":\"system\",\"guid\":\"a\"}]}", "device 1", "system");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a b\"}]}", "device 1", "GUID");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"\"}]}", "device 1", "GUID");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a\",\"colour\":1}]}", "unknown key",
            "colour");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a\",\"height\":1}]}", "light", "height");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a\",\"level\":101}]}", "level", "range");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a\",\"power\":true}]}", "power", "");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a\",\"dimmable\":1}]}", "dimmable", "");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a\",\"delay_ms\":-1}]}", "delay_ms", "");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a\",\"travel_ms\":1}]}", "travel_ms",
            "light");
    refused("{\"devices\":[{\"class\":\"analog\",\"guid\":\"a\",\"value\":5,\"max\":4}]}", "max",
            "device 1");
    refused("{\"devices\":[" LIGHT "," LIGHT "]}", "device 2", "already");
    refused("{\"devices\":[" LIGHT ",{\"class\":\"light\",\"guid\":\"M\",\"aliases\":[\"L\"]}]}",
            "device 2", "already");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"M\",\"aliases\":[7]}]}", "aliases", "");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"M\",\"aliases\":{}}]}", "aliases",
            "list");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"M\",\"aliases\":[\"1\",\"2\",\"3\","
            "\"4\",\"5\","
            "\"6\",\"7\",\"8\"]}]}",
            "aliases", "at most 7");
    refused("{\"devices\":[{\"class\":\"light\",\"guid\":\"a\",\"name\":1}]}", "name", "string");
    refused("{\"devices\":[{\"class\":\"analog\",\"guid\":\"a\",\"min\":\"x\"}]}", "min", "number");
}

static void operations_with_errors(void **state)
{
    (void)state;
#define SCENE(operations)                                                                          \
    "{\"devices\":[" LIGHT ",{\"class\":\"scene\",\"guid\":\"S\",\"operations\":" operations "}]}"
    refused(SCENE("7"), "device 2", "operations");
    refused(SCENE("[7]"), "device 2", "operation 1");
    refused(SCENE("[{\"controller\":\"powerstatus\",\"guid\":\"L\"}]"), "operation 1", "command");
    refused(SCENE("[{\"controller\":\"scenelaunch\",\"guid\":\"S\",\"value\":1}]"), "operation 1",
            "command");
    refused(SCENE("[{\"controller\":\"power\",\"guid\":\"X\",\"value\":1}]"), "operation 1", "X");
    refused(SCENE("[{\"controller\":\"power\",\"guid\":\"L\",\"value\":2}]"), "operation 1",
            "range");
    refused(SCENE("[{\"controller\":\"power\",\"guid\":\"L\"}]"), "operation 1", "value");
    refused(SCENE("[{\"controller\":\"system/sendKNXbit\",\"group\":\"1\",\"value\":1}]"), "group",
            "");
}

static void a_file_that_is_not_there(void **state)
{
    (void)state;
    struct house h;
    struct error_text e = {""};
    assert_int_equal(house_read("/nonexistent/house.json", &h, &e), ERROR_CONFIG);
    assert_non_null(strstr(e.text, "/nonexistent/house.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_house),
        cmocka_unit_test(rooms_and_single_devices),
        cmocka_unit_test(scenes_find_devices_behind_them),
        cmocka_unit_test(files_that_are_no_house),
        cmocka_unit_test(devices_with_errors),
        cmocka_unit_test(operations_with_errors),
        cmocka_unit_test(a_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
