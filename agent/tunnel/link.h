/* SPDX-License-Identifier: Apache-2.0 */
/* The websocket connections of the agent: all that is known of libwebsockets, which makes them
 * (proxy, TLS, upgrade); what they carry then is link_wire.c's.
 *
 * One link_set per process and loop. A lane is what all connections to one relay share: its trust
 * and its proxy. A link is one connection.
 *
 * Callbacks fire from the loop, never from inside a function of this header. From a callback every
 * function may be called but link_set_stop and link_set_free. */
#ifndef AGENT_TUNNEL_LINK_H
#define AGENT_TUNNEL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/tunnel/trust.h"
#include "agent/tunnel/url.h"
#include "proto/base/error.h"
#include "proto/base/secret.h"

#define LINK_PATH        "/tunnel"
#define LINK_SUBPROTOCOL "thinknx-tunnel.v1"

/* From the start of the connection to the end of the upgrade. */
#define LINK_OPEN_MS 10000
/* After keepalive_ms, for the answers to the kernel's questions: there are two by then. */
#define LINK_SILENT_MS 1500
/* For the close frame's answer. */
#define LINK_FINISH_MS 2000
/* Longest serial. */
#define LINK_SERIAL_BYTES 65
/* What libwebsockets' CONNECT request can hold: it writes the relay's name twice into 256 bytes,
 * and keeps "user:password" in 96. */
#define LINK_PROXIED_HOST_BYTES 91
#define LINK_PROXY_SECRET_BYTES 95

/* The websocket close code of an orderly end (RFC 6455 section 7.4.1). */
#define LINK_CLOSE_GOING_AWAY 1001

struct link_set;
struct link_lane;
struct link;

/* Takes the process's libwebsockets context into use, on `loop`. Forgets the variable http_proxy,
 * which libwebsockets would obey. 0, ERROR_INTERNAL (its libuv plugin is not installed). */
int link_set_new(uv_loop_t *loop, struct link_set **s, struct error_text *e);

/* Begins to close the context, when all links are gone. The loop must then run until it ends by
 * itself. Never from inside a callback of this header. */
void link_set_stop(struct link_set *s);

/* After the loop has ended. Accepts NULL. */
void link_set_free(struct link_set *s);

/* Links that exist, closing ones included. */
size_t link_set_n_links(const struct link_set *s);

/* Errors as trust_new. A lane is used by one dialer at a time. */
int link_lane_open(struct link_set *s, const struct trust_settings *trust, struct link_lane **lane,
                   struct error_text *e);
/* For the next connections; as trust_change. */
int link_lane_change(struct link_lane *lane, const struct trust_settings *trust,
                     struct error_text *e);
/* Its links may live on. Lanes are kept for reuse, since libwebsockets' vhosts live as long as
 * its context. */
void link_lane_close(struct link_lane *lane);

enum link_failure {
    LINK_UNREACHED,  /* no TCP connection to the relay, or none beyond the proxy */
    LINK_LOST,       /* there was one, and it ended */
    LINK_REFUSED,    /* 401 or 403 */
    LINK_PEER_CLOSED /* by a close frame */
};

struct link_end {
    enum link_failure failure;
    bool was_open;
    uint16_t close_code; /* LINK_PEER_CLOSED; 0 = none given */
    const char *reason;  /* one sentence, borrowed */
};

struct link_callbacks {
    /* The upgrade is done. */
    void (*on_open)(void *user);
    /* Bytes of a message. Not 0 = close the connection (on_closed follows); so below. */
    int (*on_bytes)(void *user, const uint8_t *bytes, size_t len);
    /* The message is complete. */
    int (*on_message_end)(void *user);
    /* Once per turn of the loop, while the link is open: after what arrived was read and what it
     * led to was done, and before the loop sleeps. This is where to send. */
    void (*on_turn)(void *user);
    /* Always the last. The link is gone. */
    void (*on_closed)(void *user, const struct link_end *end);
};

struct link_target {
    const struct url *relay;
    const struct sockaddr *address; /* of the relay, or of the proxy */
    bool proxied;                   /* `address` is an HTTP proxy's */
    const char *proxy_user;         /* NULL = it wants none */
    const char *proxy_password;
    const char *serial;
    const char *token;
    uint32_t keepalive_ms; /* the kernel asks a relay that was not heard for so long, in whole
                              seconds; 0 = never */
};

/* Starts to connect. Everything in `target` is copied, its secrets are cleansed when they were
 * used. One connecting link per lane. 0, ERROR_CLOSED with a sentence, ERROR_NOMEM. */
int link_open(struct link_lane *lane, const struct link_target *target,
              const struct link_callbacks *callbacks, void *user, struct link **l,
              struct error_text *e);

/* False while only kernels, or a proxy, can have heard of the link. */
bool link_reached(const struct link *l);

/* True if link_send may be called now: open, and nothing of an earlier message is waiting. It
 * becomes true only before an on_turn. */
bool link_can_send(const struct link *l);

/* From on_turn: the loop looks at its sockets without sleeping, and on_turn comes once more. */
void link_look_again(struct link *l);

/* Round trip to the relay (or the proxy) as the kernel has measured it; 0 if it is not known. */
uint32_t link_rtt_us(const struct link *l);

/* The line counts as silent when nothing, not even an acknowledgement, has come for keepalive_ms,
 * LINK_SILENT_MS and two round trips: how long that is from now if nothing comes, 0 = it is. A link
 * through a proxy, whose line ends at the proxy, is never silent, nor is one without keepalive:
 * UINT32_MAX. */
uint32_t link_silent_in_ms(const struct link *l);

/* Where the next message of any link is put together. */
uint8_t *link_buffer(struct link_set *s, size_t *cap);

/* Sends `len` bytes of the buffer as one message. 0, or ERROR_CLOSED: link_abort it. */
int link_send(struct link *l, size_t len);

/* A close frame after what was sent; on_closed follows, at the latest when the caller loses
 * patience and calls link_abort. */
void link_finish(struct link *l, uint16_t close_code);

/* Cuts the connection. No callback follows. */
void link_abort(struct link *l);

#endif
