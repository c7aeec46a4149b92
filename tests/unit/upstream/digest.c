/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream/digest. */
#include "agent/upstream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

#define RFC_REALM  "http-auth@example.org"
#define RFC_NONCE  "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
#define RFC_OPAQUE "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
#define RFC_CNONCE "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
#define RFC_CHALLENGE(algorithm)                                                                   \
    "Digest realm=\"" RFC_REALM "\", qop=\"auth, auth-int\", algorithm=" algorithm                 \
    ", nonce=\"" RFC_NONCE "\", opaque=\"" RFC_OPAQUE "\""

static struct digest_challenge parse(const char *value)
{
    struct digest_challenge c = {.usable = false};
    assert_int_equal(digest_parse(span_of(value), &c), 0);
    return c;
}

/* The Authorization value for the next use of the nonce; static. */
static const char *answer(struct digest *d, const char *method, const char *user,
                          const char *target)
{
    static char text[2048];
    struct buffer out;
    buffer_init(&out, sizeof(text) - 1);
    assert_int_equal(digest_append(d, span_of(method), span_of(user), span_of(target), &out), 0);
    memcpy(text, buffer_bytes(&out), out.len);
    text[out.len] = '\0';
    buffer_close(&out);
    return text;
}

static void expect_response(const char *authorization, const char *response, const char *nc)
{
    char wanted[128];
    (void)snprintf(wanted, sizeof(wanted), "response=\"%s\"", response);
    assert_non_null(strstr(authorization, wanted));
    (void)snprintf(wanted, sizeof(wanted), "nc=%s", nc);
    assert_non_null(strstr(authorization, wanted));
}

/* Both answers to a challenge of RFC 7616 3.9.1 with the algorithm. */
static void check_rfc_7616(const char *challenge, const char *first, const char *second)
{
    struct digest d;
    struct digest_challenge c = parse(challenge);
    assert_true(c.usable);
    assert_int_equal(digest_start(&d, &c, span_of("Mufasa"), span_of("Circle of Life"), RFC_CNONCE),
                     0);
    expect_response(answer(&d, "GET", "Mufasa", "/dir/index.html"), first, "00000001");
    expect_response(answer(&d, "GET", "Mufasa", "/dir/index.html"), second, "00000002");
    digest_close(&d);
    digest_close(&d);
}

static void rfc_7616_examples(void **state)
{
    (void)state;
    check_rfc_7616(RFC_CHALLENGE("MD5"), "8ca523f5e9506fed4657c9700eebdbec",
                   "4b5d595ecf2db9df612ea5b45cd97101");
    check_rfc_7616(RFC_CHALLENGE("SHA-256"),
                   "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
                   "8c8db27f49ff1c202f9fb49fa9d2e9eabf078dcc93db40dfd6527010091d1c8e");
    check_rfc_7616(RFC_CHALLENGE("MD5-sess"), "e783283f46242139c486a698fec7211d",
                   "6914b51e16f9459d9abc967ad41c4599");
    check_rfc_7616(RFC_CHALLENGE("\"sha-256-SESS\""),
                   "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7",
                   "6bb0010aa4bdf46422a798c509ea32e256f27bd37de5cc3bdf8ed51e1d77d650");
}

static void the_whole_field(void **state)
{
    (void)state;
    struct digest d;
    struct digest_challenge c = parse(RFC_CHALLENGE("MD5"));
    assert_int_equal(digest_start(&d, &c, span_of("Mufasa"), span_of("Circle of Life"), RFC_CNONCE),
                     0);
    assert_string_equal(answer(&d, "GET", "Mufasa", "/dir/index.html"),
                        "Digest username=\"Mufasa\", realm=\"" RFC_REALM "\", nonce=\"" RFC_NONCE
                        "\", uri=\"/dir/index.html\", "
                        "response=\"8ca523f5e9506fed4657c9700eebdbec\", algorithm=MD5, "
                        "opaque=\"" RFC_OPAQUE "\", qop=auth, nc=00000001, "
                        "cnonce=\"" RFC_CNONCE "\"");
    digest_close(&d);
}

