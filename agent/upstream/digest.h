/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP digest authentication, the client's side (RFC 7616): challenges parsed, answers computed.
 * MD5 and SHA-256, with and without `-sess`, qop `auth` or none (RFC 2069 servers). No I/O, no
 * randomness of its own. */
#ifndef AGENT_UPSTREAM_DIGEST_H
#define AGENT_UPSTREAM_DIGEST_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/base/span.h"

/* Longest realm, nonce and opaque of a challenge that is usable, each with its NUL. */
#define DIGEST_TEXT_BYTES 512
/* Schemes and parameters in one field's value. */
#define DIGEST_ITEMS_MAX 64
/* Longest client nonce, with its NUL. */
#define DIGEST_CNONCE_BYTES 64
/* A SHA-256 in hexadecimal, with NUL. */
#define DIGEST_HEX_BYTES 65

enum digest_algorithm { DIGEST_MD5, DIGEST_SHA256 };

struct digest_challenge {
    bool usable; /* false: none found so far, the rest is meaningless */
    enum digest_algorithm algorithm;
    bool says_algorithm; /* the server named it, so the answer does too */
    bool session;        /* "-sess" */
    bool qop_auth;       /* the server offers qop=auth */
    bool stale;          /* the credentials were right, the nonce is too old */
    bool has_opaque;
    char realm[DIGEST_TEXT_BYTES];
    char nonce[DIGEST_TEXT_BYTES];
    char opaque[DIGEST_TEXT_BYTES];
};

/* Looks for Digest challenges in the value of one WWW-Authenticate field. A usable one that is
 * stronger than `*best` (SHA-256 before MD5, then qop before none) replaces it; with equal ones the
 * first stays. Zero `*best` before the first field. Unusable: unknown algorithm, only
 * qop=auth-int, no realm or nonce, a text that is too long.
 * 0; ERROR_SYNTAX or ERROR_LIMIT, and nothing of that field counts. */
int digest_parse(struct span value, struct digest_challenge *best);

/* Credentials for one nonce. */
struct digest {
    struct digest_challenge challenge;
    EVP_MD *md;                 /* owned */
    char ha1[DIGEST_HEX_BYTES]; /* as good as the password for this realm: cleansed */
    char cnonce[DIGEST_CNONCE_BYTES];
    uint32_t n_used; /* the nonce count */
};

/* Copies what it needs. `cnonce` is random text (letters, digits) that is used for all answers to
 * this challenge, as `-sess` asks for. `*d` is uninitialised or closed. 0; ERROR_LIMIT (`cnonce`
 * too long); ERROR_INTERNAL (OpenSSL has no such algorithm, or failed). */
int digest_start(struct digest *d, const struct digest_challenge *challenge, struct span user,
                 struct span password, const char *cnonce);

/* Cleanses and frees. Idempotent on a zeroed or started digest. */
void digest_close(struct digest *d);

/* Appends the value of an Authorization field, `Digest username=…`, for a request, and counts the
 * nonce's use. `target` is the request's target as it is sent, query included.
 * 0; ERROR_STATE (the nonce count is used up); ERROR_NOMEM; ERROR_LIMIT; ERROR_INTERNAL. On failure
 * `out` may hold a part. */
int digest_append(struct digest *d, struct span method, struct span user, struct span target,
                  struct buffer *out);

#endif
