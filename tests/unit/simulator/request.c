/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/request. */
#include "tests/simulator/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define HOST "Host: a\r\n"

static struct request request;

static int setup(void **state)
{
    (void)state;
    request_init(&request);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    request_close(&request);
    return 0;
}

static enum request_progress feed(const char *text, size_t *n_used)
{
    return request_feed(&request, (const uint8_t *)text, strlen(text), n_used);
}

static void ready(const char *text)
{
    size_t n_used = 0;
    assert_int_equal(feed(text, &n_used), REQUEST_READY);
    assert_int_equal(n_used, strlen(text));
}

/* A request that is refused with this status, also when it comes byte by byte. */
static void refused(const char *text, int status)
{
    size_t n_used = 0;
    request_close(&request);
    request_init(&request);
    if (feed(text, &n_used) != REQUEST_REFUSED || request.refusal != status) {
        fail_msg("%.40s: %d", text, request.refusal);
    }
    request_close(&request);
    request_init(&request);
    enum request_progress progress = REQUEST_MORE;
    for (size_t i = 0; text[i] != '\0' && progress == REQUEST_MORE; i++) {
        progress = request_feed(&request, (const uint8_t *)text + i, 1, &n_used);
    }
    assert_int_equal(progress, REQUEST_REFUSED);
    assert_int_equal(request.refusal, status);
}

static void span_is(struct span s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.p, text, s.len);
}

static void a_get(void **state)
{
    (void)state;
    struct span value;
    ready("GET /api/v1/power?guid=a&&fb HTTP/1.1\r\nHost: server:5051\r\nX-Odd:  a b \r\n"
          "Empty:\r\n\r\n");
    span_is(request_method(&request), "GET");
    span_is(request_target(&request), "/api/v1/power?guid=a&&fb");
    assert_int_equal(request_header_count(&request), 3);
    span_is(request_header_at(&request, 0).name, "Host");
    span_is(request_header_at(&request, 1).value, "a b");
    assert_true(request_find(&request, "EMPTY", &value));
    assert_int_equal(value.len, 0);
    assert_false(request_find(&request, "absent", &value));
    assert_int_equal(request_body(&request).len, 0);
    assert_true(request.keep_alive);
    assert_false(request_is_head(&request));
}

static void a_form_byte_by_byte(void **state)
{
    (void)state;
    static const char TEXT[] =
        "POST /p HTTP/1.1\r\n" HOST
        "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
        "Transfer-Encoding: chunked\r\n\r\n4;ext=1\r\nab=1\r\n3\r\n&c=\r\n0\r\nTrail: er\r\n\r\n";
    size_t n_used = 0;
    for (size_t i = 0; i + 2 < sizeof TEXT; i++) {
        assert_int_equal(request_feed(&request, (const uint8_t *)TEXT + i, 1, &n_used),
                         REQUEST_MORE);
    }
    assert_int_equal(request_feed(&request, (const uint8_t *)TEXT + sizeof TEXT - 2, 1, &n_used),
                     REQUEST_READY);
    span_is(request_body(&request), "ab=1&c=");
    assert_true(request_is_form(&request));
    assert_int_equal(request_header_count(&request), 3);
}

static void pipelined(void **state)
{
    (void)state;
    static const char TWO[] = "GET /1 HTTP/1.1\r\n" HOST "\r\nHEAD /2 HTTP/1.0\r\n\r\n";
    size_t n_used = 0;
    assert_int_equal(feed(TWO, &n_used), REQUEST_READY);
    span_is(request_target(&request), "/1");
    request_next(&request);
    assert_false(request_begun(&request));
    ready(TWO + n_used);
    span_is(request_target(&request), "/2");
    assert_true(request_is_head(&request));
    assert_true(request_is_http_1_0(&request));
    assert_false(request.keep_alive);
}

