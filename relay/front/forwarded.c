/* SPDX-License-Identifier: Apache-2.0 */
/* Following Forwarded and X-Forwarded-For from the nearest proxy towards the client. */
#include "relay/front/forwarded.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/base/span.h"
#include "proto/http/field.h"

/* What is being found out, going from our side towards the client. */
struct trace {
    const struct proxy_trust *trust;
    union proxy_address client; /* the farthest one so far */
    size_t n_hops;
    bool found; /* the client is settled */
    bool any;   /* there was such a field */
};

static void settle(struct trace *t, const struct sockaddr *client)
{
    static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    proxy_address_set(&t->client, client != NULL ? client : &nobody);
    t->found = true;
}

/* The port of a node: digits, or an invented name such as "_a1" (RFC 7239 6.2). */
static int parse_node_port(struct span text, uint16_t *port)
{
    if (text.len > 1 && text.p[0] == '_' && field_is_token(text)) {
        *port = 0;
        return 0;
    }
    return proxy_parse_port(text, port);
}

/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80", and, as X-Forwarded-For has
 * it, "2001:db8::1". */
static int parse_node(struct span text, bool bare_v6_too, union proxy_address *a)
{
    uint16_t port = 0;
    struct span rest = text;
    if (text.len > 0 && text.p[0] == '[') {
        struct span host = span_cut(&rest, ']');
        bool has_port = rest.len > 0;
        if (rest.p == NULL || (has_port && rest.p[0] != ':') ||
            (has_port && parse_node_port((struct span){rest.p + 1, rest.len - 1}, &port) < 0)) {
            return ERROR_SYNTAX;
        }
        return proxy_parse_host((struct span){host.p + 1, host.len - 1}, AF_INET6, port, a);
    }
    if (bare_v6_too && proxy_parse_host(text, AF_INET6, 0, a) == 0) {
        return 0;
    }
    struct span host = span_cut(&rest, ':');
    if (rest.p != NULL && parse_node_port(rest, &port) < 0) {
        return ERROR_SYNTAX;
    }
    return proxy_parse_host(host, AF_INET, port, a);
}

/* The next node on the way to the client: settled unless it is a trusted proxy too. */
static void follow(struct trace *t, struct span node, bool bare_v6_too)
{
    union proxy_address a;
    if (++t->n_hops > FORWARDED_HOPS_MAX || parse_node(node, bare_v6_too, &a) < 0) {
        settle(t, NULL);
        return;
    }
    t->client = a;
    t->found = !proxy_is_trusted(t->trust, &a.any);
}

/* From the right, so that nothing the client wrote can hide what a proxy put behind it. */
static void follow_list(struct trace *t, struct span list)
{
    while (!t->found) {
        size_t start = list.len;
        while (start > 0 && list.p[start - 1] != ',') {
            start--;
        }
        follow(t, span_trim((struct span){list.p + start, list.len - start}), true);
        if (start == 0) {
            return;
        }
        list.len = start - 1;
    }
}

/* Takes a token or a quoted string off the front. A quoted one with an escape is refused: no
 * address needs one. */
static int take_value(struct span *rest, struct span *value)
{
    bool quoted = rest->len > 0 && rest->p[0] == '"';
    size_t from = quoted ? 1 : 0;
    size_t at = from;
    while (at < rest->len && (quoted ? rest->p[at] != '"'
                                     : rest->p[at] != ';' && rest->p[at] != ',' &&
                                           rest->p[at] != ' ' && rest->p[at] != '\t')) {
        if (rest->p[at] == '\\') {
            return ERROR_SYNTAX;
        }
        at++;
    }
    if (quoted && at == rest->len) {
        return ERROR_SYNTAX;
    }
    *value = (struct span){rest->p + from, at - from};
    at += quoted ? 1 : 0;
    *rest = (struct span){rest->p + at, rest->len - at};
    return 0;
}

static struct span skip_blanks(struct span s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = (struct span){s.p + 1, s.len - 1};
    }
    return s;
}

/* One element of Forwarded, "for=…;proto=…" (RFC 7239 4), off the front. `node` is its `for`, NULL
 * if it has none. `more`: a comma followed. */
static int take_element(struct span *rest, struct span *node, bool *more)
{
    *node = (struct span){NULL, 0};
    for (;;) {
        struct span value;
        *rest = skip_blanks(*rest);
        size_t equals = span_find(*rest, '=');
        struct span name = {rest->p, equals};
        if (equals == rest->len || !field_is_token(name)) {
            return ERROR_SYNTAX;
        }
        *rest = (struct span){rest->p + equals + 1, rest->len - equals - 1};
        if (take_value(rest, &value) < 0) {
            return ERROR_SYNTAX;
        }
        if (span_equal_nocase(name, span_of("for"))) {
            if (node->p != NULL) {
                return ERROR_SYNTAX;
            }
            *node = value;
        }
        *rest = skip_blanks(*rest);
        *more = rest->len > 0 && rest->p[0] == ',';
        bool same_element = rest->len > 0 && rest->p[0] == ';';
        if (rest->len > 0 && !*more && !same_element) {
            return ERROR_SYNTAX;
        }
        if (rest->len > 0) {
            *rest = (struct span){rest->p + 1, rest->len - 1};
        }
        if (!same_element) {
            return 0;
        }
    }
}

/* Quoted strings can be read from the left alone, so all of a field's nodes are collected first.
 * A client that leaves a quote open spoils the field for itself: it is then nobody. */
static void follow_elements(struct trace *t, struct span value)
{
    struct span nodes[FORWARDED_HOPS_MAX];
    size_t n = 0;
    bool more = true;
    while (more) {
        if (n == FORWARDED_HOPS_MAX || take_element(&value, &nodes[n++], &more) < 0) {
            settle(t, NULL);
            return;
        }
    }
    while (n > 0 && !t->found) {
        follow(t, nodes[--n], false);
    }
}

/* Through all fields of that name; the last one is the nearest proxy's. */
static void follow_fields(struct trace *t, const struct request *r, const char *name,
                          void (*follow_value)(struct trace *t, struct span value))
{
    for (size_t i = r->n_fields; i > 0 && !t->found; i--) {
        if (span_equal_nocase(r->fields[i - 1].name, span_of(name))) {
            t->any = true;
            follow_value(t, r->fields[i - 1].value);
        }
    }
}

static bool same_host(const union proxy_address *a, const union proxy_address *b)
{
    if (a->any.sa_family != b->any.sa_family) {
        return false;
    }
    return a->any.sa_family == AF_INET
               ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
               : memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

void forwarded_find_client(const struct proxy_trust *t, const struct request *r,
                           const union proxy_address *peer, union proxy_address *client)
{
    struct trace forwarded = {.trust = t, .client = *peer};
    struct trace listed = {.trust = t, .client = *peer};
    follow_fields(&forwarded, r, "Forwarded", follow_elements);
    follow_fields(&listed, r, "X-Forwarded-For", follow_list);
    if (forwarded.any && listed.any && !same_host(&forwarded.client, &listed.client)) {
        settle(&forwarded, NULL);
    }
    *client = forwarded.any ? forwarded.client : listed.client;
}
