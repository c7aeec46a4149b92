/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call the API: one user with one password, who proves it in the way asked for.
 *
 * The parameter "auth" of a call (basic, digest) chooses the header scheme that is asked for and
 * accepted, as the vendor's document has it; without it, the mode does. "user" and "pass" in the
 * query or the form are looked at in the modes query and any, unless auth=digest stands there. */
#ifndef TESTS_SIMULATOR_AUTH_H
#define TESTS_SIMULATOR_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/secret.h"
#include "proto/base/span.h"
#include "tests/simulator/digest.h"
#include "tests/simulator/nonce.h"
#include "tests/simulator/params.h"
#include "tests/simulator/writer.h"

#define AUTH_REALM "Thinknx"

/* Longest user name, with NUL. */
#define AUTH_USER_BYTES 128

enum auth_mode {
    AUTH_NONE,
    AUTH_BASIC,
    AUTH_DIGEST,
    AUTH_QUERY, /* user and pass as parameters only */
    AUTH_ANY
};

/* Bits of schemes. */
#define AUTH_OFFER_BASIC  1U
#define AUTH_OFFER_DIGEST 2U

enum auth_verdict {
    AUTH_OK,        /* authenticated, or nothing is asked for */
    AUTH_CHALLENGE, /* 401 with the challenges of auth_write_challenge */
    AUTH_FORBIDDEN, /* 403: wrong or missing parameters */
    AUTH_MALFORMED  /* 400: the parameter "auth" is neither basic nor digest */
};

struct auth_settings {
    enum auth_mode mode;
    const char *user;     /* borrowed during auth_init */
    const char *password; /* likewise */
    bool offers[DIGEST_N_ALGORITHMS];
    uint32_t nonce_uses;        /* 0 = no limit */
    uint32_t nonce_lifetime_ms; /* 0 = no limit */
    enum nonce_count nonce_count;
};

struct auth {
    enum auth_mode mode;
    char user[AUTH_USER_BYTES];
    char password[SECRET_BYTES];
    char basic[(AUTH_USER_BYTES + SECRET_BYTES) * 2]; /* base64 of user:password */
    char secrets[DIGEST_N_ALGORITHMS][DIGEST_HEX_BYTES];
    bool offers[DIGEST_N_ALGORITHMS];
    struct nonces nonces;
};

struct auth_request {
    struct span method;
    struct span target;
    bool has_authorization;    /* exactly one field */
    struct span authorization; /* its value */
    const struct params *params;
};

struct auth_result {
    enum auth_verdict verdict;
    unsigned offered; /* AUTH_CHALLENGE: which schemes */
    bool stale;       /* right but for its nonce */
};

/* Copies the settings. 0; ERROR_CONFIG (user name empty, too long or with a colon);
 * ERROR_INTERNAL. */
int auth_init(struct auth *a, const struct auth_settings *s, struct error_text *e);

/* Cleanses. */
void auth_close(struct auth *a);

struct auth_result auth_check(struct auth *a, const struct auth_request *r, uint64_t now_ms);

/* Writes the WWW-Authenticate lines of a 401, each with its CRLF. Gives out a nonce. */
void auth_write_challenge(struct auth *a, const struct auth_result *result, uint64_t now_ms,
                          struct writer *w);

#endif
