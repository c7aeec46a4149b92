/* SPDX-License-Identifier: Apache-2.0 */
/* The challenges in a WWW-Authenticate field (RFC 9110 11.6.1, RFC 7616 3.3).
 *
 * Commas separate challenges as well as parameters. A token with "=" behind it is a parameter of
 * the challenge before it, any other token begins a challenge; behind a scheme's name there may be
 * a token68 (`NTLM TlRM==`) instead of parameters. */
#include "agent/upstream/digest.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/http/field.h"

/* A parameter's value as it stands: with the escapes of a quoted string, without its quotes. */
struct raw_value {
    struct span text;
    bool quoted;
};

enum seen {
    SEEN_REALM = 1,
    SEEN_NONCE = 2,
    SEEN_OPAQUE = 4,
    SEEN_ALGORITHM = 8,
    SEEN_QOP = 16,
    SEEN_STALE = 32
};

/* The challenge being read. */
struct reading {
    bool in_challenge;
    bool is_digest;
    bool broken;   /* something makes it unusable */
    unsigned seen; /* enum seen */
    struct digest_challenge challenge;
};

static void advance(struct span *s, size_t n)
{
    s->p += n;
    s->len -= n;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct span *s)
{
    while (s->len > 0 && is_blank(s->p[0])) {
        advance(s, 1);
    }
}

static struct span take_token(struct span *s)
{
    size_t n = 0;
    while (n < s->len && field_is_token((struct span){s->p + n, 1})) {
        n++;
    }
    struct span token = {s->p, n};
    advance(s, n);
    return token;
}

static bool is_token68_char(char c)
{
    static const char MARKS[] = "-._~+/";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           memchr(MARKS, c, sizeof(MARKS) - 1) != NULL;
}

/* True, and taken, if all up to the next comma is a token68. */
static bool take_token68(struct span *s)
{
    struct span rest = *s;
    while (rest.len > 0 && is_token68_char(rest.p[0])) {
        advance(&rest, 1);
    }
    bool any = rest.len < s->len;
    while (rest.len > 0 && rest.p[0] == '=') {
        advance(&rest, 1);
    }
    skip_blanks(&rest);
    if (!any || (rest.len > 0 && rest.p[0] != ',')) {
        return false;
    }
    *s = rest;
    return true;
}

static int take_quoted(struct span *s, struct raw_value *v)
{
    size_t n = 1;
    while (n < s->len && s->p[n] != '"') {
        n += s->p[n] == '\\' ? 2 : 1;
    }
    if (n >= s->len) {
        return ERROR_SYNTAX;
    }
    *v = (struct raw_value){{s->p + 1, n - 1}, true};
    advance(s, n + 1);
    return field_value_ok(v->text) ? 0 : ERROR_SYNTAX;
}

static int take_value(struct span *s, struct raw_value *v)
{
    if (s->len > 0 && s->p[0] == '"') {
        return take_quoted(s, v);
    }
    *v = (struct raw_value){take_token(s), false};
    return v->text.len > 0 ? 0 : ERROR_SYNTAX;
}

/* Takes the escapes off. 0 or ERROR_LIMIT. */
static int copy_value(const struct raw_value *v, char *text, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < v->text.len; i++) {
        if (v->quoted && v->text.p[i] == '\\') {
            i++;
        }
        if (n + 1 >= cap) {
            return ERROR_LIMIT;
        }
        text[n++] = v->text.p[i];
    }
    text[n] = '\0';
    return 0;
}

static void read_algorithm(struct reading *r, struct span name)
{
    static const struct {
        const char *name;
        enum digest_algorithm algorithm;
        bool session;
    } KNOWN[] = {
        {"MD5", DIGEST_MD5, false},
        {"MD5-sess", DIGEST_MD5, true},
        {"SHA-256", DIGEST_SHA256, false},
        {"SHA-256-sess", DIGEST_SHA256, true},
    };
    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
        if (span_equal_nocase(name, span_of(KNOWN[i].name))) {
            r->challenge.algorithm = KNOWN[i].algorithm;
            r->challenge.session = KNOWN[i].session;
            r->challenge.says_algorithm = true;
            return;
        }
    }
    r->broken = true;
}

static void read_text(struct reading *r, const struct raw_value *v, char text[DIGEST_TEXT_BYTES])
{
    if (copy_value(v, text, DIGEST_TEXT_BYTES) != 0) {
        r->broken = true;
    }
}

