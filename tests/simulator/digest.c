/* SPDX-License-Identifier: Apache-2.0 */
/* Digest access authentication: parsing and hashing. */
#include "tests/simulator/digest.h"

#include <stddef.h>

#include <openssl/evp.h>

#include "proto/base/error.h"
#include "tests/simulator/hex.h"

/* RFC 7616 3.4: exactly eight digits. */
#define NC_DIGITS 8

const char *digest_name(enum digest_algorithm algorithm)
{
    return algorithm == DIGEST_SHA256 ? "SHA-256" : "MD5";
}

struct field_name {
    const char *name;
    size_t offset;
};

static const struct field_name FIELDS[] = {
    {"username", offsetof(struct digest_fields, username)},
    {"realm", offsetof(struct digest_fields, realm)},
    {"nonce", offsetof(struct digest_fields, nonce)},
    {"uri", offsetof(struct digest_fields, uri)},
    {"response", offsetof(struct digest_fields, response)},
    {"algorithm", offsetof(struct digest_fields, algorithm)},
    {"cnonce", offsetof(struct digest_fields, cnonce)},
    {"opaque", offsetof(struct digest_fields, opaque)},
    {"qop", offsetof(struct digest_fields, qop)},
    {"nc", offsetof(struct digest_fields, nc)},
};

static void skip(struct span *s, size_t len)
{
    s->p += len;
    s->len -= len;
}

/* Cuts a quoted string off the front, the opening quote included. */
static int cut_quoted(struct span *rest, struct span *value, bool *has_backslash)
{
    size_t i = 1;

    while (i < rest->len && rest->p[i] != '"') {
        if (rest->p[i] == '\\') {
            *has_backslash = true;
            i++;
        }
        i++;
    }
    if (i >= rest->len) {
        return ERROR_SYNTAX;
    }
    *value = (struct span){rest->p + 1, i - 1};
    skip(rest, i + 1);
    return 0;
}

/* Cuts one `name=value` and the comma behind it off the front. */
static int cut_pair(struct span *rest, struct span *name, struct span *value, bool *has_backslash)
{
    int rc = 0;
    struct span behind;

    *name = span_trim(span_cut(rest, '='));
    *rest = span_trim(*rest);
    if (rest->len == 0 || name->len == 0) {
        return ERROR_SYNTAX;
    }
    if (rest->p[0] != '"') {
        *value = span_trim(span_cut(rest, ','));
        return value->len > 0 ? 0 : ERROR_SYNTAX;
    }
    rc = cut_quoted(rest, value, has_backslash);
    behind = rc == 0 ? span_trim(span_cut(rest, ',')) : *rest;
    return rc == 0 && behind.len == 0 ? 0 : ERROR_SYNTAX;
}

static struct span *field_of(struct digest_fields *f, struct span name)
{
    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
        if (span_equal_nocase(name, span_of(FIELDS[i].name))) {
            return (struct span *)(void *)((char *)f + FIELDS[i].offset);
        }
    }
    return NULL;
}

int digest_parse(struct span text, struct digest_fields *f)
{
    struct digest_fields found = {.username = {NULL, 0}};
    struct span rest = span_trim(text);

    while (rest.len > 0) {
        struct span name;
        struct span value;
        struct span *field = NULL;
        bool has_backslash = false;
        if (rest.p[0] == ',') { /* an empty element of the list (RFC 9110 5.6.1.2) */
            skip(&rest, 1);
            rest = span_trim(rest);
            continue;
        }
        if (cut_pair(&rest, &name, &value, &has_backslash) != 0) {
            return ERROR_SYNTAX;
        }
        field = field_of(&found, name);
        if (field != NULL && (field->p != NULL || (has_backslash && field != &found.username))) {
            return ERROR_SYNTAX;
        }
        if (field != NULL) {
            *field = value;
        }
        rest = span_trim(rest);
    }
    *f = found;
    return 0;
}

int digest_algorithm_of(const struct digest_fields *f, enum digest_algorithm *algorithm)
{
    if (f->algorithm.len == 0 || span_equal_nocase(f->algorithm, span_of("MD5"))) {
        *algorithm = DIGEST_MD5;
        return 0;
    }
    if (span_equal_nocase(f->algorithm, span_of("SHA-256"))) {
        *algorithm = DIGEST_SHA256;
        return 0;
    }
    return ERROR_NOT_FOUND;
}

int digest_parse_nc(struct span nc, uint32_t *count)
{
    uint32_t value = 0;

    if (nc.len != NC_DIGITS) {
        return ERROR_SYNTAX;
    }
    for (size_t i = 0; i < nc.len; i++) {
        int digit = hex_value(nc.p[i]);
        if (digit < 0) {
            return ERROR_SYNTAX;
        }
        value = value << 4 | (uint32_t)digit;
    }
    if (value == 0) {
        return ERROR_SYNTAX;
    }
    *count = value;
    return 0;
}

bool digest_unquoted_equal(struct span raw, struct span plain)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        if (raw.p[i] == '\\' && i + 1 < raw.len) {
            i++;
        }
        if (n == plain.len || raw.p[i] != plain.p[n]) {
            return false;
        }
        n++;
    }
    return n == plain.len;
}

/* Hashes the parts with ":" between them. */
static int hash(enum digest_algorithm algorithm, const struct span *parts, size_t n_parts,
                char hex[DIGEST_HEX_BYTES])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = algorithm == DIGEST_SHA256 ? EVP_sha256() : EVP_md5();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1;

    for (size_t i = 0; ok && i < n_parts; i++) {
        ok = (i == 0 || EVP_DigestUpdate(ctx, ":", 1) == 1) &&
             EVP_DigestUpdate(ctx, parts[i].p, parts[i].len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, bytes, &len) == 1 && len * 2 < DIGEST_HEX_BYTES;
    EVP_MD_CTX_free(ctx);
    if (!ok) {
        return ERROR_INTERNAL;
    }
    hex_format(bytes, len, hex);
    return 0;
}

int digest_secret(enum digest_algorithm algorithm, struct span user, struct span realm,
                  struct span password, char hex[DIGEST_HEX_BYTES])
{
    const struct span parts[] = {user, realm, password};

    return hash(algorithm, parts, 3, hex);
}

int digest_response(enum digest_algorithm algorithm, const char *secret_hex, struct span method,
                    const struct digest_fields *f, char hex[DIGEST_HEX_BYTES])
{
    char request_hex[DIGEST_HEX_BYTES];
    const struct span request[] = {method, f->uri};
    int rc = hash(algorithm, request, 2, request_hex);

    if (rc != 0) {
        return rc;
    }
    const struct span parts[] = {span_of(secret_hex), f->nonce, f->nc,
                                 f->cnonce,           f->qop,   span_of(request_hex)};
    return hash(algorithm, parts, 6, hex);
}
