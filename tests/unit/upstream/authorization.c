/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream: the server's authentication. */
#include "tests/unit/upstream/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/upstream/authorization.h"
#include "agent/upstream/digest.h"
#include "proto/base/buffer.h"

#define REFUSAL(challenge)                                                                         \
    "HTTP/1.1 401 No\r\nContent-Length: 4\r\nWWW-Authenticate: " challenge "\r\n\r\nno!\n"
#define DIGEST(nonce)     "Digest realm=\"thinknx\", qop=\"auth\", nonce=\"" nonce "\""
#define DIGEST_401(nonce) REFUSAL(DIGEST(nonce))
#define STALE_401(nonce)  REFUSAL(DIGEST(nonce) ", stale=true")
#define PLAIN_401         "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"

static void start_with(struct fixture *f, enum upstream_auth auth)
{
    f->settings.auth = auth;
    start(f);
}

static const char *text(const struct fixture *f, size_t n)
{
    assert_true(n < f->server.n_requests);
    return f->server.requests[n].text;
}

static void expect_contains(const struct fixture *f, size_t n, const char *part)
{
    if (strstr(text(f, n), part) == NULL) {
        fail_msg("\"%s\" is not in request %zu:\n%s", part, n, text(f, n));
    }
}

static void expect_lacks(const struct fixture *f, size_t n, const char *part)
{
    if (strstr(text(f, n), part) != NULL) {
        fail_msg("\"%s\" is in request %zu:\n%s", part, n, text(f, n));
    }
}

static struct call *expect_ok(struct fixture *f, const char *target)
{
    struct call *call = get(f, target);
    until_done(call);
    expect_answer(call, 200, "ok");
    return call;
}

static struct call *expect_refused(struct fixture *f, const char *target, const char *why)
{
    struct upstream_stats stats;
    struct call *call = get(f, target);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_AUTH, HEAD_DELIVERED_NO);
    assert_int_equal(call->n_heads, 0);
    upstream_read_stats(f->u, &stats);
    if (strstr(stats.last_error, why) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", why, stats.last_error);
    }
    assert_null(strstr(stats.last_error, "secret"));
    return call;
}

/* What stands behind `name=` in the Authorization field, up to the next `,` or `"`. */
static void param(const struct fixture *f, size_t n, const char *name, char *value, size_t cap)
{
    char wanted[32];
    (void)snprintf(wanted, sizeof(wanted), " %s=", name);
    const char *at = strstr(text(f, n), wanted);
    assert_non_null(at);
    at += strlen(wanted);
    at += *at == '"' ? 1 : 0;
    (void)snprintf(value, cap, "%.*s", (int)strcspn(at, ",\"\r"), at);
}

/* The request proves the password for the nonce, as a server would check it. */
static void expect_digest(const struct fixture *f, size_t n, const char *target, const char *nonce,
                          unsigned nc)
{
    char challenge[128];
    char cnonce[64];
    char response[80];
    char got[65];
    struct digest d;
    struct digest_challenge c = {.usable = false};
    struct buffer out;
    (void)snprintf(challenge, sizeof(challenge), "Digest realm=thinknx, qop=auth, nonce=\"%s\"",
                   nonce);
    param(f, n, "cnonce", cnonce, sizeof(cnonce));
    param(f, n, "response", got, sizeof(got));
    assert_int_equal(strlen(cnonce), 32);
    assert_int_equal(digest_parse(span_of(challenge), &c), 0);
    assert_int_equal(digest_start(&d, &c, span_of("service"), span_of("secret"), cnonce), 0);
    d.n_used = nc - 1;
    buffer_init(&out, 1024);
    assert_int_equal(digest_append(&d, span_of("GET"), span_of("service"), span_of(target), &out),
                     0);
    (void)snprintf(response, sizeof(response), "response=\"%s\"", got);
    assert_non_null(memmem(buffer_bytes(&out), out.len, response, strlen(response)));
    buffer_close(&out);
    digest_close(&d);
    expect_contains(f, n, "Authorization: Digest username=\"service\"");
    (void)snprintf(challenge, sizeof(challenge), "nc=%08x,", nc);
    expect_contains(f, n, challenge);
}

/* ---- none, basic, in the query ---- */

