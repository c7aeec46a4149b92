/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire/head.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/wire/frame.h"

static struct buffer out;
static struct head_field fields[HEAD_FIELDS_MAX];

static int setup(void **state)
{
    (void)state;
    buffer_init(&out, 4 * FRAME_PAYLOAD_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buffer_close(&out);
    return 0;
}

/* A copy of the payload's first `len` bytes in memory of exactly that size, so that the address
 * sanitizer sees every read beyond. */
static uint8_t *copy(size_t len)
{
    uint8_t *p = malloc(len == 0 ? 1 : len);
    assert_non_null(p);
    if (len > 0) {
        memcpy(p, buffer_bytes(&out), len);
    }
    return p;
}

static void assert_span(struct span s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.p, text, s.len);
}

static const struct head_field two_fields[] = {
    {{"Accept", 6}, {"application/json", 16}},
    {{"X-Empty", 7}, {"", 0}},
};

static struct head_request usual_request(void)
{
    return (struct head_request){
        .method = HEAD_METHOD_POST,
        .has_query = true,
        .deadline_ms = 12345,
        .body_bytes = 77,
        .path = span_of("/api/V1/power"),
        .query = span_of("fb&&a=1&a=2"),
        .request_id = span_of("req-1"),
        .fields = two_fields,
        .n_fields = 2,
    };
}

static void hello_survives_the_round_trip(void **state)
{
    (void)state;
    struct head_hello h = {1, 3, span_of("agent/1"), UINT64_C(1) << 63, 1, 2, UINT32_MAX};
    struct head_hello back;
    assert_int_equal(head_pack_hello(&out, &h), 0);
    assert_int_equal(head_unpack_hello(buffer_bytes(&out), out.len, &back), 0);
    assert_int_equal(back.version_min, 1);
    assert_int_equal(back.version_max, 3);
    assert_span(back.software, "agent/1");
    assert_true(back.capabilities == UINT64_C(1) << 63);
    assert_int_equal(back.max_streams, 1);
    assert_int_equal(back.stream_window_bytes, 2);
    assert_int_equal(back.tunnel_window_bytes, UINT32_MAX);
}

static void hello_with_versions_upside_down_is_malformed(void **state)
{
    (void)state;
    struct head_hello h = {.version_min = 2, .version_max = 1};
    assert_int_equal(head_pack_hello(&out, &h), 0);
    assert_int_equal(head_unpack_hello(buffer_bytes(&out), out.len, &h), ERROR_SYNTAX);
}

static void welcome_survives_the_round_trip(void **state)
{
    (void)state;
    struct head_welcome h = {2, UINT64_MAX, span_of("relay/1"), 5, 6, 7, 8, 9, 10};
    struct head_welcome back;
    assert_int_equal(head_pack_welcome(&out, &h), 0);
    assert_int_equal(head_unpack_welcome(buffer_bytes(&out), out.len, &back), 0);
    assert_int_equal(back.version, 2);
    assert_true(back.generation == UINT64_MAX);
    assert_span(back.software, "relay/1");
    assert_int_equal(back.capabilities, 5);
    assert_int_equal(back.max_streams, 6);
    assert_int_equal(back.stream_window_bytes, 7);
    assert_int_equal(back.tunnel_window_bytes, 8);
    assert_int_equal(back.ping_idle_ms, 9);
    assert_int_equal(back.reply_deadline_ms, 10);
}

static void request_survives_the_round_trip_byte_for_byte(void **state)
{
    (void)state;
    struct head_request h = usual_request();
    struct head_request back;
    assert_int_equal(head_pack_request(&out, &h), 0);
    assert_int_equal(head_unpack_request(buffer_bytes(&out), out.len, &back, fields), 0);
    assert_int_equal(back.method, HEAD_METHOD_POST);
    assert_true(back.has_query);
    assert_int_equal(back.deadline_ms, 12345);
    assert_int_equal(back.body_bytes, 77);
    assert_span(back.path, "/api/V1/power");
    assert_span(back.query, "fb&&a=1&a=2");
    assert_span(back.request_id, "req-1");
    assert_int_equal(back.n_fields, 2);
    assert_span(back.fields[0].name, "Accept");
    assert_span(back.fields[0].value, "application/json");
    assert_span(back.fields[1].name, "X-Empty");
    assert_span(back.fields[1].value, "");
}

