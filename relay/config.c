/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all settings, and the rules that one key alone cannot show. */
#include "relay/config.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/conf_list.h"
#include "proto/base/span.h"
#include "relay/roster.h"
#include "relay/settings.h"

#define AT(member) offsetof(struct relay_config, member)

/* Rates and bursts beyond this are slips of the finger. */
#define RATE_MAX 1000000
/* Nobody waits longer than an hour for anything here. */
#define WAIT_MS_MAX 3600000

static const char *const LOG_FORMATS[] = {"logfmt", "json", NULL};
static const char *const LOG_LEVELS[] = {"error", "warn", "info", "debug", NULL};
static const char *const LOGINS[] = {"remote", "always", NULL};
static const char *const PROXIES[] = {"none", "proxy", "forwarded", NULL};

#define TEXTS(section, name, member)                                                               \
    {                                                                                              \
        section, name, CONF_TEXT_LIST, AT(member), 0, 0, NULL, false, NULL                         \
    }
#define NUMBER(section, name, member, min, max, fallback)                                          \
    {                                                                                              \
        section, name, CONF_UINT, AT(member), min, max, NULL, false, fallback                      \
    }
#define WAIT(name, member, min, fallback)                                                          \
    {                                                                                              \
        "timeouts", name, CONF_SECONDS, AT(member), min, WAIT_MS_MAX, NULL, false, fallback        \
    }
#define CHOICE(section, name, member, choices, fallback)                                           \
    {                                                                                              \
        section, name, CONF_CHOICE, AT(member), 0, 0, choices, false, fallback                     \
    }

static const struct conf_key KEYS[] = {
    {"relay", "database", CONF_PATH, AT(database), 0, 0, NULL, true, NULL},
    /* A list, so that its line is known when it turns out to be wrong. */
    {"relay", "public_url", CONF_TEXT_LIST, AT(public_urls), 0, 0, NULL, true, NULL},
    NUMBER("relay", "workers", workers, 0, 64, "0"),
    {"relay", "runtime_file", CONF_PATH, AT(runtime_file), 0, 0, NULL, false, NULL},
    CHOICE("relay", "log_format", log_format, LOG_FORMATS, "logfmt"),
    CHOICE("relay", "log_level", log_level, LOG_LEVELS, "info"),
    TEXTS("https", "listen", https_listen),
    TEXTS("https", "certificate", certificates),
    TEXTS("https", "private_key", private_keys),
    TEXTS("https", "plain_listen", plain_listen),
    TEXTS("http", "listen", http_listen),
    NUMBER("limits", "key_rate", key_rate, 0, RATE_MAX, "20"),
    NUMBER("limits", "key_burst", key_burst, 1, RATE_MAX, "40"),
    NUMBER("limits", "set_rate", set_rate, 0, RATE_MAX, "0"),
    NUMBER("limits", "set_burst", set_burst, 1, RATE_MAX, "10"),
    NUMBER("limits", "refused_rate", refused_rate, 0, RATE_MAX, "1"),
    NUMBER("limits", "refused_burst", refused_burst, 1, RATE_MAX, "30"),
    NUMBER("limits", "connections", connections, 1, CONFIG_CONNECTIONS_MAX, "10000"),
    NUMBER("limits", "connections_per_address", connections_per_address, 1, CONFIG_CONNECTIONS_MAX,
           "1000"),
    /* No more than stream windows fit into a tunnel's (PROTOCOL.md). */
    NUMBER("limits", "in_flight_per_server", in_flight_per_server, 1, 4096, "512"),
    NUMBER("limits", "parked", parked, 0, 1000000, "1000"),
    WAIT("handshake", handshake_ms, 100, "10"),
    WAIT("head", head_ms, 100, "10"),
    WAIT("body", body_ms, 100, "15"),
    WAIT("idle", idle_ms, 100, "60"),
    WAIT("write", write_ms, 100, "30"),
    WAIT("server", server_ms, 100, "10"),
    WAIT("server_fb", server_fb_ms, 100, "30"),
    WAIT("offline_grace", offline_grace_ms, 0, "3"),
    WAIT("drain", drain_ms, 0, "30"),
    WAIT("ping_idle", ping_idle_ms, 100, "20"),
    WAIT("reply_deadline", reply_deadline_ms, 100, "10"),
    WAIT("probe", probe_ms, 0, "60"),
    TEXTS("admin", "listen", admin_listen),
    {"admin", "tls", CONF_BOOL, AT(admin_tls), 0, 0, NULL, false, "no"},
    CHOICE("admin", "login", admin_login, LOGINS, "remote"),
    TEXTS("admin", "host", admin_hosts),
    NUMBER("admin", "building_metrics", building_metrics, 0, ROSTER_MAX, "100"),
    CHOICE("proxy", "protocol", proxy_protocol, PROXIES, "none"),
    TEXTS("proxy", "trusted", proxy_trusted),
};
#define N_KEYS (sizeof(KEYS) / sizeof(KEYS[0]))

