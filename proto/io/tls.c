/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts of a server. */
#include "proto/io/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/io/crypto.h"
#include "proto/io/tickets.h"

/* TLS 1.2 suites with forward secrecy and AEAD, as Mozilla's "intermediate" without DHE. */
#define TLS12_SUITES                                                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS13_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TLS_GROUPS   "X25519:P-256:P-384"

struct tls_server {
    SSL_CTX *contexts[TLS_CERTIFICATES_MAX]; /* owned; the first is the default */
    size_t n_contexts;
    int64_t expires_s;
};

/* A reload frees a server while handshakes with it go on, and those still look certificates up in
 * it. So it belongs to its first context, which OpenSSL counts the connections of: when the last
 * is gone, this index' free function runs. */
static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int server_index = -1;

static void on_context_freed(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl,
                             void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    struct tls_server *s = ptr;
    if (s == NULL) {
        return;
    }
    for (size_t i = 1; i < s->n_contexts; i++) {
        SSL_CTX_free(s->contexts[i]);
    }
    free(s);
}

static void make_index(void)
{
    server_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_freed);
}

/* The first error is the cause; those behind it say where it was noticed. */
static const char *openssl_reason(void)
{
    unsigned long code = ERR_peek_error();
    if (ERR_SYSTEM_ERROR(code)) {
        return strerror(ERR_GET_REASON(code));
    }
    const char *reason = ERR_reason_error_string(code);
    return reason != NULL ? reason : "unknown reason";
}

/* An encrypted key is refused: OpenSSL would ask the terminal for its pass phrase and wait. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int no_passphrase(char *text, int cap, int is_writing, void *user)
{
    (void)text;
    (void)cap;
    (void)is_writing;
    (void)user;
    return -1;
}

/* Only http/1.1: a client that offers something else alone gets no ALPN answer. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char http11[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_len, http11, sizeof(http11) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int select_certificate(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    const struct tls_server *s = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    for (size_t i = 0; i < s->n_contexts; i++) {
        X509 *leaf = SSL_CTX_get0_certificate(s->contexts[i]);
        if (leaf != NULL && X509_check_host(leaf, name, 0, 0, NULL) == 1) {
            if (i > 0) {
                SSL_set_SSL_CTX(ssl, s->contexts[i]);
            }
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static int set_policy(SSL_CTX *ctx, struct tickets *tickets)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    static const unsigned char id[] = "thinknx-relay";
    if (tickets != NULL && tickets_use(tickets, ctx) < 0) {
        return ERROR_NOMEM;
    }
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
                   SSL_CTX_set_cipher_list(ctx, TLS12_SUITES) == 1 &&
                   SSL_CTX_set_ciphersuites(ctx, TLS13_SUITES) == 1 &&
                   SSL_CTX_set1_groups_list(ctx, TLS_GROUPS) == 1 &&
                   SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) == 1
               ? 0
               : ERROR_INTERNAL;
}

static int load_pair(SSL_CTX *ctx, const struct tls_pair *pair, struct error_text *e)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, pair->certificate) != 1) {
        return error_set(e, ERROR_CONFIG, "cannot read certificate %s: %s", pair->certificate,
                         openssl_reason());
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, pair->private_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        return error_set(e, ERROR_CONFIG, "cannot use private key %s with certificate %s: %s",
                         pair->private_key, pair->certificate, openssl_reason());
    }
    return 0;
}

static int64_t end_of_validity(SSL_CTX *ctx)
{
    X509 *leaf = SSL_CTX_get0_certificate(ctx);
    struct tm tm;
    if (leaf == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) != 1) {
        return 0;
    }
    return timegm(&tm);
}

static int add_pair(struct tls_server *s, const struct tls_pair *pair, struct tickets *tickets,
                    struct error_text *e)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    s->contexts[s->n_contexts] = ctx;
    if (s->n_contexts == 0 && SSL_CTX_set_ex_data(ctx, server_index, s) != 1) {
        SSL_CTX_free(ctx);
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    s->n_contexts++;
    if (set_policy(ctx, tickets) < 0) {
        return error_set(e, ERROR_INTERNAL, "cannot set up TLS: %s", openssl_reason());
    }
    int err = load_pair(ctx, pair, e);
    if (err < 0) {
        return err;
    }
    int64_t end = end_of_validity(ctx);
    if (s->n_contexts == 1 || end < s->expires_s) {
        s->expires_s = end;
    }
    if (end < clock_wall_s()) {
        log_event(LOG_LEVEL_WARN, "certificate has expired", log_text("file", pair->certificate));
    }
    return 0;
}

int tls_server_new(const struct tls_pair *pairs, size_t n_pairs, struct tickets *tickets,
                   struct tls_server **server, struct error_text *e)
{
    if (n_pairs == 0 || n_pairs > TLS_CERTIFICATES_MAX) {
        return error_set(e, ERROR_CONFIG, "between 1 and %d certificates are needed",
                         TLS_CERTIFICATES_MAX);
    }
    struct tls_server *s = calloc(1, sizeof(*s));
    if (s == NULL || pthread_once(&index_once, make_index) != 0 || server_index < 0) {
        free(s);
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    ERR_clear_error();
    (void)crypto_memory_failed(); /* what was before is nothing to this */
    int err = 0;
    for (size_t i = 0; i < n_pairs && err == 0; i++) {
        err = add_pair(s, &pairs[i], tickets, e);
    }
    ERR_clear_error();
    if (crypto_memory_failed() && err == 0) { /* half a context counts as one */
        err = error_set(e, ERROR_NOMEM, "out of memory");
    }
    if (err < 0) {
        tls_server_free(s);
        return err;
    }
    SSL_CTX_set_tlsext_servername_callback(s->contexts[0], select_certificate);
    SSL_CTX_set_tlsext_servername_arg(s->contexts[0], s);
    *server = s;
    return 0;
}

void tls_server_free(struct tls_server *s)
{
    if (s == NULL) {
        return;
    }
    if (s->n_contexts == 0) {
        free(s);
        return;
    }
    SSL_CTX_free(s->contexts[0]); /* the rest follows in on_context_freed */
}

SSL_CTX *tls_server_context(const struct tls_server *s)
{
    return s->contexts[0];
}

int64_t tls_server_expires_s(const struct tls_server *s)
{
    return s->expires_s;
}
