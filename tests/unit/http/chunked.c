/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/http/chunked.h. Each stream is decoded in one piece, cut in two at every place,
 * and byte by byte; data, verdict and the count of bytes left over must be the same. */
#include "proto/http/chunked.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buffer.h"
#include "proto/base/error.h"

#define LOG_BYTES_MAX 65536

static struct buffer in;
static struct buffer out;
static struct chunked decoder;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&in, LOG_BYTES_MAX);
    buffer_init(&out, LOG_BYTES_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_close(&in);
    buffer_close(&out);
    return 0;
}

static void add(struct buffer *b, const char *text)
{
    assert_int_equal(buffer_append(b, text, strlen(text)), 0);
}

/* Decodes a piece; its data goes to `out`. Returns the error, and the count of bytes left over. */
static int feed(const uint8_t *bytes, size_t len, size_t *left)
{
    /* A copy of exact size, so that the sanitizer finds a byte too far. */
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    size_t at = 0;
    int err = 0;
    while (err == 0 && at < len && decoder.state != CHUNKED_DONE) {
        const uint8_t *data = NULL;
        size_t data_len = SIZE_MAX;
        size_t used = SIZE_MAX;
        err = chunked_feed(&decoder, copy + at, len - at, &used, &data, &data_len);
        assert_in_range(used, err == 0 ? 1 : 0, len - at);
        if (err == 0 && data_len > 0) {
            assert_in_range((uintptr_t)data, (uintptr_t)copy + at, (uintptr_t)copy + at + used);
            assert_int_equal(buffer_append(&out, data, data_len), 0);
        }
        at += used;
    }
    free(copy);
    *left = len - at;
    return err;
}

/* Decodes `in`, cut as said, into one line of text: the data, then "!name" of the error, "~" if
 * more is to come, or "." and the count of bytes left over. */
static const char *decode(size_t first, size_t step)
{
    char end[48];
    int err = 0;
    size_t left = 0;
    size_t at = 0;
    chunked_init(&decoder);
    buffer_clear(&out);
    for (size_t n = first; err == 0 && at < in.len && decoder.state != CHUNKED_DONE; n = step) {
        n = n < in.len - at ? n : in.len - at;
        err = feed(buffer_bytes(&in) + at, n, &left);
        at += n;
    }
    if (err < 0) {
        (void)snprintf(end, sizeof(end), "!%s", error_name(err));
    } else if (decoder.state != CHUNKED_DONE) {
        (void)snprintf(end, sizeof(end), "~");
    } else {
        (void)snprintf(end, sizeof(end), ".%zu", in.len - at + left);
    }
    assert_int_equal(buffer_append(&out, end, strlen(end) + 1), 0);
    return (const char *)buffer_bytes(&out);
}

static void compare(size_t first, size_t step, const char *expected)
{
    const char *got = decode(first, step);
    if (strcmp(got, expected) != 0) {
        fail_msg("\"%.*s\" cut at %zu, then every %zu: got \"%.200s\", expected \"%.200s\"",
                 (int)(in.len < 200 ? in.len : 200), (const char *)buffer_bytes(&in), first, step,
                 got, expected);
    }
}

/* Judges what was added to `in`, and empties it. */
static void expect_in(const char *expected)
{
    compare(in.len, in.len, expected);
    compare(1, 1, expected);
    for (size_t at = 1; at < in.len; at++) {
        compare(at, in.len, expected);
    }
    buffer_clear(&in);
}

static void expect_bytes(const char *bytes, size_t len, const char *expected)
{
    assert_int_equal(buffer_append(&in, bytes, len), 0);
    expect_in(expected);
}

#define EXPECT(text, expected) expect_bytes(text, sizeof(text) - 1, expected)

static void expect_bad(const char *text)
{
    static char bad[64];
    (void)snprintf(bad, sizeof(bad), "!%s", error_name(ERROR_SYNTAX));
    expect_bytes(text, strlen(text), bad);
}

static void test_chunked_decodes_chunks_and_leaves_the_rest(void **state)
{
    (void)state;
    EXPECT("0\r\n\r\n", ".0");
    EXPECT("3\r\nabc\r\n0\r\n\r\n", "abc.0");
    EXPECT("3\r\nabc\r\n5\r\nde\r\nf\r\n0\r\n\r\nGET /", "abcde\r\nf.5");
    EXPECT("00000003\r\nabc\r\n00000000\r\n\r\n", "abc.0");
    EXPECT("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789.0");
    EXPECT("7\r\n0\r\n\r\nGE\r\n0\r\n\r\n", "0\r\n\r\nGE.0");
}

