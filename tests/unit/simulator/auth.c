/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/auth. */
#include "tests/simulator/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#define TARGET "/api/v1/power?guid=a"

static struct auth auth;
static struct params params;

static void start(enum auth_mode mode)
{
    struct auth_settings settings = {
        .mode = mode, .user = "service", .password = "pa:ss", .offers = {true, true}};
    struct error_text e = {""};
    assert_int_equal(auth_init(&auth, &settings, &e), 0);
    params_init(&params);
}

static int teardown(void **state)
{
    (void)state;
    auth_close(&auth);
    params_close(&params);
    return 0;
}

static struct auth_result check(const char *query, const char *authorization)
{
    struct auth_request r = {
        .method = span_of("GET"),
        .target = span_of(TARGET),
        .has_authorization = authorization != NULL,
        .authorization = span_of(authorization),
        .params = &params,
    };
    assert_int_equal(params_read(&params, span_of(query), span_of("")), 0);
    return auth_check(&auth, &r, 0);
}

static void verdict_is(enum auth_verdict verdict, const char *query, const char *authorization)
{
    assert_int_equal(check(query, authorization).verdict, verdict);
}

static void challenged_with(unsigned offered, const char *query)
{
    struct auth_result r = check(query, NULL);
    assert_int_equal(r.verdict, AUTH_CHALLENGE);
    assert_int_equal(r.offered, offered);
}

/* The Authorization field of a client that knows `password`. */
static void make_digest(char *text, size_t cap, const char *nonce, const char *nc,
                        const char *password)
{
    char secret[DIGEST_HEX_BYTES];
    char response[DIGEST_HEX_BYTES];
    struct digest_fields f = {
        .nonce = span_of(nonce),
        .nc = span_of(nc),
        .cnonce = span_of("c"),
        .qop = span_of("auth"),
        .uri = span_of(TARGET),
    };
    assert_int_equal(digest_secret(DIGEST_SHA256, span_of("service"), span_of(AUTH_REALM),
                                   span_of(password), secret),
                     0);
    assert_int_equal(digest_response(DIGEST_SHA256, secret, span_of("GET"), &f, response), 0);
    assert_true(snprintf(text, cap,
                         "Digest username=\"service\", realm=\"Thinknx\", nonce=\"%s\", uri=\"%s\","
                         " algorithm=SHA-256, qop=auth, nc=%s, cnonce=\"c\","
                         " opaque=\"7468696e6b6e78\", response=\"%s\"",
                         nonce, TARGET, nc, response) < (int)cap);
}

/* Takes a challenge and gives its nonce. */
static void take_nonce(char nonce[NONCE_BYTES], const struct auth_result *result)
{
    struct buffer text;
    struct writer w;
    char copy[2048];
    buffer_init(&text, 2048);
    writer_init(&w, &text);
    auth_write_challenge(&auth, result, 0, &w);
    assert_int_equal(writer_end(&w), 0);
    assert_int_equal(
        span_copy((struct span){(const char *)buffer_bytes(&text), text.len}, copy, sizeof copy),
        0);
    buffer_close(&text);
    const char *start_of = strstr(copy, " nonce=\"");
    assert_non_null(start_of);
    memcpy(nonce, start_of + 8, NONCE_BYTES - 1);
    nonce[NONCE_BYTES - 1] = '\0';
}

static void none_lets_everybody_in(void **state)
{
    (void)state;
    start(AUTH_NONE);
    verdict_is(AUTH_OK, "", NULL);
    verdict_is(AUTH_OK, "user=x&pass=y&auth=z", "Basic eDp5");
}

static void basic(void **state)
{
    (void)state;
    start(AUTH_BASIC);
    challenged_with(AUTH_OFFER_BASIC, "");
    verdict_is(AUTH_OK, "", "Basic c2VydmljZTpwYTpzcw==");
    verdict_is(AUTH_OK, "", "bAsIc  c2VydmljZTpwYTpzcw== ");
    verdict_is(AUTH_CHALLENGE, "", "Basic c2VydmljZTpwYTpzcQ==");
    verdict_is(AUTH_CHALLENGE, "", "Basic");
    verdict_is(AUTH_CHALLENGE, "", "Basic ");
    verdict_is(AUTH_CHALLENGE, "user=service&pass=pa:ss", NULL);
}

static void the_parameter_chooses_the_scheme(void **state)
{
    (void)state;
    start(AUTH_DIGEST);
    challenged_with(AUTH_OFFER_DIGEST, "");
    challenged_with(AUTH_OFFER_BASIC, "auth=basic");
    verdict_is(AUTH_OK, "auth=basic", "Basic c2VydmljZTpwYTpzcw==");
    verdict_is(AUTH_CHALLENGE, "", "Basic c2VydmljZTpwYTpzcw==");
    verdict_is(AUTH_MALFORMED, "auth=ntlm", NULL);
    verdict_is(AUTH_MALFORMED, "auth", NULL);
}

