/* SPDX-License-Identifier: Apache-2.0 */
/* One tunnel: a link with a mux on it, and what keeps it alive.
 *
 * Callbacks fire from the loop, never from inside a function of this header, nor from inside an
 * event of the mux. */
#ifndef AGENT_TUNNEL_TUNNEL_H
#define AGENT_TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/tunnel/link.h"
#include "agent/tunnel/retry.h"
#include "proto/base/error.h"
#include "proto/base/span.h"
#include "proto/wire/mux.h"

/* The tunnel's timer fires at least so often. If it is later
 * than TUNNEL_STALL_MS, the process stood still (SIGSTOP, a suspended machine): requests that are
 * in the socket since then are not executed any more, because the relay, which waits 15 s for a
 * sign of life while a request is open, has answered for them or is about to. */
#define TUNNEL_HEARTBEAT_MS 5000
#define TUNNEL_STALL_MS     8000
_Static_assert(TUNNEL_HEARTBEAT_MS + TUNNEL_STALL_MS < MUX_PING_BUSY_MS + MUX_REPLY_DEADLINE_MS,
               "we must give up before the relay does");

/* So long before a line counts as silent a PING is sent: as data, which TCP repeats several times
 * by then, it passes a line that loses packets, and what swallows the kernel's empty questions. */
#define TUNNEL_ASK_MS 1000
/* Between two looks at a silent line. */
#define TUNNEL_LISTEN_MS 1000

/* How long the relay may take to answer our goaway when no request is in flight any more. A relay
 * that does not answer at all must not hold up the end. */
#define TUNNEL_GOAWAY_MS 3000

struct tunnel;

/* The streams' events, as in mux.h but with the mux itself in on_request. It may be used for a
 * stream until that stream's on_reset or on_done. */
struct tunnel_streams {
    void (*on_request)(void *user, struct mux *m, uint32_t stream, const struct head_request *head,
                       bool end, void **stream_user);
    void (*on_data)(void *stream_user, const uint8_t *bytes, size_t len, bool end);
    void (*on_reset)(void *stream_user);
    void (*on_room)(void *stream_user, size_t room);
    void (*on_done)(void *stream_user);
};

struct tunnel_end {
    enum retry_class class;
    uint64_t lived_ms;  /* since the welcome; 0 = there was none */
    const char *reason; /* one sentence, borrowed */
};

struct tunnel_callbacks {
    /* WELCOME has come. */
    void (*on_up)(void *user, struct tunnel *t, const struct mux_peer *peer);
    /* Nothing was heard of the relay for seconds, not even by the kernel. The tunnel goes on, and
     * may be heard again (tunnel_is_heard); each silence is told once. */
    void (*on_silent)(void *user, struct tunnel *t);
    /* The relay sends no more requests. The tunnel drains by itself. */
    void (*on_goaway)(void *user, struct tunnel *t, enum head_goaway reason,
                      uint32_t retry_after_ms);
    /* Always the last; the tunnel is gone. Its streams have had their on_reset. */
    void (*on_down)(void *user, struct tunnel *t, const struct tunnel_end *end);
};

struct tunnel_settings {
    uv_loop_t *loop;
    struct link_set *links;
    struct link_lane *lane;
    const struct link_target *target; /* borrowed during tunnel_open */
    uint32_t drain_ms;                /* most that a drain may take */
    const struct tunnel_streams *streams;
    void *streams_user;
};

/* Starts to connect. Errors as link_open. */
int tunnel_open(const struct tunnel_settings *settings, const struct tunnel_callbacks *callbacks,
                void *user, struct tunnel **t, struct error_text *e);

/* Finishes what is in flight, tells the relay, closes; on_down follows. Idempotent. Tells it also
 * if the relay has said goaway first. */
void tunnel_drain(struct tunnel *t);

/* Ends it now: streams get their on_reset, no callback of the tunnel follows. Not from inside an
 * event of the mux. */
void tunnel_abort(struct tunnel *t);

/* Open, and not silent. */
bool tunnel_is_heard(const struct tunnel *t);

/* A control call (PROTOCOL.md). `on_reply` fires once: `rc` 0 with the answer, or ERROR_CLOSED when
 * the tunnel ended before. Errors as mux_control. */
typedef void (*tunnel_reply)(void *user, int rc, uint16_t status, struct span body);
int tunnel_control(struct tunnel *t, uint16_t op, struct span body, tunnel_reply on_reply,
                   void *user);

struct tunnel_stats {
    uint32_t n_streams;
    uint32_t rtt_us; /* 0 = not measured yet */
    uint64_t generation;
};
void tunnel_read_stats(const struct tunnel *t, struct tunnel_stats *s);

#endif
