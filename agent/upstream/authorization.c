/* SPDX-License-Identifier: Apache-2.0 */
/* Basic, digest and in-query credentials.
 *
 * Basic and in-query credentials are sent with every request, so that a 401 means that they are
 * wrong. Digest starts without: the 401 brings the nonce, which all later requests use, on
 * whichever connection, each with a nonce count of its own. A server that forgets a nonce should
 * say stale=true; some do not, so a 401 counts as that too if the nonce had served before, or if
 * another connection has been given a new one since (a server may know one nonce at a time). A
 * fresh nonce refused without either means that user or password are wrong. */
#include "agent/upstream/authorization.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/secret.h"
#include "proto/http/field.h"
#include "proto/http/query.h"

/* 128 bits; written in hexadecimal. */
#define CNONCE_RANDOM_BYTES 16

_Static_assert(AUTHORIZATION_FIELD_BYTES > 32 + (2 * AUTHORIZATION_TEXT_BYTES + 2) / 3 * 4,
               "room for base64 of user:password");
_Static_assert(AUTHORIZATION_QUERY_BYTES > 32 + 6 * AUTHORIZATION_TEXT_BYTES,
               "room for escaped user and password");

static void make_basic_field(struct authorization *a)
{
    char pair[2 * AUTHORIZATION_TEXT_BYTES];
    unsigned char encoded[(sizeof(pair) + 2) / 3 * 4 + 1];
    int len = snprintf(pair, sizeof(pair), "%s:%s", a->user, a->password);
    EVP_EncodeBlock(encoded, (const unsigned char *)pair, len);
    /* It fits, by the assertions above. */
    (void)snprintf(a->field, sizeof(a->field), "Authorization: Basic %s\r\n",
                   (const char *)encoded);
    secret_cleanse(pair, sizeof(pair));
    secret_cleanse(encoded, sizeof(encoded));
}

static int make_query(struct authorization *a)
{
    char user[3 * AUTHORIZATION_TEXT_BYTES];
    char password[3 * AUTHORIZATION_TEXT_BYTES];
    int rc = query_encode(span_of(a->user), user, sizeof(user));
    if (rc == 0) {
        rc = query_encode(span_of(a->password), password, sizeof(password));
    }
    if (rc == 0) {
        /* Likewise. */
        (void)snprintf(a->query, sizeof(a->query), "auth=basic&user=%s&pass=%s", user, password);
    }
    secret_cleanse(password, sizeof(password));
    return rc;
}

static int copy_text(const char *what, const char *from, char to[AUTHORIZATION_TEXT_BYTES],
                     struct error_text *e)
{
    struct span s = span_of(from);
    if (s.len == 0) {
        return error_set(e, ERROR_CONFIG, "%s is missing", what);
    }
    if (!field_value_ok(s)) {
        return error_set(e, ERROR_CONFIG, "%s holds a control character", what);
    }
    if (span_copy(s, to, AUTHORIZATION_TEXT_BYTES) != 0) {
        return error_set(e, ERROR_CONFIG, "%s is longer than %d bytes", what,
                         AUTHORIZATION_TEXT_BYTES - 1);
    }
    return 0;
}

static int copy_credentials(struct authorization *a, const char *user, const char *password,
                            struct error_text *e)
{
    int rc = copy_text("user", user, a->user, e);
    if (rc == 0) {
        rc = copy_text("password", password, a->password, e);
    }
    /* RFC 7617 2 and RFC 7616 3.4.2: it would move the border between name and password. */
    if (rc == 0 && strchr(a->user, ':') != NULL) {
        rc = error_set(e, ERROR_CONFIG, "user holds a colon");
    }
    return rc;
}

int authorization_init(struct authorization *a, enum upstream_auth mode, const char *user,
                       const char *password, struct error_text *e)
{
    memset(a, 0, sizeof(*a));
    a->mode = mode;
    int rc = mode == UPSTREAM_AUTH_NONE ? 0 : copy_credentials(a, user, password, e);
    if (rc == 0) {
        switch (mode) {
        case UPSTREAM_AUTH_NONE: break;
        case UPSTREAM_AUTH_BASIC:
            memcpy(a->query, "auth=basic", sizeof("auth=basic"));
            make_basic_field(a);
            break;
        case UPSTREAM_AUTH_DIGEST: memcpy(a->query, "auth=digest", sizeof("auth=digest")); break;
        case UPSTREAM_AUTH_QUERY: rc = make_query(a); break;
        default: rc = error_set(e, ERROR_CONFIG, "unknown kind of authentication"); break;
        }
    }
    if (rc != 0) {
        authorization_close(a);
    }
    return rc;
}

