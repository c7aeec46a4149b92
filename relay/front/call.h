/* SPDX-License-Identifier: Apache-2.0 */
/* A call of an operator's own into a building (the pages' "Simulate"): through the same tunnel, the
 * same router and the same deadlines as a client's, but without a key and without a client's
 * connection. Sent once, never parked. Belongs to one worker. */
#ifndef RELAY_FRONT_CALL_H
#define RELAY_FRONT_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"
#include "proto/wire/head.h"

/* Most of an answer's body that is kept, if the call asks for no other bound; the rest is not
 * waited for. */
#define CALL_BODY_BYTES_MAX (256 * 1024)
#define CALL_TYPE_BYTES     96

struct worker;
struct exchange;
struct call;

/* Borrowed while call_start runs. */
struct call_request {
    int64_t server;
    const char *serial;
    const char *who;        /* for the log: "operator:NAME" */
    struct span path;       /* "/api/V1/power" */
    struct span controller; /* "power" */
    struct span query;
    bool with_feedback;
    bool is_quiet; /* a question of the relay's own: not among the requests that are shown */
    size_t body_bytes_max; /* 0 = CALL_BODY_BYTES_MAX */
};

struct call_result {
    unsigned status;    /* of the building's answer, or of the relay's own */
    const char *reason; /* machine word; NULL = the building answered */
    enum head_delivered delivered;
    uint64_t total_us;
    uint32_t server_us;
    bool truncated;             /* the body is its beginning; a character may be cut */
    char type[CALL_TYPE_BYTES]; /* Content-Type */
    struct span body;           /* borrowed during on_done */
};

/* Sends it. `on_done` is called exactly once, later, unless it is cancelled; the call is then gone.
 * ERROR_NOT_FOUND (the building is not connected), ERROR_LIMIT (too much in flight), ERROR_NOMEM:
 * nothing was sent. */
int call_start(struct worker *w, const struct call_request *r,
               void (*on_done)(void *user, const struct call_result *result), void *user,
               struct call **call);

/* Nobody waits for the answer any more. */
void call_cancel(struct call *c);

/* For exchange_answer.c: what comes for an exchange that is a call. */
void call_on_handed(struct call *c);
void call_on_head(struct call *c, const struct head_response *head, bool end);
void call_on_data(struct call *c, const uint8_t *bytes, size_t len, bool end);
void call_on_failed(struct call *c, enum head_reset reason, enum head_delivered delivered);

#endif
