/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire/frame.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void header_is_little_endian_in_eight_bytes(void **state)
{
    (void)state;
    struct frame_header h = {.stream = 0x04030201, .type = 5, .flags = 6, .len = 0x0807};
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_pack_header(bytes, &h);
    const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8};
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void header_survives_the_round_trip_at_its_extremes(void **state)
{
    (void)state;
    struct frame_header h = {UINT32_MAX, UINT8_MAX, UINT8_MAX, UINT16_MAX};
    struct frame_header back;
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_pack_header(bytes, &h);
    frame_unpack_header(bytes, &back);
    assert_int_equal(back.stream, UINT32_MAX);
    assert_int_equal(back.type, UINT8_MAX);
    assert_int_equal(back.flags, UINT8_MAX);
    assert_int_equal(back.len, UINT16_MAX);
}

static void every_known_type_has_a_name_and_others_are_unknown(void **state)
{
    (void)state;
    for (int type = FRAME_HELLO; type <= FRAME_EVENT; type++) {
        assert_string_not_equal(frame_type_name((uint8_t)type), "unknown");
    }
    assert_string_equal(frame_type_name(FRAME_CONTROL_REPLY), "control_reply");
    assert_string_equal(frame_type_name(0), "unknown");
    assert_string_equal(frame_type_name(FRAME_EVENT + 1), "unknown");
    assert_string_equal(frame_type_name(UINT8_MAX), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_little_endian_in_eight_bytes),
        cmocka_unit_test(header_survives_the_round_trip_at_its_extremes),
        cmocka_unit_test(every_known_type_has_a_name_and_others_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
