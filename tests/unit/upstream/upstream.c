/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream: settings, requests and answers. */
#include "tests/unit/upstream/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        {name, sizeof(name) - 1},                                                                  \
        {                                                                                          \
            value, sizeof(value) - 1                                                               \
        }                                                                                          \
    }

/* "host:port" of the server. */
static const char *authority(const struct fixture *f)
{
    return f->server.url + strlen("http://");
}

static void expect_request(const struct fixture *f, size_t n, const char *before_host,
                           const char *after_host)
{
    char expected[1024];
    assert_true(n < f->server.n_requests);
    (void)snprintf(expected, sizeof(expected), "%s%s%s", before_host, authority(f), after_host);
    assert_string_equal(f->server.requests[n].text, expected);
}

/* ---- settings ---- */

static void expect_bad_settings(struct fixture *f, const char *word)
{
    struct error_text e;
    assert_int_equal(upstream_new(&f->loop, &f->settings, &f->u, &e), ERROR_CONFIG);
    assert_null(f->u);
    if (strstr(e.text, word) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", word, e.text);
    }
    assert_null(strstr(e.text, "sesame"));
}

static void bad_urls_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *const urls[] = {
        "",          "http://",      "http:///",          "https://a",    "ftp://a",
        "//a",       "http://a/x",   "http://a?x",        "http://a:0",   "http://a:65536",
        "http://a:", "http://:5051", "http://a b",        "http://[::1",  "http://a//",
        "a:5051",    "http://a#x",   "http://u:sesame@a", "http://a:1:2", "HTTP:/a",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        f->settings.url = urls[i];
        expect_bad_settings(f, "url");
    }
    f->settings.url = NULL;
    expect_bad_settings(f, "url");
}

static void good_urls_are_taken(void **state)
{
    struct fixture *f = *state;
    const char *const urls[] = {"http://10.0.0.1", "HTTP://knx.local:80/", "http://[::1]:5051",
                                "http://[fe80::1]/"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        f->settings.url = urls[i];
        f->closed = false;
        start(f);
        until_closed(f);
    }
}

static void bad_numbers_are_refused(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 0;
    expect_bad_settings(f, "max_connections");
    f->settings.max_connections = 1;
    f->settings.answer_timeout_ms = 0;
    expect_bad_settings(f, "timeout");
}

static void bad_credentials_are_refused(void **state)
{
    struct fixture *f = *state;
    char text[300];
    memset(text, 'x', sizeof(text));
    text[256] = '\0';
    f->settings.auth = UPSTREAM_AUTH_BASIC;
    f->settings.password = "sesame\n";
    expect_bad_settings(f, "password");
    f->settings.password = "";
    expect_bad_settings(f, "password");
    f->settings.password = text;
    expect_bad_settings(f, "longer");
    f->settings.password = text + 1;
    f->settings.user = NULL;
    expect_bad_settings(f, "user");
    f->settings.user = "a:b";
    expect_bad_settings(f, "colon");
    f->settings.user = text + 1;
    start(f);
}

/* ---- requests ---- */

static void a_get_is_written_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    start(f);
    struct call *call = get(f, "/api/V1/powerlevel?guid=1&&cmd=50&fb&x=%41+b\"\\");
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(call->n_handed, 1);
    assert_int_equal(call->body_bytes, 2);
    expect_request(f, 0, "GET /api/V1/powerlevel?guid=1&&cmd=50&fb&x=%41+b\"\\ HTTP/1.1\r\nHost: ",
                   "\r\n\r\n");
}

static void queries_keep_their_form(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_done(get(f, "/api/v1/system/serverStatus"));
    until_done(get(f, "/api/v1/system/serverStatus?"));
    expect_request(f, 0, "GET /api/v1/system/serverStatus HTTP/1.1\r\nHost: ", "\r\n\r\n");
    expect_request(f, 1, "GET /api/v1/system/serverStatus? HTTP/1.1\r\nHost: ", "\r\n\r\n");
}

static void a_post_carries_its_body(void **state)
{
    static const struct head_field FIELDS[] = {
        FIELD("Content-Type", "application/x-www-form-urlencoded")};
    struct fixture *f = *state;
    start(f);
    until_done(request(f, HEAD_METHOD_POST, "/api/v1/power", FIELDS, 1, "guid=1&cmd=1", 12, 0));
    until_done(request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, NULL, 0, 0));
    expect_request(f, 0, "POST /api/v1/power HTTP/1.1\r\nHost: ",
                   "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n"
                   "\r\nguid=1&cmd=1");
    expect_request(f, 1, "POST /api/v1/power HTTP/1.1\r\nHost: ", "\r\nContent-Length: 0\r\n\r\n");
}

