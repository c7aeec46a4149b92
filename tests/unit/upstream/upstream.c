/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream: requests, answers, connections, and what is told when they fail. */
#include "tests/unit/upstream/fake_server.h"

#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "proto/base/error.h"

#define STATUS  "/api/v1/powerstatus?guid=1" /* reads only */
#define COMMAND "/api/V1/power?guid=1&cmd=1" /* acts */
#define OK      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

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
    snprintf(expected, sizeof(expected), "%s%s%s", before_host, authority(f), after_host);
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
    struct fake_call *call = get(f, "/api/V1/powerlevel?guid=1&&cmd=50&fb&x=%41+b\"\\");
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
    struct fake_call *call = NULL;
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
    struct fake_call *call = request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, body, len, 0);
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
    fake_reply(f, "HTTP/1.1 404 No\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nno!", FAKE_KEEP);
    fake_reply(f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
               FAKE_KEEP);
    fake_reply(f, "HTTP/1.1 204 No\r\n\r\n", FAKE_KEEP);
    fake_reply(f, "HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\n" OK, FAKE_KEEP);
    fake_reply(f, "HTTP/1.1 200 OK\r\n\r\nto the end", FAKE_CLOSE);
    start(f);
    struct fake_call *not_found = get(f, COMMAND);
    until_done(not_found);
    expect_answer(not_found, 404, "no!");
    assert_string_equal(not_found->fields, "[X-A=1]");
    struct fake_call *chunked = get(f, COMMAND);
    until_done(chunked);
    expect_answer(chunked, 200, "abc");
    assert_int_equal(chunked->body_bytes, -1);
    struct fake_call *empty = get(f, COMMAND);
    until_done(empty);
    expect_answer(empty, 204, "");
    struct fake_call *waited = get(f, COMMAND);
    until_done(waited);
    expect_answer(waited, 200, "ok");
    assert_int_equal(f->server.n_peers, 1);
    struct fake_call *to_end = get(f, COMMAND);
    until_done(to_end);
    expect_answer(to_end, 200, "to the end");
    until_open(f, 0);
}

static void a_head_answer_has_no_body(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, "HTTP/1.1 200 OK\r\nContent-Length: 120\r\n\r\n", FAKE_KEEP);
    start(f);
    struct fake_call *call = request(f, HEAD_METHOD_HEAD, STATUS, NULL, 0, NULL, 0, 0);
    until_done(call);
    expect_answer(call, 200, "");
    assert_int_equal(call->body_bytes, 120);
    until_done(get(f, STATUS));
    assert_int_equal(f->server.n_peers, 1);
}

static void hop_by_hop_fields_stay_here(void **state)
{
    struct fixture *f = *state;
    fake_reply(f,
               "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
               "Keep-Alive: timeout=9\r\nContent-Length: 0\r\nContent-Type: a/b\r\n"
               "Upgrade: h2c\r\nServer: x\r\n\r\n",
               FAKE_KEEP);
    start(f);
    struct fake_call *call = get(f, STATUS);
    until_done(call);
    expect_answer(call, 200, "");
    assert_string_equal(call->fields, "[Content-Type=a/b][Server=x]");
}

/* Fails as BAD_ANSWER, delivered YES. */
static void expect_bad_answer(struct fixture *f, const char *reply, enum fake_then then)
{
    struct upstream_stats stats;
    fake_reply(f, reply, then);
    struct fake_call *call = get(f, STATUS);
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
    fake_reply(f, "", FAKE_CLOSE);
    fake_reply(f, "", FAKE_RESET);
    start(f);
    for (int i = 0; i < 2; i++) {
        struct fake_call *call = get(f, STATUS);
        until_done(call);
        expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_UNKNOWN);
        assert_int_equal(call->n_handed, 1);
    }
    assert_int_equal(f->server.n_requests, 2); /* new connections: no second attempt */
}

/* ---- connections ---- */

