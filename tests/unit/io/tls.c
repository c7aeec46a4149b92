/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/tls.h: handshakes in memory between a server of ours and a client of OpenSSL's.
 * Files that cannot be used: tls_files.c. */
#include "proto/io/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/base/clock.h"
#include "proto/io/crypto.h"
#include "proto/io/tickets.h"
#include "tests/unit/io/handshake.h"
#include "tests/unit/io/pair_files.h"

#define DAY_S 86400

static struct tickets *tickets;

static struct pair_files one; /* one.example */
static struct pair_files two; /* *.two.example */
static struct tls_server *server;
static struct error_text error;

static int make_pairs(void **state)
{
    int err = pair_files_set_up(state);
    if (err == 0) {
        pair_files_make(&one, "one.example", clock_wall_s() + 50 * DAY_S);
        pair_files_make(&two, "*.two.example", clock_wall_s() + 20 * DAY_S);
    }
    return err;
}

static int set_up(void **state)
{
    (void)state;
    memset(&error, 0, sizeof(error));
    client_ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(client_ctx);
    assert_int_equal(tickets_new(&tickets), 0);
    client = SSL_new(client_ctx);
    assert_non_null(client);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    drop_connection();
    SSL_CTX_free(client_ctx);
    tls_server_free(server);
    server = NULL;
    tickets_free(tickets);
    tickets = NULL;
    return 0;
}

static int try_files(const char *certificate, const char *private_key)
{
    struct tls_pair pair = {.certificate = certificate, .private_key = private_key};
    return tls_server_new(&pair, 1, tickets, &server, &error);
}

static struct tls_server *make_server(struct tickets *keys)
{
    struct tls_pair pairs[] = {one.pair, two.pair};
    struct tls_server *s = NULL;
    assert_int_equal(tls_server_new(pairs, 2, keys, &s, &error), 0);
    return s;
}

static void assert_served(const char *host)
{
    X509 *leaf = SSL_get0_peer_certificate(client);
    assert_non_null(leaf);
    assert_int_equal(X509_check_host(leaf, host, 0, 0, NULL), 1);
}

static void test_tls_takes_an_expired_certificate(void **state)
{
    (void)state;
    struct pair_files expired;
    int64_t until_s = clock_wall_s() - DAY_S;
    pair_files_make(&expired, "old.example", until_s);
    assert_int_equal(try_files(expired.certificate, expired.private_key), 0);
    assert_int_equal(tls_server_expires_s(server), until_s);
    assert_true(connect_to(server));
    assert_served("old.example");
}

static void expect_certificate_for(const char *name, const char *host)
{
    connect_again();
    if (name != NULL) {
        assert_int_equal(SSL_set_tlsext_host_name(client, name), 1);
    }
    assert_true(connect_to(server));
    assert_served(host);
}

static void test_tls_chooses_the_certificate_by_the_name_asked_for(void **state)
{
    (void)state;
    server = make_server(tickets);
    expect_certificate_for("one.example", "one.example");
    expect_certificate_for("a.two.example", "a.two.example");
    expect_certificate_for("A.TWO.example", "a.two.example");
}

static void test_tls_serves_the_first_certificate_to_who_names_none_of_them(void **state)
{
    (void)state;
    server = make_server(tickets);
    expect_certificate_for(NULL, "one.example");
    expect_certificate_for("three.example", "one.example");
    expect_certificate_for("two.example", "one.example");
    expect_certificate_for("a.b.two.example", "one.example");
}

static void test_tls_sends_the_chain_behind_the_certificate(void **state)
{
    (void)state;
    char path[PAIR_PATH_BYTES];
    char text[8192];
    size_t len = 0;
    const char *const files[] = {one.certificate, two.certificate};
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "r");
        assert_non_null(file);
        len += fread(text + len, 1, sizeof(text) - 1 - len, file);
        assert_int_equal(fclose(file), 0);
    }
    text[len] = '\0';
    pair_files_write("chain", text, path);
    assert_int_equal(try_files(path, one.private_key), 0);
    assert_true(connect_to(server));
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(client)), 2);
}