static void empty_query_differs_from_no_query(void **state)
{
    (void)state;
    struct head_request h = {.method = HEAD_METHOD_GET, .path = span_of("/"), .has_query = true};
    struct head_request back;
    assert_int_equal(head_pack_request(&out, &h), 0);
    assert_int_equal(head_unpack_request(buffer_bytes(&out), out.len, &back, fields), 0);
    assert_true(back.has_query);
    buffer_clear(&out);
    h.has_query = false;
    assert_int_equal(head_pack_request(&out, &h), 0);
    assert_int_equal(head_unpack_request(buffer_bytes(&out), out.len, &back, fields), 0);
    assert_false(back.has_query);
}

static void response_survives_the_round_trip(void **state)
{
    (void)state;
    struct head_response h = {200, INT64_MAX, 4711, two_fields, 2};
    struct head_response back;
    assert_int_equal(head_pack_response(&out, &h), 0);
    assert_int_equal(head_unpack_response(buffer_bytes(&out), out.len, &back, fields), 0);
    assert_int_equal(back.status, 200);
    assert_true(back.body_bytes == INT64_MAX);
    assert_int_equal(back.server_us, 4711);
    assert_int_equal(back.n_fields, 2);
    assert_span(back.fields[0].name, "Accept");
}

static void unknown_body_length_survives_the_round_trip(void **state)
{
    (void)state;
    struct head_response h = {.status = 599, .body_bytes = -1};
    struct head_response back;
    assert_int_equal(head_pack_response(&out, &h), 0);
    assert_int_equal(head_unpack_response(buffer_bytes(&out), out.len, &back, fields), 0);
    assert_true(back.body_bytes == -1);
}

static void reset_and_goaway_survive_the_round_trip(void **state)
{
    (void)state;
    struct head_reset_info reset = {65535, 200};
    assert_int_equal(head_pack_reset(&out, &reset), 0);
    reset = (struct head_reset_info){0, 0};
    assert_int_equal(head_unpack_reset(buffer_bytes(&out), out.len, &reset), 0);
    assert_int_equal(reset.reason, 65535);
    assert_int_equal(reset.delivered, 200);
    buffer_clear(&out);
    struct head_goaway_info goaway = {3, UINT32_MAX};
    assert_int_equal(head_pack_goaway(&out, &goaway), 0);
    goaway = (struct head_goaway_info){0, 0};
    assert_int_equal(head_unpack_goaway(buffer_bytes(&out), out.len, &goaway), 0);
    assert_int_equal(goaway.reason, 3);
    assert_int_equal(goaway.retry_after_ms, UINT32_MAX);
}

typedef int (*unpack_fn)(const uint8_t *payload, size_t len);

static int unpack_hello(const uint8_t *payload, size_t len)
{
    struct head_hello h;
    return head_unpack_hello(payload, len, &h);
}

static int unpack_welcome(const uint8_t *payload, size_t len)
{
    struct head_welcome h;
    return head_unpack_welcome(payload, len, &h);
}

static int unpack_request(const uint8_t *payload, size_t len)
{
    struct head_request h;
    return head_unpack_request(payload, len, &h, fields);
}

static int unpack_response(const uint8_t *payload, size_t len)
{
    struct head_response h;
    return head_unpack_response(payload, len, &h, fields);
}

static int unpack_reset(const uint8_t *payload, size_t len)
{
    struct head_reset_info h;
    return head_unpack_reset(payload, len, &h);
}

static int unpack_goaway(const uint8_t *payload, size_t len)
{
    struct head_goaway_info h;
    return head_unpack_goaway(payload, len, &h);
}

/* The payload in `out` is fine, malformed when cut anywhere, and fine with bytes behind it. */
static void assert_every_cut_is_malformed(unpack_fn unpack)
{
    for (size_t len = 0; len < out.len; len++) {
        uint8_t *cut = copy(len);
        assert_int_equal(unpack(cut, len), ERROR_SYNTAX);
        free(cut);
    }
    assert_int_equal(unpack(buffer_bytes(&out), out.len), 0);
    assert_int_equal(buffer_append(&out, "later versions", 14), 0);
    assert_int_equal(unpack(buffer_bytes(&out), out.len), 0);
}

