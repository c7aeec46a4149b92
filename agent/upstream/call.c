/* SPDX-License-Identifier: Apache-2.0 */
/* The request of a call, written once from parts that are checked here again, although the relay
 * has checked them: what is written to the server must be one request and no more. */
#include "agent/upstream/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/secret.h"
#include "proto/base/text.h"
#include "proto/http/controller.h"
#include "proto/http/field.h"
#include "proto/http/query.h"

/* "/api/v1/", the V in either case. */
#define API_PREFIX_LEN 8

/* Of a head: method, version, names and ends of our own lines, and the length of the body. */
#define REST_BYTES_MAX 64
/* ": " and the line's end. */
#define FIELD_REST_BYTES 4

/* Writes into `text`, as long as it fits. */
struct writer {
    char *text;
    size_t cap;
    size_t len;
    bool too_long; /* something did not fit */
};

static void put(struct writer *w, struct span s)
{
    if (s.len > w->cap - w->len) {
        w->too_long = true;
        return;
    }
    if (s.len > 0) {
        memcpy(w->text + w->len, s.p, s.len);
    }
    w->len += s.len;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, span_of(text));
}

static bool is_api_path(struct span path)
{
    return path.len > API_PREFIX_LEN && target_path_ok(path) &&
           span_starts(path, span_of("/api/")) && (path.p[5] == 'v' || path.p[5] == 'V') &&
           path.p[6] == '1' && path.p[7] == '/';
}

static bool query_bytes_ok(struct span query)
{
    return text_is_visible(query) && span_find(query, '#') == query.len;
}

static const char *method_name(enum head_method method)
{
    switch (method) {
    case HEAD_METHOD_GET: return "GET";
    case HEAD_METHOD_HEAD: return "HEAD";
    case HEAD_METHOD_POST: return "POST";
    default: return NULL;
    }
}

static bool request_ok(const struct head_request *r)
{
    if (method_name(r->method) == NULL || !is_api_path(r->path) || !query_bytes_ok(r->query) ||
        r->n_fields > HEAD_FIELDS_MAX) {
        return false;
    }
    for (size_t i = 0; i < r->n_fields; i++) {
        if (!field_is_token(r->fields[i].name) || !field_value_ok(r->fields[i].value)) {
            return false;
        }
    }
    return true;
}

static bool connection_names(const struct head_request *r, struct span name)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        if (span_equal_nocase(r->fields[i].name, span_of("Connection")) &&
            field_connection_lists(r->fields[i].value, name)) {
            return true;
        }
    }
    return false;
}

static void put_fields(struct writer *w, const struct head_request *r)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        struct span name = r->fields[i].name;
        if (field_is_hop_by_hop(name) || field_is_private(name) || connection_names(r, name)) {
            continue;
        }
        put(w, name);
        put_text(w, ": ");
        put(w, r->fields[i].value);
        put_text(w, "\r\n");
    }
}

/* The caller's query byte for byte, and ours behind it. */
static void put_target(struct writer *w, const struct head_request *r, const char *auth_query)
{
    put(w, r->path);
    if (r->has_query) {
        put_text(w, "?");
        put(w, r->query);
    }
    if (auth_query[0] != '\0') {
        bool separated = r->query.len == 0 || r->query.p[r->query.len - 1] == '&';
        put_text(w, !r->has_query ? "?" : separated ? "" : "&");
        put_text(w, auth_query);
    }
}

/* Where the parts begin and end. */
struct layout {
    size_t method_len;
    size_t target_at;
    size_t target_len;
    size_t head_len;
};

static struct layout put_head(struct writer *w, const struct head_request *r,
                              const char *auth_query, const char *authority)
{
    struct layout l;
    char length[48];
    put_text(w, method_name(r->method));
    l.method_len = w->len;
    put_text(w, " ");
    l.target_at = w->len;
    put_target(w, r, auth_query);
    l.target_len = w->len - l.target_at;
    put_text(w, " HTTP/1.1\r\nHost: ");
    put_text(w, authority);
    put_text(w, "\r\n");
    put_fields(w, r);
    if (r->method == HEAD_METHOD_POST || r->body_bytes > 0) {
        /* The longest number leaves room. */
        (void)snprintf(length, sizeof(length), "Content-Length: %u\r\n", r->body_bytes);
        put_text(w, length);
    }
    l.head_len = w->len;
    return l;
}

static bool reads_only(struct span path)
{
    struct span name = {path.p + API_PREFIX_LEN, path.len - API_PREFIX_LEN};
    const struct controller *c = controller_find(name);
    return c != NULL && c->role == CONTROLLER_GET;
}

/* What the text cannot be longer than; fields that will be left out count too. */
static size_t text_cap(const struct head_request *r, const char *auth_query, const char *authority)
{
    size_t len = REST_BYTES_MAX + r->path.len + r->query.len + strlen(auth_query) +
                 strlen(authority) + r->body_bytes;
    for (size_t i = 0; i < r->n_fields; i++) {
        len += r->fields[i].name.len + r->fields[i].value.len + FIELD_REST_BYTES;
    }
    return len < CALL_REQUEST_BYTES_MAX ? len : CALL_REQUEST_BYTES_MAX;
}

/* False if it is too long. */
static bool fill(struct upstream_call *c, size_t cap, const struct head_request *r,
                 const void *body, const char *auth_query, const char *authority)
{
    struct writer w = {.text = c->text, .cap = cap};
    struct layout l = put_head(&w, r, auth_query, authority);
    put(&w, (struct span){body, r->body_bytes});
    c->method = (struct span){c->text, l.method_len};
    c->target = (struct span){c->text + l.target_at, l.target_len};
    c->head = (struct span){c->text, l.head_len};
    c->body = (struct span){c->text + l.head_len, r->body_bytes};
    c->to_head = r->method == HEAD_METHOD_HEAD;
    c->reads = reads_only(r->path);
    return !w.too_long;
}

int call_new(struct upstream *u, const struct head_request *request, const void *body,
             const char *auth_query, const char *authority, struct upstream_call **call)
{
    if (!request_ok(request)) {
        return ERROR_REFUSED;
    }
    size_t cap = text_cap(request, auth_query, authority);
    /* Until glibc 2.41 calloc takes nothing from malloc's cache. */
    struct upstream_call *c = malloc(sizeof(*c) + cap);
    if (c == NULL) {
        return ERROR_NOMEM;
    }
    *c = (struct upstream_call){.upstream = u};
    list_init(&c->node);
    if (!fill(c, cap, request, body, auth_query, authority)) {
        call_free(c);
        return ERROR_REFUSED;
    }
    *call = c;
    return 0;
}

void call_free(struct upstream_call *call)
{
    list_remove(&call->node);
    secret_cleanse(call->text, call->head.len); /* the target may hold the password */
    free(call);
}

bool call_wants_feedback(const struct upstream_call *call)
{
    static const char NAME[] = "fb";
    struct span query = call->target;
    span_cut(&query, '?');
    return query_has(query, span_of(NAME)) || query_has(call->body, span_of(NAME));
}
