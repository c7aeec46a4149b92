/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/tunnel/websocket.h against RFC 6455. A case is a stream of a client's frames and
 * the log of what it gives, which must be the same for every way of cutting the stream:
 * bytes as they are, "|" for the end of a message, "(…)" for a ping, "<code>" for a close, and
 * "=result" of the last feed. Masks of zeros leave the payload readable. */
#include "relay/tunnel/websocket.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "tests/unit/base/allocator.h"

#define LOG_BYTES_MAX ((size_t)300 * 1024)
/* Streams up to here are cut at every place, longer ones near their beginning. */
#define EVERY_CUT_BYTES 600
#define NEAR_BYTES      64

/* What a client puts between the length and the payload. */
#define MASK "\0\0\0\0"

static struct buffer log_text;
static bool stop_at_bytes;
static bool stop_at_end;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&log_text, LOG_BYTES_MAX);
    stop_at_bytes = false;
    stop_at_end = false;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)allocator_reset();
    buffer_close(&log_text);
    return 0;
}

static void note(const void *bytes, size_t len)
{
    assert_int_equal(buffer_append(&log_text, bytes, len), 0);
}

static int on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    assert_null(user);
    assert_true(len > 0);
    note(bytes, len);
    return stop_at_bytes ? 1 : 0;
}

static int on_message_end(void *user)
{
    assert_null(user);
    note("|", 1);
    return stop_at_end ? -5 : 0;
}

static void on_ping(void *user, const uint8_t *payload, size_t len)
{
    assert_null(user);
    note("(", 1);
    note(payload, len);
    note(")", 1);
}

static void on_close(void *user, uint16_t code)
{
    char text[16];
    assert_null(user);
    note(text, (size_t)snprintf(text, sizeof(text), "<%u>", code));
}

static const struct websocket_callbacks callbacks = {
    .on_bytes = on_bytes,
    .on_message_end = on_message_end,
    .on_ping = on_ping,
    .on_close = on_close,
};

/* A copy of exact size, so that the sanitizer finds a byte too far. */
static int feed(struct websocket *w, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    int result = websocket_feed(w, copy, len);
    free(copy);
    return result;
}

static void run(const uint8_t *bytes, size_t len, size_t first, size_t step)
{
    char text[16];
    struct websocket *w = websocket_new(&callbacks, NULL);
    assert_non_null(w);
    buffer_clear(&log_text);
    int result = 0;
    for (size_t at = 0, n = first; result == 0 && at < len; at += n, n = step) {
        n = n < len - at ? n : len - at;
        result = feed(w, bytes + at, n);
    }
    note(text, (size_t)snprintf(text, sizeof(text), "=%d", result) + 1);
    websocket_free(w);
}

static void compare(const uint8_t *bytes, size_t len, size_t first, size_t step,
                    const char *expected)
{
    run(bytes, len, first, step);
    const char *got = (const char *)buffer_bytes(&log_text);
    if (strcmp(got, expected) != 0) {
        fail_msg("frames %02x %02x %02x…, cut at %zu, then every %zu: got \"%.100s\", expected "
                 "\"%.100s\"",
                 bytes[0], bytes[1], len > 2 ? bytes[2] : 0, first, step, got, expected);
    }
}

static void expect(const void *frames, size_t len, const char *expected)
{
    compare(frames, len, len, len, expected);
    compare(frames, len, 1, 1, expected);
    size_t n_cuts = len <= EVERY_CUT_BYTES ? len : NEAR_BYTES;
    for (size_t at = 1; at < n_cuts; at++) {
        compare(frames, len, at, len, expected);
    }
}

#define EXPECT(frames, expected) expect(frames, sizeof(frames) - 1, expected)

/* Appends a masked frame of zeros' mask whose payload is `len` times 'x'; its length in the
 * shortest form. */
static void add_frame(struct buffer *b, uint8_t first, size_t len)
{
    uint8_t head[WEBSOCKET_HEADER_BYTES_MAX];
    uint8_t *room = NULL;
    size_t head_len = websocket_pack_header(head, len);
    head[0] = first;
    head[1] |= 0x80;
    assert_int_equal(buffer_append(b, head, head_len), 0);
    assert_int_equal(buffer_append(b, MASK, 4), 0);
    assert_int_equal(buffer_reserve(b, len, &room), 0);
    memset(room, 'x', len);
    buffer_commit(b, len);
}

