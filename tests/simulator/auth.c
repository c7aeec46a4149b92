/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call the API. */
#include "tests/simulator/auth.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

/* Must come back unchanged (RFC 7616 3.4); nothing depends on its value. */
#define OPAQUE "7468696e6b6e78"

static int derive(struct auth *a, struct error_text *e)
{
    char pair[AUTH_USER_BYTES + SECRET_BYTES];
    int len = snprintf(pair, sizeof pair, "%s:%s", a->user, a->password); /* always fits */

    (void)EVP_EncodeBlock((unsigned char *)a->basic, (const unsigned char *)pair, len);
    secret_cleanse(pair, sizeof pair);
    for (size_t i = 0; i < DIGEST_N_ALGORITHMS; i++) {
        if (digest_secret((enum digest_algorithm)i, span_of(a->user), span_of(AUTH_REALM),
                          span_of(a->password), a->secrets[i]) != 0) {
            return error_set(e, ERROR_INTERNAL, "OpenSSL cannot hash with %s",
                             digest_name((enum digest_algorithm)i));
        }
    }
    return 0;
}

int auth_init(struct auth *a, const struct auth_settings *s, struct error_text *e)
{
    a->mode = s->mode;
    a->user[0] = '\0';
    a->password[0] = '\0';
    memcpy(a->offers, s->offers, sizeof a->offers);
    nonces_init(&a->nonces, s->nonce_uses, s->nonce_lifetime_ms, s->nonce_count);
    if (s->mode == AUTH_NONE) {
        return 0;
    }
    if (s->user[0] == '\0' || strchr(s->user, ':') != NULL ||
        span_copy(span_of(s->user), a->user, sizeof a->user) != 0 ||
        span_copy(span_of(s->password), a->password, sizeof a->password) != 0) {
        return error_set(e, ERROR_CONFIG, "--user: 1 to %d characters, no colon",
                         AUTH_USER_BYTES - 1);
    }
    return derive(a, e);
}

void auth_close(struct auth *a)
{
    nonces_close(&a->nonces);
    secret_cleanse(a->password, sizeof a->password);
    secret_cleanse(a->basic, sizeof a->basic);
    secret_cleanse(a->secrets, sizeof a->secrets);
}

static bool secret_is(struct span given, const char *wanted)
{
    struct span w = span_of(wanted);

    return given.len == w.len && secret_equal(given.p, w.p, w.len);
}

/* Which header schemes count for this call, by its parameter "auth". False if that is neither. */
static bool choose_schemes(enum auth_mode mode, const struct params *p, unsigned *schemes)
{
    struct span wanted;

    if (!params_get(p, "auth", &wanted)) {
        *schemes = mode == AUTH_BASIC    ? AUTH_OFFER_BASIC
                   : mode == AUTH_DIGEST ? AUTH_OFFER_DIGEST
                                         : AUTH_OFFER_BASIC | AUTH_OFFER_DIGEST;
        return true;
    }
    if (span_equal(wanted, span_of("basic"))) {
        *schemes = AUTH_OFFER_BASIC;
        return true;
    }
    *schemes = AUTH_OFFER_DIGEST;
    return span_equal(wanted, span_of("digest"));
}

static enum auth_verdict check_params(const struct auth *a, const struct params *p)
{
    struct span user;
    struct span pass;

    return params_get(p, "user", &user) && params_get(p, "pass", &pass) &&
                   secret_is(user, a->user) && secret_is(pass, a->password)
               ? AUTH_OK
               : AUTH_FORBIDDEN;
}

