/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of session tickets: AES-256-CBC with HMAC-SHA-256, as OpenSSL does it with a key of its own
 * that it never replaces. */
#include "proto/io/tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/secret.h"

#define NAME_BYTES 16

struct ticket_key {
    uint8_t name[NAME_BYTES]; /* stands in the ticket */
    uint8_t seal[32];
    uint8_t sign[32];
};

struct tickets {
    pthread_mutex_t lock;
    struct ticket_key current;
    struct ticket_key previous; /* at first random too: nobody has a ticket of it */
};

/* What OpenSSL wants the callback to say. */
enum ticket_verdict { TICKET_FAILED = -1, TICKET_UNKNOWN = 0, TICKET_GOOD = 1, TICKET_RENEW = 2 };

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int tickets_index = -1;

static void make_index(void)
{
    tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

int tickets_new(struct tickets **tickets)
{
    struct tickets *t = calloc(1, sizeof(*t));
    if (t == NULL || pthread_mutex_init(&t->lock, NULL) != 0) {
        free(t);
        return ERROR_NOMEM;
    }
    /* Twice, so that the previous one is random as well. */
    int err = tickets_rotate(t);
    err = err == 0 ? tickets_rotate(t) : err;
    if (err < 0) {
        tickets_free(t);
        return err;
    }
    *tickets = t;
    return 0;
}

void tickets_free(struct tickets *t)
{
    if (t == NULL) {
        return;
    }
    pthread_mutex_destroy(&t->lock);
    secret_cleanse(t, sizeof(*t));
    free(t);
}

int tickets_rotate(struct tickets *t)
{
    struct ticket_key fresh;
    if (RAND_bytes((unsigned char *)&fresh, sizeof(fresh)) != 1) {
        return ERROR_INTERNAL;
    }
    pthread_mutex_lock(&t->lock);
    t->previous = t->current;
    t->current = fresh;
    pthread_mutex_unlock(&t->lock);
    secret_cleanse(&fresh, sizeof(fresh));
    return 0;
}

/* The key to seal a ticket with, or the one that the ticket of that name was sealed with. */
static enum ticket_verdict choose(struct tickets *t, const uint8_t *name, bool sealing,
                                  struct ticket_key *key)
{
    enum ticket_verdict verdict = TICKET_UNKNOWN;
    pthread_mutex_lock(&t->lock);
    if (sealing || memcmp(name, t->current.name, NAME_BYTES) == 0) {
        *key = t->current;
        verdict = TICKET_GOOD;
    } else if (memcmp(name, t->previous.name, NAME_BYTES) == 0) {
        *key = t->previous;
        verdict = TICKET_RENEW;
    }
    pthread_mutex_unlock(&t->lock);
    return verdict;
}

static bool set_up(struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int sealing)
{
    static char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->sign, sizeof(key->sign)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->seal, iv, sealing) == 1;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
    struct ticket_key key;
    enum ticket_verdict verdict = choose(t, name, sealing != 0, &key);
    if (verdict == TICKET_UNKNOWN) {
        return verdict;
    }
    if (sealing != 0) {
        memcpy(name, key.name, NAME_BYTES);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) {
            verdict = TICKET_FAILED;
        }
    }
    if (verdict != TICKET_FAILED && !set_up(&key, iv, cipher, mac, sealing)) {
        verdict = TICKET_FAILED;
    }
    secret_cleanse(&key, sizeof(key));
    return verdict;
}

int tickets_use(struct tickets *t, SSL_CTX *ctx)
{
    if (pthread_once(&index_once, make_index) != 0 || tickets_index < 0 ||
        SSL_CTX_set_ex_data(ctx, tickets_index, t) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) != 1) {
        return ERROR_NOMEM;
    }
    return 0;
}
