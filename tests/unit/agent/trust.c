/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/tunnel/trust.h: whole handshakes in memory, with certificates made here. */
#include "agent/tunnel/trust.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/io/crypto.h"
#include "tests/unit/base/allocator.h"

#define HOUR_S 3600

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

struct made {
    struct identity ca;
    struct identity good;     /* relay.example, 192.0.2.1 */
    struct identity wildcard; /* *.relay.example */
    struct identity expired;
    struct identity early; /* not valid yet */
    struct identity alone; /* self-signed */
    char ca_file[64];
};

static struct made made;
static char seen_name[300]; /* server name indication; "" = none */

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Signed by `issuer`, or by itself if that is NULL; valid from `from_s` to `to_s` from now on. */
static struct identity make(const char *name, const char *names, const struct identity *issuer,
                            long from_s, long to_s)
{
    static int serial;
    struct identity id = {EVP_EC_gen("P-256"), X509_new()};
    assert_non_null(id.key);
    assert_non_null(id.certificate);
    X509 *c = id.certificate;
    assert_int_equal(X509_set_version(c, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c), ++serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(c), from_s));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(c), to_s));
    X509_NAME *subject = X509_get_subject_name(c);
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(
                         c, issuer == NULL ? subject : X509_get_subject_name(issuer->certificate)),
                     1);
    assert_int_equal(X509_set_pubkey(c, id.key), 1);
    add_extension(c, NID_basic_constraints, names == NULL ? "CA:TRUE" : "CA:FALSE");
    if (names != NULL) {
        add_extension(c, NID_subject_alt_name, names);
    }
    assert_true(X509_sign(c, issuer == NULL ? id.key : issuer->key, EVP_sha256()) > 0);
    return id;
}

static int set_up(void **state)
{
    (void)state;
    made.ca = make("ca", NULL, NULL, -HOUR_S, HOUR_S);
    made.good =
        make("good", "DNS:relay.example,IP:192.0.2.1,IP:2001:db8::1", &made.ca, -HOUR_S, HOUR_S);
    made.wildcard = make("wildcard", "DNS:*.relay.example", &made.ca, -HOUR_S, HOUR_S);
    made.expired = make("expired", "DNS:relay.example", &made.ca, -2 * HOUR_S, -HOUR_S);
    made.early = make("early", "DNS:relay.example", &made.ca, HOUR_S, 2 * HOUR_S);
    made.alone = make("alone", "DNS:elsewhere.example", NULL, -HOUR_S, HOUR_S);
    (void)snprintf(made.ca_file, sizeof(made.ca_file), "/tmp/tnx-trust-XXXXXX");
    int fd = mkstemp(made.ca_file);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_int_equal(PEM_write_X509(file, made.ca.certificate), 1);
    assert_int_equal(fclose(file), 0);
    return 0;
}

static void free_identity(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(made.ca_file);
    free_identity(&made.ca);
    free_identity(&made.good);
    free_identity(&made.wildcard);
    free_identity(&made.expired);
    free_identity(&made.early);
    free_identity(&made.alone);
    return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int on_server_name(SSL *ssl, int *alert, void *user)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    (void)user;
    (void)snprintf(seen_name, sizeof(seen_name), "%s", name != NULL ? name : "");
    return SSL_TLSEXT_ERR_OK;
}

static SSL *new_server(const struct identity *id)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(ctx, id->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, id->key), 1);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx); /* the SSL holds it */
    SSL_set_accept_state(ssl);
    return ssl;
}

/* What libwebsockets does to each SSL before the handshake: a name of its own making, and a
 * callback that would forgive. */
static int forgive(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static SSL *new_client(struct trust *t)
{
    SSL *ssl = SSL_new(trust_context(t));
    (void)X509_VERIFY_PARAM_set1_host(SSL_get0_param(ssl), "[", 1);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, forgive);
    (void)SSL_set_tlsext_host_name(ssl, "[");
    SSL_set_connect_state(ssl);
    return ssl;
}

static void join(SSL *a, SSL *b)
{
    BIO *one;
    BIO *other;
    assert_int_equal(BIO_new_bio_pair(&one, 0, &other, 0), 1);
    SSL_set_bio(a, one, one);
    SSL_set_bio(b, other, other);
}

/* True if the handshake came to its end on the client's side. */
static bool shake_hands(struct trust *t, const struct identity *id)
{
    SSL *server = new_server(id);
    SSL *client = new_client(t);
    bool done = false;

    seen_name[0] = '\0';
    join(client, server);
    trust_begin(t);
    for (int i = 0; i < 10 && !done; i++) {
        done = SSL_do_handshake(client) == 1;
        (void)SSL_do_handshake(server); /* takes its turns, and fails with the client */
    }
    SSL_free(client);
    SSL_free(server);
    return done;
}

