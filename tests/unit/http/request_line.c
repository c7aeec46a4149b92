/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/http/request.h: the request line. Each case is judged in one piece, cut in two at
 * every place, and byte by byte. */
#include "proto/http/request.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "tests/unit/http/verdict.h"

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

static void test_request_method_is_of_capital_letters(void **state)
{
    (void)state;
    EXPECT("PUT /a HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /a 1.1 keep;");
    EXPECT("A_B /a HTTP/1.1\r\nHost: h\r\n\r\n", "A_B /a 1.1 keep;");
    EXPECT("M-SEARCH /a HTTP/1.1\r\nHost: h\r\n\r\n", "M-SEARCH /a 1.1 keep;");
    EXPECT("get /a HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GEt /a HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET1 /a HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("!#$%&'*+-.^_`|~ /a HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("PRI /a HTTP/1.1\r\nHost: h\r\n\r\n", "PRI /a 1.1 keep;");
    EXPECT("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", "PUT /a 1.1 keep <ab>;");
    EXPECT("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET: / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("G\xc3\x89T / HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
}

static void test_request_connect_is_refused_and_what_follows_it_not_read(void **state)
{
    (void)state;
    EXPECT("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("CONNECT /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("CONNECTS /a HTTP/1.1\r\nHost: h\r\n\r\n", "CONNECTS /a 1.1 keep;");
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
    EXPECT("GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?b 1.1 keep;");
    EXPECT("GET https://h:8443/ HTTP/1.1\r\nHost: h:8443\r\n\r\n", "GET / 1.1 keep;");
    EXPECT("GET HTTP://X_y.z/a HTTP/1.1\r\nHost: x_Y.z\r\n\r\n", "GET /a 1.1 keep;");
    EXPECT("GET http://[::1]:80/a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET /a 1.1 keep;");
    EXPECT("GET http://h/http://y/ HTTP/1.1\r\nHost: h\r\n\r\n", "GET /http://y/ 1.1 keep;");
    EXPECT("GET http://h/ HTTP/1.0\r\nHost: h\r\n\r\n", "GET / 1.0 close;");
}

static void test_request_host_must_be_the_one_of_an_absolute_form(void **state)
{
    (void)state;
    EXPECT("GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET http://h:80/ HTTP/1.1\r\nHost: h\r\n\r\n", "!400;");
    EXPECT("GET http://h/ HTTP/1.1\r\nHost: h:80\r\n\r\n", "!400;");
    EXPECT("GET http://x/ HTTP/1.0\r\nHost: h\r\n\r\n", "!400;");
    /* The next request has a target of its own. */
    EXPECT("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET / 1.1 keep;GET / 1.1 keep;");
}

/* Which moves in memory while it grows, behind the line that was judged already. */
static void test_request_absolute_form_stays_the_same_in_front_of_a_long_head(void **state)
{
    (void)state;
    char field[4096];
    char text[sizeof(field) + 128];
    memset(field, 'x', sizeof(field) - 1);
    field[sizeof(field) - 1] = '\0';
    for (size_t len = 200; len < sizeof(field); len = len * 5 / 4) {
        int n = snprintf(text, sizeof(text),
                         "GET http://name.example/a?b HTTP/1.1\r\nX: %.*s\r\n"
                         "Host: name.example\r\n\r\n",
                         (int)len, field);
        verdict_expect(text, (size_t)n, "GET /a?b 1.1 keep;");
    }
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

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_request_line_is_method_target_and_version),
        CASE(test_request_method_is_of_capital_letters),
        CASE(test_request_connect_is_refused_and_what_follows_it_not_read),
        CASE(test_request_version_is_exactly_1_0_or_1_1),
        CASE(test_request_target_is_split_at_the_first_question_mark),
        CASE(test_request_query_stays_byte_for_byte),
        CASE(test_request_target_has_only_visible_bytes_and_no_fragment),
        CASE(test_request_path_is_refused_not_normalised),
        CASE(test_request_absolute_form_is_stripped),
        CASE(test_request_host_must_be_the_one_of_an_absolute_form),
        CASE(test_request_absolute_form_stays_the_same_in_front_of_a_long_head),
        CASE(test_request_absolute_form_must_be_sound_and_does_not_replace_host),
        CASE(test_request_line_is_refused_before_the_head_is_complete),
        CASE(test_request_skips_two_empty_lines_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