static void test_chunked_waits_for_the_last_line(void **state)
{
    (void)state;
    EXPECT("3", "~");
    EXPECT("3\r", "~");
    EXPECT("3\r\nab", "ab~");
    EXPECT("3\r\nabc", "abc~");
    EXPECT("3\r\nabc\r\n", "abc~");
    EXPECT("3\r\nabc\r\n0\r\n", "abc~");
    EXPECT("3\r\nabc\r\n0\r\n\r", "abc~");
    EXPECT("FFFFFFFF\r\nabc", "abc~");
}

static void test_chunked_size_is_one_to_eight_hexadecimal_digits(void **state)
{
    (void)state;
    static const char *const sizes[] = {
        "\r\n\r\n",
        " 3\r\nabc\r\n",
        "3 \r\nabc\r\n",
        "\t3\r\nabc\r\n",
        "3\t\r\nabc\r\n",
        "+3\r\nabc\r\n",
        "-3\r\nabc\r\n",
        "0x3\r\nabc\r\n",
        "3h\r\nabc\r\n",
        "g\r\nabc\r\n",
        "3,3\r\nabc\r\n",
        "3.0\r\nabc\r\n",
        "\"3\"\r\nabc\r\n",
        "3_\r\nabc\r\n",
        "\xb2\r\nabc\r\n",
        "000000003\r\nabc\r\n",
        "100000003\r\nabc\r\n",
        "000000000\r\n\r\n",
        ";x\r\n",
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        expect_bad(sizes[i]);
    }
    assert_int_equal(buffer_append(&in, "3\0\r\nabc", 8), 0);
    compare(in.len, in.len, decode(1, 1));
    assert_int_equal(buffer_bytes(&out)[0], '!');
}

static void test_chunked_lines_end_with_crlf_only(void **state)
{
    (void)state;
    static const char *const streams[] = {
        "3\nabc\r\n",      "3\rabc\r\n",       "3\r\rabc\r\n",    "3\n\rabc\r\n",
        "3\r\r\nabc\r\n",  "3;x\nabc\r\n",     "3;x\rabc\r\n",    "0\n\r\n",
        "0\r\n\n",         "0\r\n\rx",         "0\r\r\n\r\n",     "0\r\nX: y\n\r\n",
        "0\r\nX: y\r\r\n", "0\r\nX: a\rb\r\n", "0\r\nX: y\r\n\n", "0\r\n\r\r\n",
    };
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        expect_bad(streams[i]);
    }
}

static void test_chunked_data_is_followed_by_crlf_at_once(void **state)
{
    (void)state;
    static const char *const tails[] = {"\n0\r\n\r\n",    "\r0\r\n\r\n", "d\r\n0\r\n\r\n",
                                        " \r\n0\r\n\r\n", "\r\r\n0",     "0\r\n\r\n"};
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "abc!%s", error_name(ERROR_SYNTAX));
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        add(&in, "3\r\nabc");
        add(&in, tails[i]);
        expect_in(expected);
    }
    EXPECT("3\r\nabc\r\n", "abc~");
}

static void test_chunked_extensions_are_skipped(void **state)
{
    (void)state;
    EXPECT("3;a\r\nabc\r\n0;b=c;d=\"e f\"\r\n\r\n", "abc.0");
    EXPECT("3;\r\nabc\r\n0;;; \t\xff\r\n\r\n", "abc.0");
    expect_bad("3;a\x01\r\n");
    expect_bad("3;a\x7f\r\n");
}

static void test_chunked_trailers_are_dropped(void **state)
{
    (void)state;
    EXPECT("0\r\nX: y\r\n\r\nGET", ".3");
    EXPECT("1\r\na\r\n0\r\nX:\r\nY-1: \t z\xe4\r\n\r\n", "a.0");
}

static void test_chunked_trailers_are_sound_fields(void **state)
{
    (void)state;
    static const char *const trailers[] = {
        "0\r\nX\r\n\r\n",          "0\r\n: y\r\n\r\n",   "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\n\tX: y\r\n",
        "0\r\nX\xe4: y\r\n",       "0\r\nX: a\x01\r\n",  "0\r\nGET / HTTP/1.1\r\n",
        "0\r\nX/y: z\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(trailers) / sizeof(trailers[0]); i++) {
        expect_bad(trailers[i]);
    }
}