static struct trust *new_trust(const char *host, const char *ca_file,
                               const uint8_t (*pins)[TRUST_PIN_BYTES], size_t n_pins)
{
    struct url relay;
    char text[300];
    struct trust *t;
    struct error_text e;

    (void)snprintf(text, sizeof(text), "wss://%s", host);
    assert_int_equal(url_parse_relay(text, &relay, NULL), 0);
    const struct trust_settings settings = {&relay, ca_file, pins, n_pins};
    assert_int_equal(trust_new(&settings, &t, &e), 0);
    return t;
}

static void assert_trusts(const char *host, const struct identity *id)
{
    struct trust *t = new_trust(host, made.ca_file, NULL, 0);
    assert_true(shake_hands(t, id));
    assert_true(trust_passed(t));
    assert_string_equal(trust_reason(t), "");
    trust_free(t);
}

static void assert_refuses(struct trust *t, const struct identity *id, const char *reason)
{
    assert_false(shake_hands(t, id));
    assert_false(trust_passed(t));
    assert_non_null(strstr(trust_reason(t), reason));
    trust_free(t);
}

static void key_hash(const struct identity *id, uint8_t hash[TRUST_PIN_BYTES])
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(id->key, &der);
    assert_true(len > 0);
    assert_int_equal(EVP_Digest(der, (size_t)len, hash, NULL, EVP_sha256(), NULL), 1);
    OPENSSL_free(der);
}

static void test_trust_accepts_what_names_the_host(void **state)
{
    (void)state;
    assert_trusts("relay.example", &made.good);
    assert_string_equal(seen_name, "relay.example");
    assert_trusts("192.0.2.1", &made.good);
    assert_string_equal(seen_name, "");
    assert_trusts("[2001:db8::1]", &made.good);
    assert_string_equal(seen_name, "");
    assert_trusts("a.relay.example:8443", &made.wildcard);
    assert_string_equal(seen_name, "a.relay.example");
}

static void test_trust_refuses_other_names(void **state)
{
    (void)state;
    assert_refuses(new_trust("relay.other", made.ca_file, NULL, 0), &made.good,
                   "hostname mismatch");
    assert_refuses(new_trust("192.0.2.2", made.ca_file, NULL, 0), &made.good,
                   "IP address mismatch");
    assert_refuses(new_trust("[::2]", made.ca_file, NULL, 0), &made.good, "IP address mismatch");
    assert_refuses(new_trust("a.b.relay.example", made.ca_file, NULL, 0), &made.wildcard,
                   "hostname mismatch");
}

static void test_trust_refuses_wrong_times(void **state)
{
    (void)state;
    assert_refuses(new_trust("relay.example", made.ca_file, NULL, 0), &made.expired, "has expired");
    assert_refuses(new_trust("relay.example", made.ca_file, NULL, 0), &made.early,
                   "is not yet valid");
}

static void test_trust_refuses_strangers(void **state)
{
    (void)state;
    assert_refuses(new_trust("elsewhere.example", made.ca_file, NULL, 0), &made.alone,
                   "self-signed certificate");
    assert_refuses(new_trust("relay.example", NULL, NULL, 0), &made.good,
                   "unable to get local issuer certificate");
}

static void test_trust_pins_alone_replace_chain_name_and_time(void **state)
{
    uint8_t pins[2][TRUST_PIN_BYTES] = {{0}};
    (void)state;
    key_hash(&made.alone, pins[1]);
    struct trust *t = new_trust("relay.example", NULL, (const uint8_t(*)[TRUST_PIN_BYTES])pins, 2);
    assert_true(shake_hands(t, &made.alone));
    assert_true(trust_passed(t));
    trust_free(t);
    assert_refuses(new_trust("relay.example", NULL, (const uint8_t(*)[TRUST_PIN_BYTES])pins, 2),
                   &made.good, "is not the pinned one");
}

static void test_trust_pins_and_chain_must_both_hold(void **state)
{
    uint8_t good[1][TRUST_PIN_BYTES];
    uint8_t alone[1][TRUST_PIN_BYTES];
    (void)state;
    key_hash(&made.good, good[0]);
    key_hash(&made.alone, alone[0]);
    struct trust *t =
        new_trust("relay.example", made.ca_file, (const uint8_t(*)[TRUST_PIN_BYTES])good, 1);
    assert_true(shake_hands(t, &made.good));
    trust_free(t);
    assert_refuses(
        new_trust("relay.example", made.ca_file, (const uint8_t(*)[TRUST_PIN_BYTES])alone, 1),
        &made.good, "is not the pinned one");
    assert_refuses(
        new_trust("elsewhere.example", made.ca_file, (const uint8_t(*)[TRUST_PIN_BYTES])alone, 1),
        &made.alone, "does not verify");
}