struct check {
    const char *file;
    struct relay_config *c;
    struct error_text *e;
};

/* A failure at the `i`th value of a list, whose line is known. */
static int fail_at(const struct check *k, const char *section, const char *name,
                   const struct conf_list *list, size_t i, const char *reason)
{
    return error_set(k->e, ERROR_CONFIG, "%s:%d: [%s] %s: %s", k->file, list->lines[i], section,
                     name, reason);
}

static int fail(const struct check *k, const char *section, const char *name, const char *reason)
{
    return error_set(k->e, ERROR_CONFIG, "%s: [%s] %s: %s", k->file, section, name, reason);
}

static int check_url(const struct check *k)
{
    const struct conf_list *urls = &k->c->public_urls;
    struct span url = span_of(urls->values[0]);
    struct span prefix = span_of("https://");
    char address[CONFIG_URL_BYTES];
    char host[CONF_HOST_BYTES];
    uint16_t port = 0;

    if (urls->n_values > 1) {
        return fail_at(k, "relay", "public_url", urls, 1, "given twice");
    }
    if (url.len >= CONFIG_URL_BYTES - sizeof(":443")) {
        return fail_at(k, "relay", "public_url", urls, 0, "too long");
    }
    if (!span_starts(url, prefix)) {
        return fail_at(k, "relay", "public_url", urls, 0, "must begin with https://");
    }
    const char *authority = url.p + prefix.len;
    if (strpbrk(authority, "/?#") != NULL) {
        return fail_at(k, "relay", "public_url", urls, 0,
                       "must be https://host or https://host:port, with nothing behind");
    }
    const char *colon = strrchr(authority, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL;
    (void)snprintf(address, sizeof(address), "%s%s", authority, has_port ? "" : ":443");
    if (conf_parse_address(address, host, &port) != 0 || host[0] == '\0' || port == 0) {
        return fail_at(k, "relay", "public_url", urls, 0,
                       "must be https://host or https://host:port");
    }
    (void)span_copy(url, k->c->public_url, sizeof(k->c->public_url)); /* fits: see above */
    return 0;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcmp(host, "localhost") == 0;
}

static int check_listen(const struct check *k, const char *section, const char *name,
                        const struct conf_list *list, bool loopback_only)
{
    char host[CONF_HOST_BYTES];
    uint16_t port = 0;

    for (size_t i = 0; i < list->n_values; i++) {
        if (conf_parse_address(list->values[i], host, &port) != 0) {
            return fail_at(k, section, name, list, i,
                           "must be address:port, [address]:port or :port");
        }
        if (loopback_only && !is_loopback(host)) {
            return fail_at(k, section, name, list, i,
                           "only an address of this machine (127.0.0.1, ::1): keys travel here "
                           "without TLS");
        }
    }
    return 0;
}

static int check_listens(const struct check *k)
{
    const struct relay_config *c = k->c;
    int rc = check_listen(k, "https", "listen", &c->https_listen, false);

    if (rc == 0) {
        rc = check_listen(k, "https", "plain_listen", &c->plain_listen, true);
    }
    if (rc == 0) {
        rc = check_listen(k, "http", "listen", &c->http_listen, false);
    }
    if (rc == 0) {
        rc = check_listen(k, "admin", "listen", &c->admin_listen, false);
    }
    if (rc == 0 && c->https_listen.n_values == 0 && c->plain_listen.n_values == 0) {
        return fail(k, "https", "listen", "missing: where are clients and agents to connect?");
    }
    return rc;
}

static int check_certificates(const struct check *k)
{
    const struct conf_list *certificates = &k->c->certificates;
    const struct conf_list *keys = &k->c->private_keys;

    if (certificates->n_values > keys->n_values) {
        return fail_at(k, "https", "certificate", certificates, keys->n_values,
                       "has no private_key (they come in pairs, in the same order)");
    }
    if (keys->n_values > certificates->n_values) {
        return fail_at(k, "https", "private_key", keys, certificates->n_values,
                       "has no certificate (they come in pairs, in the same order)");
    }
    if (k->c->https_listen.n_values > 0 && certificates->n_values == 0) {
        return fail(k, "https", "certificate", "missing");
    }
    return 0;
}

static int check_proxy(const struct check *k)
{
    const struct conf_list *trusted = &k->c->proxy_trusted;

    for (size_t i = 0; i < trusted->n_values; i++) {
        if (cidr_parse(span_of(trusted->values[i]), &k->c->trusted[i]) != 0) {
            return fail_at(k, "proxy", "trusted", trusted, i,
                           "must be an address or a block such as 10.0.0.0/8");
        }
    }
    if (k->c->proxy_protocol != CONFIG_PROXY_NONE && trusted->n_values == 0) {
        return fail(k, "proxy", "trusted",
                    "missing: whose word on client addresses is to be taken?");
    }
    return 0;
}

static int check_admin(const struct check *k)
{
    const struct relay_config *c = k->c;

    if (c->admin_tls && c->certificates.n_values == 0) {
        return fail(k, "admin", "tls", "needs a certificate under [https]");
    }
    for (size_t i = 0; i < c->admin_hosts.n_values; i++) {
        if (i >= SETTINGS_HOSTS_MAX || strlen(c->admin_hosts.values[i]) >= CONF_HOST_BYTES) {
            return fail_at(k, "admin", "host", &c->admin_hosts, i, "too long, or too many");
        }
    }
    return 0;
}

static int check_times(const struct check *k)
{
    if (k->c->server_fb_ms < k->c->server_ms) {
        return fail(k, "timeouts", "server_fb", "may not be shorter than server");
    }
    return 0;
}

static int check_all(const struct check *k)
{
    int rc = check_url(k);
    if (rc == 0) {
        rc = check_listens(k);
    }
    if (rc == 0) {
        rc = check_certificates(k);
    }
    if (rc == 0) {
        rc = check_proxy(k);
    }
    if (rc == 0) {
        rc = check_admin(k);
    }
    return rc != 0 ? rc : check_times(k);
}

/* Folder of the file, absolute; owned. NULL with errno. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    char *folder = NULL;

    if (path[0] == '/') {
        return strndup(path, len);
    }
    char *cwd = getcwd(NULL, 0);
    if (cwd == NULL) {
        return NULL;
    }
    if (asprintf(&folder, "%s%s%.*s", cwd, len > 0 ? "/" : "", (int)len, path) < 0) {
        folder = NULL;
        errno = ENOMEM;
    }
    free(cwd);
    return folder;
}

static int make_absolute(struct conf_list *list, const char *folder)
{
    for (size_t i = 0; i < list->n_values; i++) {
        char *path = NULL;
        if (list->values[i][0] == '/') {
            continue;
        }
        if (asprintf(&path, "%s/%s", folder, list->values[i]) < 0) {
            return ERROR_NOMEM;
        }
        free(list->values[i]);
        list->values[i] = path;
    }
    return 0;
}

/* conf.h makes single paths absolute, not lists of them. */
static int set_paths(const char *path, struct relay_config *c, struct error_text *e)
{
    char *folder = folder_of(path);
    if (folder == NULL) {
        return error_set(e, errno == ENOMEM ? ERROR_NOMEM : ERROR_IO,
                         "cannot find the current folder: %s", strerror(errno));
    }
    int rc = make_absolute(&c->certificates, folder);
    if (rc == 0) {
        rc = make_absolute(&c->private_keys, folder);
    }
    free(folder);
    return rc == 0 ? 0 : error_set(e, rc, "%s: no memory", path);
}

static int finish(const char *name, struct relay_config *c, struct error_text *e)
{
    const struct check k = {name, c, e};
    int rc = check_all(&k);

    if (rc == 0) {
        c->path = strdup(name);
        rc = c->path == NULL ? error_set(e, ERROR_NOMEM, "%s: no memory", name) : 0;
    }
    return rc;
}

int relay_config_read(const char *path, struct relay_config *c, struct error_text *e)
{
    struct relay_config read = {.path = NULL};
    int rc = conf_read(path, KEYS, N_KEYS, &read, e);

    if (rc != 0) {
        return rc;
    }
    rc = finish(path, &read, e);
    if (rc == 0) {
        rc = set_paths(path, &read, e);
    }
    if (rc != 0) {
        relay_config_free(&read);
        return rc;
    }
    *c = read;
    return 0;
}

int relay_config_parse(const char *name, const char *text, size_t len, struct relay_config *c,
                       struct error_text *e)
{
    struct relay_config read = {.path = NULL};
    int rc = conf_parse(name, text, len, KEYS, N_KEYS, &read, e);

    if (rc != 0) {
        return rc;
    }
    rc = finish(name, &read, e);
    if (rc != 0) {
        relay_config_free(&read);
        return rc;
    }
    *c = read;
    return 0;
}

void relay_config_list(FILE *to)
{
    conf_list_print(KEYS, N_KEYS, to);
}

void relay_config_free(struct relay_config *c)
{
    conf_free(KEYS, N_KEYS, c);
    free(c->path);
    *c = (struct relay_config){.path = NULL};
}