static void keep_alive(void **state)
{
    (void)state;
    ready("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_true(request.keep_alive);
    request_next(&request);
    ready("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_false(request.keep_alive);
}

static void upgrades_are_ignored(void **state)
{
    (void)state;
    ready("POST /u HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n"
          "Content-Length: 2\r\n\r\nab");
    span_is(request_body(&request), "ab");
}

static void expectations(void **state)
{
    (void)state;
    size_t n_used = 0;
    assert_int_equal(feed("POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n"
                          "Content-Length: 2\r\n\r\n",
                          &n_used),
                     REQUEST_MORE);
    assert_true(request.wants_continue);
    ready("ab");
    assert_false(request.wants_continue);
}

static void malformed(void **state)
{
    (void)state;
    refused("GET / HTTP/1.1\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400);
    refused("GET / HTTP/1.1\r\n" HOST ": nameless\r\n\r\n", 400);
    refused("GET / HTTP/1.1\r\n" HOST "A b: c\r\n\r\n", 400);
    refused("GET / HTTP/1.2\r\n" HOST "\r\n", 400);
    refused("GET / HTTP/2.0\r\n" HOST "\r\n", 505);
    refused("GET /\r\n\r\n", 400);
    refused("BREW / HTTP/1.1\r\n" HOST "\r\n", 400);
    refused("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 405);
    refused("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400);
    refused("POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400);
    refused("POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400);
    refused("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400);
}

static char *repeated(const char *head, char byte, size_t n, const char *tail)
{
    size_t len = strlen(head);
    size_t cap = len + n + strlen(tail) + 1;
    char *text = malloc(cap);
    assert_non_null(text);
    assert_int_equal(snprintf(text, cap, "%s", head), len);
    memset(text + len, byte, n);
    assert_int_equal(snprintf(text + len + n, cap - len - n, "%s", tail), strlen(tail));
    return text;
}

static void too_large(void **state)
{
    (void)state;
    char *fits = repeated("GET /", 'a', REQUEST_TARGET_BYTES - 1, " HTTP/1.1\r\n" HOST "\r\n");
    ready(fits);
    free(fits);
    char *target = repeated("GET /", 'a', REQUEST_TARGET_BYTES, " HTTP/1.1\r\n" HOST "\r\n");
    refused(target, 414);
    free(target);
    char *head = repeated("GET / HTTP/1.1\r\n" HOST "X: ", 'a', REQUEST_HEAD_BYTES, "\r\n\r\n");
    refused(head, 431);
    free(head);
    char *blanks = repeated("GET / HTTP/1.1\r\n" HOST "X:", ' ', REQUEST_HEAD_BYTES, "");
    size_t n_used = 0;
    request_close(&request);
    request_init(&request);
    assert_int_equal(feed(blanks, &n_used), REQUEST_REFUSED);
    assert_int_equal(request.refusal, 431);
    free(blanks);
    refused("POST / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n", 413);
    char *chunk = repeated("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n10001\r\n",
                           'a', 65537, "\r\n0\r\n\r\n");
    refused(chunk, 413);
    free(chunk);
}

static void as_much_as_allowed(void **state)
{
    (void)state;
    char *body = repeated("POST / HTTP/1.1\r\n" HOST "Content-Length: 65536\r\n\r\n", 'a',
                          REQUEST_BODY_BYTES, "");
    ready(body);
    assert_int_equal(request_body(&request).len, REQUEST_BODY_BYTES);
    free(body);
}

static void many_headers(void **state)
{
    (void)state;
    char text[4096] = "GET / HTTP/1.1\r\n" HOST;
    char *end = text + strlen(text);
    for (size_t i = 1; i < REQUEST_HEADERS_MAX; i++) {
        end += snprintf(end, 8, "A: b\r\n");
    }
    (void)snprintf(end, 16, "\r\n"); /* there is room */
    ready(text);
    assert_int_equal(request_header_count(&request), REQUEST_HEADERS_MAX);
    (void)snprintf(end, 16, "A: b\r\n\r\n"); /* likewise */
    refused(text, 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_get, setup, teardown),
        cmocka_unit_test_setup_teardown(a_form_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelined, setup, teardown),
        cmocka_unit_test_setup_teardown(keep_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(upgrades_are_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(expectations, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(as_much_as_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(many_headers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
