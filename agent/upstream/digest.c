/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to a digest challenge (RFC 7616 3.4). */
#include "agent/upstream/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/secret.h"

/* Most parts that are hashed together: RFC 7616 3.4.1, the answer with qop. */
#define PARTS_MAX 6

static void to_hex(const unsigned char *bytes, size_t len, char *hex)
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = DIGITS[bytes[i] >> 4];
        hex[2 * i + 1] = DIGITS[bytes[i] & 15];
    }
    hex[2 * len] = '\0';
}

/* Hash of the parts with colons between them. 0 or ERROR_INTERNAL. */
static int hash_parts(const EVP_MD *md, const struct span *parts, size_t n_parts,
                      char hex[DIGEST_HEX_BYTES])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) == 1;
    for (size_t i = 0; ok && i < n_parts; i++) {
        ok = (i == 0 || EVP_DigestUpdate(ctx, ":", 1) == 1) &&
             EVP_DigestUpdate(ctx, parts[i].p, parts[i].len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, bytes, &len) == 1 && 2 * len < DIGEST_HEX_BYTES;
    EVP_MD_CTX_free(ctx);
    if (ok) {
        to_hex(bytes, len, hex);
    }
    secret_cleanse(bytes, sizeof(bytes));
    return ok ? 0 : ERROR_INTERNAL;
}

static int make_ha1(struct digest *d, struct span user, struct span password)
{
    const struct span plain[] = {user, span_of(d->challenge.realm), password};
    int rc = hash_parts(d->md, plain, 3, d->ha1);
    if (rc == 0 && d->challenge.session) {
        const struct span session[] = {span_of(d->ha1), span_of(d->challenge.nonce),
                                       span_of(d->cnonce)};
        rc = hash_parts(d->md, session, 3, d->ha1);
    }
    return rc;
}

int digest_start(struct digest *d, const struct digest_challenge *challenge, struct span user,
                 struct span password, const char *cnonce)
{
    memset(d, 0, sizeof(*d));
    if (span_copy(span_of(cnonce), d->cnonce, sizeof(d->cnonce)) != 0) {
        return ERROR_LIMIT;
    }
    d->challenge = *challenge;
    d->md = EVP_MD_fetch(NULL, challenge->algorithm == DIGEST_MD5 ? "MD5" : "SHA256", NULL);
    int rc = d->md == NULL ? ERROR_INTERNAL : make_ha1(d, user, password);
    if (rc != 0) {
        digest_close(d);
    }
    return rc;
}

void digest_close(struct digest *d)
{
    EVP_MD_free(d->md);
    secret_cleanse(d, sizeof(*d));
}

/* The hash that proves the password, for the `nc`-th use of the nonce. */
static int make_proof(const struct digest *d, struct span method, struct span target,
                      const char *nc, char proof[DIGEST_HEX_BYTES])
{
    char ha2[DIGEST_HEX_BYTES];
    const struct span request[] = {method, target};
    int rc = hash_parts(d->md, request, 2, ha2);
    if (rc != 0) {
        return rc;
    }
    struct span parts[PARTS_MAX] = {span_of(d->ha1), span_of(d->challenge.nonce)};
    size_t n = 2;
    if (d->challenge.qop_auth) {
        parts[n++] = span_of(nc);
        parts[n++] = span_of(d->cnonce);
        parts[n++] = span_of("auth");
    }
    parts[n++] = span_of(ha2);
    return hash_parts(d->md, parts, n, proof);
}

/* Appending stops at the first error, which `*rc` keeps. */
static void append(struct buffer *out, struct span s, int *rc)
{
    if (*rc == 0) {
        *rc = buffer_append(out, s.p, s.len);
    }
}

/* `name=value`, the name with what separates it from the text before; the value in quotes, with
 * its quotes and backslashes escaped, if `quoted`. */
static void append_param(struct buffer *out, const char *name, struct span value, bool quoted,
                         int *rc)
{
    append(out, span_of(name), rc);
    append(out, span_of(quoted ? "=\"" : "="), rc);
    size_t start = 0;
    for (size_t i = 0; quoted && i < value.len; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\') {
            append(out, (struct span){value.p + start, i - start}, rc);
            append(out, span_of("\\"), rc);
            start = i;
        }
    }
    append(out, (struct span){value.p + start, value.len - start}, rc);
    append(out, span_of(quoted ? "\"" : ""), rc);
}

static const char *algorithm_name(const struct digest_challenge *c)
{
    if (c->algorithm == DIGEST_SHA256) {
        return c->session ? "SHA-256-sess" : "SHA-256";
    }
    return c->session ? "MD5-sess" : "MD5";
}

int digest_append(struct digest *d, struct span method, struct span user, struct span target,
                  struct buffer *out)
{
    const struct digest_challenge *c = &d->challenge;
    char nc[9];
    char proof[DIGEST_HEX_BYTES];
    if (d->n_used == UINT32_MAX) {
        return ERROR_STATE;
    }
    (void)snprintf(nc, sizeof(nc), "%08x", d->n_used + 1); /* eight digits */
    int rc = make_proof(d, method, target, nc, proof);
    if (rc != 0) {
        return rc;
    }
    append_param(out, "Digest username", user, true, &rc);
    append_param(out, ", realm", span_of(c->realm), true, &rc);
    append_param(out, ", nonce", span_of(c->nonce), true, &rc);
    append_param(out, ", uri", target, true, &rc);
    append_param(out, ", response", span_of(proof), true, &rc);
    if (c->says_algorithm) {
        append_param(out, ", algorithm", span_of(algorithm_name(c)), false, &rc);
    }
    if (c->has_opaque) {
        append_param(out, ", opaque", span_of(c->opaque), true, &rc);
    }
    if (c->qop_auth) {
        append_param(out, ", qop", span_of("auth"), false, &rc);
        append_param(out, ", nc", span_of(nc), false, &rc);
        append_param(out, ", cnonce", span_of(d->cnonce), true, &rc);
    }
    d->n_used += rc == 0 ? 1 : 0;
    return rc;
}
