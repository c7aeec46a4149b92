/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of link.h share. */
#ifndef AGENT_TUNNEL_LINK_INTERNAL_H
#define AGENT_TUNNEL_LINK_INTERNAL_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/tunnel/link.h"
#include "proto/base/list.h"
#include "proto/wire/frame.h"

/* One message: full ones are one TLS record, a single larger frame is the exception. */
#define LINK_BUFFER_BYTES (FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX)

/* "Basic " and the base64 of "serial:token". */
#define LINK_AUTHORIZATION_BYTES (6 + ((LINK_SERIAL_BYTES + SECRET_BYTES) / 3 + 1) * 4 + 1)

/* Of a vhost, for libwebsockets' own use. */
#define LINK_LANE_NAME_BYTES 16

enum link_state {
    LINK_CONNECTING, /* until the upgrade is done */
    LINK_OPEN,
    LINK_FINISHING, /* the close frame is to be sent, or was sent */
    LINK_ABORTED    /* the owner has forgotten it; waits for lws to let go */
};

struct link_lane {
    struct list node; /* in link_set.free while not in use */
    struct link_set *set;
    struct trust *trust; /* owned */
    struct lws_vhost *vhost;
    struct link *connecting; /* or NULL */
    char name[LINK_LANE_NAME_BYTES];
};

struct link {
    struct list node;
    struct link_set *set;
    struct link_lane *lane;
    struct lws *wsi; /* NULL before lws made it */
    uintptr_t number;
    uint64_t turn; /* the last one that it has had */
    enum link_state state;
    struct link_callbacks callbacks;
    void *user;
    bool starting; /* inside link_open, where nothing may be called back */
    bool died;     /* while starting */
    bool proxied;
    bool proxy_has_user;
    uint32_t keepalive_s; /* 0 = the line is not watched */
    bool was_open;
    uint16_t close_code; /* ours, when FINISHING */
    bool close_sent;
    bool peer_closed;
    uint16_t peer_code;
    struct url relay;
    char authorization[LINK_AUTHORIZATION_BYTES]; /* cleansed when sent */
    void *sent_at;                                /* where lws put it together */
    size_t sent_len;
    struct error_text reason; /* set before lws reports its own */
};

struct link_set {
    struct lws_context *context;
    uv_loop_t *loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uint64_t turn;
    struct list links;
    struct list free;  /* lanes */
    struct list lanes; /* in use; for freeing */
    size_t n_links;
    size_t n_lanes;
    uintptr_t last_number;
    uint8_t buffer[LWS_PRE + LINK_BUFFER_BYTES];
};

/* The callback of the one lws protocol. */
int link_on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len);

/* The connecting phase is over in one way or the other: its secrets are cleansed. */
void link_stop_connecting(struct link *l);

/* Takes the link off its set. No callback. */
void link_free(struct link *l);

/* Makes a sentence of why the connection did not come to be, unless there is one already: `said` is
 * libwebsockets' word for it, `status` that of the relay's answer, 0 = none. */
void link_describe(struct link *l, const char *said, unsigned status);

#endif
