/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/digest. */
#include "tests/simulator/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

/* The example of RFC 7616 3.9.1. */
#define RFC_NONCE  "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
#define RFC_CNONCE "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
#define RFC_OPAQUE "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
#define RFC_FIELD(algorithm, response)                                                             \
    " username=\"Mufasa\",\trealm=\"http-auth@example.org\", uri=\"/dir/index.html\","             \
    " algorithm=" algorithm ", nonce=\"" RFC_NONCE "\", nc=00000001, cnonce=\"" RFC_CNONCE "\","   \
    " qop=auth, response=\"" response "\", opaque=\"" RFC_OPAQUE "\""

static void response_is(enum digest_algorithm algorithm, const char *field, const char *expected)
{
    struct digest_fields f;
    enum digest_algorithm used = DIGEST_MD5;
    char secret[DIGEST_HEX_BYTES];
    char response[DIGEST_HEX_BYTES];
    assert_int_equal(digest_parse(span_of(field), &f), 0);
    assert_int_equal(digest_algorithm_of(&f, &used), 0);
    assert_int_equal(used, algorithm);
    assert_int_equal(digest_secret(used, f.username, f.realm, span_of("Circle of Life"), secret),
                     0);
    assert_int_equal(digest_response(used, secret, span_of("GET"), &f, response), 0);
    assert_string_equal(response, expected);
    assert_true(span_equal(f.response, span_of(expected)));
}

static void examples_of_the_rfc(void **state)
{
    (void)state;
    static const char MD5[] = "8ca523f5e9506fed4657c9700eebdbec";
    static const char SHA[] = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
    response_is(DIGEST_MD5, RFC_FIELD("MD5", "8ca523f5e9506fed4657c9700eebdbec"), MD5);
    response_is(
        DIGEST_SHA256,
        RFC_FIELD("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        SHA);
}

static void all_fields_are_read(void **state)
{
    (void)state;
    struct digest_fields f;
    assert_int_equal(digest_parse(span_of(RFC_FIELD("\"md5\"", "00")), &f), 0);
    assert_true(span_equal(f.username, span_of("Mufasa")));
    assert_true(span_equal(f.realm, span_of("http-auth@example.org")));
    assert_true(span_equal(f.nonce, span_of(RFC_NONCE)));
    assert_true(span_equal(f.uri, span_of("/dir/index.html")));
    assert_true(span_equal(f.response, span_of("00")));
    assert_true(span_equal(f.algorithm, span_of("md5")));
    assert_true(span_equal(f.cnonce, span_of(RFC_CNONCE)));
    assert_true(span_equal(f.opaque, span_of(RFC_OPAQUE)));
    assert_true(span_equal(f.qop, span_of("auth")));
    assert_true(span_equal(f.nc, span_of("00000001")));
    assert_int_equal(digest_parse(span_of("USERNAME=\"a,b=c\",unknown=1"), &f), 0);
    assert_true(span_equal(f.username, span_of("a,b=c")));
    assert_int_equal(f.realm.len, 0);
}

static void malformed_fields(void **state)
{
    (void)state;
    struct digest_fields f;
    const char *const wrong[] = {
        "username",        "username=",       "username=\"a",    "=a",
        "username=\"a\"b", "username=\"a\\",  "nc=1,nc=2",       "username=\"a\\\"",
        "uri=\"\\a\"",     "nonce=\"a\" qop", "realm=a,,realm=b"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (digest_parse(span_of(wrong[i]), &f) != ERROR_SYNTAX) {
            fail_msg("taken: %s", wrong[i]);
        }
    }
}

static void algorithms(void **state)
{
    (void)state;
    struct digest_fields f = {.algorithm = {NULL, 0}};
    enum digest_algorithm a = DIGEST_SHA256;
    assert_int_equal(digest_algorithm_of(&f, &a), 0);
    assert_int_equal(a, DIGEST_MD5);
    f.algorithm = span_of("sha-256");
    assert_int_equal(digest_algorithm_of(&f, &a), 0);
    assert_int_equal(a, DIGEST_SHA256);
    f.algorithm = span_of("MD5-sess");
    assert_int_equal(digest_algorithm_of(&f, &a), ERROR_NOT_FOUND);
}

static void counts(void **state)
{
    (void)state;
    uint32_t count = 0;
    assert_int_equal(digest_parse_nc(span_of("0000001a"), &count), 0);
    assert_int_equal(count, 26);
    assert_int_equal(digest_parse_nc(span_of("FFFFFFFF"), &count), 0);
    assert_int_equal(count, UINT32_MAX);
    const char *const wrong[] = {"", "1", "00000000", "0000000g", "000000001", "-0000001"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(digest_parse_nc(span_of(wrong[i]), &count), ERROR_SYNTAX);
    }
}

static void quoted_names(void **state)
{
    (void)state;
    assert_true(digest_unquoted_equal(span_of("a\\\"b"), span_of("a\"b")));
    assert_true(digest_unquoted_equal(span_of("a\\\\b"), span_of("a\\b")));
    assert_true(digest_unquoted_equal(span_of(""), span_of("")));
    assert_false(digest_unquoted_equal(span_of("ab"), span_of("a")));
    assert_false(digest_unquoted_equal(span_of("a"), span_of("ab")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc),
        cmocka_unit_test(all_fields_are_read),
        cmocka_unit_test(malformed_fields),
        cmocka_unit_test(algorithms),
        cmocka_unit_test(counts),
        cmocka_unit_test(quoted_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
