/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers need of the configuration: one immutable object, replaced as a whole by a
 * reload. */
#ifndef RELAY_SETTINGS_H
#define RELAY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bucket.h"
#include "proto/base/conf.h"
#include "relay/front/proxy.h"

/* Longest `https://host:port` of public_url, with NUL. */
#define SETTINGS_URL_BYTES 300
/* Names of the pages' host. */
#define SETTINGS_HOSTS_MAX 4

struct settings {
    char public_url[SETTINGS_URL_BYTES]; /* without a slash at the end */

    struct bucket_rate key_rate;     /* of a key without its own */
    struct bucket_rate command_rate; /* of a building without its own; per_s 0 = no limit */
    struct bucket_rate refused_rate; /* refused keys per client address; per_s 0 = no limit */
    uint32_t connections;
    uint32_t connections_per_address;
    uint32_t in_flight_per_server;
    uint32_t parked; /* requests that may wait for a tunnel, per worker */

    struct proxy_trust proxy; /* whose word on client addresses is taken */

    uint32_t handshake_ms; /* a proxy's header, and TLS */
    uint32_t head_ms;      /* a whole request head */
    uint32_t body_ms;      /* a whole request body */
    uint32_t idle_ms;      /* between requests */
    uint32_t write_ms;     /* without the client taking a byte of an answer */
    uint32_t server_ms;    /* for an answer of a building */
    uint32_t server_fb_ms; /* the same with `fb` */
    uint32_t offline_grace_ms;
    uint32_t drain_ms;     /* for what is in flight at SIGTERM */
    uint32_t ping_idle_ms; /* tunnel */
    uint32_t reply_deadline_ms;
    bool admin_tls;   /* beyond loopback the admin listener speaks TLS, and has the pages */
    bool admin_login; /* on loopback one must log in, too */
    char admin_hosts[SETTINGS_HOSTS_MAX][CONF_HOST_BYTES]; /* names it may be called by */
    size_t n_admin_hosts;

    uint32_t building_metrics; /* buildings with series of their own */
    uint32_t probe_ms;         /* between end-to-end probes of a building; 0 = none */
};

struct relay_config;

/* The settings of a configuration that was read and checked. */
struct settings settings_of(const struct relay_config *c);

#endif