static void cut_payloads_are_malformed_and_longer_ones_fine(void **state)
{
    (void)state;
    struct head_hello hello = {.version_max = 1, .software = span_of("agent")};
    assert_int_equal(head_pack_hello(&out, &hello), 0);
    assert_every_cut_is_malformed(unpack_hello);
    buffer_clear(&out);
    struct head_welcome welcome = {.version = 1, .software = span_of("relay")};
    assert_int_equal(head_pack_welcome(&out, &welcome), 0);
    assert_every_cut_is_malformed(unpack_welcome);
    buffer_clear(&out);
    struct head_request request = usual_request();
    assert_int_equal(head_pack_request(&out, &request), 0);
    assert_every_cut_is_malformed(unpack_request);
    buffer_clear(&out);
    struct head_response response = {200, 0, 0, two_fields, 2};
    assert_int_equal(head_pack_response(&out, &response), 0);
    assert_every_cut_is_malformed(unpack_response);
    buffer_clear(&out);
    struct head_reset_info reset = {1, 1};
    assert_int_equal(head_pack_reset(&out, &reset), 0);
    assert_every_cut_is_malformed(unpack_reset);
    buffer_clear(&out);
    struct head_goaway_info goaway = {1, 1};
    assert_int_equal(head_pack_goaway(&out, &goaway), 0);
    assert_every_cut_is_malformed(unpack_goaway);
}

static int repack_request(struct head_request h)
{
    buffer_clear(&out);
    assert_int_equal(head_pack_request(&out, &h), 0);
    return unpack_request(buffer_bytes(&out), out.len);
}

static void paths_that_could_climb_or_split_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",       "api",     "*",         "/a b",    "/a\r\nb",   "/a\x7f",    "/a?b",
        "/a#b",   "/.",      "/..",       "/./a",    "/a/../b",   "/a/..",     "/a/.",
        "/%2e/a", "/%2E%2e", "/a/.%2e/b", "/%2e./b", "/a/%2e%2E", "/\xc3\xa4",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct head_request h = {.method = HEAD_METHOD_GET, .path = span_of(bad[i])};
        assert_int_equal(repack_request(h), ERROR_SYNTAX);
    }
    struct head_request nul = {.method = HEAD_METHOD_GET, .path = {"/a\0b", 4}};
    assert_int_equal(repack_request(nul), ERROR_SYNTAX);
}

static void paths_with_harmless_dots_pass(void **state)
{
    (void)state;
    static const char *const good[] = {
        "/",  "/a",    "/...", "/a.b/c",          "/.a", "/..a", "/a..", "/%2e%2e%2e", "/%2ea",
        "//", "/a//b", "/%20", "/~!$&'()*+,;=:@",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct head_request h = {.method = HEAD_METHOD_GET, .path = span_of(good[i])};
        assert_int_equal(repack_request(h), 0);
    }
}

static void requests_with_bad_method_query_or_id_are_refused(void **state)
{
    (void)state;
    struct head_request h = {.method = (enum head_method)0, .path = span_of("/")};
    assert_int_equal(repack_request(h), ERROR_SYNTAX);
    h.method = (enum head_method)4;
    assert_int_equal(repack_request(h), ERROR_SYNTAX);
    h.method = HEAD_METHOD_GET;
    h.query = span_of("a=1");
    assert_int_equal(repack_request(h), ERROR_SYNTAX); /* bytes of a query that is not there */
    h.has_query = true;
    assert_int_equal(repack_request(h), 0);
    h.query = span_of("a=1 HTTP/1.1");
    assert_int_equal(repack_request(h), ERROR_SYNTAX);
    h.query = span_of("a");
    h.request_id = span_of("a\nb");
    assert_int_equal(repack_request(h), ERROR_SYNTAX);
}

static int repack_response(struct head_response h)
{
    buffer_clear(&out);
    assert_int_equal(head_pack_response(&out, &h), 0);
    return unpack_response(buffer_bytes(&out), out.len);
}

