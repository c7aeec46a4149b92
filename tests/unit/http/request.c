/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/http/request.h: what is a request, and what is none. Each case is judged in one
 * piece, cut in two at every place, and byte by byte. Limits: request_limit.c. */
#include "proto/http/request.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/http/verdict.h"

/* ---- request line ---- */

static void test_request_line_is_method_target_and_version(void **state)
{
    (void)state;
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / 1.1 keep;");
    EXPECT("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD /a 1.1 keep;");
    EXPECT("POST /a/b HTTP/1.0\r\nHost: h\r\n\r\n", "POST /a/b 1.0 close;");
    EXPECT("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET / x HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT(" GET / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("\tGET / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET /\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET / \r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET\r\n\r\n", "!400;");
    EXPECT("/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("\x16\x03\x01", "!400;");
}

static void test_request_method_is_any_token_and_its_case_matters(void **state)
{
    (void)state;
    EXPECT("PUT /a HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /a 1.1 keep;");
    EXPECT("get /a HTTP/1.1\r\nHost: h\r\n\r\n", "get /a 1.1 keep;");
    EXPECT("M-SEARCH /a HTTP/1.1\r\nHost: h\r\n\r\n", "M-SEARCH /a 1.1 keep;");
    EXPECT("!#$%&'*+-.^_`|~ /a HTTP/1.1\r\nHost: h\r\n\r\n", "!#$%&'*+-.^_`|~ /a 1.1 keep;");
    EXPECT("CONNECT /a HTTP/1.1\r\nHost: h\r\n\r\n", "CONNECT /a 1.1 keep;");
    EXPECT("PRI /a HTTP/1.1\r\nHost: h\r\n\r\n", "PRI /a 1.1 keep;");
    EXPECT("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", "PUT /a 1.1 keep <ab>;");
    EXPECT("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET: / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("G\xc3\x89T / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
}

static void test_request_version_is_exactly_1_0_or_1_1(void **state)
{
    (void)state;
    static const char *const versions[] = {
        "HTTP/0.9", "HTTP/1.2",  "HTTP/2.0", "HTTP/2",   "HTTP/1.",   "HTTP/1",    "HTTP/1.11",
        "http/1.1", "Http/1.1",  "HTTP1.1",  "HTTP/1,1", "HTTP/01.1", "HTTP/1.01", "HTTP/ 1.1",
        "HTP/1.1",  "HTTPS/1.1", "RTSP/1.0", "ICE/1.0",  "HTTP/1.1x", "XHTTP/1.1", "HTTP/+1.1",
    };
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        char text[80];
        int len = snprintf(text, sizeof(text), "GET / %s\r\nHost: h\r\n\r\n", versions[i]);
        verdict_expect(text, (size_t)len, "!400;");
    }
    EXPECT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!400;");
}

static void test_request_target_is_split_at_the_first_question_mark(void **state)
{
    (void)state;
    EXPECT_TARGET("/a?b=c&d", "GET /a?b=c&d 1.1 keep;");
    EXPECT_TARGET("/a?", "GET /a? 1.1 keep;");
    EXPECT_TARGET("/a??b?", "GET /a??b? 1.1 keep;");
    EXPECT_TARGET("/?/../x", "GET /?/../x 1.1 keep;");
    EXPECT_TARGET("//a//", "GET //a// 1.1 keep;");
}

static void test_request_query_stays_byte_for_byte(void **state)
{
    (void)state;
    EXPECT_TARGET("/a?&&fb&a=1&a=2&=&%zz%2F%00+\"<>\\^`{|}",
                  "GET /a?&&fb&a=1&a=2&=&%zz%2F%00+\"<>\\^`{|} 1.1 keep;");
}

static void test_request_target_has_only_visible_bytes_and_no_fragment(void **state)
{
    (void)state;
    EXPECT_TARGET("/~!$&'()*+,-.:;=@_", "GET /~!$&'()*+,-.:;=@_ 1.1 keep;");
    EXPECT_TARGET("/a#b", "!400;");
    EXPECT_TARGET("/a?b#c", "!400;");
    EXPECT_TARGET("/a\tb", "!400;");
    EXPECT_TARGET("/a?b\tc", "!400;");
    EXPECT_TARGET("/a\x7f", "!400;");
    EXPECT_TARGET("/a?\x7f", "!400;");
    EXPECT_TARGET("/a\xc3\xa4", "!400;");
    EXPECT_TARGET("/a?\x80", "!400;");
    EXPECT_TARGET("/a\x01", "!400;");
    EXPECT_TARGET("/a\0b", "!400;");
}

static void test_request_path_is_refused_not_normalised(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/..",    "/.",     "/a/../b",    "/a/./b", "/%2e%2e/a", "/.%2E/a", "/..;x/a",
        "/a%2fb", "/a%2Fb", "/a%5cb",     "/a\\b",  "/%25",      "/%",      "/%4",
        "/%zz",   "/%00",   "/%0d%0aX:y", "/%7f",   "/%80%80",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char text[80];
        int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", paths[i]);
        verdict_expect(text, (size_t)len, "!400;");
    }
    EXPECT_TARGET("/%41/...", "GET /%41/... 1.1 keep;");
}

static void test_request_absolute_form_is_stripped(void **state)
{
    (void)state;
    EXPECT_TARGET("http://x/a?b", "GET /a?b 1.1 keep;");
    EXPECT_TARGET("https://x:8443/", "GET / 1.1 keep;");
    EXPECT_TARGET("HTTP://X_y.z/a", "GET /a 1.1 keep;");
    EXPECT_TARGET("http://[::1]:80/a", "GET /a 1.1 keep;");
    EXPECT_TARGET("http://x/http://y/", "GET /http://y/ 1.1 keep;");
    EXPECT("GET http://x/ HTTP/1.0\r\nHost: h\r\n\r\n", "GET / 1.0 close;");
}

static void test_request_absolute_form_must_be_sound_and_does_not_replace_host(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "http://x",     "http://x?a",    "http://",     "http:///a",
        "http://u@x/",  "http://u:p@x/", "http:/x/",    "http:x/",
        "ftp://x/",     "://x/",         "http//x/",    "http://x:0/a",
        "http://x:",    "http://x:/a",   "http://x,y/", "http://x%41/",
        "http://x/../", "http://[::1/a", "*",           "x/a",
        "www.x.y/a",    "h:443",         "?a",          "http://x:65536/a",
    };
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char text[80];
        int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i]);
        verdict_expect(text, (size_t)len, "!400;");
    }
    EXPECT("GET http://x/ HTTP/1.1\r\n\r\n", "!400;");
}

