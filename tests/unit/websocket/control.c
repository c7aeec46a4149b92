/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/websocket/websocket.h against RFC 6455: pings, pongs and closing. */
#include "proto/websocket/websocket.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/websocket/frames.h"

/* ---- control frames ---- */

static void test_websocket_tells_pings_and_skips_pongs(void **state)
{
    (void)state;
    EXPECT("\x89\x80" MASK, "()=0");
    EXPECT("\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "(Hello)=0");
    EXPECT("\x8a\x80" MASK "\x8a\x82" MASK "ab"
           "\x89\x81" MASK "c",
           "(c)=0");
}

static void test_websocket_takes_control_frames_between_fragments(void **state)
{
    (void)state;
    EXPECT("\x02\x81" MASK "a"
           "\x89\x81" MASK "p"
           "\x00\x81" MASK "b"
           "\x8a\x80" MASK "\x89\x80" MASK "\x80\x81" MASK "c",
           "a(p)b()c|=0");
    EXPECT("\x02\x81" MASK "a"
           "\x89\x80" MASK "\x82\x81" MASK "b",
           "a()=1002");
    EXPECT("\x02\x81" MASK "a"
           "\x88\x80" MASK,
           "a<1005>=-1");
}

static void test_websocket_control_payload_may_have_125_bytes(void **state)
{
    (void)state;
    struct buffer frames;
    static const uint8_t firsts[] = {0x88, 0x89, 0x8a};
    for (size_t i = 0; i < sizeof(firsts); i++) {
        buffer_init(&frames, FRAMES_BYTES_MAX);
        frames_add(&frames, firsts[i], WEBSOCKET_CONTROL_BYTES_MAX + 1);
        frames_expect(buffer_bytes(&frames), frames.len, "=1002");
        buffer_close(&frames);
    }
    buffer_init(&frames, FRAMES_BYTES_MAX);
    frames_add(&frames, 0x8a, WEBSOCKET_CONTROL_BYTES_MAX);
    frames_expect(buffer_bytes(&frames), frames.len, "=0");
    frames_add(&frames, 0x89, WEBSOCKET_CONTROL_BYTES_MAX);
    size_t len = 0;
    (void)frames_run(buffer_bytes(&frames), frames.len, 1, 1, &len);
    assert_int_equal(len, WEBSOCKET_CONTROL_BYTES_MAX + strlen("()=0"));
    buffer_close(&frames);
}

static void test_websocket_refuses_fragmented_control_frames(void **state)
{
    (void)state;
    EXPECT("\x09\x80" MASK, "=1002");
    EXPECT("\x08\x82" MASK "\x03\xe8", "=1002");
    EXPECT("\x0a\x81" MASK "a", "=1002");
}

/* ---- closing ---- */

static void test_websocket_tells_a_close_and_takes_nothing_behind_it(void **state)
{
    (void)state;
    EXPECT("\x88\x80" MASK, "<1005>=-1");
    EXPECT("\x88\x82" MASK "\x03\xe8", "<1000>=-1");
    EXPECT("\x88\x85" MASK "\x03\xe9"
           "bye"
           "\x82\x81" MASK "a",
           "<1001>=-1");
}

static void expect_close_code(unsigned code, bool valid)
{
    char expected[16];
    uint8_t frame[] = {
        0x88, 0x82, 1, 2, 3, 4, (uint8_t)(code >> 8 ^ 1), (uint8_t)((code & 0xff) ^ 2)};
    (void)snprintf(expected, sizeof(expected), valid ? "<%u>=-1" : "=1002", code);
    frames_expect(frame, sizeof(frame), expected);
}

/* RFC 6455 7.4, and the codes registered since. */
static void test_websocket_takes_the_close_codes_that_may_be_sent(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= 0xffff; code += code % 1000 < 20 ? 1 : 49) {
        bool registered = code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
        bool free_to_use = code >= 3000 && code <= 4999;
        expect_close_code(code, registered || free_to_use);
    }
    expect_close_code(0xffff, false);
}

static void test_websocket_refuses_half_a_close_code(void **state)
{
    (void)state;
    EXPECT("\x88\x81" MASK "\x03", "=1002");
}

static void expect_reason(const char *reason, const char *expected)
{
    uint8_t frame[8 + WEBSOCKET_CONTROL_BYTES_MAX] = {0x88, 0, 0, 0, 0, 0, 0x03, 0xe8};
    size_t len = strlen(reason);
    for (size_t i = 0; i < len; i++) {
        frame[8 + i] = (uint8_t)reason[i];
    }
    frame[1] = (uint8_t)(0x80 | (2 + len));
    frames_expect(frame, 8 + len, expected);
}

static void test_websocket_close_reason_is_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "plain",
        "\x01\x7f",
        "\xc2\x80 \xdf\xbf",
        "\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf",
        "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf",
        "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    };
    static const char *const bad[] = {
        "\x80",
        "a\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "a\xc2 ",
        "\xc2\xc2\x80",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe1\x80",
        "\xe1\x80\xc0",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf1\x80\x80",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff",
        "ok \xf8\x88\x80\x80\x80",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        expect_reason(good[i], "<1000>=-1");
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        expect_reason(bad[i], "=1002");
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, frames_set_up, frames_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_websocket_tells_pings_and_skips_pongs),
        CASE(test_websocket_takes_control_frames_between_fragments),
        CASE(test_websocket_control_payload_may_have_125_bytes),
        CASE(test_websocket_refuses_fragmented_control_frames),
        CASE(test_websocket_tells_a_close_and_takes_nothing_behind_it),
        CASE(test_websocket_takes_the_close_codes_that_may_be_sent),
        CASE(test_websocket_refuses_half_a_close_code),
        CASE(test_websocket_close_reason_is_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
