/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict on the relay's certificate.
 *
 * OpenSSL asks judge() instead of verifying by itself. It sets the name to be looked for, lets
 * X509_verify_cert do the work, and compares the key with the pins. The server name indication is
 * corrected in on_info(), which is called before the first byte is made, because libwebsockets
 * derives it from the Host field in a way that fails for addresses and long names. */
#include "agent/tunnel/trust.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/secret.h"
#include "proto/base/span.h"
#include "proto/io/crypto.h"

struct trust {
    SSL_CTX *ctx; /* owned */
    struct url relay;
    uint8_t pins[TRUST_PINS_MAX][TRUST_PIN_BYTES];
    size_t n_pins;
    bool pins_only;
    bool began;
    bool passed;
    struct error_text reason;
};

/* Nothing but what X509_verify_cert found: stands in for libwebsockets' callback, which forgives
 * some errors by flags. */
static int keep_verdict(int ok, X509_STORE_CTX *store)
{
    (void)store;
    return ok;
}

/* Makes the verification look for the host. False when out of memory. */
static bool set_name(const struct trust *t, X509_STORE_CTX *store)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(store);

    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (t->relay.literal) {
        return X509_VERIFY_PARAM_set1_host(param, NULL, 0) == 1 &&
               X509_VERIFY_PARAM_set1_ip_asc(param, t->relay.host) == 1;
    }
    return X509_VERIFY_PARAM_set1_ip(param, NULL, 0) == 1 &&
           X509_VERIFY_PARAM_set1_host(param, t->relay.host, 0) == 1;
}

static bool verify_chain(struct trust *t, X509_STORE_CTX *store)
{
    X509_STORE_CTX_set_verify_cb(store, keep_verdict);
    if (!set_name(t, store)) {
        (void)error_set(&t->reason, ERROR_NOMEM, "no memory to check the certificate of %s",
                        t->relay.host);
        return false;
    }
    if (X509_verify_cert(store) == 1 && X509_STORE_CTX_get_error(store) == X509_V_OK) {
        return true;
    }
    (void)error_set(&t->reason, ERROR_REFUSED, "certificate of %s does not verify: %s",
                    t->relay.host, X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    return false;
}

/* SHA-256 over the DER of the certificate's SubjectPublicKeyInfo. */
static bool hash_key(X509 *certificate, uint8_t hash[TRUST_PIN_BYTES])
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    bool ok = len > 0 && EVP_Digest(der, (size_t)len, hash, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(der);
    return ok;
}

static void format_hex(const uint8_t hash[TRUST_PIN_BYTES], char text[2 * TRUST_PIN_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < TRUST_PIN_BYTES; i++) {
        text[2 * i] = digits[hash[i] >> 4];
        text[2 * i + 1] = digits[hash[i] & 15];
    }
    text[2 * TRUST_PIN_BYTES] = '\0';
}

static bool match_pins(struct trust *t, X509_STORE_CTX *store)
{
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    uint8_t hash[TRUST_PIN_BYTES];
    char hex[2 * TRUST_PIN_BYTES + 1];

    if (certificate == NULL || !hash_key(certificate, hash)) {
        (void)error_set(&t->reason, ERROR_REFUSED, "the key of %s cannot be read", t->relay.host);
        return false;
    }
    for (size_t i = 0; i < t->n_pins; i++) {
        if (secret_equal(hash, t->pins[i], sizeof(hash))) {
            return true;
        }
    }
    format_hex(hash, hex); /* public, and what the owner needs to compare */
    (void)error_set(&t->reason, ERROR_REFUSED,
                    "the key of %s is not the pinned one, its SHA-256 is %s", t->relay.host, hex);
    return false;
}

/* SSL_CTX_set_cert_verify_callback: 1 = accept. */
static int judge(X509_STORE_CTX *store, void *user)
{
    struct trust *t = user;

    t->passed =
        (t->pins_only || verify_chain(t, store)) && (t->n_pins == 0 || match_pins(t, store));
    if (t->passed) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
    } else if (X509_STORE_CTX_get_error(store) == X509_V_OK) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    }
    return t->passed ? 1 : 0;
}

static void on_info(const SSL *ssl, int where, int ret)
{
    (void)ret;
    if ((where & SSL_CB_HANDSHAKE_START) == 0) {
        return;
    }
    SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
    struct trust *t = SSL_CTX_get_app_data(ctx);
    /* The callback is given a const SSL, yet this is its documented place to set things up; the
     * bits are those of the object that SSL_new returned. RFC 6066 section 3: no addresses. */
    SSL *mine = (SSL *)(uintptr_t)ssl;
    if (t != NULL) {
        t->began = true;
        (void)SSL_set_tlsext_host_name(mine, t->relay.literal ? NULL : t->relay.host);
    }
}

static SSL_CTX *new_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) {
        return NULL;
    }
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    /* An idle tunnel keeps no record buffers. Writes are retried from a copy. */
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Every handshake is judged: a resumed session would not be. It saves 8 kB per tunnel too. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_info_callback(ctx, on_info);
    return ctx;
}

/* OpenSSL reads extensions at the first handshake that wants them, and only once: a root for whose
 * extensions there is no memory then does not count any more. */