static unsigned seen_of(struct span name)
{
    static const struct {
        const char *name;
        enum seen seen;
    } KNOWN[] = {
        {"realm", SEEN_REALM},         {"nonce", SEEN_NONCE}, {"opaque", SEEN_OPAQUE},
        {"algorithm", SEEN_ALGORITHM}, {"qop", SEEN_QOP},     {"stale", SEEN_STALE},
    };
    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
        if (span_equal_nocase(name, span_of(KNOWN[i].name))) {
            return KNOWN[i].seen;
        }
    }
    return 0;
}

static int read_param(struct reading *r, struct span name, const struct raw_value *v)
{
    unsigned seen = seen_of(name);
    if ((r->seen & seen) != 0) {
        return ERROR_SYNTAX; /* given twice: which of the two counts? */
    }
    r->seen |= seen;
    if (!r->is_digest) {
        return 0;
    }
    switch (seen) {
    case SEEN_REALM: read_text(r, v, r->challenge.realm); break;
    case SEEN_NONCE: read_text(r, v, r->challenge.nonce); break;
    case SEEN_OPAQUE:
        read_text(r, v, r->challenge.opaque);
        r->challenge.has_opaque = true;
        break;
    /* These three are quoted by some servers and not by others. */
    case SEEN_ALGORITHM: read_algorithm(r, v->text); break;
    case SEEN_QOP: /* a list like Connection's */
        r->challenge.qop_auth = field_connection_lists(v->text, span_of("auth"));
        break;
    case SEEN_STALE: r->challenge.stale = span_equal_nocase(v->text, span_of("true")); break;
    default: break;
    }
    return 0;
}

static int strength(const struct digest_challenge *c)
{
    return !c->usable ? 0 : 1 + (c->algorithm == DIGEST_SHA256 ? 2 : 0) + (c->qop_auth ? 1 : 0);
}

/* The challenge is over: is it better than what we have? */
static void end_challenge(struct reading *r, struct digest_challenge *best)
{
    bool complete = (r->seen & SEEN_REALM) != 0 && r->challenge.nonce[0] != '\0';
    /* Without auth among the qop values there is only auth-int, and `-sess` needs a cnonce, which
     * an answer without qop does not carry. */
    bool qop_ok = r->challenge.qop_auth || ((r->seen & SEEN_QOP) == 0 && !r->challenge.session);
    r->challenge.usable = r->is_digest && !r->broken && complete && qop_ok;
    if (strength(&r->challenge) > strength(best)) {
        *best = r->challenge;
    }
}

static int begin_challenge(struct reading *r, struct span scheme, struct span *rest)
{
    memset(r, 0, sizeof(*r));
    r->in_challenge = true;
    r->is_digest = span_equal_nocase(scheme, span_of("Digest"));
    if (rest->len == 0 || rest->p[0] == ',') {
        return 0;
    }
    if (!is_blank(rest->p[0])) {
        return ERROR_SYNTAX;
    }
    skip_blanks(rest);
    r->broken = take_token68(rest);
    return 0;
}

/* Reads "=value" behind a parameter's name, and what separates it from the next item. */
static int end_param(struct reading *r, struct span name, struct span *rest)
{
    struct raw_value v;
    advance(rest, 1);
    skip_blanks(rest);
    int rc = take_value(rest, &v);
    if (rc == 0) {
        rc = read_param(r, name, &v);
    }
    skip_blanks(rest);
    return rc == 0 && rest->len > 0 && rest->p[0] != ',' ? ERROR_SYNTAX : rc;
}

static int next_item(struct reading *r, struct span *rest, struct digest_challenge *best)
{
    struct span token = take_token(rest);
    if (token.len == 0) {
        return ERROR_SYNTAX;
    }
    struct span ahead = *rest;
    skip_blanks(&ahead);
    if (r->in_challenge && ahead.len > 0 && ahead.p[0] == '=') {
        *rest = ahead;
        return end_param(r, token, rest);
    }
    end_challenge(r, best);
    return begin_challenge(r, token, rest);
}

int digest_parse(struct span value, struct digest_challenge *best)
{
    struct digest_challenge candidate = *best;
    struct reading r = {.in_challenge = false};
    struct span rest = value;
    for (int n_items = 0;; n_items++) {
        while (rest.len > 0 && (is_blank(rest.p[0]) || rest.p[0] == ',')) {
            advance(&rest, 1);
        }
        if (rest.len == 0) {
            break;
        }
        if (n_items == DIGEST_ITEMS_MAX) {
            return ERROR_LIMIT;
        }
        int rc = next_item(&r, &rest, &candidate);
        if (rc != 0) {
            return rc;
        }
    }
    end_challenge(&r, &candidate);
    *best = candidate;
    return 0;
}
