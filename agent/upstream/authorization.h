/* SPDX-License-Identifier: Apache-2.0 */
/* How the agent proves itself to its Thinknx server: which parameters it appends to the query,
 * which Authorization field a request carries, and what is done about a 401. */
#ifndef AGENT_UPSTREAM_AUTHORIZATION_H
#define AGENT_UPSTREAM_AUTHORIZATION_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/upstream/digest.h"
#include "agent/upstream/upstream.h"
#include "proto/base/buffer.h"
#include "proto/base/error.h"
#include "proto/base/span.h"
#include "proto/http/response.h"

/* Longest user name and password, each with its NUL. */
#define AUTHORIZATION_TEXT_BYTES 256
/* "auth=basic&user=…&pass=…" with every byte of both escaped. */
#define AUTHORIZATION_QUERY_BYTES 1600
/* "Authorization: Basic …" of the longest user and password. */
#define AUTHORIZATION_FIELD_BYTES 768
/* Requests for one call, the ones that are answered 401 included: one without credentials, one
 * with a nonce that turns out to be old, one with a new nonce; and some more, because connections
 * overtake each other's nonce counts, and each 401 for that replaces the nonce for all. */
#define AUTHORIZATION_ATTEMPTS_MAX 8

struct authorization {
    enum upstream_auth mode;
    char user[AUTHORIZATION_TEXT_BYTES];
    char password[AUTHORIZATION_TEXT_BYTES];
    char query[AUTHORIZATION_QUERY_BYTES]; /* appended to each query; "" = nothing */
    char field[AUTHORIZATION_FIELD_BYTES]; /* basic: the whole field; else "" */
    bool has_digest;                       /* the server has sent a challenge */
    struct digest digest;
    uint64_t nonce_serial; /* grows with each new nonce */
};

/* What one request was sent with. */
struct authorization_attempt {
    bool with_credentials;
    bool first_use; /* of the nonce */
    uint64_t nonce_serial;
};

/* Copies user and password. 0; ERROR_CONFIG (missing, too long, with control characters, a ":" in
 * the user name). */
int authorization_init(struct authorization *a, enum upstream_auth mode, const char *user,
                       const char *password, struct error_text *e);

/* Cleanses. Idempotent. */
void authorization_close(struct authorization *a);

/* Appends the Authorization field with its line end, if there is one to send, and notes in
 * `*attempt` what was appended. 0; ERROR_NOMEM, ERROR_LIMIT, ERROR_INTERNAL. */
int authorization_append(struct authorization *a, struct span method, struct span target,
                         struct buffer *out, struct authorization_attempt *attempt);

/* The `n_attempts`-th request of a call, sent as `attempt` says, was answered 401 with these
 * fields. 0: send it again, authorization_append now uses the server's new nonce. ERROR_REFUSED:
 * it will not get better, `e` says why; the next call starts without a nonce. */
int authorization_judge(struct authorization *a, const struct response *answer,
                        const struct authorization_attempt *attempt, unsigned n_attempts,
                        struct error_text *e);

#endif
