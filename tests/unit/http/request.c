/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/http/request.h: lines and fields of a head, and the life of a request. Judged in
 * one piece, cut in two at every place, and byte by byte. The request line: request_line.c. Bodies:
 * request_body.c. Limits: request_limit.c. */
#include "proto/http/request.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/http/verdict.h"

/* ---- lines and fields ---- */

static void test_request_lines_end_with_crlf_only(void **state)
{
    (void)state;
    EXPECT("GET / HTTP/1.1\nHost: h\n\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\n\n", "!400;");
    EXPECT("GET / HTTP/1.1\rHost: h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\n\rHost: h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\rX: y\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\n\rGET /b HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n", "!400;");
}

static void test_request_fields_are_never_folded(void **state)
{
    (void)state;
    EXPECT_GET("X: a\r\n b\r\n", "!400;");
    EXPECT_GET("X: a\r\n\tb\r\n", "!400;");
    EXPECT_GET("X:\r\n a\r\n", "!400;");
    EXPECT_GET("Content-Length: 1\r\n 0\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\n Host: h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\n \r\n\r\n", "!400;");
}

static void test_request_field_names_are_tokens_up_to_the_colon(void **state)
{
    (void)state;
    EXPECT_GET("!#$%&'*+-.^_`|~09azAZ: x\r\n", "GET / 1.1 keep;");
    EXPECT_GET(": x\r\n", "!400;");
    EXPECT_GET("X : y\r\n", "!400;");
    EXPECT_GET("X\t: y\r\n", "!400;");
    EXPECT_GET("X y: z\r\n", "!400;");
    EXPECT_GET("X\r\n", "!400;");
    EXPECT_GET("X(: y\r\n", "!400;");
    EXPECT_GET("\"X\": y\r\n", "!400;");
    EXPECT_GET("X\xc3\xa4: y\r\n", "!400;");
    EXPECT_GET("X\0: y\r\n", "!400;");
    EXPECT_GET("GET /x HTTP/1.1\r\n", "!400;");
}

static void test_request_field_values_have_no_controls(void **state)
{
    (void)state;
    EXPECT_GET("X: \t a\tb \xe4\xff \t\r\n", "GET / 1.1 keep;");
    EXPECT_GET("X:\r\nY:  \r\n", "GET / 1.1 keep;");
    EXPECT_GET("X: a:b::c\r\n", "GET / 1.1 keep;");
    EXPECT_GET("X: a\0b\r\n", "!400;");
    EXPECT_GET("X: a\x01\r\n", "!400;");
    EXPECT_GET("X: a\x0b\r\n", "!400;");
    EXPECT_GET("X: a\x0c\r\n", "!400;");
    EXPECT_GET("X: a\x1b[0m\r\n", "!400;");
    EXPECT_GET("X: a\x7f\r\n", "!400;");
}

static void test_request_has_exactly_one_valid_host(void **state)
{
    (void)state;
    EXPECT("GET / HTTP/1.1\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.0\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nX-Host: h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost:\r\n\r\n", "!400;");
    EXPECT_GET("Host: h\r\n", "!400;");
    EXPECT_GET("hOST: x\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nhost:h.example:8443 \r\n\r\n", "GET / 1.1 keep;");
    EXPECT("GET / HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", "GET / 1.1 keep;");
    EXPECT("GET / HTTP/1.1\r\nHost:\th\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\t\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h:x\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h/a\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "!400;");
}

static struct request parsed;

static void parse(const char *text)
{
    size_t at = 0;
    size_t used = 0;
    request_init(&parsed);
    for (; at < strlen(text) && parsed.state != REQUEST_COMPLETE; at += used) {
        request_feed(&parsed, (const uint8_t *)text + at, strlen(text) - at, &used);
        assert_true(used > 0);
    }
    assert_int_equal(at, strlen(text));
    assert_int_equal(parsed.state, REQUEST_COMPLETE);
}

static void assert_span(struct span s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.p, text, s.len);
}

static void test_request_fields_keep_order_and_are_trimmed(void **state)
{
    (void)state;
    parse("OPTIONS /p HTTP/1.1\r\nB: \t 1 2\t \r\nHost:h\r\na:\r\nb:3\r\n\r\n");
    assert_int_equal(parsed.n_fields, 4);
    assert_span(parsed.fields[0].name, "B");
    assert_span(parsed.fields[0].value, "1 2");
    assert_span(parsed.fields[1].name, "Host");
    assert_span(parsed.fields[1].value, "h");
    assert_span(parsed.fields[2].name, "a");
    assert_span(parsed.fields[2].value, "");
    assert_span(parsed.fields[3].value, "3");
    assert_int_equal(parsed.method, REQUEST_OTHER);
    assert_span(request_field(&parsed, "HOST"), "h");
    assert_span(request_field(&parsed, "b"), "1 2");
    assert_non_null(request_field(&parsed, "A").p);
    assert_null(request_field(&parsed, "C").p);
    request_close(&parsed);
}

