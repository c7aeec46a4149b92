/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/http/request.h: every limit at it and one past it, and what happens when memory
 * runs out. */
#include "proto/http/request.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "proto/base/buffer.h"
#include "tests/unit/base/allocator.h"
#include "tests/unit/http/verdict.h"

#define START "GET / HTTP/1.1\r\n"
#define HOST  "Host: h\r\n"

/* The stream of a case, and the verdict it should get. */
static struct buffer in;
static struct buffer expected;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&in, VERDICT_BYTES_MAX);
    buffer_init(&expected, VERDICT_BYTES_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)allocator_reset();
    buffer_close(&in);
    buffer_close(&expected);
    return 0;
}

static void add(struct buffer *b, const char *text)
{
    assert_int_equal(buffer_append(b, text, strlen(text)), 0);
}

static void add_fill(struct buffer *b, size_t len)
{
    uint8_t *room = NULL;
    assert_int_equal(buffer_reserve(b, len, &room), 0);
    memset(room, 'x', len);
    buffer_commit(b, len);
}

/* Judges `in`, and empties it. */
static void expect(const char *verdict)
{
    verdict_expect(buffer_bytes(&in), in.len, verdict);
    buffer_clear(&in);
}

static void add_line_of(size_t len)
{
    size_t around = sizeof("GET / HTTP/1.1") - 1;
    add(&in, "GET /");
    add_fill(&in, len - around);
    add(&in, " HTTP/1.1\r\n" HOST "\r\n");
}

static void test_request_line_may_have_8192_bytes(void **state)
{
    (void)state;
    add_line_of(REQUEST_LINE_BYTES_MAX);
    add(&expected, "GET /");
    add_fill(&expected, REQUEST_LINE_BYTES_MAX - (sizeof("GET / HTTP/1.1") - 1));
    add(&expected, " 1.1 keep;");
    assert_int_equal(buffer_append(&expected, "", 1), 0);
    expect((const char *)buffer_bytes(&expected));
    add_line_of(REQUEST_LINE_BYTES_MAX + 1);
    expect("!414;");
    add_fill(&in, REQUEST_LINE_BYTES_MAX + 3);
    expect("!414;");
    add_fill(&in, REQUEST_LINE_BYTES_MAX + REQUEST_HEAD_BYTES_MAX + 1000);
    expect("!414;");
}

static void test_request_line_limit_does_not_count_the_empty_lines_before(void **state)
{
    (void)state;
    add(&in, "\r\n\r\n");
    add_line_of(REQUEST_LINE_BYTES_MAX + 1);
    expect("!414;");
    add(&in, "\r\n\r\n");
    add_fill(&in, REQUEST_LINE_BYTES_MAX);
    expect("~line;");
}

/* Fields of `len` bytes in all, their line ends included. */
static void add_fields_of(size_t len)
{
    add(&in, START HOST "X: ");
    add_fill(&in, len - sizeof(HOST "X: \r\n") + 1);
    add(&in, "\r\n\r\n");
}

static void test_request_fields_may_have_16384_bytes(void **state)
{
    (void)state;
    add_fields_of(REQUEST_HEAD_BYTES_MAX);
    expect("GET / 1.1 keep;");
    add_fields_of(REQUEST_HEAD_BYTES_MAX + 1);
    expect("!431;");
    add(&in, START);
    add_fill(&in, REQUEST_HEAD_BYTES_MAX + 3);
    expect("!431;");
    add(&in, START);
    add_fill(&in, REQUEST_LINE_BYTES_MAX + REQUEST_HEAD_BYTES_MAX + 1000);
    expect("!431;");
}

static void test_request_line_and_fields_may_both_be_at_their_limits(void **state)
{
    (void)state;
    add(&in, "PUT /?");
    add_fill(&in, REQUEST_LINE_BYTES_MAX - (sizeof("PUT /? HTTP/1.1") - 1));
    add(&in, " HTTP/1.1\r\n" HOST "X: ");
    add_fill(&in, REQUEST_HEAD_BYTES_MAX - sizeof(HOST "X: \r\n") + 1);
    add(&in, "\r\n\r\n");
    static struct request r;
    size_t used = 0;
    request_init(&r);
    assert_int_equal(request_feed(&r, buffer_bytes(&in), in.len, &used), REQUEST_COMPLETE);
    assert_int_equal(used, in.len);
    assert_int_equal(r.n_fields, 2);
    request_close(&r);
}