static void connections_are_kept_and_shared(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    start(f);
    for (int i = 0; i < 5; i++) {
        until_done(get(f, COMMAND));
    }
    assert_int_equal(f->server.n_peers, 1);
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_open, 1);
    assert_int_equal(stats.n_busy, 0);
    assert_int_equal(stats.n_calls, 5);
    assert_int_equal(stats.n_failed, 0);
    assert_true(stats.last_answer_ms > 0);
    assert_string_equal(stats.last_error, "");
}

static void no_more_connections_than_allowed(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    f->settings.max_connections = 2;
    start(f);
    for (int i = 0; i < 7; i++) {
        get(f, COMMAND);
    }
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_queued, 7);
    until_handed(&f->calls[1]);
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_open, 2);
    assert_int_equal(stats.n_queued, 5);
    for (int i = 0; i < 7; i++) {
        until_done(&f->calls[i]);
        expect_answer(&f->calls[i], 200, "ok");
    }
    assert_int_equal(f->server.n_peers, 2);
}

static void the_connection_used_last_is_used_next(void **state)
{
    struct fixture *f = *state;
    start(f);
    fake_reply(f, "", FAKE_KEEP);
    struct fake_call *held = get(f, COMMAND);
    until_requests(f, 1);
    until_done(get(f, COMMAND)); /* on the second connection */
    fake_send(f, 0, OK);
    until_done(held); /* the first is now the one used last */
    until_done(get(f, COMMAND));
    assert_int_equal(f->server.requests[2].peer, 0);
}

static void the_queue_has_an_end(void **state)
{
    struct fixture *f = *state;
    struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of("/api/v1/power")};
    start(f);
    for (int i = 0; i < UPSTREAM_QUEUE_MAX; i++) {
        assert_int_equal(code_of(f, head), 0);
    }
    assert_int_equal(code_of(f, head), ERROR_LIMIT);
    until_closed(f);
    for (size_t i = 0; i < UPSTREAM_QUEUE_MAX; i++) {
        expect_failure(&f->calls[i], HEAD_RESET_SHUTDOWN, HEAD_DELIVERED_NO);
    }
}

static void connection_close_is_honoured(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", FAKE_KEEP);
    fake_reply(f, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", FAKE_KEEP);
    fake_reply(f, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=0\r\n\r\nok",
               FAKE_KEEP);
    start(f);
    for (size_t i = 0; i < 3; i++) {
        struct fake_call *call = get(f, COMMAND);
        until_done(call);
        expect_answer(call, 200, "ok");
        until_end_seen(f, i);
    }
    until_open(f, 0);
}

static void an_idle_connection_is_closed_before_the_server_does(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\nok",
               FAKE_KEEP);
    start(f);
    until_done(get(f, COMMAND));
    uint64_t start_ms = uv_now(&f->loop);
    until_end_seen(f, 0);
    uint64_t idle_ms = uv_now(&f->loop) - start_ms;
    assert_in_range(idle_ms, 400, UPSTREAM_IDLE_MS - 1); /* what the server said counted */
}

static void the_servers_close_is_noticed_at_once(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_done(get(f, COMMAND));
    fake_hang_up(f, 0);
    until_open(f, 0);
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(f->server.requests[1].peer, 1);
}

static void bytes_nobody_asked_for_end_a_connection(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_done(get(f, COMMAND));
    fake_send(f, 0, OK);
    until_open(f, 0);
    until_end_seen(f, 0);
}

static void a_second_answer_is_never_used(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, OK OK, FAKE_KEEP);
    fake_reply(f, OK, FAKE_AGAIN);
    start(f);
    for (size_t i = 0; i < 2; i++) {
        struct fake_call *call = get(f, COMMAND);
        until_done(call);
        expect_answer(call, 200, "ok");
        until_end_seen(f, i);
    }
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    assert_int_equal(f->server.requests[2].peer, 2);
}

/* ---- a kept connection that has died ---- */

static void a_reading_call_is_tried_once_more(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, OK, FAKE_KEEP);
    fake_reply(f, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    struct fake_call *call = get(f, STATUS);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(call->n_handed, 1);
    assert_int_equal(f->server.n_requests, 3);
    assert_string_equal(f->server.requests[1].text, f->server.requests[2].text);
    assert_int_equal(f->server.requests[2].peer, 1);
}

