/* SPDX-License-Identifier: Apache-2.0 */
/* Digest access authentication (RFC 7616): reading an Authorization field, and the hashes.
 * Algorithms MD5 and SHA-256, qop "auth". Neither nonces nor passwords are kept here. */
#ifndef TESTS_SIMULATOR_DIGEST_H
#define TESTS_SIMULATOR_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/span.h"

/* 64 hexadecimal digits of SHA-256, and NUL. */
#define DIGEST_HEX_BYTES 65

enum digest_algorithm { DIGEST_SHA256, DIGEST_MD5 };
#define DIGEST_N_ALGORITHMS 2

/* The parameters of "Digest username=..., ..."; empty where not given. Quoted ones are without
 * their quotes, as they stand between them. */
struct digest_fields {
    struct span username;
    struct span realm;
    struct span nonce;
    struct span uri;
    struct span response;
    struct span algorithm;
    struct span cnonce;
    struct span opaque;
    struct span qop;
    struct span nc;
};

/* "SHA-256", "MD5". */
const char *digest_name(enum digest_algorithm algorithm);

/* Reads what follows "Digest " in an Authorization field. Unknown parameters are skipped.
 * 0; ERROR_SYNTAX (malformed, a parameter twice, a backslash outside of the user name). The spans
 * point into `text`. */
int digest_parse(struct span text, struct digest_fields *f);

/* The algorithm that the client used: without one, MD5 (RFC 7616 3.4). 0 or ERROR_NOT_FOUND. */
int digest_algorithm_of(const struct digest_fields *f, enum digest_algorithm *algorithm);

/* Eight hexadecimal digits over 0. 0 or ERROR_SYNTAX. */
int digest_parse_nc(struct span nc, uint32_t *count);

/* True if the quoted text `raw`, backslashes resolved, is `plain`. */
bool digest_unquoted_equal(struct span raw, struct span plain);

/* H(user ":" realm ":" password) in hexadecimal. 0 or ERROR_INTERNAL (OpenSSL failed). */
int digest_secret(enum digest_algorithm algorithm, struct span user, struct span realm,
                  struct span password, char hex[DIGEST_HEX_BYTES]);

/* The response that `f` should hold for a request of that method, under the secret of
 * digest_secret. 0 or ERROR_INTERNAL. */
int digest_response(enum digest_algorithm algorithm, const char *secret_hex, struct span method,
                    const struct digest_fields *f, char hex[DIGEST_HEX_BYTES]);

#endif