static void private_fields_are_left_out(void **state)
{
    static const struct head_field FIELDS[] = {
        FIELD("Accept", "*/*"),
        FIELD("Connection", "keep-alive, X-Mine"),
        FIELD("X-Mine", "1"),
        FIELD("Host", "evil"),
        FIELD("Authorization", "Basic eA=="),
        FIELD("Cookie", "a=b"),
        FIELD("Transfer-Encoding", "chunked"),
        FIELD("Content-Length", "99"),
        FIELD("Expect", "100-continue"),
        FIELD("X-Forwarded-For", "1.2.3.4"),
        FIELD("X-Yours", "caf\xe9"),
        FIELD("X-Empty", ""),
    };
    struct fixture *f = *state;
    start(f);
    until_done(request(f, HEAD_METHOD_GET, STATUS, FIELDS, sizeof(FIELDS) / sizeof(FIELDS[0]), NULL,
                       0, 0));
    expect_request(f, 0, "GET " STATUS " HTTP/1.1\r\nHost: ",
                   "\r\nAccept: */*\r\nX-Yours: caf\xe9\r\nX-Empty: \r\n\r\n");
}

static int code_of(struct fixture *f, struct head_request head)
{
    struct call *call = NULL;
    return try_request(f, &head, NULL, &call);
}

static void other_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *const paths[] = {"",
                                 "/",
                                 "/api/v1",
                                 "/api/v1/",
                                 "/api/v2/power",
                                 "/API/v1/power",
                                 "/api/v11/power",
                                 "api/v1/power",
                                 "//api/v1/power",
                                 "/api/v1/../../admin",
                                 "/api/v1/%2e%2e/x",
                                 "/api/v1/a%2fb",
                                 "/api/v1/a b",
                                 "/api/v1/a\r\nX: y",
                                 "/api/v1/a#b",
                                 "/api/v1/a?b",
                                 "/api/%76%31/power"};
    start(f);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of(paths[i])};
        assert_int_equal(code_of(f, head), ERROR_REFUSED);
    }
    struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of("/api/v1/power")};
    head.has_query = true;
    head.query = span_of("a=b c");
    assert_int_equal(code_of(f, head), ERROR_REFUSED);
    head.query = span_of("a=b\r\nX: y");
    assert_int_equal(code_of(f, head), ERROR_REFUSED);
    head.query = span_of("a#b");
    assert_int_equal(code_of(f, head), ERROR_REFUSED);
    head.query = span_of("a=b");
    head.method = (enum head_method)9;
    assert_int_equal(code_of(f, head), ERROR_REFUSED);
    head.method = HEAD_METHOD_GET;
    head.body_bytes = 1024 * 1024;
    assert_int_equal(code_of(f, head), ERROR_REFUSED);
    assert_int_equal(f->n_calls, 0);
}

static void fields_that_would_split_are_refused(void **state)
{
    static const struct head_field BAD[] = {FIELD("A", "b\r\nC: d"), FIELD("A", "b\nc"),
                                            FIELD("A b", "c"),       FIELD("", "c"),
                                            FIELD("A:", "c"),        FIELD("A", "b\0c")};
    struct fixture *f = *state;
    start(f);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct head_request head = {.method = HEAD_METHOD_GET,
                                    .path = span_of("/api/v1/power"),
                                    .fields = &BAD[i],
                                    .n_fields = 1};
        assert_int_equal(code_of(f, head), ERROR_REFUSED);
    }
}

static void a_large_body_is_written_whole(void **state)
{
    struct fixture *f = *state;
    size_t len = 100 * 1024;
    char *body = malloc(len);
    assert_non_null(body);
    for (size_t i = 0; i < len; i++) {
        body[i] = (char)('a' + i % 26);
    }
    start(f);
    struct call *call = request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, body, len, 0);
    until_done(call);
    expect_answer(call, 200, "ok");
    const char *text = f->server.requests[0].text;
    assert_memory_equal(strstr(text, "\r\n\r\n") + 4, body, len);
    free(body);
}

/* ---- answers ---- */

