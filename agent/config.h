/* SPDX-License-Identifier: Apache-2.0 */
/* agent.conf: read, checked across keys, with its secrets. */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/tunnel/dialer.h"
#include "agent/tunnel/trust.h"
#include "agent/tunnel/url.h"
#include "agent/upstream/upstream.h"
#include "proto/base/conf.h"
#include "proto/base/error.h"
#include "proto/base/log.h"
#include "proto/base/secret.h"

#define CONFIG_PATH "/etc/thinknx-agent/agent.conf"

struct config {
    /* As in the file. Owned. */
    struct conf_list relay_urls;
    char *serial;
    char *token_file;
    char *ca_file; /* NULL = the system's roots */
    struct conf_list pin_texts;
    char *proxy_url; /* NULL = none */
    char *proxy_user;
    char *proxy_password_file;
    char *server_url;
    int auth; /* enum upstream_auth */
    char *user;
    char *password_file;
    uint32_t max_connections;
    uint32_t max_paused;
    char *devices; /* device file, for the relay and the pages; NULL = none */
    uint32_t connect_ms;
    uint32_t answer_ms;
    uint32_t answer_fb_ms;
    uint32_t drain_ms;
    uint32_t keepalive_ms;
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
    char *status_socket;
    char *runtime_file;  /* NULL = none */
    char *pages_listen;  /* NULL = no pages */
    char *pages_devices; /* for the pages alone; NULL = `devices` */
    /* Made from it. */
    struct url relays[CONF_VALUES_MAX]; /* as many as relay_urls */
    struct url proxy;                   /* if proxy_url */
    uint8_t pins[CONF_VALUES_MAX][TRUST_PIN_BYTES];
    char token[SECRET_BYTES];
    char password[SECRET_BYTES];
    char proxy_password[SECRET_BYTES];
};

/* Reads the file and its secrets, and checks everything that can be checked without a network.
 * 0, ERROR_IO, ERROR_CONFIG ("agent.conf:12: [section] key: reason"), ERROR_NOMEM. */
int config_load(const char *path, struct config **c, struct error_text *e);

/* Only the path of the status socket, for commands that ask the running agent and may not read its
 * secrets. Returns owned. Errors as config_load. */
int config_load_socket(const char *path, char **socket, struct error_text *e);

/* Says that the key's value is wrong: ERROR_CONFIG with a sentence as config_load's. */
int config_wrong(const char *path, const char *section, const char *name, const char *reason,
                 struct error_text *e);

/* Prints all settings with their defaults (conf_list.h). */
void config_list(FILE *to);

/* Cleanses the secrets. Accepts NULL. */
void config_free(struct config *c);

/* Views for the parts; they borrow from the configuration. */
struct dialer_settings config_dialer(const struct config *c, size_t relay);
struct upstream_settings config_upstream(const struct config *c);

/* True if both ask for the same server in the same way. */
bool config_same_upstream(const struct config *a, const struct config *b);

/* Logs each setting that a reload does not change and that is not as it was at the start. */
void config_say_what_stays(const struct config *start, const struct config *next);

#endif
