/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request's target leads.
 *
 * The simulator resolves a path as leniently as the worst of servers: it decodes %XX (once), takes
 * a backslash for a slash, drops empty and "." segments and follows "..". So whatever a relay lets
 * slip through towards a maintenance page really arrives there, and the tests see it. */
#ifndef TESTS_SIMULATOR_ROUTE_H
#define TESTS_SIMULATOR_ROUTE_H

#include <stddef.h>

#include "proto/base/span.h"

/* Longest path, and most segments; what exceeds them leads nowhere. */
#define ROUTE_PATH_BYTES   1024
#define ROUTE_SEGMENTS_MAX 64

enum route_kind {
    ROUTE_API,         /* /api/v1/... or /api/V1/... */
    ROUTE_MAINTENANCE, /* "/", "/maintenance", "/config", "/reboot" */
    ROUTE_NOWHERE
};

struct route {
    enum route_kind kind;
    struct span controller; /* ROUTE_API: what follows "/api/v1/"; points into `path` */
    struct span query;      /* without "?"; points into the target */
    char path[ROUTE_PATH_BYTES];
    size_t path_len;
};

/* Resolves `target` (origin form, or absolute form, whose host is ignored). The route borrows the
 * target and must not be moved while `controller` is in use. */
void route_find(struct span target, struct route *r);

/* "api", "maintenance", "nowhere". */
const char *route_kind_name(enum route_kind kind);

#endif