static void any_takes_everything(void **state)
{
    (void)state;
    start(AUTH_ANY);
    challenged_with(AUTH_OFFER_BASIC | AUTH_OFFER_DIGEST, "");
    challenged_with(AUTH_OFFER_DIGEST, "auth=digest");
    verdict_is(AUTH_OK, "", "Basic c2VydmljZTpwYTpzcw==");
    verdict_is(AUTH_OK, "auth=basic&user=service&pass=pa%3Ass", NULL);
    verdict_is(AUTH_OK, "user=service&pass=pa:ss", NULL);
    verdict_is(AUTH_FORBIDDEN, "auth=basic&user=service&pass=no", NULL);
    verdict_is(AUTH_FORBIDDEN, "auth=basic&user=service", NULL);
    challenged_with(AUTH_OFFER_DIGEST, "auth=digest&user=service&pass=pa:ss");
}

static void query_takes_parameters_only(void **state)
{
    (void)state;
    start(AUTH_QUERY);
    verdict_is(AUTH_OK, "auth=basic&user=service&pass=pa:ss", NULL);
    verdict_is(AUTH_FORBIDDEN, "", NULL);
    verdict_is(AUTH_FORBIDDEN, "", "Basic c2VydmljZTpwYTpzcw==");
    verdict_is(AUTH_FORBIDDEN, "user=Service&pass=pa:ss", NULL);
}

static void digest_with_its_nonce(void **state)
{
    (void)state;
    char nonce[NONCE_BYTES];
    char field[512];
    start(AUTH_DIGEST);
    struct auth_result first = check("", NULL);
    take_nonce(nonce, &first);
    make_digest(field, sizeof field, nonce, "00000001", "pa:ss");
    verdict_is(AUTH_OK, "", field);
    struct auth_result replayed = check("", field);
    assert_int_equal(replayed.verdict, AUTH_CHALLENGE);
    assert_true(replayed.stale);
    make_digest(field, sizeof field, nonce, "00000002", "pa:ss");
    verdict_is(AUTH_OK, "", field);
}

static void digest_with_errors(void **state)
{
    (void)state;
    char nonce[NONCE_BYTES];
    char field[512];
    start(AUTH_DIGEST);
    struct auth_result first = check("", NULL);
    take_nonce(nonce, &first);
    make_digest(field, sizeof field, nonce, "00000001", "wrong");
    struct auth_result wrong = check("", field);
    assert_int_equal(wrong.verdict, AUTH_CHALLENGE);
    assert_false(wrong.stale);
    make_digest(field, sizeof field, "00112233445566778899aabbccddeeff", "00000001", "pa:ss");
    struct auth_result unknown = check("", field);
    assert_int_equal(unknown.verdict, AUTH_CHALLENGE);
    assert_true(unknown.stale);
    make_digest(field, sizeof field, nonce, "1", "pa:ss");
    verdict_is(AUTH_CHALLENGE, "", field);
    /* A right response that was made for another target. */
    make_digest(field, sizeof field, nonce, "00000001", "pa:ss");
    struct auth_request r = {.method = span_of("GET"),
                             .target = span_of("/api/v1/power?guid=b"),
                             .has_authorization = true,
                             .authorization = span_of(field),
                             .params = &params};
    assert_int_equal(auth_check(&auth, &r, 0).verdict, AUTH_CHALLENGE);
    r.target = span_of(TARGET);
    r.method = span_of("POST");
    assert_int_equal(auth_check(&auth, &r, 0).verdict, AUTH_CHALLENGE);
}

static void user_names(void **state)
{
    (void)state;
    struct auth_settings s = {.mode = AUTH_BASIC, .user = "", .password = "p"};
    struct error_text e = {""};
    assert_int_equal(auth_init(&auth, &s, &e), ERROR_CONFIG);
    s.user = "a:b";
    assert_int_equal(auth_init(&auth, &s, &e), ERROR_CONFIG);
    params_init(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(none_lets_everybody_in, teardown),
        cmocka_unit_test_teardown(basic, teardown),
        cmocka_unit_test_teardown(the_parameter_chooses_the_scheme, teardown),
        cmocka_unit_test_teardown(any_takes_everything, teardown),
        cmocka_unit_test_teardown(query_takes_parameters_only, teardown),
        cmocka_unit_test_teardown(digest_with_its_nonce, teardown),
        cmocka_unit_test_teardown(digest_with_errors, teardown),
        cmocka_unit_test_teardown(user_names, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