static void statuses_outside_200_to_599_are_refused(void **state)
{
    (void)state;
    assert_int_equal(repack_response((struct head_response){.status = 199}), ERROR_SYNTAX);
    assert_int_equal(repack_response((struct head_response){.status = 200}), 0);
    assert_int_equal(repack_response((struct head_response){.status = 599}), 0);
    assert_int_equal(repack_response((struct head_response){.status = 600}), ERROR_SYNTAX);
    assert_int_equal(repack_response((struct head_response){.status = 0}), ERROR_SYNTAX);
}

static int repack_field(const char *name, size_t name_len, const char *value, size_t value_len)
{
    struct head_field field = {{name, name_len}, {value, value_len}};
    struct head_response h = {.status = 200, .fields = &field, .n_fields = 1};
    return repack_response(h);
}

static void fields_that_could_end_a_line_are_refused(void **state)
{
    (void)state;
    assert_int_equal(repack_field("A", 1, "b\tc \xff", 5), 0);
    assert_int_equal(repack_field("", 0, "b", 1), ERROR_SYNTAX);
    assert_int_equal(repack_field("A ", 2, "b", 1), ERROR_SYNTAX);
    assert_int_equal(repack_field("A:", 2, "b", 1), ERROR_SYNTAX);
    assert_int_equal(repack_field("A\0", 2, "b", 1), ERROR_SYNTAX);
    assert_int_equal(repack_field("\xc3\xa4", 2, "b", 1), ERROR_SYNTAX);
    assert_int_equal(repack_field("A", 1, "b\rc", 3), ERROR_SYNTAX);
    assert_int_equal(repack_field("A", 1, "b\nc", 3), ERROR_SYNTAX);
    assert_int_equal(repack_field("A", 1, "b\0c", 3), ERROR_SYNTAX);
    assert_int_equal(repack_field("A", 1,
                                  "b\x1b"
                                  "c",
                                  3),
                     ERROR_SYNTAX);
    assert_int_equal(repack_field("A", 1, "\x7f", 1), ERROR_SYNTAX);
}

static void body_length_beyond_signed_64_bits_is_refused(void **state)
{
    (void)state;
    assert_int_equal(repack_response((struct head_response){.status = 200}), 0);
    uint8_t *bytes = copy(out.len);
    bytes[15] = 0x80; /* 2^63 */
    assert_int_equal(unpack_response(bytes, out.len), ERROR_SYNTAX);
    free(bytes);
}

static void a_hundred_fields_pass_and_one_more_does_not(void **state)
{
    (void)state;
    struct head_field many[HEAD_FIELDS_MAX + 1];
    for (size_t i = 0; i < HEAD_FIELDS_MAX + 1; i++) {
        many[i] = two_fields[0];
    }
    struct head_response h = {.status = 200, .fields = many, .n_fields = HEAD_FIELDS_MAX};
    assert_int_equal(repack_response(h), 0);
    uint8_t *bytes = copy(out.len);
    bytes[2] = HEAD_FIELDS_MAX + 1;
    assert_int_equal(unpack_response(bytes, out.len), ERROR_LIMIT);
    free(bytes);
    buffer_clear(&out);
    h.n_fields = HEAD_FIELDS_MAX + 1;
    assert_int_equal(head_pack_response(&out, &h), ERROR_LIMIT);
    assert_int_equal(out.len, 0);
}

static void largest_payload_packs_and_one_byte_more_does_not(void **state)
{
    (void)state;
    static char path[FRAME_PAYLOAD_MAX];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    struct head_request h = {.method = HEAD_METHOD_GET, .path = {path, FRAME_PAYLOAD_MAX - 16}};
    assert_int_equal(head_pack_request(&out, &h), 0);
    assert_int_equal(out.len, FRAME_PAYLOAD_MAX);
    assert_int_equal(unpack_request(buffer_bytes(&out), out.len), 0);
    buffer_clear(&out);
    h.path.len++;
    assert_int_equal(head_pack_request(&out, &h), ERROR_LIMIT);
    assert_int_equal(out.len, 0);
    h.path.len = SIZE_MAX;
    assert_int_equal(head_pack_request(&out, &h), ERROR_LIMIT);
}

