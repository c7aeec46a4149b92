/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the admin listener, with one request. Private to relay/admin. */
#ifndef RELAY_ADMIN_ADMIN_SESSION_H
#define RELAY_ADMIN_ADMIN_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buffer.h"
#include "proto/base/list.h"
#include "proto/http/request.h"
#include "proto/io/conn.h"
#include "proto/io/wheel.h"
#include "proto/pages/reply.h"
#include "relay/worker.h"

/* The request must have come, and after that the answer be taken, by then. */
#define ADMIN_DEADLINE_MS 10000
/* Longest answer (the status of BOARD_SERVERS_MAX buildings), and how much is written at once. */
#define ADMIN_PAGE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define ADMIN_PIECE_BYTES    32768
/* Longest body of a request: a device file. */
#define ADMIN_BODY_BYTES_MAX ((size_t)1024 * 1024)

struct api_call;
struct api_stream;

struct admin_session {
    struct conn conn;
    struct worker *worker;
    struct request request;
    struct buffer page; /* what is still to be written */
    struct list node;   /* worker->admin_sessions */
    struct wheel_timer deadline;
    bool is_loopback;
    bool is_tls;
    bool is_answered;
    struct api_call *call;     /* under way, or NULL */
    struct api_stream *stream; /* owned; NULL but for the live log */
};

/* Answers with the body (taken: it is empty afterwards) and ends the connection. */
void admin_answer(struct admin_session *s, const struct reply *reply, struct buffer *body);

/* The same with a text, and with a JSON value (taken; NULL is out of memory). A secret one's text
 * is cleansed when it has left. */
void admin_answer_text(struct admin_session *s, unsigned status, const char *text);
void admin_answer_json(struct admin_session *s, unsigned status, json_t *value, const char *cookie);

/* {"error": …, "reason": …} */
void admin_refuse(struct admin_session *s, unsigned status, const char *reason,
                  const char *sentence);

/* Moves the deadline. */
void admin_wait(struct admin_session *s, uint32_t ms);

/* /metrics, /healthz, /readyz, /status. False if it is none of them. */
bool observe_answer(struct admin_session *s);

/* The relay, and the leg from the callers to it as far as it can see that; owned. */
json_t *observe_describe_relay(const struct worker *w);

#endif
