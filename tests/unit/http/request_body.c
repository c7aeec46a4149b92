/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/http/request.h: where a request ends, and what follows from its head for the
 * connection. Each case is judged in one piece, cut in two at every place, and byte by byte. */
#include "proto/http/request.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "tests/unit/http/verdict.h"

/* ---- framing ---- */

static void test_request_takes_a_body_of_the_length_said(void **state)
{
    (void)state;
    EXPECT_POST("Content-Length: 5\r\n\r\na\r\nb\n", "POST / 1.1 keep <a\r\nb\n>;");
    EXPECT_POST("Content-Length: 0\r\n\r\n", "POST / 1.1 keep;");
    EXPECT_POST("\r\n", "POST / 1.1 keep;");
    EXPECT_POST("content-length:  003 \r\n\r\nabc", "POST / 1.1 keep <abc>;");
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
        "\vchunked",
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

/* Some parsers take a tab as part of the value, and then see another framing. */
static void test_request_framing_values_have_no_tab_beside_them(void **state)
{
    (void)state;
    EXPECT_POST("Content-Length:\t1\r\n\r\na", "!400;");
    EXPECT_POST("Content-Length: 1\t\r\n\r\na", "!400;");
    EXPECT_POST("Content-Length: \t 1\r\n\r\na", "!400;");
    EXPECT_POST("Content-Length: 1 \t \r\n\r\na", "!400;");
    EXPECT_POST("Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", "!400;");
    EXPECT_POST("Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", "!400;");
    EXPECT_POST("X:\ty\t\r\nContent-Length: 1\r\nY:\tz\r\n\r\na", "POST / 1.1 keep <a>;");
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
    EXPECT_POST("Transfer-Encoding: chunked\r\n\r\n0\r\nHost: x\r\n\r\n", "!400;");
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
    EXPECT_GET("Connection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: a\r\n",
               "GET / 1.1 keep websocket;");
    EXPECT_GET("Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n",
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
}

static void test_request_for_a_websocket_has_exactly_one_key(void **state)
{
    (void)state;
    EXPECT_GET("Connection: Upgrade\r\nUpgrade: websocket\r\n", "!400;");
    EXPECT_GET("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n", "!400;");
    EXPECT_GET("Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n", "!400;");
    EXPECT_GET("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n"
               "Sec-WebSocket-Key: a\r\n",
               "!400;");
    EXPECT_GET("Upgrade: websocket\r\n", "GET / 1.1 keep;");
    EXPECT_GET("Connection: Upgrade\r\nUpgrade: websockets\r\n", "GET / 1.1 keep;");
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

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_request_takes_a_body_of_the_length_said),
        CASE(test_request_length_is_plain_digits_and_comes_once),
        CASE(test_request_coding_is_exactly_one_chunked),
        CASE(test_request_framing_values_have_no_tab_beside_them),
        CASE(test_request_coding_is_never_beside_a_length_nor_in_1_0),
        CASE(test_request_malformed_chunks_are_refused),
        CASE(test_request_get_and_head_have_no_body),
        CASE(test_request_pipelined_bytes_are_left_for_the_next),
        CASE(test_request_refused_is_never_followed_by_another),
        CASE(test_request_expectation_is_100_continue_or_417),
        CASE(test_request_connection_follows_version_and_options),
        CASE(test_request_upgrade_is_told_for_websocket_only_and_ends_no_parsing),
        CASE(test_request_for_a_websocket_has_exactly_one_key),
        CASE(test_request_id_is_taken_if_there_is_one_valid_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
