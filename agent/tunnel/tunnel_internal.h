/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tunnel.h share. */
#ifndef AGENT_TUNNEL_TUNNEL_INTERNAL_H
#define AGENT_TUNNEL_TUNNEL_INTERNAL_H

#include "agent/tunnel/tunnel.h"
#include "proto/base/list.h"

enum tunnel_state {
    TUNNEL_CONNECTING, /* TCP, TLS, upgrade */
    TUNNEL_GREETING,   /* waits for WELCOME */
    TUNNEL_OPEN,
    TUNNEL_DRAINING, /* one side has said goaway */
    TUNNEL_CLOSING,  /* close frame sent or queued; the mux is closed */
    TUNNEL_GONE      /* waits for its timer handle to close */
};

struct tunnel {
    struct link *link; /* NULL when it is gone */
    struct mux *mux;   /* NULL before the upgrade */
    struct link_set *links;
    uv_loop_t *loop;
    uv_timer_t timer;
    uint64_t armed_ms; /* when the timer fires */
    enum tunnel_state state;
    uint64_t deadline_ms; /* of the state; UINT64_MAX = none */
    uint64_t answer_ms;   /* DRAINING by us: when the relay should have answered the goaway */
    uint64_t up_ms;       /* 0 = never was */
    uint32_t drain_ms;
    bool proxied;
    bool silent;       /* told */
    uint64_t watch_ms; /* OPEN: when the line is to be looked at again */
    bool up_pending;
    bool goaway_pending;
    bool goaway_seen; /* the relay's */
    enum head_goaway goaway_reason;
    uint32_t retry_after_ms;
    uint64_t generation;
    struct mux_peer peer;
    struct list calls; /* control calls without their answer */
    enum retry_class class;
    struct error_text reason; /* set by the first thing that went wrong */
    const struct tunnel_streams *streams;
    void *streams_user;
    struct tunnel_callbacks callbacks;
    void *user;
};

/* The mux's events, with the tunnel as their user. */
extern const struct mux_events tunnel_mux_events;

/* A state and the time that it may last, 0 = for ever. */
void tunnel_enter(struct tunnel *t, enum tunnel_state state, uint32_t limit_ms);

/* Answers the control calls that will not be answered any more. */
void tunnel_fail_calls(struct tunnel *t);

#endif