/* Everything about a digest but its nonce. */
static bool digest_is_right(const struct auth *a, const struct auth_request *r,
                            const struct digest_fields *f)
{
    enum digest_algorithm algorithm;
    char expected[DIGEST_HEX_BYTES];

    return digest_algorithm_of(f, &algorithm) == 0 && a->offers[algorithm] &&
           digest_unquoted_equal(f->username, span_of(a->user)) &&
           span_equal(f->realm, span_of(AUTH_REALM)) && span_equal(f->opaque, span_of(OPAQUE)) &&
           span_equal(f->qop, span_of("auth")) && span_equal(f->uri, r->target) &&
           f->cnonce.len > 0 && f->nonce.len > 0 &&
           digest_response(algorithm, a->secrets[algorithm], r->method, f, expected) == 0 &&
           secret_is(f->response, expected);
}

static void check_digest(struct auth *a, const struct auth_request *r, struct span text,
                         uint64_t now_ms, struct auth_result *result)
{
    struct digest_fields f;
    uint32_t count = 0;

    if (digest_parse(text, &f) != 0 || digest_parse_nc(f.nc, &count) != 0 ||
        !digest_is_right(a, r, &f)) {
        return;
    }
    if (nonces_use(&a->nonces, f.nonce, count, now_ms)) {
        result->verdict = AUTH_OK;
    } else {
        result->stale = true;
    }
}

static void check_header(struct auth *a, const struct auth_request *r, uint64_t now_ms,
                         struct auth_result *result)
{
    struct span rest = r->authorization;
    struct span scheme = span_cut(&rest, ' ');

    if (!r->has_authorization) {
        return;
    }
    if ((result->offered & AUTH_OFFER_BASIC) != 0 && span_equal_nocase(scheme, span_of("Basic")) &&
        secret_is(span_trim(rest), a->basic)) {
        result->verdict = AUTH_OK;
    } else if ((result->offered & AUTH_OFFER_DIGEST) != 0 &&
               span_equal_nocase(scheme, span_of("Digest"))) {
        check_digest(a, r, rest, now_ms, result);
    }
}

struct auth_result auth_check(struct auth *a, const struct auth_request *r, uint64_t now_ms)
{
    struct auth_result result = {.verdict = AUTH_CHALLENGE};
    bool in_params = params_has(r->params, "user") || params_has(r->params, "pass");

    if (a->mode == AUTH_NONE) {
        result.verdict = AUTH_OK;
    } else if (!choose_schemes(a->mode, r->params, &result.offered)) {
        result.verdict = AUTH_MALFORMED;
    } else if (a->mode == AUTH_QUERY ||
               (a->mode == AUTH_ANY && in_params && result.offered != AUTH_OFFER_DIGEST)) {
        result.verdict = check_params(a, r->params);
    } else {
        check_header(a, r, now_ms, &result);
    }
    return result;
}

static void write_digest(const struct auth *a, enum digest_algorithm algorithm, const char *nonce,
                         bool stale, struct writer *w)
{
    if (!a->offers[algorithm]) {
        return;
    }
    writer_text(w, "WWW-Authenticate: Digest realm=\"" AUTH_REALM "\", qop=\"auth\", algorithm=");
    writer_text(w, digest_name(algorithm));
    writer_text(w, ", nonce=\"");
    writer_text(w, nonce);
    writer_text(w, "\", opaque=\"" OPAQUE "\"");
    writer_text(w, stale ? ", stale=true\r\n" : "\r\n");
}

void auth_write_challenge(struct auth *a, const struct auth_result *result, uint64_t now_ms,
                          struct writer *w)
{
    const char *nonce = NULL;

    if ((result->offered & AUTH_OFFER_DIGEST) != 0 &&
        nonces_issue(&a->nonces, now_ms, &nonce) == 0) {
        /* The strongest first: that is the one which most clients take (RFC 7616 3.7). */
        write_digest(a, DIGEST_SHA256, nonce, result->stale, w);
        write_digest(a, DIGEST_MD5, nonce, result->stale, w);
    }
    if ((result->offered & AUTH_OFFER_BASIC) != 0) {
        writer_text(w, "WWW-Authenticate: Basic realm=\"" AUTH_REALM "\", charset=\"UTF-8\"\r\n");
    }
}
