/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/front/answer.h: the relay's own answers. Heads of buildings' answers:
 * answer_head.c. */
#include "relay/front/answer.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/error.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

/* docs/api.md has the same table, for people. */
static const struct {
    enum answer_reason reason;
    unsigned status;
    const char *line;
    const char *word;
} reasons[] = {
    {ANSWER_BAD_REQUEST, 400, "400 Bad Request", "bad_request"},
    {ANSWER_KEY_REFUSED, 403, "403 Forbidden", "key_refused"},
    {ANSWER_NOT_ALLOWED, 403, "403 Forbidden", "not_allowed"},
    {ANSWER_NO_SUCH_PATH, 404, "404 Not Found", "no_such_path"},
    {ANSWER_METHOD_NOT_ALLOWED, 405, "405 Method Not Allowed", "method_not_allowed"},
    {ANSWER_CLIENT_TIMEOUT, 408, "408 Request Timeout", "client_timeout"},
    {ANSWER_BODY_TOO_LARGE, 413, "413 Content Too Large", "too_large"},
    {ANSWER_LINE_TOO_LARGE, 414, "414 URI Too Long", "too_large"},
    {ANSWER_HEAD_TOO_LARGE, 431, "431 Request Header Fields Too Large", "too_large"},
    {ANSWER_EXPECTATION_FAILED, 417, "417 Expectation Failed", "expectation_failed"},
    {ANSWER_RATE_LIMITED, 429, "429 Too Many Requests", "rate_limited"},
    {ANSWER_INTERNAL, 500, "500 Internal Server Error", "internal"},
    {ANSWER_SERVER_UNREACHABLE, 502, "502 Bad Gateway", "server_unreachable"},
    {ANSWER_SERVER_AUTH, 502, "502 Bad Gateway", "server_auth"},
    {ANSWER_BAD_ANSWER, 502, "502 Bad Gateway", "bad_answer"},
    {ANSWER_SERVER_OFFLINE, 503, "503 Service Unavailable", "server_offline"},
    {ANSWER_OVERLOADED, 503, "503 Service Unavailable", "overloaded"},
    {ANSWER_TUNNEL_LOST, 502, "502 Bad Gateway", "tunnel_lost"},
    {ANSWER_SERVER_TIMEOUT, 504, "504 Gateway Timeout", "server_timeout"},
    {ANSWER_AGENT_REFUSED, 502, "502 Bad Gateway", "agent_refused"},
    {ANSWER_UPGRADE_REQUIRED, 426, "426 Upgrade Required", "upgrade_required"},
};
#define N_REASONS (sizeof(reasons) / sizeof(reasons[0]))

static struct buffer out;
static struct answer_context context;
static struct answer_details details;

static int set_up(void **state)
{
    (void)state;
    buffer_init(&out, 8192);
    memset(&details, 0, sizeof(details));
    context = (struct answer_context){
        .request_id = {"id-1", 4},
        .date = DATE,
        .keep_alive = true,
        .is_tls = true,
        .minor = 1,
    };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_close(&out);
    return 0;
}

/* The answer, with a NUL behind it. */
static const char *format(enum answer_reason reason)
{
    buffer_clear(&out);
    assert_int_equal(answer_format(&out, &context, reason, &details), 0);
    assert_int_equal(buffer_append(&out, "", 1), 0);
    return (const char *)buffer_bytes(&out);
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static size_t count(const char *answer, const char *text)
{
    size_t n = 0;
    for (const char *at = answer; (at = strstr(at, text)) != NULL; at++) {
        n++;
    }
    return n;
}

#define ASSERT_HAS(answer, line)   assert_int_equal(count(answer, "\r\n" line "\r\n"), 1)
#define ASSERT_LACKS(answer, name) assert_int_equal(count(answer, "\r\n" name ":"), 0)

static json_t *parse_body(const char *answer)
{
    json_error_t error;
    json_t *body = json_loads(body_of(answer), 0, &error);
    if (body == NULL) {
        fail_msg("%s in %s", error.text, answer);
    }
    assert_int_equal(json_object_size(body), 3);
    return body;
}

static void test_answer_has_status_and_word_of_its_reason(void **state)
{
    (void)state;
    assert_int_equal(N_REASONS, ANSWER_UPGRADE_REQUIRED + 1);
    for (size_t i = 0; i < N_REASONS; i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "HTTP/1.1 %s\r\n", reasons[i].line);
        const char *answer = format(reasons[i].reason);
        assert_int_equal(answer_status(reasons[i].reason), reasons[i].status);
        assert_string_equal(answer_word(reasons[i].reason), reasons[i].word);
        assert_memory_equal(answer, line, strlen(line));
        json_t *body = parse_body(answer);
        assert_string_equal(json_string_value(json_object_get(body, "reason")), reasons[i].word);
        assert_true(json_string_length(json_object_get(body, "error")) > 0);
        json_decref(body);
    }
}

