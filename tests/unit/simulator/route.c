/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/route. */
#include "tests/simulator/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct expectation {
    const char *target;
    enum route_kind kind;
    const char *controller;
    const char *query;
};

static void check(const struct expectation *e)
{
    struct route r;
    route_find(span_of(e->target), &r);
    if (r.kind != e->kind) {
        fail_msg("%s leads to %s", e->target, route_kind_name(r.kind));
    }
    assert_int_equal(r.controller.len, strlen(e->controller));
    assert_int_equal(
        strncmp(r.controller.p == NULL ? "" : r.controller.p, e->controller, r.controller.len), 0);
    assert_int_equal(r.query.len, strlen(e->query));
    assert_int_equal(strncmp(r.query.p == NULL ? "" : r.query.p, e->query, r.query.len), 0);
}

static void check_all(const struct expectation *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check(&list[i]);
    }
}

static void to_the_api(void **state)
{
    (void)state;
    static const struct expectation LIST[] = {
        {"/api/v1/power?guid=a&&fb", ROUTE_API, "power", "guid=a&&fb"},
        {"/api/V1/power", ROUTE_API, "power", ""},
        {"/api/V1/system/sendKNXbit?group=1/0/1", ROUTE_API, "system/sendKNXbit", "group=1/0/1"},
        {"/api/v1/power?", ROUTE_API, "power", ""},
        {"/api/v1/power?a=?b", ROUTE_API, "power", "a=?b"},
        {"http://server:5051/api/v1/power?x", ROUTE_API, "power", "x"},
        {"/api/v1//power/", ROUTE_API, "power", ""},
        {"/api/v1/./system/../power", ROUTE_API, "power", ""},
        {"/api/v1/p%6fwer", ROUTE_API, "power", ""},
        {"/api/v1/Power", ROUTE_API, "Power", ""},
        {"/reboot/../api/v1/power", ROUTE_API, "power", ""},
    };
    check_all(LIST, sizeof LIST / sizeof LIST[0]);
}

static void to_maintenance_in_every_disguise(void **state)
{
    (void)state;
    static const struct expectation LIST[] = {
        {"/", ROUTE_MAINTENANCE, "", ""},
        {"/reboot", ROUTE_MAINTENANCE, "", ""},
        {"/config?x=1", ROUTE_MAINTENANCE, "", "x=1"},
        {"/maintenance/", ROUTE_MAINTENANCE, "", ""},
        {"/api/v1/../../reboot", ROUTE_MAINTENANCE, "", ""},
        {"/api/v1/..%2f..%2freboot", ROUTE_MAINTENANCE, "", ""},
        {"/api/v1/%2e%2e/%2E%2E/reboot", ROUTE_MAINTENANCE, "", ""},
        {"/api/v1/..\\..\\reboot", ROUTE_MAINTENANCE, "", ""},
        {"/api/v1/..%5c..%5Creboot", ROUTE_MAINTENANCE, "", ""},
        {"/api/v1/../../../../../", ROUTE_MAINTENANCE, "", ""},
        {"//reboot", ROUTE_MAINTENANCE, "", ""},
        {"/api/v1/power/../../../config", ROUTE_MAINTENANCE, "", ""},
        {"http://server/reboot", ROUTE_MAINTENANCE, "", ""},
    };
    check_all(LIST, sizeof LIST / sizeof LIST[0]);
}

static void to_nowhere(void **state)
{
    (void)state;
    static const struct expectation LIST[] = {
        {"/api/v1", ROUTE_NOWHERE, "", ""},       {"/api/v1/", ROUTE_NOWHERE, "", ""},
        {"/api/v2/power", ROUTE_NOWHERE, "", ""}, {"/API/v1/power", ROUTE_NOWHERE, "", ""},
        {"/power", ROUTE_NOWHERE, "", ""},        {"*", ROUTE_NOWHERE, "", ""},
        {"/Reboot", ROUTE_NOWHERE, "", ""},       {"/reboot.html", ROUTE_NOWHERE, "", ""},
        {"/%252e%252e/x", ROUTE_NOWHERE, "", ""},
    };
    check_all(LIST, sizeof LIST / sizeof LIST[0]);
}

static void too_long_or_too_deep(void **state)
{
    (void)state;
    char target[ROUTE_PATH_BYTES + 64];
    struct route r;
    memset(target, 'a', sizeof target);
    target[0] = '/';
    target[sizeof target - 1] = '\0';
    route_find(span_of(target), &r);
    assert_int_equal(r.kind, ROUTE_NOWHERE);
    for (size_t i = 0; i + 2 < sizeof target; i += 2) {
        memcpy(target + i, "/a", 2);
    }
    route_find(span_of(target), &r);
    assert_int_equal(r.kind, ROUTE_NOWHERE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_the_api),
        cmocka_unit_test(to_maintenance_in_every_disguise),
        cmocka_unit_test(to_nowhere),
        cmocka_unit_test(too_long_or_too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
