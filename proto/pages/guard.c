/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests a listener of pages takes. */
#include "proto/pages/guard.h"

#include <string.h>

/* The host of a Host field, without its port. The parser has checked the form. */
static struct span host_of(struct span field)
{
    if (field.len > 0 && field.p[0] == '[') {
        size_t end = span_find(field, ']');
        return (struct span){field.p, end < field.len ? end + 1 : field.len};
    }
    return (struct span){field.p, span_find(field, ':')};
}

/* 127.x.y.z in numbers: a name like 127.evil.example is none. */
static bool is_loopback_v4(struct span host)
{
    struct span rest = host;
    uint64_t number = 0;
    size_t n = 0;

    if (!span_starts(host, span_of("127."))) {
        return false;
    }
    for (; rest.p != NULL; n++) {
        if (span_parse_u64(span_cut(&rest, '.'), 255, &number) != 0) {
            return false;
        }
    }
    return n == 4;
}

bool guard_host_ok(const struct request *r, const char *const *names, size_t n_names)
{
    struct span host = host_of(request_field(r, "Host"));

    if (span_equal_nocase(host, span_of("localhost")) || span_equal(host, span_of("[::1]")) ||
        is_loopback_v4(host)) {
        return true;
    }
    for (size_t i = 0; i < n_names; i++) {
        if (span_equal_nocase(host, span_of(names[i]))) {
            return true;
        }
    }
    return false;
}

/* "http://HOST" as in the Host field. Without TLS of our own a proxy on this machine may have it.
 */
static bool origin_is_ours(const struct request *r, struct span origin, bool is_tls)
{
    struct span scheme = span_of("https://");

    if (!is_tls && span_starts(origin, span_of("http://"))) {
        scheme = span_of("http://");
    }
    if (!span_starts(origin, scheme)) {
        return false;
    }
    struct span authority = {origin.p + scheme.len, origin.len - scheme.len};
    return span_equal_nocase(authority, request_field(r, "Host"));
}

bool guard_same_origin(const struct request *r, bool is_tls)
{
    struct span origin = request_field(r, "Origin");
    struct span site = request_field(r, "Sec-Fetch-Site");

    if (origin.p != NULL && !origin_is_ours(r, origin, is_tls)) {
        return false;
    }
    return site.p == NULL || span_equal(site, span_of("same-origin")) ||
           span_equal(site, span_of("none"));
}

bool guard_may_change(const struct request *r, bool is_tls)
{
    struct span type = request_field(r, "Content-Type");
    struct span media = span_trim((struct span){type.p, span_find(type, ';')});

    return guard_same_origin(r, is_tls) && span_equal_nocase(media, span_of("application/json"));
}

struct span guard_cookie(const struct request *r, const char *name)
{
    struct span found = {NULL, 0};
    size_t n = 0;

    for (size_t i = 0; i < r->n_fields; i++) {
        if (!span_equal_nocase(r->fields[i].name, span_of("Cookie"))) {
            continue;
        }
        struct span rest = r->fields[i].value;
        while (rest.p != NULL) {
            struct span pair = span_trim(span_cut(&rest, ';'));
            struct span value = pair;
            if (span_equal(span_cut(&value, '='), span_of(name)) && value.p != NULL) {
                found = value;
                n++;
            }
        }
    }
    return n == 1 ? found : (struct span){NULL, 0};
}
