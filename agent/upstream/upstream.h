/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client towards one Thinknx server: a bounded pool of keep-alive connections, a bounded
 * queue before it, and the server's authentication.
 *
 * A connection whose call is paused in the middle of its answer's body waits for its caller, and
 * the server has nothing to do for it. So it does not count against max_connections, up to
 * max_paused of them: slow readers of large answers keep nobody else waiting. When they go on there
 * may be more at work than max_connections for a while; never are there more than both together.
 *
 * A call ends with exactly one of on_end and on_fail (none after upstream_cancel). Callbacks fire
 * from the loop, never from inside upstream_call, upstream_pause or upstream_resume. From inside
 * any callback all functions here may be called, upstream_cancel of that call and upstream_close
 * included. A call is started in the loop's next turn (by a uv_idle handle, hence before the loop
 * sleeps); what its on_handed leads to is best flushed from a uv_prepare handle.
 *
 * A request is written to the server at most once, with two exceptions that cannot execute a
 * command twice: after a 401 it is sent again with credentials, and a call that only reads (the
 * status controllers) is tried once more when a kept-alive connection dies before the first byte
 * of its answer. (A request of which not a byte was written may go to another connection.)
 *
 * The server's 401 never reaches the caller, who has no part in the server's user and password: it
 * is answered with credentials, or the call fails with HEAD_RESET_SERVER_AUTH, delivered NO. Every
 * other status passes through, 403 included.
 *
 * What on_fail says:
 *   reason              delivered          because
 *   SERVER_UNREACHABLE  NO                 no connection within connect_timeout_ms, or refused
 *   SERVER_AUTH         NO                 401, and no credentials that would help
 *   DEADLINE            NO                 no connection was free, or none came up, in time
 *   DEADLINE            YES                all of the request was written, the answer did not come
 *   DEADLINE            UNKNOWN            a part of it was written
 *   BAD_ANSWER          UNKNOWN            the connection died without a byte of the answer
 *   BAD_ANSWER          YES                the answer is malformed, or was cut off
 *   SHUTDOWN, INTERNAL  by the same rules  upstream_close; out of memory
 * After a reading call was tried twice, NO becomes UNKNOWN. A DEADLINE after bytes of an answer is
 * YES. */
#ifndef AGENT_UPSTREAM_UPSTREAM_H
#define AGENT_UPSTREAM_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proto/base/error.h"
#include "proto/base/span.h"
#include "proto/wire/head.h"

/* Calls that may wait for a connection; one more is refused with HEAD_RESET_OVERLOADED. */
#define UPSTREAM_QUEUE_MAX 512
/* Bytes of an answer's head, and fields in it. */
#define UPSTREAM_HEAD_BYTES_MAX 16384
/* An idle kept-alive connection is closed after this, before the server would do it. */
#define UPSTREAM_IDLE_MS 4000
/* Most that is read at once: so much of a body may still be told after upstream_pause. */
#define UPSTREAM_RECEIVE_BYTES 65536

enum upstream_auth {
    UPSTREAM_AUTH_NONE,
    UPSTREAM_AUTH_BASIC,
    UPSTREAM_AUTH_DIGEST,
    UPSTREAM_AUTH_QUERY
};

struct upstream_settings {
    const char *url; /* http://host[:port], port 5051 by default; borrowed during upstream_new */
    enum upstream_auth auth;
    const char *user;     /* copied */
    const char *password; /* copied, cleansed on free */
    uint32_t max_connections;
    uint32_t max_paused;         /* 0 = paused ones count like all others */
    uint32_t connect_timeout_ms; /* resolving the name included */
    /* From sending to the end of the answer's head, and between two pieces of its body unless the
     * call is paused. Times are looked at every 100 ms. */
    uint32_t answer_timeout_ms;
    uint32_t feedback_timeout_ms; /* the same for a call with `fb` in query or body */
};

/* All of them must be set. */
struct upstream_callbacks {
    /* The last byte of the request was given to the kernel. At most once, before on_head; not at
     * all if the answer begins before that. When the server asks for credentials, this tells of the
     * first request, the one it answered with 401. */
    void (*on_handed)(void *user);
    /* The answer's head: validated, Content-Length (see body_bytes) and hop-by-hop fields taken
     * out, 1xx answers dropped. Borrowed. After HEAD and with 304, body_bytes is what the server
     * said, and no body follows. */
    void (*on_head)(void *user, const struct head_response *head);
    /* Body bytes, decoded. */
    void (*on_data)(void *user, const uint8_t *bytes, size_t len);
    /* The answer is complete. The call is gone. */
    void (*on_end)(void *user);
    /* No complete answer; after on_head it means that the body was cut. The call is gone. */
    void (*on_fail)(void *user, enum head_reset reason, enum head_delivered delivered);
};

struct upstream;
struct upstream_call;

/* Checks the settings, allocates; opens nothing yet. 0, ERROR_CONFIG, ERROR_NOMEM. */
int upstream_new(uv_loop_t *loop, const struct upstream_settings *settings, struct upstream **u,
                 struct error_text *e);

/* Fails all calls (SHUTDOWN; on_fail fires from inside this call), closes all connections; later
 * frees `u` and calls `on_closed`, once. A second upstream_close before that does nothing. */
void upstream_close(struct upstream *u, void (*on_closed)(void *user), void *user);

/* Starts a call. Everything in `head` and `body` (head->body_bytes of it) is copied, and so are
 * the callbacks. head->deadline_ms limits the time up to the answer's head, queueing included; 0 =
 * connect and answer timeout together.
 * 0; ERROR_LIMIT (queue full); ERROR_NOMEM; ERROR_REFUSED (the path does not start with /api/v1/,
 * V in either case, or some part could not stand in a request, or all is over 128 KiB);
 * ERROR_STATE (closing). */
int upstream_call(struct upstream *u, const struct head_request *head, const void *body,
                  const struct upstream_callbacks *callbacks, void *user,
                  struct upstream_call **call);

/* Nobody wants the answer: closes its connection, or takes it out of the queue. No callback. */
void upstream_cancel(struct upstream_call *call);

/* Stops and resumes reading the answer's body (back-pressure). What was read already is told all
 * the same, at most UPSTREAM_RECEIVE_BYTES, and on_end if that was all. Both are idempotent. */
void upstream_pause(struct upstream_call *call);
void upstream_resume(struct upstream_call *call);

/* For `status` and metrics. */
struct upstream_stats {
    uint32_t n_open;
    uint32_t n_busy;
    uint32_t n_paused; /* of the busy ones */
    uint32_t n_queued;
    uint64_t n_calls;
    uint64_t n_failed;
    uint64_t last_answer_ms;           /* monotonic; 0 = never */
    uint32_t last_answer_us;           /* how long the server took for that one */
    char last_error[ERROR_TEXT_BYTES]; /* "" when the last call was answered */
};
void upstream_read_stats(const struct upstream *u, struct upstream_stats *s);

#endif