static void add_n_fields(size_t n)
{
    add(&in, START HOST);
    for (size_t i = 1; i < n; i++) {
        add(&in, "X: y\r\n");
    }
    add(&in, "\r\n");
}

static void test_request_may_have_100_fields(void **state)
{
    (void)state;
    add_n_fields(REQUEST_FIELDS_MAX);
    expect("GET / 1.1 keep;");
    add_n_fields(REQUEST_FIELDS_MAX + 1);
    expect("!431;");
}

static void test_request_field_name_may_have_255_bytes(void **state)
{
    (void)state;
    for (size_t len = REQUEST_NAME_BYTES_MAX; len <= REQUEST_NAME_BYTES_MAX + 1; len++) {
        add(&in, "GET / HTTP/1.1\r\n" HOST);
        add_fill(&in, len);
        add(&in, ": v\r\n\r\n");
        expect(len == REQUEST_NAME_BYTES_MAX ? "GET / 1.1 keep;" : "!431;");
    }
}

/* A peer that breaks several rules gets the same answer however its bytes arrive. */
static void test_request_is_refused_for_its_first_fault(void **state)
{
    (void)state;
    add(&in, "GET / HTTP/3.0\r\n");
    add_fill(&in, REQUEST_HEAD_BYTES_MAX + 3);
    expect("!400;");
    add(&in, "GET /.. HTTP/1.1\r\n");
    add_fill(&in, REQUEST_HEAD_BYTES_MAX + 3);
    expect("!400;");
    add(&in, START "X: \x01");
    add_fill(&in, REQUEST_HEAD_BYTES_MAX + 3);
    expect("!400;");
    add_fill(&in, REQUEST_LINE_BYTES_MAX + 3);
    add(&in, "\x01");
    expect("!414;");
}

static void add_post(const char *fields)
{
    add(&in, "POST / HTTP/1.1\r\n" HOST);
    add(&in, fields);
    add(&in, "\r\n");
}

static void expect_body_of(size_t len)
{
    add(&expected, "POST / 1.1 keep <");
    add_fill(&expected, len);
    add(&expected, ">;");
    assert_int_equal(buffer_append(&expected, "", 1), 0);
    expect((const char *)buffer_bytes(&expected));
    buffer_clear(&expected);
}

static void test_request_body_may_have_65536_bytes(void **state)
{
    (void)state;
    add_post("Content-Length: 65536\r\n");
    add_fill(&in, REQUEST_BODY_BYTES_MAX);
    expect_body_of(REQUEST_BODY_BYTES_MAX);
    add_post("Content-Length: 65537\r\n");
    expect("!413;");
    add_post("Content-Length: 18446744073709551615\r\n");
    expect("!413;");
}

static void test_request_chunked_body_may_have_65536_bytes(void **state)
{
    (void)state;
    add_post("Transfer-Encoding: chunked\r\n");
    add(&in, "8000\r\n");
    add_fill(&in, 0x8000);
    add(&in, "\r\n8000;\r\n");
    add_fill(&in, 0x8000);
    add(&in, "\r\n0\r\n\r\n");
    expect_body_of(REQUEST_BODY_BYTES_MAX);
    add_post("Transfer-Encoding: chunked\r\n");
    add(&in, "10000\r\n");
    add_fill(&in, 0x10000);
    add(&in, "\r\n1\r\nx");
    expect("!413;");
    add_post("Transfer-Encoding: chunked\r\n");
    add(&in, "10001\r\n");
    add_fill(&in, 0x10001);
    expect("!413;");
}

static void test_request_chunk_too_large_is_refused_when_its_size_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *sizes;
        const char *verdict;
    } cases[] = {
        {"10001\r\n", "!413;"},           {"FFFFFFFF;x\r\n", "!413;"},
        {"1\r\nx\r\n10000\r\n", "!413;"}, {"10001", "~body;"},
        {"10001x\r\n", "!400;"},          {"100010000\r\n", "!400;"},
        {"10001;\x01\r\n", "!400;"},      {"1\r\nx\r\n10000x", "!400;"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        add_post("Transfer-Encoding: chunked\r\n");
        add(&in, cases[i].sizes);
        expect(cases[i].verdict);
    }
}

