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
#include "proto/websocket/websocket.h"
#include "proto/wire/frame.h"

/* One message: full ones are one TLS record, a single larger frame is the exception. */
#define LINK_BUFFER_BYTES (FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX)

/* Bytes of one SSL_read: a TLS record. */
#define LINK_RECEIVE_BYTES 16384

/* Masks of frames that are drawn at once. */
#define LINK_MASKS 64

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

struct link_wire;

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
    struct lws *wsi;        /* NULL before lws made it */
    struct link_wire *wire; /* NULL until lws has nothing more to read */
    unsigned n_prepared;    /* turns since the upgrade, before the loop sleeps */
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
    uint16_t close_code;   /* ours, when FINISHING */
    uint64_t finish_by_ms; /* when FINISHING */
    bool close_sent;
    bool peer_closed; /* first */
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
    uv_idle_t again; /* active while the loop is not to sleep */
    uint64_t turn;
    struct list links;
    struct list free;  /* lanes */
    struct list lanes; /* in use; for freeing */
    size_t n_links;
    size_t n_lanes;
    uintptr_t last_number;
    struct websocket_parser *spare_parser; /* or NULL */
    size_t n_masks;
    uint8_t masks[LINK_MASKS][WEBSOCKET_MASK_BYTES];
    uint8_t buffer[WEBSOCKET_HEADER_BYTES_MAX + LINK_BUFFER_BYTES]; /* of the next message */
    uint8_t received[LINK_RECEIVE_BYTES];
};

/* The callback of the one lws protocol. */
int link_on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len);

/* The connecting phase is over in one way or the other: its secrets are cleansed. */
void link_stop_connecting(struct link *l);

/* ---- an open link's bytes (link_wire.c) ---- */

/* Takes over from libwebsockets, which must have nothing of what it has read left. NULL without
 * memory or descriptor. */
struct link_wire *link_wire_start(struct link *l);

/* At any time, also from what it calls below. It frees itself when the loop has closed its handle.
 */
void link_wire_stop(struct link_wire *w);

/* False while a frame waits for the socket. */
bool link_wire_can_send(const struct link_wire *w);

/* Sends one frame; `payload` as websocket_wrap has it, and masked afterwards. Only if
 * link_wire_can_send. 0, ERROR_CLOSED. */
int link_wire_send(struct link_wire *w, enum websocket_opcode opcode, uint8_t *payload, size_t len);
/* What waits behind an unsent frame: a pong, and the link's close frame when it is FINISHING,
 * behind which nothing is sent. 0, ERROR_CLOSED. */
int link_wire_send_due(struct link_wire *w);

/* What it calls (link.c). The first two: non-zero = read no more; link_end_open follows. */
int link_take_bytes(struct link *l, const uint8_t *bytes, size_t len);
int link_take_end(struct link *l);
/* The peer's close frame; link_end_open follows, behind what is still to be sent. So below. */
void link_take_close(struct link *l, uint16_t code);
/* What websocket_feed found wrong: a close code, or -1 = told before. */
void link_take_fault(struct link *l, int code);
/* on_closed, and lws lets go of the connection. `reason` is for want of a better one. */
void link_end_open(struct link *l, const char *reason);

/* Before the loop sleeps: libwebsockets' part is over when it has had a turn behind the upgrade.
 * False if the link ended, whose owner may have ended or opened others. */
bool link_prepare(struct link *l);

/* Takes the link off its set. No callback. */
void link_free(struct link *l);

/* Makes a sentence of why the connection did not come to be, unless there is one already: `said` is
 * libwebsockets' word for it, `status` that of the relay's answer, 0 = none. */
void link_describe(struct link *l, const char *said, unsigned status);

#endif
