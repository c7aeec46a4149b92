/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request's target leads. */
#include "tests/simulator/route.h"

#include <stdbool.h>
#include <string.h>

#include "tests/simulator/hex.h"

/* The next byte of the path, decoded; a bad escape stands for itself. */
static char cut_char(struct span *raw)
{
    char c = raw->p[0];
    size_t used = 1;

    if (c == '%' && raw->len > 2 && hex_value(raw->p[1]) >= 0 && hex_value(raw->p[2]) >= 0) {
        c = (char)(hex_value(raw->p[1]) * 16 + hex_value(raw->p[2]));
        used = 3;
    }
    raw->p += used;
    raw->len -= used;
    if (c == '\\') {
        c = '/';
    }
    return c;
}

/* What a resolved path is made of: where each segment began, its slash included. */
struct trail {
    size_t starts[ROUTE_SEGMENTS_MAX];
    size_t n_segments;
};

/* Called at the end of each segment, which starts at `start` with its slash. Returns the length of
 * the path afterwards. */
static size_t end_segment(const char *path, size_t len, size_t start, struct trail *t)
{
    struct span segment = {path + start + 1, len - start - 1};

    if (segment.len == 0 || span_equal(segment, span_of("."))) {
        return start;
    }
    if (span_equal(segment, span_of(".."))) {
        return t->n_segments == 0 ? 0 : t->starts[--t->n_segments];
    }
    t->starts[t->n_segments++] = start;
    return len;
}

/* Writes the resolved path, "" for the root. False when it is too long. */
static bool resolve(struct span raw, struct route *r)
{
    struct trail trail = {.n_segments = 0};
    size_t start = 0;
    size_t len = 1;

    r->path[0] = '/';
    while (raw.len > 0) {
        char c = cut_char(&raw);
        if (c == '/') {
            len = end_segment(r->path, len, start, &trail);
            start = len;
        }
        if (len == sizeof r->path || trail.n_segments == ROUTE_SEGMENTS_MAX) {
            return false;
        }
        r->path[len++] = c;
    }
    r->path_len = end_segment(r->path, len, start, &trail);
    return true;
}

/* An absolute form loses its scheme and host. */
static struct span without_origin(struct span target)
{
    struct span rest = target;

    if (target.len == 0 || target.p[0] == '/' || !span_starts(target, span_of("http"))) {
        return target;
    }
    (void)span_cut(&rest, '/'); /* "http:" */
    (void)span_cut(&rest, '/');
    (void)span_cut(&rest, '/'); /* the host */
    return rest;
}

static bool is_maintenance(struct span path)
{
    static const char *const PAGES[] = {"", "/maintenance", "/config", "/reboot"};

    for (size_t i = 0; i < sizeof PAGES / sizeof PAGES[0]; i++) {
        if (span_equal(path, span_of(PAGES[i]))) {
            return true;
        }
    }
    return false;
}

void route_find(struct span target, struct route *r)
{
    struct span query = without_origin(target);
    struct span path = span_cut(&query, '?');
    struct span resolved;

    r->kind = ROUTE_NOWHERE;
    r->controller = (struct span){NULL, 0};
    r->query = query;
    r->path_len = 0;
    if (!resolve(path, r)) {
        return;
    }
    resolved = (struct span){r->path, r->path_len};
    if (span_starts(resolved, span_of("/api/v1/")) || span_starts(resolved, span_of("/api/V1/"))) {
        size_t prefix = strlen("/api/v1/");
        r->kind = ROUTE_API;
        r->controller = (struct span){resolved.p + prefix, resolved.len - prefix};
    } else if (is_maintenance(resolved)) {
        r->kind = ROUTE_MAINTENANCE;
    }
}

const char *route_kind_name(enum route_kind kind)
{
    switch (kind) {
    case ROUTE_API: return "api";
    case ROUTE_MAINTENANCE: return "maintenance";
    case ROUTE_NOWHERE: break;
    }
    return "nowhere";
}