static void test_request_too_large_is_refused_with_413_instead_of_continued(void **state)
{
    (void)state;
    add_post("Expect: 100-continue\r\nContent-Length: 65537\r\n");
    expect("!413;");
    add_post("Expect: 100-continue\r\nContent-Length: 65536\r\n");
    expect("~body;");
}

static void test_request_id_may_have_64_bytes(void **state)
{
    (void)state;
    add(&in, START HOST "X-Request-Id: ");
    add_fill(&in, REQUEST_ID_BYTES_MAX);
    add(&in, "\r\n\r\n");
    add(&expected, "GET / 1.1 keep id=");
    add_fill(&expected, REQUEST_ID_BYTES_MAX);
    add(&expected, ";");
    assert_int_equal(buffer_append(&expected, "", 1), 0);
    expect((const char *)buffer_bytes(&expected));
    add(&in, START HOST "X-Request-Id: ");
    add_fill(&in, REQUEST_ID_BYTES_MAX + 1);
    add(&in, "\r\n\r\n");
    expect("GET / 1.1 keep;");
}

static void test_request_keeps_the_memory_of_a_small_head_only(void **state)
{
    (void)state;
    static struct request r;
    size_t used = 0;
    request_init(&r);
    add(&in, START HOST "\r\n");
    assert_int_equal(request_feed(&r, buffer_bytes(&in), in.len, &used), REQUEST_COMPLETE);
    request_reset(&r);
    assert_non_null(r.head.data);
    buffer_clear(&in);
    add_fields_of(REQUEST_HEAD_BYTES_MAX);
    assert_int_equal(request_feed(&r, buffer_bytes(&in), in.len, &used), REQUEST_COMPLETE);
    request_reset(&r);
    assert_null(r.head.data);
    request_close(&r);
}

static enum request_refusal refused_without_memory(size_t n_allocations)
{
    static struct request r;
    size_t used = 0;
    request_init(&r);
    allocator_refuse_after(n_allocations);
    (void)request_feed(&r, buffer_bytes(&in), in.len, &used);
    (void)request_feed(&r, buffer_bytes(&in) + used, in.len - used, &used);
    assert_true(allocator_reset());
    assert_int_equal(r.state, REQUEST_REFUSED);
    enum request_refusal refusal = r.refusal;
    request_close(&r);
    return refusal;
}

static void test_request_without_memory_is_refused_as_too_large(void **state)
{
    (void)state;
    add_post("Content-Length: 5\r\n");
    add(&in, "abcde");
    assert_int_equal(refused_without_memory(0), REQUEST_LINE_TOO_LARGE);
    buffer_clear(&in);
    add_post("Transfer-Encoding: chunked\r\n");
    add(&in, "1\r\na\r\n0\r\n\r\n");
    assert_int_equal(refused_without_memory(1), REQUEST_BODY_TOO_LARGE);
    buffer_clear(&in);
    add_fields_of(REQUEST_HEAD_BYTES_MAX);
    assert_int_equal(refused_without_memory(1), REQUEST_HEAD_TOO_LARGE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_request_line_may_have_8192_bytes),
        CASE(test_request_line_limit_does_not_count_the_empty_lines_before),
        CASE(test_request_fields_may_have_16384_bytes),
        CASE(test_request_line_and_fields_may_both_be_at_their_limits),
        CASE(test_request_may_have_100_fields),
        CASE(test_request_field_name_may_have_255_bytes),
        CASE(test_request_is_refused_for_its_first_fault),
        CASE(test_request_body_may_have_65536_bytes),
        CASE(test_request_chunked_body_may_have_65536_bytes),
        CASE(test_request_chunk_too_large_is_refused_when_its_size_is_known),
        CASE(test_request_too_large_is_refused_with_413_instead_of_continued),
        CASE(test_request_id_may_have_64_bytes),
        CASE(test_request_keeps_the_memory_of_a_small_head_only),
        CASE(test_request_without_memory_is_refused_as_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