/* RFC 2069 2.4 with its erratum: neither qop nor algorithm, and so none in the answer. */
static void servers_without_qop(void **state)
{
    (void)state;
    struct digest d;
    struct digest_challenge c = parse("Digest realm=\"testrealm@host.com\","
                                      "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"");
    assert_true(c.usable);
    assert_int_equal(digest_start(&d, &c, span_of("Mufasa"), span_of("CircleOfLife"), "x"), 0);
    assert_string_equal(answer(&d, "GET", "Mufasa", "/dir/index.html"),
                        "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", "
                        "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", "
                        "response=\"1949323746fe6a43ef61f9606e7febea\"");
    digest_close(&d);
}

static void quotes_and_backslashes(void **state)
{
    (void)state;
    struct digest d;
    struct digest_challenge c = parse("Digest realm=\"re\\\\alm\", nonce=\"n\\\"once\"");
    assert_true(c.usable);
    assert_string_equal(c.realm, "re\\alm");
    assert_string_equal(c.nonce, "n\"once");
    assert_int_equal(digest_start(&d, &c, span_of("us\"er"), span_of("pw"), "x"), 0);
    assert_string_equal(answer(&d, "POST", "us\"er", "/a?b=\"c\\"),
                        "Digest username=\"us\\\"er\", realm=\"re\\\\alm\", nonce=\"n\\\"once\", "
                        "uri=\"/a?b=\\\"c\\\\\", response=\"88de21f69f8676e0fbc308e213cc23b1\"");
    digest_close(&d);
}

static void the_strongest_challenge_wins(void **state)
{
    (void)state;
    struct digest_challenge c = {.usable = false};
    assert_int_equal(digest_parse(span_of("Digest realm=r, nonce=old"), &c), 0);
    assert_string_equal(c.nonce, "old");
    assert_int_equal(digest_parse(span_of("Digest realm=r, nonce=second"), &c), 0);
    assert_string_equal(c.nonce, "old");
    assert_int_equal(digest_parse(span_of("Digest realm=r, nonce=qop, qop=auth"), &c), 0);
    assert_string_equal(c.nonce, "qop");
    assert_int_equal(digest_parse(span_of("Digest realm=r, nonce=sha, algorithm=SHA-256"), &c), 0);
    assert_string_equal(c.nonce, "sha");
    assert_int_equal(
        digest_parse(span_of("Digest realm=r, nonce=md5, algorithm=MD5, qop=auth"), &c), 0);
    assert_string_equal(c.nonce, "sha");
}

static void several_challenges_in_one_field(void **state)
{
    (void)state;
    struct digest_challenge c =
        parse("Basic realm=\"a, Digest realm=b\", , NTLM TlRMTVNTUAAB==,Digest nonce=\"1\" , "
              "realm=\"x\",algorithm=MD5, Digest realm=\"x\", algorithm=SHA-256, nonce=2, "
              "qop=\"auth\",Negotiate, Bearer realm=z");
    assert_true(c.usable);
    assert_string_equal(c.nonce, "2");
    assert_int_equal(c.algorithm, DIGEST_SHA256);
    assert_true(c.says_algorithm && c.qop_auth && !c.stale && !c.has_opaque && !c.session);
}

static void stale_and_opaque(void **state)
{
    (void)state;
    struct digest_challenge c = parse("digest Realm = r , NONCE=n, Stale=TRUE, opaque=\"\"");
    assert_true(c.usable && c.stale && c.has_opaque);
    assert_string_equal(c.opaque, "");
    assert_false(parse("Digest realm=r, nonce=n, stale=false").stale);
}

static void challenges_that_cannot_be_used(void **state)
{
    (void)state;
    const char *const texts[] = {
        "",
        ",, ,",
        "Basic realm=\"x\"",
        "Digest",
        "Digest realm=r",
        "Digest nonce=n",
        "Digest realm=r, nonce=\"\"",
        "Digest realm=r, nonce=n, algorithm=SHA-512-256",
        "Digest realm=r, nonce=n, algorithm=MD4",
        "Digest realm=r, nonce=n, qop=auth-int",
        "Digest realm=r, nonce=n, qop=\"\"",
        "Digest realm=r, nonce=n, algorithm=MD5-sess",
        "Digest abcd==",
        "Digest realm=, nonce=n",
        "DigestX realm=r, nonce=n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (parse(texts[i]).usable) {
            fail_msg("usable: %s", texts[i]);
        }
    }
}

