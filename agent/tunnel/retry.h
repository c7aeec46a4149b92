/* SPDX-License-Identifier: Apache-2.0 */
/* When to dial again after an attempt or a tunnel ended. No I/O, no clock: both are given.
 *
 * Waiting protects those who are reached. So the classes differ by who was:
 *
 * - UNREACHABLE reached nobody but a kernel, and costs nobody anything: it tries again within
 *   RETRY_UNREACHABLE_MS however long the outage lasts, so that the tunnel is back within 3 s of
 *   the line's return. A port that refuses is here as well: a restarted relay is found at once.
 * - PROXY reached an HTTP proxy and nobody beyond it: doubles up to RETRY_PROXY_MAX_MS.
 * - FAILED reached something that accepted a connection and gave no tunnel, be it the relay or what
 *   is in front of it: about once a second for the first RETRY_EAGER times, because most such
 *   failures (a load balancer whose relay restarts) are over by then; then it doubles from 1 s to
 *   60 s, and stays there.
 * - REFUSED and REPLACED wait at the slow end (30-60 s) at once: trying harder does not help.
 * - MOVED dials now.
 * - DROPPED dials within a second.
 *   Both count as FAILED if the tunnel had hardly been open, so that a relay which accepts and
 * hangs up is not hammered.
 *
 * A pause that the relay asks for is kept in any case. All waits but MOVED's have jitter. A minute
 * of a stable tunnel forgets all failures. */
#ifndef AGENT_TUNNEL_RETRY_H
#define AGENT_TUNNEL_RETRY_H

#include <stdint.h>

#include "proto/base/backoff.h"

#define RETRY_MIN_MS   1000
#define RETRY_MAX_MS   60000
#define RETRY_EAGER    10
#define RETRY_EAGER_MS 2000
/* Longest wait of UNREACHABLE; the shortest is RETRY_MIN_MS / 2. With the last second of a race in
 * which no SYN leaves (race.h), the resolver's patience and the handshakes it stays below 3 s. */
#define RETRY_UNREACHABLE_MS 1250
/* Where PROXY ends: a proxy stands in the building and serves few agents, but each attempt makes it
 * dial, and may count as a wrong password. */
#define RETRY_PROXY_MAX_MS 10000
/* A tunnel that lived so long was stable. */
#define RETRY_STABLE_MS 60000
/* A tunnel that lived so long was not dropped for something that we do. */
#define RETRY_LIVED_MS 5000
/* Longest wait of DROPPED. */
#define RETRY_FAST_MS 1000
/* Longest pause that a relay may ask for. */
#define RETRY_ADVICE_MAX_MS 3600000

enum retry_class {
    RETRY_UNREACHABLE, /* no TCP connection */
    RETRY_PROXY,       /* no connection beyond the proxy, or it refused */
    /* No TLS, no upgrade, no welcome. A certificate that does not verify is here too: clocks
     * without a battery are wrong for the first minute, and portals in between come and go. */
    RETRY_FAILED,
    RETRY_REFUSED,  /* the relay does not want us: wrong token, disabled, wrong version */
    RETRY_DROPPED,  /* an open tunnel was lost */
    RETRY_REPLACED, /* another agent has our identity */
    RETRY_MOVED     /* the relay drains and asked us to connect again */
};

struct retry {
    struct backoff backoff;
    struct backoff eager;
    struct backoff proxy;
    uint32_t n_eager; /* attempts left */
};

void retry_init(struct retry *r);

/* The wait before the next attempt. `lived_ms`: how long the tunnel was open, 0 = never was.
 * `advice_ms`: what a GOAWAY asked for, 0 = nothing. `random`: any 64 random bits. */
uint32_t retry_wait_ms(struct retry *r, enum retry_class class, uint64_t lived_ms,
                       uint32_t advice_ms, uint64_t random);

/* "unreachable", "proxy", "failed", "refused", "dropped", "replaced", "moved". Static. */
const char *retry_class_name(enum retry_class class);

#endif