static void test_answer_tells_whether_the_server_got_the_call(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_REASONS; i++) {
        details.delivered = HEAD_DELIVERED_NO;
        json_t *body = parse_body(format(reasons[i].reason));
        assert_true(json_is_false(json_object_get(body, "delivered")));
        json_decref(body);
        details.delivered = HEAD_DELIVERED_YES;
        body = parse_body(format(reasons[i].reason));
        assert_true(json_is_true(json_object_get(body, "delivered")));
        json_decref(body);
        details.delivered = HEAD_DELIVERED_UNKNOWN;
        body = parse_body(format(reasons[i].reason));
        assert_string_equal(json_string_value(json_object_get(body, "delivered")), "unknown");
        json_decref(body);
    }
}

static void test_answer_says_why_behind_its_sentence(void **state)
{
    (void)state;
    json_t *plain = parse_body(format(ANSWER_BAD_REQUEST));
    details.why = "not exactly one valid Host";
    json_t *explained = parse_body(format(ANSWER_BAD_REQUEST));
    const char *sentence = json_string_value(json_object_get(plain, "error"));
    const char *longer = json_string_value(json_object_get(explained, "error"));
    assert_int_equal(strncmp(longer, sentence, strlen(sentence)), 0);
    assert_string_equal(longer + strlen(sentence), ": not exactly one valid Host");
    json_decref(plain);
    json_decref(explained);
}

static void test_answer_length_is_that_of_its_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_REASONS; i++) {
        char line[64];
        const char *answer = format(reasons[i].reason);
        (void)snprintf(line, sizeof(line), "\r\nContent-Length: %zu\r\n", strlen(body_of(answer)));
        assert_int_equal(count(answer, line), 1);
        assert_int_equal(count(answer, "Content-Length"), 1);
        ASSERT_LACKS(answer, "Transfer-Encoding");
    }
}

static void test_answer_to_head_has_the_same_head_and_no_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_REASONS; i++) {
        char full[1024];
        context.head_only = false;
        (void)snprintf(full, sizeof(full), "%s", format(reasons[i].reason));
        context.head_only = true;
        const char *answer = format(reasons[i].reason);
        assert_int_equal(strlen(body_of(answer)), 0);
        assert_memory_equal(answer, full, strlen(answer));
    }
}

static void test_answer_has_the_fields_that_all_have(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_REASONS; i++) {
        const char *answer = format(reasons[i].reason);
        ASSERT_HAS(answer, "Content-Type: application/json");
        ASSERT_HAS(answer, "Cache-Control: no-store");
        ASSERT_HAS(answer, "Date: " DATE);
        ASSERT_HAS(answer, "X-Request-Id: id-1");
        ASSERT_HAS(answer, "Strict-Transport-Security: max-age=31536000");
    }
}

static void test_answer_without_tls_sets_no_transport_security(void **state)
{
    (void)state;
    context.is_tls = false;
    ASSERT_LACKS(format(ANSWER_BAD_REQUEST), "Strict-Transport-Security");
}

static void test_answer_takes_the_longest_request_id(void **state)
{
    (void)state;
    char id[65];
    char line[96];
    memset(id, 'i', 64);
    id[64] = '\0';
    context.request_id = (struct span){id, 64};
    context.keep_alive = false;
    (void)snprintf(line, sizeof(line), "\r\nX-Request-Id: %s\r\n", id);
    assert_int_equal(count(format(ANSWER_INTERNAL), line), 1);
}

static void test_answer_connection_follows_the_clients_version(void **state)
{
    (void)state;
    ASSERT_LACKS(format(ANSWER_INTERNAL), "Connection");
    context.minor = 0;
    ASSERT_HAS(format(ANSWER_INTERNAL), "Connection: keep-alive");
    context.keep_alive = false;
    ASSERT_HAS(format(ANSWER_INTERNAL), "Connection: close");
    context.minor = 1;
    ASSERT_HAS(format(ANSWER_INTERNAL), "Connection: close");
    assert_int_equal(count(format(ANSWER_INTERNAL), "Connection:"), 1);
}

