/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of dialer.h share. */
#ifndef AGENT_TUNNEL_DIALER_INTERNAL_H
#define AGENT_TUNNEL_DIALER_INTERNAL_H

#include "agent/tunnel/dialer.h"
#include "agent/tunnel/lookup.h"
#include "agent/tunnel/race.h"
#include "agent/tunnel/retry.h"
#include "proto/base/list.h"

#define DIALER_RELAY_BYTES (sizeof("wss://") + URL_AUTHORITY_BYTES)

/* A tunnel of ours. The current and the silent one are on no list. */
struct leg {
    struct list node; /* in dialer.old */
    struct dialer *dialer;
    struct tunnel *tunnel;
    bool rivalled; /* was silent, and another one of ours may have reached the relay */
};

struct dialer {
    struct dialer_owner owner;
    struct dialer_settings settings;
    struct link_lane *lane;
    char relay[DIALER_RELAY_BYTES];
    enum dialer_state state;
    int64_t since_s;
    uint64_t up_ms; /* of the open or the silent tunnel: since then it is heard */
    struct retry retry;
    uv_timer_t timer;
    uint64_t due_ms;
    struct lookup lookup; /* of the relay, or the proxy */
    struct race *race;    /* RESOLVING, RACING */
    struct leg *current;  /* CONNECTING, OPEN */
    struct leg *silent;   /* was OPEN; NULL if there is none */
    struct list old;      /* legs that drain */
    uint32_t n_old;
    struct error_text last_error;
    uint64_t n_failed; /* attempts since a tunnel was open */
    uint64_t told_ms;  /* when the log had the last of them */
    struct error_text told;
};

/* The attempts of one outage count as one: `since` is its beginning. */
void dialer_enter(struct dialer *d, enum dialer_state state);

/* WAITING, and the next attempt after `ms`. */
void dialer_wait(struct dialer *d, uint32_t ms);

/* An attempt has failed (`lived_ms` 0) or the open tunnel is lost: waits as retry.h says, unless
 * the silent tunnel is heard again and so is the current one. `reason` is one sentence. */
void dialer_retry(struct dialer *d, enum retry_class class, uint64_t lived_ms, const char *reason);

/* Neither the timer nor a race goes on; a tunnel that connects does. */
void dialer_stop_attempt(struct dialer *d);

/* DRAINING, and no tunnel is left: on_closed follows. */
void dialer_close_if_empty(struct dialer *d);

/* Makes the current tunnel, to `address`. */
void dialer_open_tunnel(struct dialer *d, const struct sockaddr *address);

/* The current or the silent tunnel goes to the draining ones. */
void dialer_retire(struct dialer *d, struct leg *leg);

/* Ends the silent tunnel, if there is one, once its requests are answered, and tells the relay so:
 * it may be beyond hearing the relay's goaway, and the relay is to know that it is worth waiting
 * for. */
void dialer_drain_silent(struct dialer *d);

/* Off its list; its tunnel is gone. */
void dialer_free_leg(struct leg *leg);

#endif