static void without_credentials_a_401_is_our_failure(void **state)
{
    struct fixture *f = *state;
    f->server.otherwise = (struct fake_reply){DIGEST_401("n1"), 0, FAKE_KEEP};
    start_with(f, UPSTREAM_AUTH_NONE);
    struct call *call = expect_refused(f, COMMAND, "asks for a user");
    assert_int_equal(call->n_handed, 1);
    assert_int_equal(f->server.n_requests, 1);
    expect_lacks(f, 0, "auth=");
}

static void basic_is_sent_with_every_request(void **state)
{
    struct fixture *f = *state;
    start_with(f, UPSTREAM_AUTH_BASIC);
    expect_ok(f, COMMAND);
    expect_ok(f, "/api/v1/system/serverStatus");
    expect_ok(f, "/api/v1/system/serverStatus?");
    expect_ok(f, "/api/v1/power?guid=1&");
    expect_contains(f, 0, "GET " COMMAND "&auth=basic HTTP/1.1\r\n");
    expect_contains(f, 0, "\r\nAuthorization: Basic c2VydmljZTpzZWNyZXQ=\r\n\r\n");
    expect_contains(f, 1, "GET /api/v1/system/serverStatus?auth=basic HTTP/1.1\r\n");
    expect_contains(f, 1, "\r\nAuthorization: Basic c2VydmljZTpzZWNyZXQ=\r\n\r\n");
    expect_contains(f, 2, "GET /api/v1/system/serverStatus?auth=basic HTTP/1.1\r\n");
    expect_contains(f, 3, "GET /api/v1/power?guid=1&auth=basic HTTP/1.1\r\n");
}

static void refused_basic_is_sent_once(void **state)
{
    struct fixture *f = *state;
    f->server.otherwise = (struct fake_reply){REFUSAL("Basic realm=x"), 0, FAKE_KEEP};
    start_with(f, UPSTREAM_AUTH_BASIC);
    expect_refused(f, COMMAND, "refuses user or password");
    assert_int_equal(f->server.n_requests, 1);
}

static void credentials_in_the_query_are_escaped(void **state)
{
    struct fixture *f = *state;
    f->settings.user = "ser vice";
    f->settings.password = "s&c=r%t+\xc3\xa9";
    start_with(f, UPSTREAM_AUTH_QUERY);
    expect_ok(f, COMMAND);
    expect_contains(f, 0,
                    "GET " COMMAND "&auth=basic&user=ser%20vice&pass=s%26c%3Dr%25t%2B%C3%A9 HTTP");
    expect_lacks(f, 0, "Authorization");
}

static void a_posts_credentials_are_in_its_query(void **state)
{
    struct fixture *f = *state;
    start_with(f, UPSTREAM_AUTH_QUERY);
    struct call *call =
        request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, "guid=1&cmd=1", 12, 0);
    until_done(call);
    expect_contains(f, 0, "POST /api/v1/power?auth=basic&user=service&pass=secret HTTP/1.1\r\n");
    expect_contains(f, 0, "\r\n\r\nguid=1&cmd=1");
}

static void refused_credentials_in_the_query(void **state)
{
    struct fixture *f = *state;
    f->server.otherwise = (struct fake_reply){PLAIN_401, 0, FAKE_CLOSE};
    start_with(f, UPSTREAM_AUTH_QUERY);
    expect_refused(f, COMMAND, "refuses user or password");
    assert_int_equal(f->server.n_requests, 1);
}

static void a_403_passes_through(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_BASIC);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 403, "no");
}

/* ---- digest ---- */

static void digest_answers_the_challenge(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    struct call *call = expect_ok(f, STATUS "&x=\"y");
    assert_int_equal(call->n_handed, 1);
    assert_int_equal(f->server.n_requests, 2);
    expect_lacks(f, 0, "Authorization");
    expect_contains(f, 0, "GET " STATUS "&x=\"y&auth=digest HTTP/1.1\r\n");
    expect_contains(f, 1, "GET " STATUS "&x=\"y&auth=digest HTTP/1.1\r\n");
    expect_contains(f, 1, "uri=\"" STATUS "&x=\\\"y&auth=digest\"");
    expect_digest(f, 1, STATUS "&x=\"y&auth=digest", "n1", 1);
    assert_int_equal(f->server.n_peers, 1);
}

static void a_nonce_is_used_again_and_counted(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    for (int i = 0; i < 4; i++) {
        expect_ok(f, COMMAND);
    }
    assert_int_equal(f->server.n_requests, 5);
    for (unsigned i = 1; i < 5; i++) {
        expect_digest(f, i, COMMAND "&auth=digest", "n1", i);
    }
}