static void a_reading_call_is_tried_no_third_time(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, OK, FAKE_KEEP);
    fake_reply(f, "", FAKE_RESET);
    fake_reply(f, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    struct fake_call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(f->server.n_requests, 3);
}

static void a_retry_that_finds_no_server_is_unknown(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, OK, FAKE_KEEP);
    fake_reply(f, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    fake_stop_listening(f);
    struct fake_call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_UNKNOWN);
}

static void a_reading_call_is_not_tried_again_after_a_byte(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, OK, FAKE_KEEP);
    fake_reply(f, "H", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    struct fake_call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_YES);
    assert_int_equal(f->server.n_requests, 2);
}

static void a_command_is_never_tried_again(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, OK, FAKE_KEEP);
    fake_reply(f, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, COMMAND));
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(f->server.n_requests, 2);
}

static void an_unknown_controller_counts_as_a_command(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, OK, FAKE_KEEP);
    fake_reply(f, "", FAKE_CLOSE);
    start(f);
    until_done(get(f, STATUS));
    struct fake_call *call = get(f, "/api/v1/newstatus?guid=1");
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(f->server.n_requests, 2);
}

static void a_retry_takes_no_other_kept_connection(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 2;
    start(f);
    get(f, STATUS);
    until_done(get(f, STATUS));
    until_done(&f->calls[0]);
    assert_int_equal(f->server.n_peers, 2);
    f->server.n_script = 2;
    fake_reply(f, "", FAKE_CLOSE);
    struct fake_call *call = get(f, STATUS);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(f->server.requests[3].peer, 2);
}

/* The connection is broken before the loop could notice: the first write finds it out. */
static void a_command_that_was_not_written_goes_elsewhere(void **state)
{
    struct fixture *f = *state;
    start(f);
    until_done(get(f, COMMAND));
    fake_reset(f, 0);
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(f->server.n_requests, 2);
    assert_int_equal(f->server.requests[1].peer, 1);
}

/* ---- a server that cannot be reached ---- */

static void a_refused_connection_is_unreachable(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    fake_stop_listening(f);
    start(f);
    for (int i = 0; i < 10; i++) {
        get(f, COMMAND);
    }
    for (int i = 0; i < 10; i++) {
        until_done(&f->calls[i]);
        expect_failure(&f->calls[i], HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
        assert_int_equal(f->calls[i].n_handed, 0);
    }
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_failed, 10);
    assert_non_null(strstr(stats.last_error, "connection refused"));
    until_open(f, 0);
}

static void a_silent_server_is_unreachable_for_all_who_wait(void **state)
{
    struct fixture *f = *state;
    struct fake_hole hole;
    fake_hole_open(&hole);
    f->settings.url = hole.url;
    f->settings.connect_timeout_ms = 150;
    f->settings.answer_timeout_ms = 5000;
    f->settings.max_connections = 2;
    start(f);
    for (int i = 0; i < 60; i++) {
        get(f, COMMAND);
    }
    /* One after the other, they would wait 30 times. */
    uint64_t start_ms = uv_now(&f->loop);
    for (int i = 0; i < 60; i++) {
        until_done(&f->calls[i]);
        expect_failure(&f->calls[i], HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    }
    assert_in_range(uv_now(&f->loop) - start_ms, 100, 3000);
    fake_hole_close(&hole);
}

static void a_deadline_while_connecting(void **state)
{
    struct fixture *f = *state;
    struct fake_hole hole;
    fake_hole_open(&hole);
    f->settings.url = hole.url;
    start(f);
    struct fake_call *call = request(f, HEAD_METHOD_GET, COMMAND, NULL, 0, NULL, 0, 150);
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_NO);
    fake_hole_close(&hole);
}

static void names_are_resolved(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(f, FAKE_NAME);
    start(f);
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_non_null(strstr(f->server.requests[0].text, "Host: " FAKE_NAME ":"));
}