static void malformed_fields_count_for_nothing(void **state)
{
    (void)state;
    const char *const texts[] = {
        "Digest realm=\"r, nonce=n",
        "Digest realm=\"r\\\", nonce=n",
        "Digest realm=r nonce=n",
        "Digest realm=r, nonce=n x",
        "Digest realm=\"r\"x, nonce=n",
        "Digest realm=r, nonce=n, nonce=m",
        "Digest realm=r, nonce=n, (",
        "Digest realm=r, nonce=n, =x",
        "=x",
        "Digest\"x\"",
        "Digest realm=\"a\nb\", nonce=n",
        "Digest realm=r, nonce=n, Basic\x01",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct digest_challenge c = {.usable = false};
        if (digest_parse(span_of(texts[i]), &c) != ERROR_SYNTAX || c.usable) {
            fail_msg("taken: %s", texts[i]);
        }
    }
}

static void text_size_limit(void **state)
{
    (void)state;
    char text[DIGEST_TEXT_BYTES + 64] = "Digest realm=r, nonce=";
    size_t start = strlen(text);
    memset(text + start, 'n', DIGEST_TEXT_BYTES - 1);
    struct digest_challenge c = parse(text);
    assert_true(c.usable);
    assert_int_equal(strlen(c.nonce), DIGEST_TEXT_BYTES - 1);
    text[start + DIGEST_TEXT_BYTES - 1] = 'n';
    assert_false(parse(text).usable);
}

static void item_count_limit(void **state)
{
    (void)state;
    char text[1024] = "Digest realm=r, nonce=n";
    struct digest_challenge c = {.usable = false};
    for (int n_items = 3; n_items < DIGEST_ITEMS_MAX; n_items++) {
        memcpy(text + strlen(text), ", a=b", sizeof(", a=b"));
    }
    assert_int_equal(digest_parse(span_of(text), &c), 0);
    assert_true(c.usable);
    memcpy(text + strlen(text), ", a=b", sizeof(", a=b"));
    memset(&c, 0, sizeof(c));
    assert_int_equal(digest_parse(span_of(text), &c), ERROR_LIMIT);
    assert_false(c.usable);
}

static void nonce_count_ends(void **state)
{
    (void)state;
    struct digest d;
    struct buffer out;
    struct digest_challenge c = parse("Digest realm=r, nonce=n, qop=auth");
    assert_int_equal(digest_start(&d, &c, span_of("u"), span_of("p"), "x"), 0);
    d.n_used = UINT32_MAX - 1;
    assert_non_null(strstr(answer(&d, "GET", "u", "/"), "nc=ffffffff"));
    buffer_init(&out, 1024);
    assert_int_equal(digest_append(&d, span_of("GET"), span_of("u"), span_of("/"), &out),
                     ERROR_STATE);
    buffer_close(&out);
    digest_close(&d);
}

static void a_full_buffer_is_an_error(void **state)
{
    (void)state;
    struct digest d;
    struct buffer out;
    struct digest_challenge c = parse("Digest realm=r, nonce=n, qop=auth");
    assert_int_equal(digest_start(&d, &c, span_of("u"), span_of("p"), "x"), 0);
    buffer_init(&out, 40);
    assert_int_equal(digest_append(&d, span_of("GET"), span_of("u"), span_of("/"), &out),
                     ERROR_LIMIT);
    assert_int_equal(d.n_used, 0);
    buffer_close(&out);
    digest_close(&d);
}

static void cnonce_size_limit(void **state)
{
    (void)state;
    struct digest d;
    char cnonce[DIGEST_CNONCE_BYTES + 1];
    struct digest_challenge c = parse("Digest realm=r, nonce=n, qop=auth");
    memset(cnonce, 'c', sizeof(cnonce));
    cnonce[DIGEST_CNONCE_BYTES] = '\0';
    assert_int_equal(digest_start(&d, &c, span_of("u"), span_of("p"), cnonce), ERROR_LIMIT);
    assert_int_equal(digest_start(&d, &c, span_of("u"), span_of("p"), cnonce + 1), 0);
    digest_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_7616_examples),
        cmocka_unit_test(the_whole_field),
        cmocka_unit_test(servers_without_qop),
        cmocka_unit_test(quotes_and_backslashes),
        cmocka_unit_test(the_strongest_challenge_wins),
        cmocka_unit_test(several_challenges_in_one_field),
        cmocka_unit_test(stale_and_opaque),
        cmocka_unit_test(challenges_that_cannot_be_used),
        cmocka_unit_test(malformed_fields_count_for_nothing),
        cmocka_unit_test(text_size_limit),
        cmocka_unit_test(item_count_limit),
        cmocka_unit_test(nonce_count_ends),
        cmocka_unit_test(a_full_buffer_is_an_error),
        cmocka_unit_test(cnonce_size_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