static void test_chunked_trailers_do_not_frame_the_request_anew(void **state)
{
    (void)state;
    static const char *const trailers[] = {
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\ncontent-length:0\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nTRANSFER-ENCODING:\r\n\r\n",
        "0\r\nHost: x\r\n\r\n",
        "0\r\nX: y\r\nhost: x\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(trailers) / sizeof(trailers[0]); i++) {
        expect_bad(trailers[i]);
    }
    EXPECT("0\r\nContent-Lengthy: 5\r\nX-Host: x\r\nHos: t\r\nHosts: x\r\n"
           "Transfer-Encoding-X-And-So-On: y\r\nContent: length\r\n\r\n",
           ".0");
}

static void add_fill(size_t len)
{
    for (size_t i = 0; i < len; i++) {
        add(&in, "x");
    }
}

static void expect_limit(const char *data)
{
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "%s!%s", data, error_name(ERROR_LIMIT));
    expect_in(expected);
}

static void test_chunked_size_line_may_have_4096_bytes(void **state)
{
    (void)state;
    for (size_t n_before = 0; n_before < 2; n_before++) {
        const char *data = n_before == 0 ? "abc.0" : "dabc.0";
        add(&in, n_before == 0 ? "" : "1\r\nd\r\n");
        add(&in, "3;");
        add_fill(CHUNKED_LINE_BYTES_MAX - 4);
        add(&in, "\r\nabc\r\n0\r\n\r\n");
        expect_in(data);
        add(&in, n_before == 0 ? "" : "1\r\nd\r\n");
        add(&in, "3;");
        add_fill(CHUNKED_LINE_BYTES_MAX - 3);
        add(&in, "\r\nabc\r\n0\r\n\r\n");
        expect_limit(n_before == 0 ? "" : "d");
    }
}

static void test_chunked_trailers_may_have_4096_bytes_together(void **state)
{
    (void)state;
    add(&in, "0\r\nX: y\r\nY: ");
    add_fill(CHUNKED_LINE_BYTES_MAX - sizeof("X: y\r\nY: \r\n\r\n") + 1);
    add(&in, "\r\n\r\n");
    expect_in(".0");
    add(&in, "0\r\nX: y\r\nY: ");
    add_fill(CHUNKED_LINE_BYTES_MAX - sizeof("X: y\r\nY: \r\n\r\n") + 2);
    add(&in, "\r\n\r\n");
    expect_limit("");
}

static void test_chunked_size_limit_starts_anew_with_every_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20; i++) {
        add(&in, "1;");
        add_fill(300);
        add(&in, "\r\na\r\n");
    }
    add(&in, "0\r\n\r\n");
    expect_in("aaaaaaaaaaaaaaaaaaaa.0");
}

static void test_chunked_done_takes_nothing_and_can_be_used_again(void **state)
{
    (void)state;
    size_t left = 0;
    for (int i = 0; i < 2; i++) {
        chunked_init(&decoder);
        assert_int_equal(feed((const uint8_t *)"0\r\n\r\n0", 6, &left), 0);
        assert_int_equal(left, 1);
        assert_int_equal(decoder.state, CHUNKED_DONE);
        const uint8_t *data = NULL;
        size_t data_len = 1;
        size_t used = 1;
        assert_int_equal(chunked_feed(&decoder, (const uint8_t *)"0", 1, &used, &data, &data_len),
                         0);
        assert_int_equal(used, 0);
        assert_int_equal(data_len, 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_chunked_decodes_chunks_and_leaves_the_rest),
        CASE(test_chunked_waits_for_the_last_line),
        CASE(test_chunked_size_is_one_to_eight_hexadecimal_digits),
        CASE(test_chunked_lines_end_with_crlf_only),
        CASE(test_chunked_data_is_followed_by_crlf_at_once),
        CASE(test_chunked_extensions_are_skipped),
        CASE(test_chunked_trailers_are_dropped),
        CASE(test_chunked_trailers_are_sound_fields),
        CASE(test_chunked_trailers_do_not_frame_the_request_anew),
        CASE(test_chunked_size_line_may_have_4096_bytes),
        CASE(test_chunked_trailers_may_have_4096_bytes_together),
        CASE(test_chunked_size_limit_starts_anew_with_every_line),
        CASE(test_chunked_done_takes_nothing_and_can_be_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
