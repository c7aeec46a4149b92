/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/tls.h: files that can be used, and files that cannot. Handshakes: tls.c. */
#include "proto/io/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/base/clock.h"
#include "tests/unit/io/pair_files.h"

#define DAY_S 86400

static struct pair_files one; /* one.example */
static struct pair_files two; /* two.example */
static struct tls_server *server;
static struct error_text error;

static int make_pairs(void **state)
{
    int err = pair_files_set_up(state);
    if (err == 0) {
        pair_files_make(&one, "one.example", clock_wall_s() + 50 * DAY_S);
        pair_files_make(&two, "two.example", clock_wall_s() + 50 * DAY_S);
    }
    return err;
}

static int tear_down(void **state)
{
    (void)state;
    tls_server_free(server);
    server = NULL;
    return 0;
}

static int try_files(const char *certificate, const char *private_key)
{
    struct tls_pair pair = {.certificate = certificate, .private_key = private_key};
    return tls_server_new(&pair, 1, NULL, &server, &error);
}

static void assert_refused(const char *certificate, const char *private_key, const char *named)
{
    assert_int_equal(try_files(certificate, private_key), ERROR_CONFIG);
    assert_null(server);
    assert_non_null(strstr(error.text, named));
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_tls_refuses_a_missing_file_and_names_it(void **state)
{
    (void)state;
    assert_refused("/nowhere/cert.pem", one.private_key, "/nowhere/cert.pem");
    assert_refused(one.certificate, "/nowhere/key.pem", "/nowhere/key.pem");
}

static void test_tls_refuses_a_file_that_is_something_else_and_names_it(void **state)
{
    (void)state;
    char path[PAIR_PATH_BYTES];
    pair_files_write("text", "not a certificate\n", path);
    assert_refused(path, one.private_key, path);
    assert_refused(one.certificate, path, path);
    pair_files_write("empty", "", path);
    assert_refused(path, one.private_key, path);
    assert_refused(one.certificate, path, path);
    assert_refused(one.private_key, one.certificate, one.private_key);
    assert_refused("/tmp", one.private_key, "/tmp");
}

/* OpenSSL would ask the terminal for the pass phrase, and wait. */
static void test_tls_refuses_an_encrypted_key_without_asking(void **state)
{
    (void)state;
    char path[PAIR_PATH_BYTES];
    pair_files_write("encrypted", "", path);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *file = fopen(path, "w");
    assert_non_null(key);
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), NULL, 0, NULL,
                                          (void *)(uintptr_t) "secret"),
                     1);
    assert_int_equal(fclose(file), 0);
    EVP_PKEY_free(key);
    assert_refused(one.certificate, path, path);
}

static void test_tls_says_why_a_file_cannot_be_read(void **state)
{
    (void)state;
    assert_refused("/nowhere/cert.pem", one.private_key, strerror(ENOENT));
    assert_refused(one.certificate, "/nowhere/key.pem", strerror(ENOENT));
}

static void test_tls_refuses_the_key_of_another_certificate_and_names_both(void **state)
{
    (void)state;
    assert_refused(one.certificate, two.private_key, two.private_key);
    assert_non_null(strstr(error.text, one.certificate));
}

static void test_tls_refuses_all_pairs_if_the_last_is_bad(void **state)
{
    (void)state;
    struct tls_pair pairs[] = {one.pair, two.pair, {one.certificate, two.private_key}};
    assert_int_equal(tls_server_new(pairs, 3, NULL, &server, &error), ERROR_CONFIG);
    assert_null(server);
}

static void test_tls_takes_1_to_32_certificates(void **state)
{
    (void)state;
    struct tls_pair pairs[TLS_CERTIFICATES_MAX + 1];
    for (size_t i = 0; i <= TLS_CERTIFICATES_MAX; i++) {
        pairs[i] = one.pair;
    }
    assert_int_equal(tls_server_new(pairs, 0, NULL, &server, &error), ERROR_CONFIG);
    assert_int_equal(tls_server_new(pairs, TLS_CERTIFICATES_MAX + 1, NULL, &server, &error),
                     ERROR_CONFIG);
    assert_null(server);
    assert_int_equal(tls_server_new(pairs, TLS_CERTIFICATES_MAX, NULL, &server, &error), 0);
}

static void test_tls_free_takes_null(void **state)
{
    (void)state;
    tls_server_free(NULL);
}

static void test_tls_expires_with_the_first_of_its_certificates(void **state)
{
    (void)state;
    struct pair_files late;
    int64_t until_s = clock_wall_s() + 20 * DAY_S;
    pair_files_make(&late, "late.example", until_s);
    struct tls_pair pairs[] = {one.pair, late.pair};
    assert_int_equal(tls_server_new(pairs, 2, NULL, &server, &error), 0);
    assert_int_equal(tls_server_expires_s(server), until_s);
}

#define CASE(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_tls_refuses_a_missing_file_and_names_it),
        CASE(test_tls_refuses_a_file_that_is_something_else_and_names_it),
        CASE(test_tls_refuses_an_encrypted_key_without_asking),
        CASE(test_tls_says_why_a_file_cannot_be_read),
        CASE(test_tls_refuses_the_key_of_another_certificate_and_names_both),
        CASE(test_tls_refuses_all_pairs_if_the_last_is_bad),
        CASE(test_tls_takes_1_to_32_certificates),
        CASE(test_tls_free_takes_null),
        CASE(test_tls_expires_with_the_first_of_its_certificates),
    };
    return cmocka_run_group_tests(tests, make_pairs, pair_files_tear_down);
}
