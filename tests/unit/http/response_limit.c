/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proto/http/response: its limits, each at the limit and one past it, and its states.
 */
#include "proto/http/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buffer.h"
#include "proto/base/error.h"

/* Feeds a text in one piece and then byte by byte, and returns the code. */
static int code_of(const char *bytes, size_t len)
{
    struct response r;
    response_init(&r);
    enum response_event event = RESPONSE_EVENT_NONE;
    struct span input = {bytes, len};
    response_begin(&r, false);
    int rc = response_next(&r, &input, &event);
    response_begin(&r, false);
    int slow = 0;
    for (size_t i = 0; i < len && slow == 0 && event != RESPONSE_EVENT_END; i++) {
        input = (struct span){bytes + i, 1};
        slow = response_next(&r, &input, &event);
    }
    assert_int_equal(rc, slow);
    if (rc < 0) {
        /* The failure lasts, and an empty input does not hide it. */
        input.len = 0;
        assert_int_equal(response_next(&r, &input, &event), rc);
        assert_int_equal(response_finish(&r), rc);
    }
    response_close(&r);
    return rc;
}

static void add(struct buffer *text, const char *what)
{
    assert_int_equal(buffer_append(text, what, strlen(what)), 0);
}

/* The code for a head of `n_fields` fields, and of `n_bytes` bytes if that is not 0. */
static int code_of_head(size_t n_fields, size_t n_bytes)
{
    struct buffer text;
    buffer_init(&text, RESPONSE_HEAD_BYTES_MAX + 1);
    add(&text, "HTTP/1.1 204 No\r\n");
    for (size_t i = 0; i < n_fields; i++) {
        add(&text, "A: b\r\n");
    }
    if (n_bytes > 0) {
        add(&text, "B: ");
        while (text.len < n_bytes - 4) {
            add(&text, "b");
        }
        add(&text, "\r\n");
    }
    add(&text, "\r\n");
    int code = code_of((const char *)buffer_bytes(&text), text.len);
    buffer_close(&text);
    return code;
}

static void head_size_limit(void **state)
{
    (void)state;
    assert_int_equal(code_of_head(0, RESPONSE_HEAD_BYTES_MAX), 0);
    assert_int_equal(code_of_head(0, RESPONSE_HEAD_BYTES_MAX + 1), ERROR_LIMIT);
}

/* Its memory goes when the next answer begins. */
static void a_large_head_is_not_kept(void **state)
{
    (void)state;
    struct response r;
    enum response_event event = RESPONSE_EVENT_NONE;
    struct buffer text;
    buffer_init(&text, RESPONSE_HEAD_BYTES_MAX);
    add(&text, "HTTP/1.1 204 No\r\nB: ");
    while (text.len < RESPONSE_HEAD_BYTES_MAX / 2) {
        add(&text, "b");
    }
    add(&text, "\r\n\r\n");
    response_init(&r);
    for (int i = 0; i < 2; i++) {
        struct span input = {(const char *)buffer_bytes(&text), text.len - 1};
        response_begin(&r, false);
        assert_true(r.head.cap < text.len - 1);
        assert_int_equal(response_next(&r, &input, &event), 0);
        assert_true(r.head.cap >= text.len - 1); /* one that is cut has to be kept */
        input = span_of("\n");
        assert_int_equal(response_next(&r, &input, &event), 0);
        assert_int_equal(event, RESPONSE_EVENT_HEAD);
        assert_int_equal(response_next(&r, &input, &event), 0);
        assert_int_equal(event, RESPONSE_EVENT_END);
    }
    buffer_close(&text);
    response_close(&r);
}

static void field_count_limit(void **state)
{
    (void)state;
    assert_int_equal(code_of_head(RESPONSE_FIELDS_MAX, 0), 0);
    assert_int_equal(code_of_head(RESPONSE_FIELDS_MAX + 1, 0), ERROR_LIMIT);
}

static void chunk_line_limit(void **state)
{
    (void)state;
    static const char START[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=";
    struct response r;
    response_init(&r);
    response_begin(&r, false);
    struct span input = {START, sizeof(START) - 1};
    enum response_event event = RESPONSE_EVENT_NONE;
    assert_int_equal(response_next(&r, &input, &event), 0);
    assert_int_equal(event, RESPONSE_EVENT_HEAD);
    assert_int_equal(response_next(&r, &input, &event), 0);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < 2 * CHUNKED_LINE_BYTES_MAX; i++) {
        input = (struct span){"x", 1};
        rc = response_next(&r, &input, &event);
    }
    assert_int_equal(rc, ERROR_LIMIT);
    response_close(&r);
}

static void nothing_begun_is_an_error(void **state)
{
    (void)state;
    struct response r;
    struct span input = span_of("x");
    enum response_event event = RESPONSE_EVENT_NONE;
    response_init(&r);
    assert_int_equal(response_next(&r, &input, &event), ERROR_STATE);
    response_begin(&r, true);
    input = span_of("HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(response_next(&r, &input, &event), 0);
    assert_int_equal(event, RESPONSE_EVENT_HEAD);
    assert_int_equal(response_next(&r, &input, &event), 0);
    assert_int_equal(event, RESPONSE_EVENT_END);
    assert_int_equal(response_next(&r, &input, &event), ERROR_STATE);
    response_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_size_limit),           cmocka_unit_test(a_large_head_is_not_kept),
        cmocka_unit_test(field_count_limit),         cmocka_unit_test(chunk_line_limit),
        cmocka_unit_test(nothing_begun_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