static void all_addresses_of_a_name_are_tried(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(f, FAKE_NAME_TWO);
    f->settings.max_connections = 1;
    start(f);
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(call->n_handed, 1);
    until_done(get(f, COMMAND));
    assert_int_equal(f->server.n_peers, 1);
}

static void a_name_without_a_living_address(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    f->settings.url = fake_url(f, FAKE_NAME_DEAD);
    start(f);
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    upstream_read_stats(f->u, &stats);
    assert_non_null(strstr(stats.last_error, "cannot connect to dead.test"));
}

static void a_name_that_nobody_knows(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    f->settings.url = "http://unknown.test";
    start(f);
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    upstream_read_stats(f->u, &stats);
    assert_non_null(strstr(stats.last_error, "cannot resolve unknown.test:5051"));
    until_open(f, 0);
}

static void a_resolver_that_takes_too_long(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    f->settings.url = fake_url(f, FAKE_NAME_SLOW);
    f->settings.connect_timeout_ms = 150;
    start(f);
    struct fake_call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    /* It cannot be stopped, so it keeps its place. */
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_open, 1);
    fake_resolve_slow();
    until_open(f, 0);
    assert_int_equal(f->server.n_peers, 0);
}

/* ---- deadlines ---- */

static void a_server_that_says_nothing(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, "", FAKE_KEEP);
    fake_reply(f, "HTTP/1.1 200 OK\r\n", FAKE_KEEP);
    start(f);
    for (int i = 0; i < 2; i++) {
        struct fake_call *call = get(f, STATUS);
        uint64_t start_ms = uv_now(&f->loop);
        until_done(call);
        expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
        assert_in_range(uv_now(&f->loop) - start_ms, 300, 10000);
    }
    assert_int_equal(f->server.n_requests, 2);
    until_open(f, 0);
}

static void a_loop_that_was_held_up_looks_before_it_gives_up(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, "", FAKE_KEEP);
    start(f);
    struct fake_call *call = get(f, COMMAND);
    until_requests(f, 1);
    fake_send(f, 0, OK);
    uv_sleep(500); /* the hold-up, past the deadline; the answer lies in the socket */
    until_done(call);
    expect_answer(call, 200, "ok");
}

static void feedback_may_take_longer(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, "", FAKE_KEEP);
    fake_reply(f, "", FAKE_KEEP);
    start(f);
    struct fake_call *in_query = get(f, COMMAND "&fb");
    struct fake_call *in_body =
        request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, "guid=1&fb&cmd=1", 15, 0);
    uint64_t start_ms = uv_now(&f->loop);
    until_done(in_query);
    until_done(in_body);
    assert_in_range(uv_now(&f->loop) - start_ms, 900, 10000);
    expect_failure(in_query, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    expect_failure(in_body, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
}

static void the_callers_deadline_counts_from_the_start(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 1;
    f->settings.answer_timeout_ms = 5000;
    fake_reply(f, "", FAKE_KEEP);
    start(f);
    struct fake_call *first = request(f, HEAD_METHOD_GET, COMMAND, NULL, 0, NULL, 0, 600);
    struct fake_call *queued = request(f, HEAD_METHOD_GET, COMMAND, NULL, 0, NULL, 0, 200);
    until_done(queued);
    expect_failure(queued, HEAD_RESET_DEADLINE, HEAD_DELIVERED_NO);
    assert_int_equal(first->n_fails, 0);
    until_done(first);
    expect_failure(first, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    assert_int_equal(f->server.n_requests, 1);
}

static void a_body_that_stops_coming(void **state)
{
    struct fixture *f = *state;
    fake_reply(f, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", FAKE_KEEP);
    start(f);
    struct fake_call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    assert_int_equal(call->n_heads, 1);
}

/* ---- a request that does not fit into the socket ---- */

static struct fake_call *send_too_much(struct fixture *f, char *body, size_t len)
{
    int bytes = 4096;
    int mss = 536;
    int fd = -1;
    f->server.deaf = true;
    /* A small window, and small segments, by which Linux sizes the sender's buffer: the request
     * cannot leave as a whole. */
    assert_int_equal(uv_recv_buffer_size((uv_handle_t *)&f->server.listener, &bytes), 0);
    assert_int_equal(uv_fileno((uv_handle_t *)&f->server.listener, &fd), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss)), 0);
    memset(body, 'x', len);
    start(f);
    struct fake_call *call = request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, body, len, 0);
    until_peers(f, 1);
    run_turns(f, 5);
    assert_int_equal(call->n_handed, 0);
    return call;
}