/* The fields that llhttp has rules of its own for come through whole too. */
static void test_request_keeps_the_values_of_fields_that_it_judges(void **state)
{
    (void)state;
    parse("POST / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Y \r\nContent-Length: 0\r\n"
          "Upgrade:  h2c\r\nProxy-Connection: keep-alive\r\nX-Y: Z\r\n\r\n");
    assert_span(request_field(&parsed, "connection"), "close, X-Y");
    assert_span(request_field(&parsed, "content-length"), "0");
    assert_span(request_field(&parsed, "upgrade"), "h2c");
    assert_span(request_field(&parsed, "proxy-connection"), "keep-alive");
    assert_span(request_field(&parsed, "x-y"), "Z");
    assert_int_equal(parsed.method, REQUEST_POST);
    request_close(&parsed);
}

/* What answers it must have no content, whatever else is wrong. */
static void test_request_refused_is_still_known_as_head(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum request_method method;
    } cases[] = {
        {"HEAD / HTTP/3.0\r\n", REQUEST_HEAD},     {"HEAD /\x01", REQUEST_HEAD},
        {"HEAD / HTTP/1.1\r\n\r\n", REQUEST_HEAD}, {"GET / HTTP/3.0\r\n", REQUEST_GET},
        {"HEADER / HTTP/3.0\r\n", REQUEST_OTHER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t used = 0;
        request_init(&parsed);
        request_feed(&parsed, (const uint8_t *)cases[i].text, strlen(cases[i].text), &used);
        assert_int_equal(parsed.state, REQUEST_REFUSED);
        assert_int_equal(parsed.method, cases[i].method);
        request_close(&parsed);
    }
}

/* ---- life ---- */

static void test_request_reset_forgets_everything(void **state)
{
    (void)state;
    parse("POST /p?q HTTP/1.1\r\nHost: h\r\nX-Request-Id: a\r\nConnection: upgrade\r\n"
          "Upgrade: websocket\r\nSec-WebSocket-Key: k\r\nExpect: "
          "100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
          "1\r\na\r\n0\r\n\r\n");
    request_reset(&parsed);
    static struct request fresh;
    request_init(&fresh);
    assert_memory_equal(&parsed, &fresh, offsetof(struct request, fields));
    assert_int_equal(parsed.n_fields, 0);
    assert_null(parsed.body.data);
    assert_true(request_is_untouched(&parsed));
    request_close(&parsed);
}

static void test_request_is_untouched_until_a_byte_of_a_line_comes(void **state)
{
    (void)state;
    size_t used = 0;
    request_init(&parsed);
    assert_true(request_is_untouched(&parsed));
    request_feed(&parsed, (const uint8_t *)"\r\n", 2, &used);
    assert_true(request_is_untouched(&parsed));
    request_feed(&parsed, (const uint8_t *)"G", 1, &used);
    assert_false(request_is_untouched(&parsed));
    request_close(&parsed);
    assert_true(request_is_untouched(&parsed));
    request_close(&parsed);
}

static void test_request_takes_no_byte_once_complete_or_refused(void **state)
{
    (void)state;
    static const char tail[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    size_t used = 1;
    parse(tail);
    assert_int_equal(request_feed(&parsed, (const uint8_t *)tail, sizeof(tail) - 1, &used),
                     REQUEST_COMPLETE);
    assert_int_equal(used, 0);
    request_reset(&parsed);
    assert_int_equal(request_feed(&parsed, (const uint8_t *)"\n", 1, &used), REQUEST_REFUSED);
    used = 1;
    assert_int_equal(request_feed(&parsed, (const uint8_t *)tail, sizeof(tail) - 1, &used),
                     REQUEST_REFUSED);
    assert_int_equal(used, 0);
    request_close(&parsed);
}

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_request_lines_end_with_crlf_only),
        CASE(test_request_fields_are_never_folded),
        CASE(test_request_field_names_are_tokens_up_to_the_colon),
        CASE(test_request_field_values_have_no_controls),
        CASE(test_request_has_exactly_one_valid_host),
        CASE(test_request_fields_keep_order_and_are_trimmed),
        CASE(test_request_keeps_the_values_of_fields_that_it_judges),
        CASE(test_request_refused_is_still_known_as_head),
        CASE(test_request_reset_forgets_everything),
        CASE(test_request_is_untouched_until_a_byte_of_a_line_comes),
        CASE(test_request_takes_no_byte_once_complete_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
