/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/websocket/websocket.h against RFC 6455: messages and their fragments, lengths, and
 * what is refused. Control frames: control.c. Sending: send.c. */
#include "proto/websocket/websocket.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/websocket/frames.h"

/* ---- messages ---- */

static void test_websocket_unmasks_a_message(void **state)
{
    (void)state;
    /* RFC 6455 5.7 has this as text. */
    EXPECT("\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "Hello|=0");
    EXPECT("\x82\x85" MASK "Hello", "Hello|=0");
    EXPECT("\x82\x81\xff\x00\x00\x00\x9e\x82\x81\x00\x00\x00\x01"
           "b",
           "a|b|=0");
}

static void test_websocket_takes_an_empty_message(void **state)
{
    (void)state;
    EXPECT("\x82\x80" MASK, "|=0");
    EXPECT("\x02\x80" MASK "\x80\x80" MASK "\x82\x81" MASK "a", "|a|=0");
}

static void test_websocket_joins_fragments(void **state)
{
    (void)state;
    EXPECT("\x02\x82" MASK "ab"
           "\x00\x80" MASK "\x00\x81" MASK "c"
           "\x80\x82" MASK "de",
           "abcde|=0");
    EXPECT("\x02\x81" MASK "a"
           "\x80\x80" MASK "\x82\x81" MASK "b",
           "a|b|=0");
}

static void test_websocket_waits_for_the_rest_of_a_frame(void **state)
{
    (void)state;
    EXPECT("\x82", "=0");
    EXPECT("\x82\x85\0\0", "=0");
    EXPECT("\x82\x85" MASK "ab", "ab=0");
    EXPECT("\x02\x82" MASK "ab", "ab=0");
}

static void test_websocket_owner_can_stop_at_bytes_and_at_the_end(void **state)
{
    (void)state;
    frames_stop_at_bytes = true;
    EXPECT("\x82\x81" MASK "a"
           "\x82\x81" MASK "b",
           "a=-1");
    frames_stop_at_bytes = false;
    frames_stop_at_end = true;
    EXPECT("\x82\x82" MASK "ab"
           "\x82\x81" MASK "c",
           "ab|=-1");
    EXPECT("\x02\x81" MASK "a"
           "\x80\x80" MASK,
           "a|=-1");
}

/* ---- what is refused ---- */

static void test_websocket_refuses_frames_without_mask(void **state)
{
    (void)state;
    EXPECT("\x82\x05Hello", "=1002");
    EXPECT("\x82\x00", "=1002");
    EXPECT("\x89\x00", "=1002");
    EXPECT("\x88\x02\x03\xe8", "=1002");
    EXPECT("\x02\x81" MASK "a"
           "\x80\x01"
           "b",
           "a=1002");
}

static void test_websocket_of_a_client_takes_frames_without_mask_and_no_others(void **state)
{
    (void)state;
    frames_role = WEBSOCKET_CLIENT;
    EXPECT("\x82\x05Hello", "Hello|=0");
    EXPECT("\x02\x02"
           "ab\x89\x01p\x80\x01"
           "c\x82\x00",
           "ab(p)c||=0");
    EXPECT("\x88\x02\x03\xe9", "<1001>=-1");
    EXPECT("\x82\x01"
           "a\x82\x81" MASK "b",
           "a|=1002");
    EXPECT("\x89\x80" MASK, "=1002");
}

static void test_websocket_refuses_reserved_bits(void **state)
{
    (void)state;
    EXPECT("\xc2\x81" MASK "a", "=1002");
    EXPECT("\xa2\x81" MASK "a", "=1002");
    EXPECT("\x92\x81" MASK "a", "=1002");
    EXPECT("\xf2\x80" MASK, "=1002");
    EXPECT("\xc9\x80" MASK, "=1002");
    EXPECT("\x02\x81" MASK "a"
           "\xc0\x81" MASK "b",
           "a=1002");
}

static void test_websocket_refuses_reserved_opcodes(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf};
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        uint8_t frame[] = {(uint8_t)(0x80 | opcodes[i]), 0x81, 0, 0, 0, 0, 'a'};
        frames_expect(frame, sizeof(frame), "=1002");
        frame[1] = 0x80;
        frames_expect(frame, sizeof(frame) - 1, "=1002");
    }
}

static void test_websocket_refuses_text_with_1003(void **state)
{
    (void)state;
    EXPECT("\x81\x85" MASK "Hello", "=1003");
    EXPECT("\x01\x81" MASK "a", "=1003");
    EXPECT("\x81\x80" MASK, "=1003");
}

static void test_websocket_refuses_fragments_out_of_order(void **state)
{
    (void)state;
    EXPECT("\x80\x81" MASK "a", "=1002");
    EXPECT("\x00\x81" MASK "a", "=1002");
    EXPECT("\x82\x81" MASK "a"
           "\x80\x81" MASK "b",
           "a|=1002");
    EXPECT("\x02\x81" MASK "a"
           "\x82\x81" MASK "b",
           "a=1002");
    EXPECT("\x02\x81" MASK "a"
           "\x02\x81" MASK "b",
           "a=1002");
    EXPECT("\x02\x81" MASK "a"
           "\x81\x81" MASK "b",
           "a=1002");
}

/* ---- lengths ---- */