static char too_much[120 * 1024];

static void a_slow_server_gets_the_rest_later(void **state)
{
    struct fixture *f = *state;
    struct fake_call *call = send_too_much(f, too_much, sizeof(too_much));
    fake_listen_again(f);
    until_handed(call);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(strlen(strstr(f->server.requests[0].text, "\r\n\r\n") + 4), sizeof(too_much));
    until_done(get(f, COMMAND));
    assert_int_equal(f->server.n_peers, 1);
}

static void a_partly_written_request_is_unknown(void **state)
{
    struct fixture *f = *state;
    struct fake_call *call = send_too_much(f, too_much, sizeof(too_much));
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(call->n_handed, 0);
}

static void an_early_answer_costs_the_connection(void **state)
{
    struct fixture *f = *state;
    struct fake_call *call = send_too_much(f, too_much, sizeof(too_much));
    fake_send(f, 0, "HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n\r\nno");
    until_done(call);
    expect_answer(call, 413, "no");
    assert_int_equal(call->n_handed, 0);
    until_open(f, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bad_urls_are_refused),
        CASE(good_urls_are_taken),
        CASE(bad_numbers_are_refused),
        CASE(bad_credentials_are_refused),
        CASE(a_get_is_written_byte_for_byte),
        CASE(queries_keep_their_form),
        CASE(a_post_carries_its_body),
        CASE(private_fields_are_left_out),
        CASE(other_requests_are_refused),
        CASE(fields_that_would_split_are_refused),
        CASE(a_large_body_is_written_whole),
        CASE(answers_of_all_shapes),
        CASE(a_head_answer_has_no_body),
        CASE(hop_by_hop_fields_stay_here),
        CASE(garbage_is_a_bad_answer),
        CASE(a_cut_answer_is_a_bad_answer),
        CASE(no_answer_at_all_is_unknown),
        CASE(connections_are_kept_and_shared),
        CASE(no_more_connections_than_allowed),
        CASE(the_connection_used_last_is_used_next),
        CASE(the_queue_has_an_end),
        CASE(connection_close_is_honoured),
        CASE(an_idle_connection_is_closed_before_the_server_does),
        CASE(the_servers_close_is_noticed_at_once),
        CASE(bytes_nobody_asked_for_end_a_connection),
        CASE(a_second_answer_is_never_used),
        CASE(a_reading_call_is_tried_once_more),
        CASE(a_reading_call_is_tried_no_third_time),
        CASE(a_retry_that_finds_no_server_is_unknown),
        CASE(a_reading_call_is_not_tried_again_after_a_byte),
        CASE(a_command_is_never_tried_again),
        CASE(an_unknown_controller_counts_as_a_command),
        CASE(a_retry_takes_no_other_kept_connection),
        CASE(a_command_that_was_not_written_goes_elsewhere),
        CASE(a_refused_connection_is_unreachable),
        CASE(a_silent_server_is_unreachable_for_all_who_wait),
        CASE(a_deadline_while_connecting),
        CASE(names_are_resolved),
        CASE(all_addresses_of_a_name_are_tried),
        CASE(a_name_without_a_living_address),
        CASE(a_name_that_nobody_knows),
        CASE(a_resolver_that_takes_too_long),
        CASE(a_server_that_says_nothing),
        CASE(a_loop_that_was_held_up_looks_before_it_gives_up),
        CASE(feedback_may_take_longer),
        CASE(the_callers_deadline_counts_from_the_start),
        CASE(a_body_that_stops_coming),
        CASE(a_slow_server_gets_the_rest_later),
        CASE(a_partly_written_request_is_unknown),
        CASE(an_early_answer_costs_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