static void read_extensions(X509_STORE *store)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
        X509 *root = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (root != NULL) {
            (void)X509_get_extension_flags(root); /* whether it may be trusted is found later */
        }
    }
}

/* The roots to trust, or NULL with *rc set. */
static X509_STORE *load_roots(const char *ca_file, int *rc, struct error_text *e)
{
    X509_STORE *store = X509_STORE_new();

    ERR_clear_error();
    if (store == NULL) {
        *rc = error_set(e, ERROR_NOMEM, "no memory for certificates");
        return NULL;
    }
    (void)crypto_memory_failed();
    int loaded = ca_file != NULL ? X509_STORE_load_file(store, ca_file)
                                 : X509_STORE_set_default_paths(store);
    if (loaded != 1) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        *rc = error_set(e, ERROR_CONFIG, "cannot load certificates from %s: %s",
                        ca_file != NULL ? ca_file : "the system", why != NULL ? why : "no reason");
        ERR_clear_error();
        X509_STORE_free(store);
        return NULL;
    }
    read_extensions(store);
    if (crypto_memory_failed()) {
        *rc = error_set(e, ERROR_NOMEM, "no memory for certificates");
        X509_STORE_free(store);
        return NULL;
    }
    return store;
}

int trust_change(struct trust *t, const struct trust_settings *settings, struct error_text *e)
{
    int rc = 0;
    X509_STORE *roots = load_roots(settings->ca_file, &rc, e);

    if (roots == NULL) {
        return rc;
    }
    SSL_CTX_set_cert_store(t->ctx, roots); /* takes */
    t->relay = *settings->relay;
    t->n_pins = settings->n_pins;
    if (settings->n_pins > 0) {
        memcpy(t->pins, settings->pins, settings->n_pins * TRUST_PIN_BYTES);
    }
    t->pins_only = settings->n_pins > 0 && settings->ca_file == NULL;
    return 0;
}

int trust_new(const struct trust_settings *settings, struct trust **t, struct error_text *e)
{
    struct trust *made = calloc(1, sizeof(*made));

    if (made == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    (void)crypto_memory_failed(); /* what was before is nothing to this */
    made->ctx = new_context();
    if (made->ctx == NULL || crypto_memory_failed()) { /* half a context counts as one */
        trust_free(made);
        return error_set(e, ERROR_NOMEM, "no memory for TLS");
    }
    SSL_CTX_set_app_data(made->ctx, made);
    SSL_CTX_set_cert_verify_callback(made->ctx, judge, made);
    int rc = trust_change(made, settings, e);
    if (rc != 0) {
        trust_free(made);
        return rc;
    }
    *t = made;
    return 0;
}

void trust_free(struct trust *t)
{
    if (t != NULL) {
        SSL_CTX_free(t->ctx);
        free(t);
    }
}

SSL_CTX *trust_context(struct trust *t)
{
    return t->ctx;
}

void trust_begin(struct trust *t)
{
    t->began = false;
    t->passed = false;
    t->reason.text[0] = '\0';
}

bool trust_began(const struct trust *t)
{
    return t->began;
}

bool trust_passed(const struct trust *t)
{
    return t->passed;
}

const char *trust_reason(const struct trust *t)
{
    return t->reason.text;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int parse_hex(const char *text, uint8_t pin[TRUST_PIN_BYTES])
{
    uint8_t parsed[TRUST_PIN_BYTES];

    for (size_t i = 0; i < TRUST_PIN_BYTES; i++) {
        if (i > 0 && *text == ':') {
            text++;
        }
        int high = hex_value(text[0]);
        int low = high < 0 ? -1 : hex_value(text[1]);
        if (low < 0) {
            return ERROR_SYNTAX;
        }
        parsed[i] = (uint8_t)(high * 16 + low);
        text += 2;
    }
    if (*text != '\0') {
        return ERROR_SYNTAX;
    }
    memcpy(pin, parsed, sizeof(parsed));
    return 0;
}

/* Base64 of 32 bytes: 43 characters and one "=". */
#define PIN_BASE64_CHARS 44

static int parse_base64(const char *text, uint8_t pin[TRUST_PIN_BYTES])
{
    /* The decoder writes one zero byte for the "=". */
    unsigned char decoded[PIN_BASE64_CHARS / 4 * 3];

    if (strlen(text) != PIN_BASE64_CHARS || text[PIN_BASE64_CHARS - 1] != '=' ||
        text[PIN_BASE64_CHARS - 2] == '=') {
        return ERROR_SYNTAX;
    }
    if (EVP_DecodeBlock(decoded, (const unsigned char *)text, PIN_BASE64_CHARS) !=
        (int)sizeof(decoded)) {
        return ERROR_SYNTAX;
    }
    memcpy(pin, decoded, TRUST_PIN_BYTES);
    return 0;
}

int trust_parse_pin(const char *text, uint8_t pin[TRUST_PIN_BYTES])
{
    static const char prefix[] = "sha256//";

    if (strncmp(text, prefix, strlen(prefix)) == 0) {
        return parse_base64(text + strlen(prefix), pin);
    }
    return parse_hex(text, pin);
}
