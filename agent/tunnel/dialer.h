/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps one relay connected: resolves, dials, waits and dials again, as long as it lives.
 *
 * Callbacks fire from the loop, never from inside a function of this header. */
#ifndef AGENT_TUNNEL_DIALER_H
#define AGENT_TUNNEL_DIALER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/tunnel/link.h"
#include "agent/tunnel/trust.h"
#include "agent/tunnel/tunnel.h"
#include "agent/tunnel/url.h"
#include "proto/base/clock.h"
#include "proto/base/error.h"

/* Tunnels of one dialer that drain at the same time; one more cuts the oldest. */
#define DIALER_DRAINING_MAX 4
/* The log of an outage, which may last for weeks with an attempt each second: its first attempt is
 * told, then one of so many ms; one that fails for another reason than the last one told, earlier.
 * At level debug all are. */
#define DIALER_LOG_MS         600000
#define DIALER_LOG_CHANGED_MS 60000

enum dialer_state {
    DIALER_WAITING,    /* for the next attempt */
    DIALER_RESOLVING,  /* the name of the relay, or of the proxy */
    DIALER_RACING,     /* its addresses */
    DIALER_CONNECTING, /* TCP, TLS, upgrade, WELCOME */
    DIALER_OPEN,       /* requests may come */
    DIALER_DRAINING,   /* dialer_drain was called; the last tunnels finish */
    DIALER_CLOSED      /* on_closed is due */
};

/* "waiting", … Static. */
const char *dialer_state_name(enum dialer_state state);

/* All borrowed until the dialer is closed or dialer_change gives others. */
struct dialer_settings {
    const struct url *relay;
    const struct url *proxy; /* NULL = none */
    const char *proxy_user;  /* NULL = none */
    const char *proxy_password;
    const char *serial;
    const char *token;
    const char *ca_file;
    const uint8_t (*pins)[TRUST_PIN_BYTES];
    size_t n_pins;
    uint32_t drain_ms;
    uint32_t keepalive_ms; /* as link.h; for tunnels to come */
};

struct dialer_owner {
    uv_loop_t *loop;
    struct link_set *links;
    const struct tunnel_streams *streams; /* borrowed for the dialer's life */
    void *streams_user;
    /* A tunnel is open. */
    void (*on_up)(void *user);
    /* The dialer is gone. Once, after dialer_drain or dialer_close. */
    void (*on_closed)(void *user);
    void *user;
};

struct dialer;

/* The first attempt follows at once. 0, ERROR_CONFIG (certificates), ERROR_NOMEM. */
int dialer_new(const struct dialer_owner *owner, const struct dialer_settings *settings,
               struct dialer **d, struct error_text *e);

/* Other settings for the same relay and serial; an open tunnel stays, a waiting dialer dials at
 * once. On failure the old ones stay. Errors as dialer_new. */
int dialer_change(struct dialer *d, const struct dialer_settings *settings, struct error_text *e);

/* Lets requests in flight finish, for at most drain_ms, then closes: on_closed follows. */
void dialer_drain(struct dialer *d);

/* Cuts everything: on_closed follows. Also during a drain. */
void dialer_close(struct dialer *d);

/* A control call through the open tunnel. As tunnel_control; ERROR_STATE if there is none. */
int dialer_control(struct dialer *d, uint16_t op, struct span body, tunnel_reply on_reply,
                   void *user);

/* Returns borrowed until the dialer is closed. */
const struct url *dialer_relay(const struct dialer *d);

struct dialer_status {
    const char *relay; /* "wss://relay.example", borrowed until the dialer is closed */
    enum dialer_state state;
    int64_t since_s;            /* wall clock: when it entered the state, for WAITING the outage */
    uint32_t next_ms;           /* WAITING: until the next attempt */
    const char *last_error;     /* "" = none since the tunnel is up; borrowed likewise */
    struct tunnel_stats tunnel; /* OPEN */
    uint32_t n_draining;        /* older tunnels that finish */
};
void dialer_read_status(const struct dialer *d, struct dialer_status *s);

#endif