static void test_request_line_is_refused_before_the_head_is_complete(void **state)
{
    (void)state;
    EXPECT("GET / HTTP/3.0\r\n", "!400;");
    EXPECT("GET /.. HTTP/1.1\r\nHost:", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost:", "~fields;");
    EXPECT("GET / HTTP/1.", "~line;");
}

static void test_request_skips_two_empty_lines_and_no_more(void **state)
{
    (void)state;
    EXPECT("", "");
    EXPECT("\r\n", "");
    EXPECT("\r\n\r\n", "");
    EXPECT("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / 1.1 keep;");
    EXPECT("\r\n\r\n\r\n", "!400;");
    EXPECT("\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET / 1.1 keep;GET / 1.1 keep;");
}

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

/* ---- framing ---- */

static void test_request_takes_a_body_of_the_length_said(void **state)
{
    (void)state;
    EXPECT_POST("Content-Length: 5\r\n\r\na\r\nb\n", "POST / 1.1 keep <a\r\nb\n>;");
    EXPECT_POST("Content-Length: 0\r\n\r\n", "POST / 1.1 keep;");
    EXPECT_POST("\r\n", "POST / 1.1 keep;");
    EXPECT_POST("content-length:\t003 \r\n\r\nabc", "POST / 1.1 keep <abc>;");
    EXPECT_POST("Content-Length: 5\r\n\r\nabcd", "~body;");
    EXPECT("POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 1\r\n\r\na", "POST / 1.0 close <a>;");
}

static void test_request_length_is_plain_digits_and_comes_once(void **state)
{
    (void)state;
    static const char *const lengths[] = {
        "",    "+5",   "-5",   "5,5", "5, 5", "5 5",   "0x5",  "5.0",
        "1e1", "five", "5\t5", "5;",  "_5",   "\"5\"", "\xb2", "18446744073709551616",
    };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char text[120];
        int len =
            snprintf(text, sizeof(text),
                     "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %s\r\n\r\nabcde", lengths[i]);
        verdict_expect(text, (size_t)len, "!400;");
    }
    EXPECT_POST("Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", "!400;");
    EXPECT_POST("Content-Length: 5\r\ncontent-length: 6\r\n\r\nabcde", "!400;");
}

