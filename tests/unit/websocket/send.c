/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/websocket/websocket.h against RFC 6455: what both ends send, and the server's half
 * of the handshake. */
#include "proto/websocket/websocket.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proto/base/error.h"
#include "tests/unit/base/allocator.h"
#include "tests/unit/websocket/frames.h"

static int tear_down(void **state)
{
    (void)state;
    (void)allocator_reset();
    return 0;
}

/* ---- sending ---- */

static void assert_packed(size_t len, const void *header, size_t header_len)
{
    static uint8_t bytes[WEBSOCKET_HEADER_BYTES_MAX + WEBSOCKET_FRAME_BYTES_MAX];
    uint8_t *payload = bytes + WEBSOCKET_HEADER_BYTES_MAX;
    size_t frame_len = 0;
    struct buffer out;
    memset(payload, 'x', len);
    buffer_init(&out, FRAMES_BYTES_MAX);
    assert_int_equal(websocket_pack(&out, WEBSOCKET_BINARY, payload, len), 0);
    assert_int_equal(out.len, header_len + len);
    assert_memory_equal(buffer_bytes(&out), header, header_len);
    assert_ptr_equal(websocket_wrap(payload, len, WEBSOCKET_BINARY, NULL, &frame_len),
                     payload - header_len);
    assert_int_equal(frame_len, out.len);
    assert_memory_equal(payload - header_len, buffer_bytes(&out), out.len);
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
}

/* RFC 6455 5.7 has this as text. */
static void test_websocket_wraps_a_masked_frame_as_rfc_6455_5_7_has_it(void **state)
{
    (void)state;
    static const uint8_t mask[] = {0x37, 0xfa, 0x21, 0x3d};
    static const uint8_t hello[] = {'H', 'e', 'l', 'l', 'o'};
    uint8_t bytes[WEBSOCKET_HEADER_BYTES_MAX + sizeof(hello)];
    size_t frame_len = 0;
    memcpy(bytes + WEBSOCKET_HEADER_BYTES_MAX, hello, sizeof(hello));
    uint8_t *frame = websocket_wrap(bytes + WEBSOCKET_HEADER_BYTES_MAX, sizeof(hello),
                                    WEBSOCKET_BINARY, mask, &frame_len);
    assert_int_equal(frame_len, 11);
    assert_memory_equal(frame, "\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
}

/* For every length up to a few words, at every alignment, and where the length's form changes. */
static void test_websocket_server_reads_what_the_client_wraps(void **state)
{
    static const size_t longer[] = {125, 126, 127, 1000, 16368, 65535, 65536};
    static uint8_t bytes[WEBSOCKET_HEADER_BYTES_MAX + 8 + WEBSOCKET_FRAME_BYTES_MAX];
    assert_int_equal(frames_set_up(state), 0);
    for (size_t i = 0; i < 8 * 40 + sizeof(longer) / sizeof(longer[0]); i++) {
        size_t len = i < 8 * 40 ? i / 8 : longer[i - 8 * 40];
        uint8_t *payload = bytes + WEBSOCKET_HEADER_BYTES_MAX + i % 8;
        size_t frame_len = 0;
        size_t log_len = 0;
        memset(payload, 'x', len);
        uint8_t *frame =
            websocket_wrap(payload, len, WEBSOCKET_BINARY, (const uint8_t *)"\1\2\3\4", &frame_len);
        const char *log = frames_run(frame, frame_len, frame_len, frame_len, &log_len);
        assert_int_equal(log_len, len + strlen("|=0"));
        assert_int_equal(strspn(log, "x"), len);
        assert_string_equal(log + len, "|=0");
    }
    assert_int_equal(frames_tear_down(state), 0);
}

static void test_websocket_packs_one_frame_behind_the_other(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, FRAMES_BYTES_MAX);
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
    struct websocket_parser *spare = NULL;
    allocator_refuse_after(0);
    assert_null(websocket_new(WEBSOCKET_SERVER, &frames_callbacks, NULL, &spare));
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

#define CASE(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_websocket_packs_lengths_in_the_shortest_form),
        CASE(test_websocket_wraps_a_masked_frame_as_rfc_6455_5_7_has_it),
        CASE(test_websocket_server_reads_what_the_client_wraps),
        CASE(test_websocket_packs_one_frame_behind_the_other),
        CASE(test_websocket_pack_appends_all_or_nothing),
        CASE(test_websocket_new_without_memory_is_null_and_free_takes_it),
        CASE(test_websocket_accept_is_as_in_rfc_6455_1_3),
        CASE(test_websocket_accept_takes_base64_of_16_bytes_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