/* What goes through the connection still. */
static void assert_alive(void)
{
    char text[8] = "";
    assert_int_equal(SSL_write(client, "up", 2), 2);
    assert_int_equal(SSL_read(end, text, sizeof(text)), 2);
    assert_int_equal(SSL_write(end, "down", 4), 4);
    assert_int_equal(SSL_read(client, text, sizeof(text)), 4);
    assert_memory_equal(text, "down", 4);
}

static void test_tls_reload_leaves_connections_alive(void **state)
{
    (void)state;
    static const char *const names[] = {"one.example", "a.two.example"};
    for (size_t i = 0; i < 2; i++) {
        connect_again();
        server = make_server(tickets);
        assert_int_equal(SSL_set_tlsext_host_name(client, names[i]), 1);
        assert_true(connect_to(server));
        tls_server_free(server);
        server = NULL;
        assert_alive();
        assert_served(names[i]);
    }
}

static void test_tls_reload_leaves_handshakes_alive(void **state)
{
    (void)state;
    static const char *const names[] = {"one.example", "a.two.example"};
    for (size_t i = 0; i < 2; i++) {
        connect_again();
        server = make_server(tickets);
        assert_int_equal(SSL_set_tlsext_host_name(client, names[i]), 1);
        join(server);
        tls_server_free(server);
        server = NULL;
        assert_true(shake_hands());
        assert_alive();
        assert_served(names[i]);
    }
}

/* ---- policy ---- */

static bool connect_with_version(int version)
{
    connect_again();
    SSL_set_security_level(client, 0);
    assert_int_equal(SSL_set_cipher_list(client, "ALL:@SECLEVEL=0"), 1);
    assert_int_equal(SSL_set_min_proto_version(client, TLS1_VERSION), 1);
    assert_int_equal(SSL_set_max_proto_version(client, version), 1);
    return connect_to(server) && SSL_version(end) == version;
}

static void test_tls_speaks_1_2_and_1_3_and_nothing_older(void **state)
{
    (void)state;
    server = make_server(tickets);
    assert_true(connect_with_version(TLS1_3_VERSION));
    assert_true(connect_with_version(TLS1_2_VERSION));
    assert_false(connect_with_version(TLS1_1_VERSION));
    assert_false(connect_with_version(TLS1_VERSION));
}