/* Expects `len` times 'x', and then `end`. */
static void expect_fill(const struct buffer *frames, size_t len, const char *end)
{
    char *expected = malloc(len + strlen(end) + 1);
    assert_non_null(expected);
    memset(expected, 'x', len);
    memcpy(expected + len, end, strlen(end) + 1);
    expect(buffer_bytes(frames), frames->len, expected);
    free(expected);
}

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
    stop_at_bytes = true;
    EXPECT("\x82\x81" MASK "a"
           "\x82\x81" MASK "b",
           "a=-1");
    stop_at_bytes = false;
    stop_at_end = true;
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
        expect(frame, sizeof(frame), "=1002");
        frame[1] = 0x80;
        expect(frame, sizeof(frame) - 1, "=1002");
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
        buffer_init(&frames, LOG_BYTES_MAX);
        add_frame(&frames, 0x82, lens[i]);
        expect_fill(&frames, lens[i], "|=0");
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
    buffer_init(&frames, LOG_BYTES_MAX);
    add_frame(&frames, 0x82, WEBSOCKET_MESSAGE_BYTES_MAX + 1);
    expect_fill(&frames, 0, "=1009");
    buffer_close(&frames);
    EXPECT("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" MASK "a", "=1009");
}

static void test_websocket_message_limit_counts_all_fragments(void **state)
{
    (void)state;
    struct buffer frames;
    buffer_init(&frames, LOG_BYTES_MAX);
    add_frame(&frames, 0x02, WEBSOCKET_MESSAGE_BYTES_MAX - 10);
    add_frame(&frames, 0x89, 0);
    add_frame(&frames, 0x00, 9);
    add_frame(&frames, 0x80, 1);
    /* The ping stands in the middle. */
    run(buffer_bytes(&frames), frames.len, frames.len, frames.len);
    assert_int_equal(log_text.len, WEBSOCKET_MESSAGE_BYTES_MAX + sizeof("()|=0"));
    buffer_clear(&frames);
    add_frame(&frames, 0x02, WEBSOCKET_MESSAGE_BYTES_MAX - 10);
    add_frame(&frames, 0x00, 9);
    add_frame(&frames, 0x80, 2);
    expect_fill(&frames, WEBSOCKET_MESSAGE_BYTES_MAX - 1, "=1009");
    buffer_clear(&frames);
    add_frame(&frames, 0x02, WEBSOCKET_MESSAGE_BYTES_MAX);
    add_frame(&frames, 0x80, 0);
    add_frame(&frames, 0x82, 0);
    expect_fill(&frames, WEBSOCKET_MESSAGE_BYTES_MAX, "||=0");
    buffer_close(&frames);
}

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
        buffer_init(&frames, LOG_BYTES_MAX);
        add_frame(&frames, firsts[i], WEBSOCKET_CONTROL_BYTES_MAX + 1);
        expect(buffer_bytes(&frames), frames.len, "=1002");
        buffer_close(&frames);
    }
    buffer_init(&frames, LOG_BYTES_MAX);
    add_frame(&frames, 0x8a, WEBSOCKET_CONTROL_BYTES_MAX);
    expect(buffer_bytes(&frames), frames.len, "=0");
    add_frame(&frames, 0x89, WEBSOCKET_CONTROL_BYTES_MAX);
    run(buffer_bytes(&frames), frames.len, 1, 1);
    assert_int_equal(log_text.len, WEBSOCKET_CONTROL_BYTES_MAX + sizeof("()=0"));
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
    compare(frame, sizeof(frame), sizeof(frame), sizeof(frame), expected);
}

/* RFC 6455 7.4, and the codes registered since. */
static void test_websocket_takes_the_close_codes_that_may_be_sent(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= 0xffff; code += code < 6000 ? 1 : 997) {
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
    frame[1] = (uint8_t)(0x80 | (2 + strlen(reason)));
    memcpy(frame + 8, reason, strlen(reason));
    expect(frame, 8 + strlen(reason), expected);
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

/* ---- sending ---- */

static void assert_packed(size_t len, const void *header, size_t header_len)
{
    static uint8_t payload[WEBSOCKET_FRAME_BYTES_MAX + 1];
    uint8_t bytes[WEBSOCKET_HEADER_BYTES_MAX];
    struct buffer out;
    memset(payload, 'x', len);
    buffer_init(&out, LOG_BYTES_MAX);
    assert_int_equal(websocket_pack(&out, WEBSOCKET_BINARY, payload, len), 0);
    assert_int_equal(out.len, header_len + len);
    assert_memory_equal(buffer_bytes(&out), header, header_len);
    assert_int_equal(websocket_pack_header(bytes, len), header_len);
    assert_memory_equal(bytes, header, header_len);
    if (len > 0) {
        assert_memory_equal(buffer_bytes(&out) + header_len, payload, len);
    }
    buffer_close(&out);
}

static void test_websocket_packs_lengths_in_the_shortest_form(void **state)
{
    (void)state;
    assert_packed(0, "\x82\x00", 2);
    assert_packed(125, "\x82\x7d", 2);
    assert_packed(126, "\x82\x7e\x00\x7e", 4);
    assert_packed(65535, "\x82\x7e\xff\xff", 4);
    assert_packed(65536, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    uint8_t bytes[WEBSOCKET_HEADER_BYTES_MAX];
    assert_int_equal(websocket_pack_header(bytes, 0x123456789a), 10);
    assert_memory_equal(bytes, "\x82\x7f\x00\x00\x00\x12\x34\x56\x78\x9a", 10);
}

static void test_websocket_packs_one_frame_behind_the_other(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, LOG_BYTES_MAX);
    assert_int_equal(websocket_pack(&out, WEBSOCKET_PONG, "ab", 2), 0);
    assert_int_equal(websocket_pack(&out, WEBSOCKET_CLOSE, "\x03\xe8", 2), 0);
    assert_int_equal(websocket_pack(&out, WEBSOCKET_PONG, NULL, 0), 0);
    assert_int_equal(out.len, 10);
    assert_memory_equal(buffer_bytes(&out),
                        "\x8a\x02"
                        "ab\x88\x02\x03\xe8\x8a\x00",
                        10);
    buffer_close(&out);
}

static void test_websocket_pack_appends_all_or_nothing(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, 100);
    assert_int_equal(websocket_pack(&out, WEBSOCKET_PONG, "ab", 2), 0);
    uint8_t payload[95] = {0};
    assert_int_equal(websocket_pack(&out, WEBSOCKET_BINARY, payload, sizeof(payload)), ERROR_LIMIT);
    assert_int_equal(out.len, 4);
    buffer_close(&out);
    buffer_init(&out, 100);
    allocator_refuse_after(0);
    assert_int_equal(websocket_pack(&out, WEBSOCKET_PONG, "ab", 2), ERROR_NOMEM);
    assert_true(allocator_reset());
    assert_int_equal(out.len, 0);
    buffer_close(&out);
}

