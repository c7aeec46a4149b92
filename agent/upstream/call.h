/* SPDX-License-Identifier: Apache-2.0 */
/* Private to agent/upstream: one call, and the text of its request. */
#ifndef AGENT_UPSTREAM_CALL_H
#define AGENT_UPSTREAM_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/upstream/authorization.h"
#include "agent/upstream/upstream.h"
#include "proto/base/list.h"
#include "proto/base/span.h"
#include "proto/wire/head.h"

struct connection;

/* Largest request, body included. The relay's limits (8 KiB line, 16 KiB head, 64 KiB body) stay
 * below. */
#define CALL_REQUEST_BYTES_MAX (128 * 1024)

struct upstream_call {
    struct list node; /* in the pool's queue, else alone */
    struct upstream *upstream;
    struct connection *connection; /* NULL while queued */
    struct upstream_callbacks callbacks;
    void *user;

    uint64_t deadline_ms;       /* uv_now; the answer's head must be there by then */
    uint32_t answer_timeout_ms; /* from sending, and between two pieces of the body */
    bool reads;                 /* changes nothing: may be sent a second time */
    bool to_head;               /* its answer has no body */

    bool handed;      /* on_handed was called */
    bool told;        /* on_head was called */
    bool paused;      /* the body is not wanted at the moment */
    bool was_retried; /* it may have reached the server on a connection that died */
    bool wants_fresh; /* not on a kept-alive connection */
    unsigned n_attempts;
    struct authorization_attempt attempt; /* the last one */

    /* The request, but for the Authorization field and the empty line, which go between head and
     * body when it is sent. Spans point into `text`. */
    struct span method;
    struct span target;
    struct span head;
    struct span body;
    char text[];
};

/* Checks and copies the request; the target gets `auth_query` ("" = nothing) appended. Fields that
 * are hop-by-hop, private or named by Connection are left out. The call is queued nowhere yet.
 * 0; ERROR_REFUSED (not an API path, or parts that cannot be written into a request; too large);
 * ERROR_NOMEM. */
int call_new(struct upstream *u, const struct head_request *request, const void *body,
             const char *auth_query, const char *authority, struct upstream_call **call);

/* Takes it off the queue and frees it. */
void call_free(struct upstream_call *call);

/* True if the parameter `fb` is in the query, or in the body of a POST. */
bool call_wants_feedback(const struct upstream_call *call);

#endif