static void test_request_coding_is_exactly_one_chunked(void **state)
{
    (void)state;
    EXPECT_POST("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nX: y\r\n\r\n",
                "POST / 1.1 keep <abcde>;");
    EXPECT_POST("transfer-encoding:CHUNKED\r\n\r\n0\r\n\r\n", "POST / 1.1 keep;");
    static const char *const codings[] = {
        "",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "chunked;",
        "chunked;q=1",
        "xchunked",
        "chunkedx",
        "chunked,",
        ",chunked",
        "\"chunked\"",
        "chunk",
        "chunked\tx",
        "cow, chunked",
        "\x0b"
        "chunked",
        "chunked\xff",
    };
    for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
        char text[120];
        int len = snprintf(text, sizeof(text),
                           "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: %s\r\n\r\n0\r\n\r\n",
                           codings[i]);
        verdict_expect(text, (size_t)len, "!400;");
    }
    EXPECT_POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "!400;");
    EXPECT_POST("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "!400;");
}

static void test_request_coding_is_never_beside_a_length_nor_in_1_0(void **state)
{
    (void)state;
    EXPECT_POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400;");
    EXPECT_POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "!400;");
    EXPECT_POST("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", "!400;");
    EXPECT("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400;");
}

static void test_request_malformed_chunks_are_refused(void **state)
{
    (void)state;
    EXPECT_POST("Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "!400;");
    EXPECT_POST("Transfer-Encoding: chunked\r\n\r\nx\r\n", "!400;");
    EXPECT_POST("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "!400;");
    EXPECT_POST("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "~body;");
}

static void test_request_get_and_head_have_no_body(void **state)
{
    (void)state;
    EXPECT_GET("Content-Length: 0\r\n", "GET / 1.1 keep;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", "!400;");
    EXPECT("HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400;");
}

static void test_request_pipelined_bytes_are_left_for_the_next(void **state)
{
    (void)state;
    EXPECT("POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
           "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
           "POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
           "\r\nHEAD /4 HTTP/1.0\r\nHost: h\r\n\r\nGET",
           "POST /1 1.1 keep <abc>;GET /2 1.1 keep;POST /3 1.1 keep <x>;HEAD /4 1.0 close;~line;");
}

static void test_request_refused_is_never_followed_by_another(void **state)
{
    (void)state;
    EXPECT(
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n",
        "!400;");
    EXPECT("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nHost: "
           "h\r\n\r\n",
           "GET / 1.1 keep;!400;");
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

/* ---- what else is read from the head ---- */

static void test_request_expectation_is_100_continue_or_417(void **state)
{
    (void)state;
    EXPECT_POST("Expect: 100-continue\r\nContent-Length: 1\r\n\r\na",
                "POST / 1.1 keep continue <a>;");
    EXPECT_POST("expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
                "POST / 1.1 keep continue <a>;");
    EXPECT_POST("Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", "POST / 1.1 keep;");
    EXPECT_GET("Expect: 100-continue\r\n", "GET / 1.1 keep;");
    EXPECT("POST / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
           "POST / 1.0 close <a>;");
    EXPECT_GET("Expect: 200-ok\r\n", "!417;");
    EXPECT_GET("Expect:\r\n", "!417;");
    EXPECT_GET("Expect: 100-continue, x\r\n", "!417;");
    EXPECT_GET("Expect: 100-continue\r\nExpect: 100-continue\r\n", "!417;");
}

static void test_request_connection_follows_version_and_options(void **state)
{
    (void)state;
    EXPECT_GET("Connection: close\r\n", "GET / 1.1 close;");
    EXPECT_GET("Connection: x, Close ,y\r\n", "GET / 1.1 close;");
    EXPECT_GET("Connection: x\r\nConnection: close\r\n", "GET / 1.1 close;");
    EXPECT_GET("Connection: keep-alive, close\r\n", "GET / 1.1 close;");
    EXPECT_GET("Connection: xclose, close-x, \"close\"\r\n", "GET / 1.1 keep;");
    EXPECT_GET("Connection:\r\n", "GET / 1.1 keep;");
    EXPECT_GET("Proxy-Connection: close\r\n", "GET / 1.1 keep;");
    EXPECT("GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0 keep;");
    EXPECT("GET / HTTP/1.0\r\nHost: h\r\nConnection: close, keep-alive\r\n\r\n",
           "GET / 1.0 close;");
}

static void test_request_upgrade_is_told_for_websocket_only_and_ends_no_parsing(void **state)
{
    (void)state;
    EXPECT_GET("Connection: Upgrade\r\nUpgrade: WebSocket\r\n", "GET / 1.1 keep websocket;");
    EXPECT_GET("Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n",
               "GET / 1.1 keep websocket;");
    EXPECT_GET("Upgrade: websocket\r\n", "GET / 1.1 keep;");
    EXPECT_GET("Connection: upgrade\r\n", "GET / 1.1 keep;");
    EXPECT_GET("Connection: upgrade\r\nUpgrade: h2c\r\n", "GET / 1.1 keep;");
    EXPECT("GET /1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
           "HTTP2-Settings: AAMA\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET /1 1.1 keep;GET /2 1.1 keep;");
    EXPECT("POST /1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1"
           "\r\n\r\naGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
           "POST /1 1.1 keep <a>;GET /2 1.1 keep;");
    EXPECT("CONNECT /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
           "CONNECT /1 1.1 keep;GET /2 1.1 keep;");
}

static void test_request_id_is_taken_if_there_is_one_valid_one(void **state)
{
    (void)state;
    EXPECT_GET("X-Request-Id: aZ09-_.\r\n", "GET / 1.1 keep id=aZ09-_.;");
    EXPECT_GET("x-request-id:\t7 \r\n", "GET / 1.1 keep id=7;");
    EXPECT_GET("X-Request-Id:\r\n", "GET / 1.1 keep;");
    EXPECT_GET("X-Request-Id: a b\r\n", "GET / 1.1 keep;");
    EXPECT_GET("X-Request-Id: a\"b\r\n", "GET / 1.1 keep;");
    EXPECT_GET("X-Request-Id: a=b\r\n", "GET / 1.1 keep;");
    EXPECT_GET("X-Request-Id: \xc3\xa4\r\n", "GET / 1.1 keep;");
    EXPECT_GET("X-Request-Id: a\r\nX-Request-Id: a\r\n", "GET / 1.1 keep;");
}

/* ---- memory ---- */

static void test_request_reset_forgets_everything(void **state)
{
    (void)state;
    parse("POST /p?q HTTP/1.1\r\nHost: h\r\nX-Request-Id: a\r\nConnection: upgrade\r\n"
          "Upgrade: websocket\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_line_is_method_target_and_version),
        cmocka_unit_test(test_request_method_is_any_token_and_its_case_matters),
        cmocka_unit_test(test_request_version_is_exactly_1_0_or_1_1),
        cmocka_unit_test(test_request_target_is_split_at_the_first_question_mark),
        cmocka_unit_test(test_request_query_stays_byte_for_byte),
        cmocka_unit_test(test_request_target_has_only_visible_bytes_and_no_fragment),
        cmocka_unit_test(test_request_path_is_refused_not_normalised),
        cmocka_unit_test(test_request_absolute_form_is_stripped),
        cmocka_unit_test(test_request_absolute_form_must_be_sound_and_does_not_replace_host),
        cmocka_unit_test(test_request_line_is_refused_before_the_head_is_complete),
        cmocka_unit_test(test_request_skips_two_empty_lines_and_no_more),
        cmocka_unit_test(test_request_lines_end_with_crlf_only),
        cmocka_unit_test(test_request_fields_are_never_folded),
        cmocka_unit_test(test_request_field_names_are_tokens_up_to_the_colon),
        cmocka_unit_test(test_request_field_values_have_no_controls),
        cmocka_unit_test(test_request_has_exactly_one_valid_host),
        cmocka_unit_test(test_request_fields_keep_order_and_are_trimmed),
        cmocka_unit_test(test_request_keeps_the_values_of_fields_that_it_judges),
        cmocka_unit_test(test_request_takes_a_body_of_the_length_said),
        cmocka_unit_test(test_request_length_is_plain_digits_and_comes_once),
        cmocka_unit_test(test_request_coding_is_exactly_one_chunked),
        cmocka_unit_test(test_request_coding_is_never_beside_a_length_nor_in_1_0),
        cmocka_unit_test(test_request_malformed_chunks_are_refused),
        cmocka_unit_test(test_request_get_and_head_have_no_body),
        cmocka_unit_test(test_request_pipelined_bytes_are_left_for_the_next),
        cmocka_unit_test(test_request_refused_is_never_followed_by_another),
        cmocka_unit_test(test_request_takes_no_byte_once_complete_or_refused),
        cmocka_unit_test(test_request_expectation_is_100_continue_or_417),
        cmocka_unit_test(test_request_connection_follows_version_and_options),
        cmocka_unit_test(test_request_upgrade_is_told_for_websocket_only_and_ends_no_parsing),
        cmocka_unit_test(test_request_id_is_taken_if_there_is_one_valid_one),
        cmocka_unit_test(test_request_reset_forgets_everything),
        cmocka_unit_test(test_request_is_untouched_until_a_byte_of_a_line_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
