/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/front/answer.h: the heads of buildings' answers. Each case compares a whole head
 * without the fields that every answer has. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/error.h"
#include "relay/front/answer.h"

#define DATE   "Sun, 06 Nov 1994 08:49:37 GMT"
#define COMMON "Date: " DATE "\r\nX-Request-Id: id-1\r\n"

static struct buffer out;
static struct answer_context context;
static struct head_field fields[HEAD_FIELDS_MAX];
static struct head_response head;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&out, 65536);
    context = (struct answer_context){
        .request_id = {"id-1", 4}, .date = DATE, .keep_alive = true, .minor = 1};
    head = (struct head_response){.status = 200, .body_bytes = 5, .fields = fields};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_close(&out);
    return 0;
}

static void add(const char *name, const char *value)
{
    fields[head.n_fields++] = (struct head_field){span_of(name), span_of(value)};
}

static void expect(enum answer_framing framing, const char *expected)
{
    buffer_clear(&out);
    assert_int_equal(answer_format_head(&out, &context, &head, framing), 0);
    assert_int_equal(buffer_append(&out, "", 1), 0);
    assert_string_equal((const char *)buffer_bytes(&out), expected);
}

static void test_answer_head_passes_fields_in_order_and_byte_for_byte(void **state)
{
    (void)state;
    add("Content-Type", "text/html; charset=iso-8859-1");
    add("X-Odd", "\xe4 \t\"x\"");
    add("x-empty", "");
    add("X-Odd", "2");
    add("Cache-Control", "max-age=5");
    expect(ANSWER_LENGTH, "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=iso-8859-1\r\n"
                          "X-Odd: \xe4 \t\"x\"\r\nx-empty: \r\nX-Odd: 2\r\n"
                          "Cache-Control: max-age=5\r\nContent-Length: 5\r\n" COMMON "\r\n");
}

static void test_answer_head_drops_hop_by_hop_fields(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Connection",
        "keep-alive",
        "Proxy-Authenticate",
        "PROXY-CONNECTION",
        "TE",
        "Trailer",
        "transfer-encoding",
        "Upgrade",
        "HTTP2-Settings",
        "Proxy",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        add(names[i], "chunked");
    }
    expect(ANSWER_LENGTH, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" COMMON "\r\n");
}

static void test_answer_head_drops_what_the_relay_says_itself(void **state)
{
    (void)state;
    add("Content-Length", "7");
    add("content-length", "8");
    add("DATE", "yesterday");
    add("X-Request-ID", "forged");
    add("Server", "old one");
    add("Strict-Transport-Security", "max-age=0");
    expect(ANSWER_LENGTH, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" COMMON "\r\n");
}

/* All buildings share the relay's origin in the eyes of a browser. */
static void test_answer_head_drops_what_would_hold_for_the_whole_origin(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Set-Cookie",
        "set-cookie2",
        "Alt-Svc",
        "Clear-Site-Data",
        "WWW-Authenticate",
        "NEL",
        "Authentication-Info",
        "Public-Key-Pins",
        "Expect-CT",
        "Report-To",
        "Service-Worker-Allowed",
        "X-Accel-Redirect",
        "x-accel-buffering",
        "X-Sendfile",
        "X-Lighttpd-Send-File",
        "X-LiteSpeed-Location",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        add(names[i], "x");
    }
    add("X-Accel", "passes");
    add("X-Set-Cookie", "passes");
    add("Set-Cookie-3", "passes");
    expect(ANSWER_LENGTH, "HTTP/1.1 200 OK\r\nX-Accel: passes\r\nX-Set-Cookie: passes\r\n"
                          "Set-Cookie-3: passes\r\n"
                          "Content-Length: 5\r\n" COMMON "\r\n");
}

static void test_answer_head_tells_the_body_in_one_way(void **state)
{
    (void)state;
    expect(ANSWER_LENGTH, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" COMMON "\r\n");
    expect(ANSWER_CHUNKED, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" COMMON "\r\n");
    context.keep_alive = false;
    context.minor = 0;
    expect(ANSWER_CLOSE, "HTTP/1.1 200 OK\r\n" COMMON "Connection: close\r\n\r\n");
    head.body_bytes = 0;
    expect(ANSWER_LENGTH,
           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" COMMON "Connection: close\r\n\r\n");
}

static void test_answer_head_without_body_may_tell_what_length_it_would_have(void **state)
{
    (void)state;
    head.body_bytes = INT64_MAX;
    expect(ANSWER_NO_BODY,
           "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n" COMMON "\r\n");
    head.status = 304;
    head.body_bytes = 5;
    expect(ANSWER_NO_BODY, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" COMMON "\r\n");
    head.body_bytes = -1;
    expect(ANSWER_NO_BODY, "HTTP/1.1 304 Not Modified\r\n" COMMON "\r\n");
}

/* RFC 9110 8.6 forbids it. */
static void test_answer_head_of_204_tells_no_length(void **state)
{
    (void)state;
    head.status = 204;
    expect(ANSWER_NO_BODY, "HTTP/1.1 204 No Content\r\n" COMMON "\r\n");
    head.body_bytes = 0;
    expect(ANSWER_NO_BODY, "HTTP/1.1 204 No Content\r\n" COMMON "\r\n");
}

static void test_answer_head_keeps_an_unknown_status(void **state)
{
    (void)state;
    head.status = 599;
    expect(ANSWER_LENGTH, "HTTP/1.1 599 \r\nContent-Length: 5\r\n" COMMON "\r\n");
}

static void test_answer_head_has_transport_security_and_connection_of_the_relay(void **state)
{
    (void)state;
    context.is_tls = true;
    context.minor = 0;
    expect(ANSWER_LENGTH, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: " DATE
                          "\r\nStrict-Transport-Security: max-age=31536000\r\nX-Request-Id: id-1"
                          "\r\nConnection: keep-alive\r\n\r\n");
}

static void test_answer_head_takes_as_many_fields_as_the_wire(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEAD_FIELDS_MAX; i++) {
        add("X", "y");
    }
    assert_int_equal(answer_format_head(&out, &context, &head, ANSWER_LENGTH), 0);
    size_t around = sizeof("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" COMMON "\r\n") - 1;
    assert_int_equal(out.len, around + HEAD_FIELDS_MAX * 6);
}

static void test_answer_head_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    add("X", "y");
    assert_int_equal(answer_format_head(&out, &context, &head, ANSWER_LENGTH), 0);
    for (size_t max = 0; max <= out.len; max++) {
        struct buffer small;
        buffer_init(&small, max);
        assert_int_equal(answer_format_head(&small, &context, &head, ANSWER_LENGTH),
                         max == out.len ? 0 : ERROR_LIMIT);
        buffer_close(&small);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_answer_head_passes_fields_in_order_and_byte_for_byte),
        CASE(test_answer_head_drops_hop_by_hop_fields),
        CASE(test_answer_head_drops_what_the_relay_says_itself),
        CASE(test_answer_head_drops_what_would_hold_for_the_whole_origin),
        CASE(test_answer_head_tells_the_body_in_one_way),
        CASE(test_answer_head_without_body_may_tell_what_length_it_would_have),
        CASE(test_answer_head_of_204_tells_no_length),
        CASE(test_answer_head_keeps_an_unknown_status),
        CASE(test_answer_head_has_transport_security_and_connection_of_the_relay),
        CASE(test_answer_head_takes_as_many_fields_as_the_wire),
        CASE(test_answer_head_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
