/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/clock.h. */
#include "proto/base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proto/base/error.h"

static void assert_formats(int64_t wall_s, const char *expected)
{
    char text[CLOCK_ISO_BYTES];
    clock_format(wall_s, text);
    assert_string_equal(text, expected);
}

static void test_clock_formats_utc_as_rfc_3339(void **state)
{
    (void)state;
    assert_formats(0, "1970-01-01T00:00:00Z");
    assert_formats(1769903999, "2026-01-31T23:59:59Z");
    assert_formats(951782400, "2000-02-29T00:00:00Z");
    assert_formats(-1, "1969-12-31T23:59:59Z");
}

static void test_clock_formats_no_year_past_four_digits(void **state)
{
    (void)state;
    assert_formats(253402300799, "9999-12-31T23:59:59Z");
    assert_formats(253402300800, "9999-12-31T23:59:59Z");
    assert_formats(INT64_MAX, "9999-12-31T23:59:59Z");
    assert_formats(-62167219200, "0000-01-01T00:00:00Z");
    assert_formats(INT64_MIN, "0000-01-01T00:00:00Z");
}

static void assert_formats_us(uint64_t wall_us, const char *expected)
{
    char text[CLOCK_ISO_BYTES];
    clock_format_us(wall_us, text);
    assert_string_equal(text, expected);
}

static void test_clock_formats_microseconds_as_milliseconds(void **state)
{
    (void)state;
    assert_formats_us(1764500000000000, "2025-11-30T10:53:20.000Z");
    assert_formats_us(1764500000999999, "2025-11-30T10:53:20.999Z");
    assert_formats_us(1764500000012345,
                      "2025-11-30T10:53:20.012Z"); /* the second is known by now */
    assert_formats_us(1764500001000000, "2025-11-30T10:53:21.000Z");
    assert_formats_us(1764499999999000, "2025-11-30T10:53:19.999Z"); /* the clock was set back */
    assert_formats_us(0, "1970-01-01T00:00:00.000Z");
}

static void test_clock_wall_in_microseconds_lies_between_two_readings_in_seconds(void **state)
{
    (void)state;
    int64_t before_s = clock_wall_s();
    int64_t now_s = (int64_t)(clock_wall_us() / 1000000);
    /* The seconds' clock may be a tick of the kernel behind. */
    assert_true(before_s <= now_s && now_s <= clock_wall_s() + 1);
}

static void test_clock_now_never_goes_back_and_is_never_zero(void **state)
{
    (void)state;
    uint64_t last_us = clock_now_us();
    assert_true(last_us > 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t now_us = clock_now_us();
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
    uint64_t now_ms = clock_now_ms();
    assert_true(now_ms >= last_us / 1000 && now_ms - last_us / 1000 < 10000);
}

static void test_clock_parses_seconds_and_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {{"0", 0}, {"90", 90}, {"90s", 90}, {"15m", 900}, {"24h", 86400}, {"7d", 604800}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t seconds = -1;
        assert_int_equal(clock_parse_duration_s(cases[i].text, &seconds), 0);
        assert_int_equal(seconds, cases[i].seconds);
    }
}

static void test_clock_refuses_what_is_no_duration(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "s",   "-1", "1.5",  "1w",    "1 h", " 1",
                                      "1hh", "1h2", "+1", "0x10", "10sec", "1H"};
    int64_t seconds = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(clock_parse_duration_s(bad[i], &seconds), ERROR_SYNTAX);
    }
    assert_int_equal(seconds, 42);
}

static void test_clock_parses_the_longest_duration_and_refuses_one_more(void **state)
{
    (void)state;
    int64_t seconds = 0;
    assert_int_equal(clock_parse_duration_s("9223372036854775807", &seconds), 0);
    assert_true(seconds == INT64_MAX);
    assert_int_equal(clock_parse_duration_s("9223372036854775808", &seconds), ERROR_SYNTAX);
    assert_int_equal(clock_parse_duration_s("106751991167300d", &seconds), 0);
    assert_true(seconds == INT64_C(106751991167300) * 86400);
    assert_int_equal(clock_parse_duration_s("106751991167301d", &seconds), ERROR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_formats_utc_as_rfc_3339),
        cmocka_unit_test(test_clock_formats_no_year_past_four_digits),
        cmocka_unit_test(test_clock_formats_microseconds_as_milliseconds),
        cmocka_unit_test(test_clock_wall_in_microseconds_lies_between_two_readings_in_seconds),
        cmocka_unit_test(test_clock_now_never_goes_back_and_is_never_zero),
        cmocka_unit_test(test_clock_parses_seconds_and_units),
        cmocka_unit_test(test_clock_refuses_what_is_no_duration),
        cmocka_unit_test(test_clock_parses_the_longest_duration_and_refuses_one_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
