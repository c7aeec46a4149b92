/* SPDX-License-Identifier: Apache-2.0 */
/* relay.conf, read and checked. */
#ifndef RELAY_CONFIG_H
#define RELAY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/bucket.h"
#include "proto/base/conf.h"
#include "proto/base/error.h"
#include "relay/store/cidr.h"

/* Where every command looks without --config. */
#define CONFIG_DEFAULT_DIR  "/etc/thinknx-relay"
#define CONFIG_DEFAULT_PATH CONFIG_DEFAULT_DIR "/relay.conf"

/* Longest public_url, with NUL: "https://", a host, ":65535". */
#define CONFIG_URL_BYTES 300

/* Most that [limits] may allow. */
#define CONFIG_CONNECTIONS_MAX 10000000

/* How a proxy in front says who its client is. */
enum config_proxy {
    CONFIG_PROXY_NONE,     /* it does not; the peer is the client */
    CONFIG_PROXY_PROTOCOL, /* HAProxy's PROXY protocol, before the first byte */
    CONFIG_PROXY_FORWARDED /* the fields Forwarded or X-Forwarded-For */
};

/* Who must log in to the pages. */
enum config_login {
    CONFIG_LOGIN_REMOTE, /* who comes from beyond loopback */
    CONFIG_LOGIN_ALWAYS
};

/* All texts are owned; all paths absolute; times in ms. What each means, and its default, is in
 * the relay.conf that `init` writes and in docs. */
struct relay_config {
    char *path; /* of the file it was read from */

    /* [relay] */
    char *database;
    char public_url[CONFIG_URL_BYTES]; /* "https://host" or "https://host:port" */
    uint32_t workers;                  /* 0 = by the number of cores */
    char *runtime_file;                /* NULL = none */
    int log_format;                    /* enum log_format */
    int log_level;                     /* enum log_level */

    /* [https] and [http]. Every listen value has passed conf_parse_address. */
    struct conf_list https_listen;
    struct conf_list certificates; /* as many as private keys, in pairs; the first is for all */
    struct conf_list private_keys;
    struct conf_list plain_listen; /* requests without TLS, from a terminator on this machine */
    struct conf_list http_listen;

    /* [limits]. A rate of 0 is no limit. */
    uint32_t key_rate;
    uint32_t key_burst;
    uint32_t set_rate;
    uint32_t set_burst;
    uint32_t refused_rate;
    uint32_t refused_burst;
    uint32_t connections;
    uint32_t connections_per_address;
    uint32_t in_flight_per_server;
    uint32_t parked;

    /* [timeouts] */
    uint32_t handshake_ms;
    uint32_t head_ms;
    uint32_t body_ms;
    uint32_t idle_ms;
    uint32_t write_ms;
    uint32_t server_ms;
    uint32_t server_fb_ms;
    uint32_t offline_grace_ms;
    uint32_t drain_ms;
    uint32_t ping_idle_ms;
    uint32_t reply_deadline_ms;
    uint32_t probe_ms; /* 0 = no probes */

    /* [admin] */
    struct conf_list admin_listen;
    bool admin_tls;
    int admin_login; /* enum config_login */
    struct conf_list admin_hosts;
    uint32_t building_metrics;

    /* [proxy] */
    int proxy_protocol; /* enum config_proxy */
    struct conf_list proxy_trusted;
    struct cidr trusted[CONF_VALUES_MAX]; /* proxy_trusted, parsed */

    struct conf_list public_urls; /* as it stood, with its line */
};

/* Reads and checks the whole file. `c` needs no preparation, and is to be freed on success only.
 * 0; ERROR_IO (cannot be read), ERROR_CONFIG ("relay.conf:12: [https] listen: reason"),
 * ERROR_NOMEM. */
int relay_config_read(const char *path, struct relay_config *c, struct error_text *e);

/* As relay_config_read, from a text in memory (conf_parse). For tests and fuzzing. */
int relay_config_parse(const char *name, const char *text, size_t len, struct relay_config *c,
                       struct error_text *e);

/* Prints all settings with their defaults (conf_list.h). */
void relay_config_list(FILE *to);

/* Idempotent. */
void relay_config_free(struct relay_config *c);

#endif