static void test_trust_begin_forgets_and_change_takes_effect(void **state)
{
    struct url relay;
    struct error_text e = {""};
    (void)state;
    struct trust *t = new_trust("relay.example", made.ca_file, NULL, 0);
    assert_true(shake_hands(t, &made.good));
    trust_begin(t);
    assert_false(trust_passed(t));
    assert_int_equal(url_parse_relay("wss://relay.other", &relay, NULL), 0);
    const struct trust_settings missing = {&relay, "/nonexistent", NULL, 0};
    assert_int_equal(trust_change(t, &missing, &e), ERROR_CONFIG);
    assert_non_null(strstr(e.text, "/nonexistent"));
    assert_true(shake_hands(t, &made.good)); /* as before */
    const struct trust_settings other = {&relay, made.ca_file, NULL, 0};
    assert_int_equal(trust_change(t, &other, &e), 0);
    assert_refuses(t, &made.good, "hostname mismatch");
}

static void test_trust_parses_pins(void **state)
{
    static const char *const good[] = {
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
        ("00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:"
         "10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f"),
        "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    };
    static const char *const bad[] = {
        "",
        "00",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH===",
        "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd!h8=",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint8_t pin[TRUST_PIN_BYTES];
        assert_int_equal(trust_parse_pin(good[i], pin), 0);
        for (uint8_t j = 0; j < TRUST_PIN_BYTES; j++) {
            assert_int_equal(pin[j], j);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t pin[TRUST_PIN_BYTES] = {77};
        assert_int_equal(trust_parse_pin(bad[i], pin), ERROR_SYNTAX);
        assert_int_equal(pin[0], 77);
    }
}

/* OpenSSL keeps a root whose key did not fit, without its key, and calls it loaded. */
static void test_trust_that_is_made_knows_its_roots_though_memory_ends(void **state)
{
    struct url relay;
    (void)state;
    assert_int_equal(url_parse_relay("wss://relay.example", &relay, NULL), 0);
    const struct trust_settings settings = {&relay, made.ca_file, NULL, 0};
    size_t n_refused = 0;
    for (bool refused = true; refused; n_refused++) {
        struct trust *t = NULL;
        struct error_text e;
        allocator_refuse_after(n_refused);
        int rc = trust_new(&settings, &t, &e);
        refused = allocator_reset();
        if (rc == 0) {
            assert_true(shake_hands(t, &made.good));
        }
        trust_free(t);
    }
    assert_true(n_refused > 50);
}

/* OpenSSL reads what a root's extensions say when it is asked for, once: had there been no memory
 * for them just then, the root would not count any more. */
static void test_trust_has_read_the_extensions_of_its_roots(void **state)
{
    struct url relay;
    struct trust *t = NULL;
    struct error_text e;
    (void)state;
    assert_int_equal(url_parse_relay("wss://relay.example", &relay, NULL), 0);
    const struct trust_settings settings = {&relay, made.ca_file, NULL, 0};
    assert_int_equal(trust_new(&settings, &t, &e), 0);
    STACK_OF(X509_OBJECT) *roots =
        X509_STORE_get0_objects(SSL_CTX_get_cert_store(trust_context(t)));
    X509 *root = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(roots, 0));
    allocator_refuse_after(0);
    uint32_t flags = X509_get_extension_flags(root);
    assert_false(allocator_reset());
    assert_false((flags & EXFLAG_INVALID) != 0);
    trust_free(t);
}

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trust_accepts_what_names_the_host),
        cmocka_unit_test(test_trust_refuses_other_names),
        cmocka_unit_test(test_trust_refuses_wrong_times),
        cmocka_unit_test(test_trust_refuses_strangers),
        cmocka_unit_test(test_trust_pins_alone_replace_chain_name_and_time),
        cmocka_unit_test(test_trust_pins_and_chain_must_both_hold),
        cmocka_unit_test(test_trust_begin_forgets_and_change_takes_effect),
        cmocka_unit_test(test_trust_parses_pins),
        cmocka_unit_test(test_trust_that_is_made_knows_its_roots_though_memory_ends),
        cmocka_unit_test(test_trust_has_read_the_extensions_of_its_roots),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
