/* SPDX-License-Identifier: Apache-2.0 */
/* Making and hashing keys and tokens with OpenSSL. */
#include "relay/store/credential.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/secret.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
#define N_LETTERS (sizeof(ALPHABET) - 1)

/* Bytes from here on would make the first letters likelier than the rest; they are thrown away. */
#define BIAS_LIMIT (256 / N_LETTERS * N_LETTERS)

/* 1 in 32 bytes is thrown away; this many at a time makes a second draw rare. */
#define DRAW_BYTES (CREDENTIAL_CHARS + 8)

static int draw_text(char text[CREDENTIAL_BYTES])
{
    uint8_t bytes[DRAW_BYTES];
    size_t n = 0;
    int rc = 0;

    while (n < CREDENTIAL_CHARS) {
        if (RAND_bytes(bytes, (int)sizeof(bytes)) != 1) {
            rc = ERROR_INTERNAL;
            break;
        }
        for (size_t i = 0; i < sizeof(bytes) && n < CREDENTIAL_CHARS; i++) {
            if (bytes[i] < BIAS_LIMIT) {
                text[n++] = ALPHABET[bytes[i] % N_LETTERS];
            }
        }
    }
    text[n] = '\0';
    secret_cleanse(bytes, sizeof(bytes));
    return rc;
}

int credential_make(struct credential *c)
{
    struct credential_hasher hasher;

    if (credential_hasher_init(&hasher) != 0) {
        return ERROR_INTERNAL;
    }
    int rc = draw_text(c->text);
    if (rc == 0 && !credential_hash(&hasher, span_of(c->text), c->hash)) {
        rc = ERROR_INTERNAL;
    }
    if (rc != 0) {
        credential_cleanse(c);
    }
    credential_hasher_close(&hasher);
    return rc;
}

void credential_cleanse(struct credential *c)
{
    secret_cleanse(c, sizeof(*c));
}

bool credential_is_well_formed(struct span text)
{
    if (text.len != CREDENTIAL_CHARS) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (memchr(ALPHABET, text.p[i], N_LETTERS) == NULL) {
            return false;
        }
    }
    return true;
}

void credential_format_hex(const uint8_t hash[CREDENTIAL_HASH_BYTES],
                           char text[CREDENTIAL_HEX_BYTES])
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < CREDENTIAL_HASH_BYTES; i++) {
        text[2 * i] = DIGITS[hash[i] >> 4];
        text[2 * i + 1] = DIGITS[hash[i] & 15];
    }
    text[CREDENTIAL_HEX_BYTES - 1] = '\0';
}

int credential_hasher_init(struct credential_hasher *h)
{
    *h = (struct credential_hasher){.algorithm = EVP_MD_fetch(NULL, "SHA256", NULL)};
    h->state = EVP_MD_CTX_new();
    if (h->algorithm == NULL || h->state == NULL ||
        EVP_DigestInit_ex2(h->state, h->algorithm, NULL) != 1) {
        credential_hasher_close(h);
        return ERROR_NOMEM;
    }
    return 0;
}

void credential_hasher_close(struct credential_hasher *h)
{
    EVP_MD_CTX_free(h->state);
    EVP_MD_free(h->algorithm);
    *h = (struct credential_hasher){NULL, NULL};
}

bool credential_hash(struct credential_hasher *h, struct span text,
                     uint8_t hash[CREDENTIAL_HASH_BYTES])
{
    /* No algorithm given: the context keeps the one it has, which saves the fetch. */
    return EVP_DigestInit_ex2(h->state, NULL, NULL) == 1 &&
           EVP_DigestUpdate(h->state, text.p, text.len) == 1 &&
           EVP_DigestFinal_ex(h->state, hash, NULL) == 1;
}