static void answers_of_all_shapes(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "HTTP/1.1 404 No\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nno!", FAKE_KEEP);
    fake_reply(&f->server,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
               FAKE_KEEP);
    fake_reply(&f->server, "HTTP/1.1 204 No\r\n\r\n", FAKE_KEEP);
    fake_reply(&f->server, "HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\n" OK, FAKE_KEEP);
    fake_reply(&f->server, "HTTP/1.1 200 OK\r\n\r\nto the end", FAKE_CLOSE);
    start(f);
    struct call *not_found = get(f, COMMAND);
    until_done(not_found);
    expect_answer(not_found, 404, "no!");
    assert_string_equal(not_found->fields, "[X-A=1]");
    struct call *chunked = get(f, COMMAND);
    until_done(chunked);
    expect_answer(chunked, 200, "abc");
    assert_int_equal(chunked->body_bytes, -1);
    struct call *empty = get(f, COMMAND);
    until_done(empty);
    expect_answer(empty, 204, "");
    struct call *waited = get(f, COMMAND);
    until_done(waited);
    expect_answer(waited, 200, "ok");
    assert_int_equal(f->server.n_peers, 1);
    struct call *to_end = get(f, COMMAND);
    until_done(to_end);
    expect_answer(to_end, 200, "to the end");
    until_open(f, 0);
}

static void a_head_answer_has_no_body(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "HTTP/1.1 200 OK\r\nContent-Length: 120\r\n\r\n", FAKE_KEEP);
    start(f);
    struct call *call = request(f, HEAD_METHOD_HEAD, STATUS, NULL, 0, NULL, 0, 0);
    until_done(call);
    expect_answer(call, 200, "");
    assert_int_equal(call->body_bytes, 120);
    until_done(get(f, STATUS));
    assert_int_equal(f->server.n_peers, 1);
}

static void fields_that_go_no_further_stay_here(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server,
               "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
               "Keep-Alive: timeout=9\r\nContent-Length: 0\r\nContent-Type: a/b\r\n"
               "Upgrade: h2c\r\nServer: x\r\nDate: y\r\nX-Own: z\r\n\r\n",
               FAKE_KEEP);
    start(f);
    struct call *call = get(f, STATUS);
    until_done(call);
    expect_answer(call, 200, "");
    assert_string_equal(call->fields, "[Content-Type=a/b][X-Own=z]");
}

/* Fails as BAD_ANSWER, delivered YES. */
static void expect_bad_answer(struct fixture *f, const char *reply, enum fake_then then)
{
    struct upstream_stats stats;
    fake_reply(&f->server, reply, then);
    struct call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_YES);
    upstream_read_stats(f->u, &stats);
    assert_true(strlen(stats.last_error) > strlen(authority(f)));
    until_open(f, 0);
}

static void garbage_is_a_bad_answer(void **state)
{
    struct fixture *f = *state;
    start(f);
    expect_bad_answer(f, "<html>hello</html>", FAKE_KEEP);
    expect_bad_answer(f, "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", FAKE_KEEP);
    expect_bad_answer(f, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                      FAKE_KEEP);
    expect_bad_answer(f, "HTTP/1.1 101 Switching\r\n\r\n", FAKE_KEEP);
    assert_int_equal(f->server.n_requests, 4);
}

static void a_cut_answer_is_a_bad_answer(void **state)
{
    struct fixture *f = *state;
    start(f);
    expect_bad_answer(f, "H", FAKE_CLOSE);
    expect_bad_answer(f, "HTTP/1.1 200 OK\r\nContent-Le", FAKE_RESET);
    expect_bad_answer(f, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", FAKE_CLOSE);
    assert_int_equal(f->calls[2].n_heads, 1);
    expect_bad_answer(f, "HTTP/1.1 200 OK\r\n\r\nto the", FAKE_RESET);
    assert_int_equal(f->server.n_requests, 4);
}

static void no_answer_at_all_is_unknown(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "", FAKE_CLOSE);
    fake_reply(&f->server, "", FAKE_RESET);
    start(f);
    for (int i = 0; i < 2; i++) {
        struct call *call = get(f, STATUS);
        until_done(call);
        expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_UNKNOWN);
        assert_int_equal(call->n_handed, 1);
    }
    assert_int_equal(f->server.n_requests, 2); /* new connections: no second attempt */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bad_urls_are_refused),           CASE(good_urls_are_taken),
        CASE(bad_numbers_are_refused),        CASE(bad_credentials_are_refused),
        CASE(a_get_is_written_byte_for_byte), CASE(queries_keep_their_form),
        CASE(a_post_carries_its_body),        CASE(private_fields_are_left_out),
        CASE(other_requests_are_refused),     CASE(fields_that_would_split_are_refused),
        CASE(a_large_body_is_written_whole),  CASE(answers_of_all_shapes),
        CASE(a_head_answer_has_no_body),      CASE(fields_that_go_no_further_stay_here),
        CASE(garbage_is_a_bad_answer),        CASE(a_cut_answer_is_a_bad_answer),
        CASE(no_answer_at_all_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