static void connections_share_a_nonce(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, STATUS);
    for (int i = 0; i < 3; i++) {
        get(f, STATUS);
    }
    for (int i = 1; i < 4; i++) {
        until_done(&f->calls[i]);
        expect_answer(&f->calls[i], 200, "ok");
    }
    assert_int_equal(f->server.n_requests, 5);
    assert_true(f->server.n_peers > 1);
    for (size_t i = 2; i < 5; i++) {
        expect_contains(f, i, "nonce=\"n1\"");
    }
}

static void a_command_goes_to_a_new_connection_after_a_401(void **state)
{
    struct fixture *f = *state;
    /* This server closes after its 401 without saying so. */
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_CLOSE);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, COMMAND);
    assert_int_equal(f->server.n_requests, 2);
    assert_int_equal(f->server.requests[1].peer, 1);
}

static void the_new_connection_takes_the_place_of_the_kept_one(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    f->settings.max_connections = 1;
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, COMMAND);
    assert_int_equal(f->server.requests[1].peer, 1);
    until_end_seen(f, 0);
}

static void a_stale_nonce_is_replaced(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    fake_reply(&f->server, OK, FAKE_KEEP);
    fake_reply(&f->server, STALE_401("n2"), FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, COMMAND);
    expect_ok(f, COMMAND);
    expect_ok(f, COMMAND);
    assert_int_equal(f->server.n_requests, 5);
    expect_digest(f, 2, COMMAND "&auth=digest", "n1", 2);
    expect_digest(f, 3, COMMAND "&auth=digest", "n2", 1);
    expect_digest(f, 4, COMMAND "&auth=digest", "n2", 2);
}

static void an_old_nonce_need_not_be_called_stale(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    fake_reply(&f->server, OK, FAKE_KEEP);
    fake_reply(&f->server, DIGEST_401("n2"), FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, COMMAND);
    expect_ok(f, COMMAND);
    assert_int_equal(f->server.n_requests, 4);
    expect_digest(f, 3, COMMAND "&auth=digest", "n2", 1);
}

static void a_wrong_password_is_tried_once(void **state)
{
    struct fixture *f = *state;
    f->server.otherwise = (struct fake_reply){DIGEST_401("n1"), 0, FAKE_KEEP};
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_refused(f, COMMAND, "refuses user or password");
    assert_int_equal(f->server.n_requests, 2);
    expect_refused(f, STATUS, "refuses user or password");
    assert_int_equal(f->server.n_requests, 4);
}

static void a_password_that_was_changed(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    fake_reply(&f->server, OK, FAKE_KEEP);
    f->server.otherwise = (struct fake_reply){DIGEST_401("n2"), 0, FAKE_KEEP};
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, COMMAND);
    expect_refused(f, COMMAND, "refuses user or password");
    assert_int_equal(f->server.n_requests, 4);
}

static void a_server_that_is_never_content(void **state)
{
    struct fixture *f = *state;
    f->server.otherwise = (struct fake_reply){STALE_401("n1"), 0, FAKE_KEEP};
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_refused(f, COMMAND, "refuses every digest");
    assert_int_equal(f->server.n_requests, AUTHORIZATION_ATTEMPTS_MAX);
}

static void digest_never_falls_back_to_basic(void **state)
{
    struct fixture *f = *state;
    f->server.otherwise = (struct fake_reply){REFUSAL("Basic realm=\"x\""), 0, FAKE_KEEP};
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_refused(f, COMMAND, "no digest authentication");
    assert_int_equal(f->server.n_requests, 1);
}

static void the_strongest_of_several_fields(void **state)
{
    struct fixture *f = *state;
    fake_reply(
        &f->server,
        "HTTP/1.1 401 No\r\nContent-Length: 0\r\n"
        "WWW-Authenticate: Digest realm=\"\r\n" /* unreadable */
        "www-authenticate: Basic realm=x, " DIGEST("n1") "\r\n"
                                                         "WWW-Authenticate: Digest realm=thinknx, "
                                                         "nonce=n2, algorithm=SHA-256, qop=auth\r\n"
                                                         "\r\n",
        FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, COMMAND);
    expect_contains(f, 1, "nonce=\"n2\"");
    expect_contains(f, 1, "algorithm=SHA-256");
}