static bool connect_with_suites(const char *suites)
{
    connect_again();
    SSL_set_security_level(client, 0);
    assert_int_equal(SSL_set_max_proto_version(client, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_set_cipher_list(client, suites), 1);
    return connect_to(server);
}

static void test_tls_takes_suites_with_forward_secrecy_and_aead_only(void **state)
{
    (void)state;
    server = make_server(tickets);
    assert_true(connect_with_suites("ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert_true(connect_with_suites("ECDHE-ECDSA-CHACHA20-POLY1305"));
    assert_false(connect_with_suites("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA"));
    assert_false(connect_with_suites("ECDHE-ECDSA-AES128-CCM8"));
    assert_false(connect_with_suites("AES128-GCM-SHA256:AES128-SHA"));
    assert_false(connect_with_suites("ADH-AES128-GCM-SHA256:@SECLEVEL=0"));
}

static void test_tls_refuses_renegotiation(void **state)
{
    (void)state;
    server = make_server(tickets);
    char byte = 0;
    assert_true(connect_with_suites("ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert_int_equal(SSL_renegotiate(client), 1);
    for (int i = 0; i < 5; i++) {
        (void)SSL_do_handshake(client);
        (void)SSL_read(end, &byte, 1);
    }
    ERR_clear_error();
    assert_int_equal(SSL_total_renegotiations(end), 0);
    assert_false(SSL_is_init_finished(client));
}

static void expect_alpn(const char *offered, const char *chosen)
{
    const unsigned char *got = NULL;
    unsigned len = 0;
    connect_again();
    if (offered != NULL) {
        assert_int_equal(
            SSL_set_alpn_protos(client, (const unsigned char *)offered, (unsigned)strlen(offered)),
            0);
    }
    assert_true(connect_to(server));
    SSL_get0_alpn_selected(client, &got, &len);
    assert_int_equal(len, strlen(chosen));
    assert_memory_equal(len > 0 ? (const char *)got : "", chosen, len);
}

static void test_tls_alpn_answers_http_1_1_or_nothing(void **state)
{
    (void)state;
    server = make_server(tickets);
    expect_alpn("\x08http/1.1", "http/1.1");
    expect_alpn("\x02h2\x08http/1.1", "http/1.1");
    expect_alpn("\x02h2", "");
    expect_alpn("\x08http/1.0", "");
    expect_alpn(NULL, "");
}

/* The ticket that a connection to `server` gets; owned. */
static SSL_SESSION *take_ticket(int version, const char *name)
{
    char byte = 0;
    assert_int_equal(SSL_CTX_set_max_proto_version(client_ctx, version), 1);
    connect_again();
    assert_int_equal(SSL_set_tlsext_host_name(client, name), 1);
    assert_true(connect_to(server));
    (void)SSL_read(client, &byte, 1);            /* TLS 1.3 sends the ticket behind the handshake */
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN); /* else OpenSSL gives the session up */
    return SSL_get1_session(client);
}

/* Connects to `s` with it; takes it. */
static bool resumes_with(const struct tls_server *s, SSL_SESSION *ticket, const char *name)
{
    connect_again();
    assert_int_equal(SSL_set_tlsext_host_name(client, name), 1);
    assert_int_equal(SSL_set_session(client, ticket), 1);
    SSL_SESSION_free(ticket);
    assert_true(connect_to(s));
    assert_alive();
    return SSL_session_reused(client) == 1;
}

static bool resumes_at(const struct tls_server *s, int version, const char *name)
{
    return resumes_with(s, take_ticket(version, name), name);
}

static void test_tls_tickets_are_taken_for_one_rotation_of_their_key(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    server = make_server(tickets);
    for (size_t i = 0; i < 2; i++) {
        for (int n_rotations = 0; n_rotations < 3; n_rotations++) {
            SSL_SESSION *ticket = take_ticket(versions[i], "one.example");
            for (int k = 0; k < n_rotations; k++) {
                assert_int_equal(tickets_rotate(tickets), 0);
            }
            assert_int_equal(resumes_with(server, ticket, "one.example"), n_rotations < 2);
        }
    }
}

static void test_tls_tickets_are_taken_by_every_server_with_the_key(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tickets *others = NULL;
    assert_int_equal(tickets_new(&others), 0);
    server = make_server(tickets);
    struct tls_server *same = make_server(tickets);
    struct tls_server *other = make_server(others);
    for (size_t i = 0; i < 2; i++) {
        assert_true(resumes_at(same, versions[i], "one.example"));
        assert_true(resumes_at(same, versions[i], "a.two.example"));
        assert_false(resumes_at(other, versions[i], "one.example"));
    }
    tls_server_free(same);
    tls_server_free(other);
    tickets_free(others);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        CASE(test_tls_takes_an_expired_certificate),
        CASE(test_tls_chooses_the_certificate_by_the_name_asked_for),
        CASE(test_tls_serves_the_first_certificate_to_who_names_none_of_them),
        CASE(test_tls_sends_the_chain_behind_the_certificate),
        CASE(test_tls_reload_leaves_connections_alive),
        CASE(test_tls_reload_leaves_handshakes_alive),
        CASE(test_tls_speaks_1_2_and_1_3_and_nothing_older),
        CASE(test_tls_takes_suites_with_forward_secrecy_and_aead_only),
        CASE(test_tls_refuses_renegotiation),
        CASE(test_tls_alpn_answers_http_1_1_or_nothing),
        CASE(test_tls_tickets_are_taken_for_one_rotation_of_their_key),
        CASE(test_tls_tickets_are_taken_by_every_server_with_the_key),
    };
    return cmocka_run_group_tests(tests, make_pairs, pair_files_tear_down);
}