static void forget_nonce(struct authorization *a)
{
    digest_close(&a->digest);
    a->has_digest = false;
}

void authorization_close(struct authorization *a)
{
    forget_nonce(a);
    secret_cleanse(a, sizeof(*a));
}

static int append_digest(struct authorization *a, struct span method, struct span target,
                         struct buffer *out)
{
    int rc = buffer_append(out, "Authorization: ", strlen("Authorization: "));
    if (rc == 0) {
        rc = digest_append(&a->digest, method, span_of(a->user), target, out);
    }
    return rc == 0 ? buffer_append(out, "\r\n", 2) : rc;
}

int authorization_append(struct authorization *a, struct span method, struct span target,
                         struct buffer *out, struct authorization_attempt *attempt)
{
    if (a->has_digest && a->digest.n_used == UINT32_MAX) {
        forget_nonce(a);
    }
    *attempt = (struct authorization_attempt){
        .with_credentials =
            a->has_digest || a->mode == UPSTREAM_AUTH_BASIC || a->mode == UPSTREAM_AUTH_QUERY,
        .first_use = a->has_digest && a->digest.n_used == 0,
        .nonce_serial = a->nonce_serial,
    };
    if (a->has_digest) {
        return append_digest(a, method, target, out);
    }
    return buffer_append(out, a->field, strlen(a->field));
}

static int start_digest(struct authorization *a, const struct digest_challenge *challenge)
{
    unsigned char random[CNONCE_RANDOM_BYTES];
    char cnonce[2 * CNONCE_RANDOM_BYTES + 1];
    if (RAND_bytes(random, sizeof(random)) != 1) {
        return ERROR_INTERNAL;
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        (void)snprintf(cnonce + 2 * i, 3, "%02x", random[i]); /* two digits */
    }
    forget_nonce(a);
    int rc = digest_start(&a->digest, challenge, span_of(a->user), span_of(a->password), cnonce);
    a->has_digest = rc == 0;
    a->nonce_serial++;
    return rc;
}

static struct digest_challenge find_challenge(const struct response *answer)
{
    struct digest_challenge best = {.usable = false};
    for (size_t i = 0; i < answer->n_fields; i++) {
        if (span_equal_nocase(answer->fields[i].name, span_of("WWW-Authenticate"))) {
            /* A field that cannot be read must not hide a good one beside it. */
            (void)digest_parse(answer->fields[i].value, &best);
        }
    }
    return best;
}

/* NULL, or why the challenge should not be answered. */
static const char *refusal_reason(const struct authorization *a,
                                  const struct digest_challenge *challenge,
                                  const struct authorization_attempt *attempt, unsigned n_attempts)
{
    if (!challenge->usable) {
        return "the server offers no digest authentication that is supported";
    }
    bool replaced = attempt->nonce_serial != a->nonce_serial;
    bool stale = challenge->stale || !attempt->first_use || replaced;
    if (attempt->with_credentials && !stale) {
        return "the server refuses user or password";
    }
    if (n_attempts >= AUTHORIZATION_ATTEMPTS_MAX) {
        return "the server refuses every digest";
    }
    return NULL;
}

int authorization_judge(struct authorization *a, const struct response *answer,
                        const struct authorization_attempt *attempt, unsigned n_attempts,
                        struct error_text *e)
{
    if (a->mode == UPSTREAM_AUTH_NONE) {
        return error_set(e, ERROR_REFUSED, "the server asks for a user and a password");
    }
    if (a->mode != UPSTREAM_AUTH_DIGEST) {
        return error_set(e, ERROR_REFUSED, "the server refuses user or password");
    }
    struct digest_challenge challenge = find_challenge(answer);
    const char *reason = refusal_reason(a, &challenge, attempt, n_attempts);
    if (reason == NULL && start_digest(a, &challenge) == 0) {
        return 0;
    }
    forget_nonce(a);
    return error_set(e, ERROR_REFUSED, "%s", reason == NULL ? "OpenSSL failed" : reason);
}