static void test_websocket_new_without_memory_is_null_and_free_takes_it(void **state)
{
    (void)state;
    allocator_refuse_after(0);
    assert_null(websocket_new(&callbacks, NULL));
    assert_true(allocator_reset());
    websocket_free(NULL);
}

/* ---- the accept key ---- */

static void test_websocket_accept_is_as_in_rfc_6455_1_3(void **state)
{
    (void)state;
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
    char accept[WEBSOCKET_ACCEPT_BYTES];
    assert_int_equal(websocket_accept(key, strlen(key), accept), 0);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_websocket_accept_takes_base64_of_16_bytes_only(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "",
        "==",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQQ=",
        "dGhlIHNhbXBsZSBub25jZQQQ",
        "dGhlIHNhbXBsZSBub25jZQQQQQ==",
        "dGhlIHNhbXBsZSBub25j====",
        "dGhlIHNh=XBsZSBub25jZQ==",
        "========================",
        " GhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBs SBub25jZQ==",
        "dGhlIHNhbXBs\nSBub25jZQ==",
        "dGhl-HNhbXBsZSBub25jZQ==",
        "dGhl_HNhbXBsZSBub25jZQ==",
        "dGhl\xc3\xa4NhbXBsZSBub25jZQ==",
        "        IHNhbXBsZSBub2==",
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char accept[WEBSOCKET_ACCEPT_BYTES] = "untouched";
        if (websocket_accept(keys[i], strlen(keys[i]), accept) != ERROR_SYNTAX) {
            fail_msg("\"%s\" was taken", keys[i]);
        }
        assert_string_equal(accept, "untouched");
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_websocket_unmasks_a_message),
        CASE(test_websocket_takes_an_empty_message),
        CASE(test_websocket_joins_fragments),
        CASE(test_websocket_waits_for_the_rest_of_a_frame),
        CASE(test_websocket_owner_can_stop_at_bytes_and_at_the_end),
        CASE(test_websocket_refuses_frames_without_mask),
        CASE(test_websocket_refuses_reserved_bits),
        CASE(test_websocket_refuses_reserved_opcodes),
        CASE(test_websocket_refuses_text_with_1003),
        CASE(test_websocket_refuses_fragments_out_of_order),
        CASE(test_websocket_takes_lengths_in_all_three_forms),
        CASE(test_websocket_refuses_lengths_longer_than_needed),
        CASE(test_websocket_refuses_a_length_of_64_bits),
        CASE(test_websocket_message_may_have_65536_bytes),
        CASE(test_websocket_message_limit_counts_all_fragments),
        CASE(test_websocket_tells_pings_and_skips_pongs),
        CASE(test_websocket_takes_control_frames_between_fragments),
        CASE(test_websocket_control_payload_may_have_125_bytes),
        CASE(test_websocket_refuses_fragmented_control_frames),
        CASE(test_websocket_tells_a_close_and_takes_nothing_behind_it),
        CASE(test_websocket_takes_the_close_codes_that_may_be_sent),
        CASE(test_websocket_refuses_half_a_close_code),
        CASE(test_websocket_close_reason_is_utf8),
        CASE(test_websocket_packs_lengths_in_the_shortest_form),
        CASE(test_websocket_packs_one_frame_behind_the_other),
        CASE(test_websocket_pack_appends_all_or_nothing),
        CASE(test_websocket_new_without_memory_is_null_and_free_takes_it),
        CASE(test_websocket_accept_is_as_in_rfc_6455_1_3),
        CASE(test_websocket_accept_takes_base64_of_16_bytes_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