static void short_texts_end_at_255_bytes(void **state)
{
    (void)state;
    static char text[256];
    memset(text, 'a', sizeof(text));
    struct head_request h = {
        .method = HEAD_METHOD_GET, .path = span_of("/"), .request_id = {text, 255}};
    assert_int_equal(head_pack_request(&out, &h), 0);
    assert_int_equal(unpack_request(buffer_bytes(&out), out.len), 0);
    h.request_id.len = 256;
    assert_int_equal(head_pack_request(&out, &h), ERROR_LIMIT);
    struct head_hello hello = {.software = {text, 256}};
    assert_int_equal(head_pack_hello(&out, &hello), ERROR_LIMIT);
    struct head_welcome welcome = {.software = {text, 256}};
    assert_int_equal(head_pack_welcome(&out, &welcome), ERROR_LIMIT);
}

static void full_buffer_is_an_error_and_stays_as_it_was(void **state)
{
    (void)state;
    struct buffer small;
    buffer_init(&small, 7);
    struct head_request request = usual_request();
    struct head_reset_info reset = {1, 1};
    struct head_goaway_info goaway = {1, 1};
    struct head_hello hello = {.version_max = 1};
    struct head_welcome welcome = {.version = 1};
    struct head_response response = {.status = 200};
    assert_int_equal(buffer_append(&small, "1234", 4), 0);
    assert_int_equal(head_pack_request(&small, &request), ERROR_LIMIT);
    assert_int_equal(head_pack_reset(&small, &reset), ERROR_LIMIT);
    assert_int_equal(head_pack_goaway(&small, &goaway), ERROR_LIMIT);
    assert_int_equal(head_pack_hello(&small, &hello), ERROR_LIMIT);
    assert_int_equal(head_pack_welcome(&small, &welcome), ERROR_LIMIT);
    assert_int_equal(head_pack_response(&small, &response), ERROR_LIMIT);
    assert_int_equal(small.len, 4);
    buffer_close(&small);
}

static void reasons_have_their_machine_words(void **state)
{
    (void)state;
    assert_string_equal(head_reset_name(HEAD_RESET_CLIENT_GONE), "client_gone");
    assert_string_equal(head_reset_name(HEAD_RESET_TUNNEL_LOST), "tunnel_lost");
    assert_string_equal(head_reset_name(0), "internal");
    assert_string_equal(head_reset_name(11), "internal");
    assert_string_equal(head_goaway_name(HEAD_GOAWAY_EXHAUSTED), "exhausted");
    assert_string_equal(head_goaway_name(0), "shutdown");
    assert_string_equal(head_goaway_name(65535), "shutdown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_survives_the_round_trip),
        cmocka_unit_test(hello_with_versions_upside_down_is_malformed),
        cmocka_unit_test(welcome_survives_the_round_trip),
        cmocka_unit_test(request_survives_the_round_trip_byte_for_byte),
        cmocka_unit_test(empty_query_differs_from_no_query),
        cmocka_unit_test(response_survives_the_round_trip),
        cmocka_unit_test(unknown_body_length_survives_the_round_trip),
        cmocka_unit_test(reset_and_goaway_survive_the_round_trip),
        cmocka_unit_test(cut_payloads_are_malformed_and_longer_ones_fine),
        cmocka_unit_test(paths_that_could_climb_or_split_are_refused),
        cmocka_unit_test(paths_with_harmless_dots_pass),
        cmocka_unit_test(requests_with_bad_method_query_or_id_are_refused),
        cmocka_unit_test(statuses_outside_200_to_599_are_refused),
        cmocka_unit_test(fields_that_could_end_a_line_are_refused),
        cmocka_unit_test(body_length_beyond_signed_64_bits_is_refused),
        cmocka_unit_test(a_hundred_fields_pass_and_one_more_does_not),
        cmocka_unit_test(largest_payload_packs_and_one_byte_more_does_not),
        cmocka_unit_test(short_texts_end_at_255_bytes),
        cmocka_unit_test(full_buffer_is_an_error_and_stays_as_it_was),
        cmocka_unit_test(reasons_have_their_machine_words),
    };
    struct CMUnitTest with_buffer[sizeof(tests) / sizeof(tests[0])];
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        with_buffer[i] = tests[i];
        with_buffer[i].setup_func = setup;
        with_buffer[i].teardown_func = teardown;
    }
    return cmocka_run_group_tests(with_buffer, NULL, NULL);
}
