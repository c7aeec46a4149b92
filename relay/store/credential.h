/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of clients and tokens of agents: made from randomness, shown once, kept as SHA-256. They
 * have more entropy than any search can cover, so the hash needs neither salt nor slowness. */
#ifndef RELAY_STORE_CREDENTIAL_H
#define RELAY_STORE_CREDENTIAL_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"

/* 32 characters of 62 are 190 bits. */
#define CREDENTIAL_CHARS      32
#define CREDENTIAL_BYTES      (CREDENTIAL_CHARS + 1)
#define CREDENTIAL_HASH_BYTES 32
#define CREDENTIAL_HEX_BYTES  (2 * CREDENTIAL_HASH_BYTES + 1)

struct credential {
    char text[CREDENTIAL_BYTES];
    uint8_t hash[CREDENTIAL_HASH_BYTES];
};

/* Draws a new one; every character is equally likely. 0, or ERROR_INTERNAL (OpenSSL has no
 * randomness, or no memory). The caller cleanses. */
int credential_make(struct credential *c);

void credential_cleanse(struct credential *c);

/* True for CREDENTIAL_CHARS letters and digits. */
bool credential_is_well_formed(struct span text);

/* Lower-case hexadecimal. */
void credential_format_hex(const uint8_t hash[CREDENTIAL_HASH_BYTES],
                           char text[CREDENTIAL_HEX_BYTES]);

/* SHA-256 again and again without OpenSSL's look-ups. For one thread. */
struct credential_hasher {
    EVP_MD *algorithm; /* owned */
    EVP_MD_CTX *state; /* owned */
};

/* 0, or ERROR_NOMEM. */
int credential_hasher_init(struct credential_hasher *h);
/* Idempotent. */
void credential_hasher_close(struct credential_hasher *h);

/* True if it worked (it does not fail once initialised, short of a broken library). */
bool credential_hash(struct credential_hasher *h, struct span text,
                     uint8_t hash[CREDENTIAL_HASH_BYTES]);

#endif
