/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/tunnel/websocket.h against RFC 6455: what the server sends, and its half of the
 * handshake. */
#include "relay/tunnel/websocket.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proto/base/error.h"
#include "tests/unit/base/allocator.h"
#include "tests/unit/relay/frames.h"

static int tear_down(void **state)
{
    (void)state;
    (void)allocator_reset();
    return 0;
}

/* ---- sending ---- */

static void assert_packed(size_t len, const void *header, size_t header_len)
{
    static uint8_t payload[WEBSOCKET_FRAME_BYTES_MAX + 1];
    uint8_t bytes[WEBSOCKET_HEADER_BYTES_MAX];
    struct buffer out;
    memset(payload, 'x', len);
    buffer_init(&out, FRAMES_BYTES_MAX);
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
    assert_null(websocket_new(&frames_callbacks, NULL, &spare));
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
        CASE(test_websocket_packs_one_frame_behind_the_other),
        CASE(test_websocket_pack_appends_all_or_nothing),
        CASE(test_websocket_new_without_memory_is_null_and_free_takes_it),
        CASE(test_websocket_accept_is_as_in_rfc_6455_1_3),
        CASE(test_websocket_accept_takes_base64_of_16_bytes_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