static void test_answer_over_a_limit_tells_when_to_retry_and_what_the_limit_is(void **state)
{
    (void)state;
    details.retry_after_s = 2;
    details.reset_s = 15;
    details.policy = ANSWER_POLICY_COMMANDS;
    details.rate = (struct bucket_rate){.per_s = 3, .burst = 40};
    const char *answer = format(ANSWER_RATE_LIMITED);
    ASSERT_HAS(answer, "Retry-After: 2");
    ASSERT_HAS(answer, "RateLimit-Policy: \"commands\";q=40;w=14");
    ASSERT_HAS(answer, "RateLimit: \"commands\";r=0;t=15");
}

static void test_answer_limits_fit_with_the_largest_numbers(void **state)
{
    (void)state;
    details.retry_after_s = UINT32_MAX;
    details.reset_s = UINT32_MAX;
    details.policy = ANSWER_POLICY_COMMANDS;
    details.rate = (struct bucket_rate){.per_s = 1, .burst = UINT32_MAX};
    const char *answer = format(ANSWER_RATE_LIMITED);
    ASSERT_HAS(answer, "Retry-After: 4294967295");
    ASSERT_HAS(answer, "RateLimit-Policy: \"commands\";q=4294967295;w=4294967295");
    ASSERT_HAS(answer, "RateLimit: \"commands\";r=0;t=4294967295");
}

static void test_answer_advises_a_retry_only_where_told(void **state)
{
    (void)state;
    ASSERT_LACKS(format(ANSWER_SERVER_OFFLINE), "Retry-After");
    ASSERT_LACKS(format(ANSWER_BAD_REQUEST), "RateLimit");
    details.retry_after_s = ANSWER_RETRY_S;
    ASSERT_HAS(format(ANSWER_SERVER_OFFLINE), "Retry-After: 2");
    ASSERT_HAS(format(ANSWER_OVERLOADED), "Retry-After: 2");
    ASSERT_LACKS(format(ANSWER_OVERLOADED), "RateLimit");
    ASSERT_LACKS(format(ANSWER_OVERLOADED), "RateLimit-Policy");
}

static void test_answer_names_what_is_allowed_instead(void **state)
{
    (void)state;
    ASSERT_HAS(format(ANSWER_METHOD_NOT_ALLOWED), "Allow: GET, HEAD, POST");
    ASSERT_HAS(format(ANSWER_UPGRADE_REQUIRED), "Upgrade: websocket");
    ASSERT_HAS(format(ANSWER_UPGRADE_REQUIRED), "Connection: upgrade");
    ASSERT_HAS(format(ANSWER_UPGRADE_REQUIRED), "Sec-WebSocket-Version: 13");
    ASSERT_LACKS(format(ANSWER_BAD_REQUEST), "Allow");
    ASSERT_LACKS(format(ANSWER_BAD_REQUEST), "Upgrade");
}

static void test_answer_is_appended_behind_the_one_before(void **state)
{
    (void)state;
    assert_int_equal(answer_format(&out, &context, ANSWER_INTERNAL, &details), 0);
    size_t len = out.len;
    assert_int_equal(answer_format(&out, &context, ANSWER_INTERNAL, &details), 0);
    assert_int_equal(out.len, 2 * len);
    assert_memory_equal(buffer_bytes(&out), buffer_bytes(&out) + len, len);
}

static void test_answer_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    size_t len = strlen(format(ANSWER_INTERNAL));
    for (size_t max = 0; max <= len; max++) {
        struct buffer small;
        buffer_init(&small, max);
        assert_int_equal(answer_format(&small, &context, ANSWER_INTERNAL, &details),
                         max == len ? 0 : ERROR_LIMIT);
        buffer_close(&small);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_answer_has_status_and_word_of_its_reason),
        CASE(test_answer_tells_whether_the_server_got_the_call),
        CASE(test_answer_says_why_behind_its_sentence),
        CASE(test_answer_length_is_that_of_its_body),
        CASE(test_answer_to_head_has_the_same_head_and_no_body),
        CASE(test_answer_has_the_fields_that_all_have),
        CASE(test_answer_without_tls_sets_no_transport_security),
        CASE(test_answer_takes_the_longest_request_id),
        CASE(test_answer_connection_follows_the_clients_version),
        CASE(test_answer_over_a_limit_tells_when_to_retry_and_what_the_limit_is),
        CASE(test_answer_limits_fit_with_the_largest_numbers),
        CASE(test_answer_advises_a_retry_only_where_told),
        CASE(test_answer_names_what_is_allowed_instead),
        CASE(test_answer_is_appended_behind_the_one_before),
        CASE(test_answer_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
