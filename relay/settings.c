/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers need of the configuration. */
#include "relay/settings.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "relay/config.h"

static struct proxy_trust proxy_of(const struct relay_config *c)
{
    static_assert(CONF_VALUES_MAX <= PROXY_TRUSTED_MAX, "all listed blocks fit");
    struct proxy_trust t = {.mode = PROXY_NONE, .n_blocks = c->proxy_trusted.n_values};
    if (c->proxy_protocol == CONFIG_PROXY_PROTOCOL) {
        t.mode = PROXY_PROTOCOL;
    } else if (c->proxy_protocol == CONFIG_PROXY_FORWARDED) {
        t.mode = PROXY_FORWARDED;
    }
    memcpy(t.blocks, c->trusted, t.n_blocks * sizeof(t.blocks[0]));
    return t;
}

struct settings settings_of(const struct relay_config *c)
{
    struct settings s = {
        .key_rate = {c->key_rate, c->key_burst},
        .command_rate = {c->set_rate, c->set_burst},
        .refused_rate = {c->refused_rate, c->refused_burst},
        .connections = c->connections,
        .connections_per_address = c->connections_per_address,
        .in_flight_per_server = c->in_flight_per_server,
        .parked = c->parked,
        .handshake_ms = c->handshake_ms,
        .head_ms = c->head_ms,
        .body_ms = c->body_ms,
        .idle_ms = c->idle_ms,
        .write_ms = c->write_ms,
        .server_ms = c->server_ms,
        .server_fb_ms = c->server_fb_ms,
        .offline_grace_ms = c->offline_grace_ms,
        .drain_ms = c->drain_ms,
        .ping_idle_ms = c->ping_idle_ms,
        .reply_deadline_ms = c->reply_deadline_ms,
        .probe_ms = c->probe_ms,
        .building_metrics = c->building_metrics,
        .admin_tls = c->admin_tls,
        .admin_login = c->admin_login == CONFIG_LOGIN_ALWAYS,
        .n_admin_hosts = c->admin_hosts.n_values,
    };
    (void)snprintf(s.public_url, sizeof(s.public_url), "%s", c->public_url);
    for (size_t i = 0; i < s.n_admin_hosts; i++) {
        (void)snprintf(s.admin_hosts[i], sizeof(s.admin_hosts[i]), "%s", c->admin_hosts.values[i]);
    }
    s.proxy = proxy_of(c);
    return s;
}