static void test_websocket_takes_lengths_in_all_three_forms(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 125, 126, 127, 255, 256, 65535, 65536};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct buffer frames;
        buffer_init(&frames, FRAMES_BYTES_MAX);
        frames_add(&frames, 0x82, lens[i]);
        frames_expect_fill(&frames, lens[i], "|=0");
        buffer_close(&frames);
    }
}

static void test_websocket_refuses_lengths_longer_than_needed(void **state)
{
    (void)state;
    EXPECT("\x82\xfe\x00\x05" MASK "Hello", "=1002");
    EXPECT("\x82\xfe\x00\x00" MASK, "=1002");
    EXPECT("\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05" MASK "Hello", "=1002");
    EXPECT("\x82\xff\x00\x00\x00\x00\x00\x00\x00\x00" MASK, "=1002");
    EXPECT("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" MASK "a", "=1002");
}

static void test_websocket_refuses_a_length_of_64_bits(void **state)
{
    (void)state;
    EXPECT("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00" MASK "a", "=1002");
    EXPECT("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" MASK "a", "=1002");
}

static void test_websocket_message_may_have_65536_bytes(void **state)
{
    (void)state;
    struct buffer frames;
    buffer_init(&frames, FRAMES_BYTES_MAX);
    frames_add(&frames, 0x82, WEBSOCKET_MESSAGE_BYTES_MAX + 1);
    frames_expect_fill(&frames, 0, "=1009");
    buffer_close(&frames);
    EXPECT("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" MASK "a", "=1009");
}

static void test_websocket_message_limit_counts_all_fragments(void **state)
{
    (void)state;
    struct buffer frames;
    buffer_init(&frames, FRAMES_BYTES_MAX);
    frames_add(&frames, 0x02, WEBSOCKET_MESSAGE_BYTES_MAX - 10);
    frames_add(&frames, 0x89, 0);
    frames_add(&frames, 0x00, 9);
    frames_add(&frames, 0x80, 1);
    /* The ping stands in the middle. */
    size_t len = 0;
    (void)frames_run(buffer_bytes(&frames), frames.len, frames.len, frames.len, &len);
    assert_int_equal(len, WEBSOCKET_MESSAGE_BYTES_MAX + strlen("()|=0"));
    buffer_clear(&frames);
    frames_add(&frames, 0x02, WEBSOCKET_MESSAGE_BYTES_MAX - 10);
    frames_add(&frames, 0x00, 9);
    frames_add(&frames, 0x80, 2);
    frames_expect_fill(&frames, WEBSOCKET_MESSAGE_BYTES_MAX - 1, "=1009");
    buffer_clear(&frames);
    frames_add(&frames, 0x02, WEBSOCKET_MESSAGE_BYTES_MAX);
    frames_add(&frames, 0x80, 0);
    frames_add(&frames, 0x82, 0);
    frames_expect_fill(&frames, WEBSOCKET_MESSAGE_BYTES_MAX, "||=0");
    buffer_close(&frames);
}

/* Two tunnels of a worker share what wslay needs; here each stops in the middle of the other's
 * frame. */
static void test_websockets_of_one_worker_never_mix_their_frames(void **state)
{
    (void)state;
    static const uint8_t first[] = "\x82\x83" MASK "abc";
    static const uint8_t second[] = "\x82\x82" MASK "de";
    struct websocket_parser *spare = NULL;
    struct websocket *a = websocket_new(WEBSOCKET_SERVER, &frames_callbacks, NULL, &spare);
    struct websocket *b = websocket_new(WEBSOCKET_SERVER, &frames_callbacks, NULL, &spare);
    for (size_t cut = 0; cut <= 6; cut++) { /* up to the end of the header */
        assert_int_equal(websocket_feed(a, first, cut), 0);
        assert_int_equal(websocket_feed(b, second, cut), 0);
        assert_int_equal(websocket_feed(a, first + cut, sizeof(first) - 1 - cut), 0);
        assert_int_equal(websocket_feed(b, second + cut, sizeof(second) - 1 - cut), 0);
        assert_non_null(spare);
    }
    assert_string_equal(frames_log(), "abc|de|abc|de|abc|de|abc|de|abc|de|abc|de|abc|de|");
    websocket_free(a);
    websocket_free(b);
    websocket_parser_free(spare);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, frames_set_up, frames_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_websocket_unmasks_a_message),
        CASE(test_websocket_takes_an_empty_message),
        CASE(test_websocket_joins_fragments),
        CASE(test_websocket_waits_for_the_rest_of_a_frame),
        CASE(test_websockets_of_one_worker_never_mix_their_frames),
        CASE(test_websocket_owner_can_stop_at_bytes_and_at_the_end),
        CASE(test_websocket_refuses_frames_without_mask),
        CASE(test_websocket_of_a_client_takes_frames_without_mask_and_no_others),
        CASE(test_websocket_refuses_reserved_bits),
        CASE(test_websocket_refuses_reserved_opcodes),
        CASE(test_websocket_refuses_text_with_1003),
        CASE(test_websocket_refuses_fragments_out_of_order),
        CASE(test_websocket_takes_lengths_in_all_three_forms),
        CASE(test_websocket_refuses_lengths_longer_than_needed),
        CASE(test_websocket_refuses_a_length_of_64_bits),
        CASE(test_websocket_message_may_have_65536_bytes),
        CASE(test_websocket_message_limit_counts_all_fragments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
