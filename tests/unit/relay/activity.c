/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of relay/front/activity. */
#include "relay/front/activity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE_US UINT64_C(60000000)

static void note(struct activity *a, int64_t server, uint64_t minute, uint16_t status)
{
    struct activity_record r = {.server = server, .at_us = minute * MINUTE_US, .status = status};
    activity_note(a, &r, false);
}

static void the_latest_are_kept_in_order(void **state)
{
    (void)state;
    static struct activity_record all[ACTIVITY_RECORDS_MAX];
    struct activity *a = activity_new();
    uint64_t next = 0;
    assert_non_null(a);
    assert_int_equal(activity_read(a, &next, all, ACTIVITY_RECORDS_MAX), 0);
    for (uint16_t i = 0; i < ACTIVITY_RECORDS_MAX + 10; i++) {
        note(a, 1, 1, i);
    }
    assert_int_equal(activity_read(a, &next, all, ACTIVITY_RECORDS_MAX), ACTIVITY_RECORDS_MAX);
    assert_int_equal(all[0].status, 10);
    assert_int_equal(all[ACTIVITY_RECORDS_MAX - 1].status, ACTIVITY_RECORDS_MAX + 9);
    assert_int_equal(activity_read(a, &next, all, ACTIVITY_RECORDS_MAX), 0);
    note(a, 1, 1, 7);
    note(a, 1, 1, 8);
    assert_int_equal(activity_read(a, &next, all, 1), 1);
    assert_int_equal(all[0].status, 7);
    assert_int_equal(activity_read(a, &next, all, 9), 1);
    assert_int_equal(all[0].status, 8);
    activity_free(a);
}

static void minutes_are_counted_and_forgotten(void **state)
{
    (void)state;
    struct activity *a = activity_new();
    uint32_t counts[ACTIVITY_MINUTES] = {0};
    note(a, 1, 1000, 200);
    note(a, 1, 1000, 200);
    note(a, 1, 1002, 200);
    note(a, 2, 1002, 200);
    note(a, 0, 1002, 403); /* of no server */
    activity_count(a, 1, 1002 * 60, counts);
    assert_int_equal(counts[ACTIVITY_MINUTES - 1], 1);
    assert_int_equal(counts[ACTIVITY_MINUTES - 2], 0);
    assert_int_equal(counts[ACTIVITY_MINUTES - 3], 2);
    memset(counts, 0, sizeof(counts));
    activity_count(a, 1, (1000 + ACTIVITY_MINUTES) * 60, counts);
    for (size_t i = 0; i < ACTIVITY_MINUTES; i++) {
        assert_int_equal(counts[i], i == 1 ? 1 : 0); /* those of minute 1000 are an hour old */
    }
    memset(counts, 0, sizeof(counts));
    activity_count(a, 1, 5000 * 60, counts);
    activity_count(a, 99, 5000 * 60, counts);
    for (size_t i = 0; i < ACTIVITY_MINUTES; i++) {
        assert_int_equal(counts[i], 0);
    }
    activity_forget(a, 1);
    activity_forget(a, 1);
    activity_count(a, 2, 1002 * 60, counts);
    assert_int_equal(counts[ACTIVITY_MINUTES - 1], 1);
    activity_free(a);
}

static void count(struct activity *a, int64_t server, int64_t key, uint16_t status, bool has_series)
{
    struct activity_record r = {.server = server, .key = key, .at_us = 1, .status = status};
    activity_note(a, &r, has_series);
}

static void check_classes(struct activity *a, int64_t server, const uint64_t *expected)
{
    uint64_t classes[ACTIVITY_CLASSES] = {0};
    activity_add_classes(a, server, classes);
    assert_memory_equal(classes, expected, sizeof(classes));
}

static void each_callers_request_is_counted_once_by_class(void **state)
{
    (void)state;
    struct activity *a = activity_new();
    count(a, 1, 5, 200, true);
    count(a, 1, 5, 204, true);
    count(a, 1, 5, 301, true);
    count(a, 1, 5, 499, true);
    count(a, 1, 5, 504, true);
    count(a, 1, 5, 599, true);
    count(a, 2, 6, 200, false);
    count(a, 3, 7, 503, false);
    count(a, 1, 0, 200, true); /* an operator's */
    count(a, 0, 0, 403, true); /* a stranger's */
    count(a, 1, 5, 101, true); /* no final answer */
    count(a, 1, 5, 600, true); /* no status */
    check_classes(a, 1, (const uint64_t[]){2, 1, 1, 2});
    check_classes(a, 2, (const uint64_t[]){0, 0, 0, 0});
    check_classes(a, 99, (const uint64_t[]){0, 0, 0, 0});
    check_classes(a, 0, (const uint64_t[]){1, 0, 0, 1});
    /* One that gets its own series begins them at 0, and the others' do not go back. */
    count(a, 2, 6, 200, true);
    check_classes(a, 2, (const uint64_t[]){1, 0, 0, 0});
    check_classes(a, 0, (const uint64_t[]){1, 0, 0, 1});
    activity_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_are_kept_in_order),
        cmocka_unit_test(minutes_are_counted_and_forgotten),
        cmocka_unit_test(each_callers_request_is_counted_once_by_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
