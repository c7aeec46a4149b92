/* SPDX-License-Identifier: Apache-2.0 */
/* One admitted request on its way to a building and its answer on the way back; belongs to the
 * worker of the client's session. It ends with exactly one final answer to the session, or without
 * one when the client is gone. */
#ifndef RELAY_FRONT_EXCHANGE_H
#define RELAY_FRONT_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/http/request.h"
#include "proto/io/wheel.h"
#include "proto/wire/head.h"
#include "relay/front/answer.h"
#include "relay/ref.h"

/* An answer is not taken from the tunnel while more than this waits for the client. */
#define EXCHANGE_PENDING_BYTES 65536
/* Assembled bytes are written at the latest when they are as many. */
#define EXCHANGE_ASSEMBLED_BYTES 32768
/* How long a client that has closed its half still gets an answer. */
#define EXCHANGE_HALF_CLOSED_MS 2000
/* The agent is given so much less time than the relay waits, so that its reason arrives. */
#define EXCHANGE_MARGIN_MS 250

struct call;
struct session;
struct worker;

enum exchange_state {
    EXCHANGE_PARKED,   /* waits for a tunnel */
    EXCHANGE_OPENING,  /* handed on to another worker, which has not yet said that it is open */
    EXCHANGE_SENT,     /* the stream is open */
    EXCHANGE_ANSWERING /* the answer's head has come */
};

struct exchange {
    exchange_ref ref;
    struct worker *worker;
    struct session *session; /* NULL: an operator's own call */
    struct call *call;       /* that one (relay/front/call.h), else NULL */
    enum exchange_state state;
    int64_t key;
    int64_t server;
    tunnel_ref tunnel; /* from EXCHANGE_OPENING on */
    uint32_t stream;   /* from EXCHANGE_SENT on */
    bool handed;
    bool half_closed; /* the client will send no more; it may be gone */
    bool failing;     /* in exchange_end */
    enum answer_framing framing;
    int64_t body_left; /* ANSWER_LENGTH: bytes still to come */
    size_t unreturned; /* bytes given to the client whose credit the tunnel still lacks */
    uint16_t status;
    uint32_t server_us;
    uint64_t started_us;
    uint64_t sent_us; /* when the tunnel took it; 0 = not yet */
    uint64_t answer_by_ms;
    struct list parked; /* worker->parked */
    struct wheel_timer deadline;
};

/* Sends the session's complete request towards a building, or parks it. The session is answered
 * through session_answer, session_write and session_done, maybe before this returns. ERROR_NOMEM,
 * ERROR_LIMIT: nothing was begun. */
int exchange_start(struct session *s, int64_t key, int64_t server, bool with_feedback);

/* The client is gone: resets the stream, frees. No answer. */
void exchange_cancel(struct exchange *x);

/* There is no more time: the client is told what is known of its request. */
void exchange_give_up(struct exchange *x);

/* The client has closed its half of the connection. */
void exchange_half_close(struct exchange *x);

/* The client has taken what waited for it. */
void exchange_on_drain(struct exchange *x);

/* From the router. References that are over are ignored, and their streams reset. */
void exchange_on_opened(struct worker *w, exchange_ref ref, tunnel_ref tunnel, uint32_t stream);
void exchange_on_handed(struct worker *w, exchange_ref ref);
void exchange_on_head(struct worker *w, exchange_ref ref, const struct head_response *head,
                      bool end);
void exchange_on_data(struct worker *w, exchange_ref ref, tunnel_ref tunnel, uint32_t stream,
                      const uint8_t *bytes, size_t len, bool end);
void exchange_on_failed(struct worker *w, exchange_ref ref, enum head_reset reason,
                        enum head_delivered delivered);

/* Writes the answer that is being put together, if any. Called when a batch of the tunnel's bytes
 * is through, so that head and body leave in one write. */
void exchange_flush_assembled(struct worker *w);

/* A tunnel of the server is up: its parked requests go. */
void exchange_unpark(struct worker *w, int64_t server);

#endif