static void a_server_that_wants_nothing(void **state)
{
    struct fixture *f = *state;
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, COMMAND);
    expect_ok(f, COMMAND);
    assert_int_equal(f->server.n_requests, 2);
    expect_lacks(f, 1, "Authorization");
}

static void the_body_of_a_post_is_sent_again(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    struct call *call =
        request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, "guid=1&cmd=1", 12, 0);
    until_done(call);
    expect_answer(call, 200, "ok");
    expect_contains(f, 1, "POST /api/v1/power?auth=digest HTTP/1.1\r\n");
    expect_contains(f, 1, "\r\n\r\nguid=1&cmd=1");
}

/* ---- 401s that end badly ---- */

static void a_huge_401_costs_its_connection(void **state)
{
    struct fixture *f = *state;
    static char huge[200 * 1024];
    int len = snprintf(huge, sizeof(huge),
                       "HTTP/1.1 401 No\r\nContent-Length: 190000\r\nWWW-Authenticate: %s\r\n\r\n",
                       DIGEST("n1"));
    memset(huge + len, 'x', 190000);
    fake_reply_bytes(&f->server, huge, (size_t)len + 190000, FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, STATUS);
    assert_int_equal(f->server.requests[1].peer, 1);
    until_end_seen(f, 0);
}

static void a_401_that_is_cut_off(void **state)
{
    struct fixture *f = *state;
    fake_reply(
        &f->server,
        "HTTP/1.1 401 No\r\nContent-Length: 9\r\nWWW-Authenticate: " DIGEST("n1") "\r\n\r\nno",
        FAKE_CLOSE);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    expect_ok(f, COMMAND);
    assert_int_equal(f->server.n_requests, 2);
}

static void a_401_that_never_ends(void **state)
{
    struct fixture *f = *state;
    fake_reply(
        &f->server,
        "HTTP/1.1 401 No\r\nContent-Length: 9\r\nWWW-Authenticate: " DIGEST("n1") "\r\n\r\nno",
        FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_NO);
    assert_int_equal(f->server.n_requests, 1);
}

static void the_server_goes_away_after_its_401(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_CLOSE);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    struct call *call = get(f, COMMAND);
    until_peers(f, 1);
    fake_stop_listening(&f->server);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    assert_int_equal(f->server.n_requests, 1);
}

/* Many calls at once before there is a nonce, and a server that knows only its newest one. */
static void calls_that_start_together(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, DIGEST_401("n1"), FAKE_KEEP);
    fake_reply(&f->server, DIGEST_401("n2"), FAKE_KEEP);
    fake_reply(&f->server, DIGEST_401("n3"), FAKE_KEEP);
    start_with(f, UPSTREAM_AUTH_DIGEST);
    for (int i = 0; i < 3; i++) {
        get(f, STATUS);
    }
    for (int i = 0; i < 3; i++) {
        until_done(&f->calls[i]);
        expect_answer(&f->calls[i], 200, "ok");
    }
    assert_int_equal(f->server.n_requests, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(without_credentials_a_401_is_our_failure),
        CASE(basic_is_sent_with_every_request),
        CASE(refused_basic_is_sent_once),
        CASE(credentials_in_the_query_are_escaped),
        CASE(a_posts_credentials_are_in_its_query),
        CASE(refused_credentials_in_the_query),
        CASE(a_403_passes_through),
        CASE(digest_answers_the_challenge),
        CASE(a_nonce_is_used_again_and_counted),
        CASE(connections_share_a_nonce),
        CASE(a_command_goes_to_a_new_connection_after_a_401),
        CASE(the_new_connection_takes_the_place_of_the_kept_one),
        CASE(a_stale_nonce_is_replaced),
        CASE(an_old_nonce_need_not_be_called_stale),
        CASE(a_wrong_password_is_tried_once),
        CASE(a_password_that_was_changed),
        CASE(a_server_that_is_never_content),
        CASE(digest_never_falls_back_to_basic),
        CASE(the_strongest_of_several_fields),
        CASE(a_server_that_wants_nothing),
        CASE(the_body_of_a_post_is_sent_again),
        CASE(a_huge_401_costs_its_connection),
        CASE(a_401_that_is_cut_off),
        CASE(a_401_that_never_ends),
        CASE(the_server_goes_away_after_its_401),
        CASE(calls_that_start_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
