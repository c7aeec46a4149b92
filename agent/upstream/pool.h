/* SPDX-License-Identifier: Apache-2.0 */
/* Private to agent/upstream: what the calls and connections of one server share, and who gets
 * which connection when. */
#ifndef AGENT_UPSTREAM_POOL_H
#define AGENT_UPSTREAM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/upstream/authorization.h"
#include "agent/upstream/call.h"
#include "agent/upstream/origin.h"
#include "agent/upstream/upstream.h"
#include "proto/base/buffer.h"
#include "proto/base/error.h"
#include "proto/base/list.h"

/* Deadlines are looked at this often, while there is anything that has one. */
#define POOL_TICK_MS 100
/* Longest head that is written: a request's, and its Authorization field with user, realm, nonce,
 * opaque and target, escaped. */
#define POOL_HEAD_BYTES_MAX (CALL_REQUEST_BYTES_MAX + 64 * 1024)

struct upstream {
    uv_loop_t *loop;
    struct origin origin;
    struct authorization authorization;
    uint32_t max_connections;
    uint32_t max_paused;
    uint32_t connect_timeout_ms;
    uint32_t answer_timeout_ms;
    uint32_t feedback_timeout_ms;

    struct list queue; /* calls, the oldest first */
    struct list idle;  /* connections, the one used last first */
    struct list busy;  /* connections with a call, being opened or used */
    uint32_t n_queued;
    uint32_t n_open; /* connections in use of max_connections and max_paused */

    uv_timer_t timer;      /* ticks while there is a call or a connection */
    uint64_t last_tick_ms; /* uv_now */
    bool passed_over;      /* that tick came late and was left out */
    uv_idle_t turn;        /* active while calls wait for the next turn of the loop */

    struct buffer head;                   /* being written */
    char receive[UPSTREAM_RECEIVE_BYTES]; /* what is being read; nothing stays in it */

    bool closing;
    unsigned n_handles; /* that must close before this can be freed */
    void (*on_closed)(void *user);
    void *closed_user;

    uint64_t n_calls;
    uint64_t n_failed;
    uint64_t last_answer_ms;
    uint32_t last_answer_us;
    struct error_text last_error;
};

/* Sets up lists and handles of a zeroed upstream. */
void pool_init(struct upstream *u, uv_loop_t *loop);

/* Fails all calls with SHUTDOWN, at once, and closes all connections and handles. */
void pool_close(struct upstream *u);

/* A call joins the end of the queue, or comes back to its front. It is looked at in the loop's
 * next turn, before the loop sleeps. */
void pool_queue(struct upstream *u, struct upstream_call *call);
void pool_requeue(struct upstream *u, struct upstream_call *call);

/* The call has ended with its answer, or without one: frees it, then calls on_end or on_fail. It is
 * on no connection any more. */
void pool_end_call(struct upstream_call *call);
void pool_fail_call(struct upstream_call *call, enum head_reset reason,
                    enum head_delivered delivered);

/* What is known of a call's delivery while nothing of it is written. */
enum head_delivered pool_unsent(const struct upstream_call *call);

/* Opening a connection timed out. If none is up, all who are queued would wait for the same: they
 * fail at once. */
void pool_server_is_silent(struct upstream *u);

/* Busy connections whose answer waits for its caller. */
uint32_t pool_n_paused(const struct upstream *u);

/* True if there are more connections than calls may have: one that becomes idle is not kept. */
bool pool_is_over(const struct upstream *u);

/* A connection has become idle, or no longer counts against max_connections: who waits is looked
 * at in the loop's next turn. */
void pool_wake(struct upstream *u);

/* Gives connections to the calls that wait, now. Not from inside a callback of a call. */
void pool_dispatch(struct upstream *u);

/* A handle of the pool or of a connection is closed; the last one frees a closing upstream. */
void pool_handle_closed(struct upstream *u);

#endif
