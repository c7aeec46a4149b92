/* SPDX-License-Identifier: Apache-2.0 */
/* agent.conf. The table is the documentation of the keys; what one key alone cannot tell is checked
 * below it. */
#include "agent/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "agent/upstream/origin.h"
#include "proto/base/conf_list.h"
#include "proto/base/span.h"

/* Longest user name towards the server. */
#define USER_BYTES_MAX 255

static const char *const auths[] = {"none", "basic", "digest", "query", NULL};
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const formats[] = {"logfmt", "json", NULL};

_Static_assert(UPSTREAM_AUTH_NONE == 0 && UPSTREAM_AUTH_BASIC == 1 && UPSTREAM_AUTH_DIGEST == 2 &&
                   UPSTREAM_AUTH_QUERY == 3,
               "auths is indexed by enum upstream_auth");
_Static_assert(LOG_LEVEL_ERROR == 0 && LOG_LEVEL_DEBUG == 3, "levels is indexed by enum log_level");
_Static_assert(LOG_FORMAT_LOGFMT == 0 && LOG_FORMAT_JSON == 1,
               "formats is indexed by enum log_format");

#define AT(member) offsetof(struct config, member)

/* clang-format off: one key per row */
static const struct conf_key keys[] = {
    {"relay", "url", CONF_TEXT_LIST, AT(relay_urls), 0, 0, NULL, true, NULL},
    {"relay", "serial", CONF_TEXT, AT(serial), 0, 0, NULL, true, NULL},
    {"relay", "token_file", CONF_PATH, AT(token_file), 0, 0, NULL, true, NULL},
    {"relay", "ca_file", CONF_PATH, AT(ca_file), 0, 0, NULL, false, NULL},
    {"relay", "pin_sha256", CONF_TEXT_LIST, AT(pin_texts), 0, 0, NULL, false, NULL},
    {"relay", "proxy", CONF_TEXT, AT(proxy_url), 0, 0, NULL, false, NULL},
    {"relay", "proxy_user", CONF_TEXT, AT(proxy_user), 0, 0, NULL, false, NULL},
    {"relay", "proxy_password_file", CONF_PATH, AT(proxy_password_file), 0, 0, NULL, false, NULL},
    {"server", "url", CONF_TEXT, AT(server_url), 0, 0, NULL, true, NULL},
    {"server", "auth", CONF_CHOICE, AT(auth), 0, 0, auths, false, "none"},
    {"server", "user", CONF_TEXT, AT(user), 0, 0, NULL, false, NULL},
    {"server", "password_file", CONF_PATH, AT(password_file), 0, 0, NULL, false, NULL},
    {"server", "max_connections", CONF_UINT, AT(max_connections), 1, 64, NULL, false, "8"},
    {"server", "max_paused", CONF_UINT, AT(max_paused), 0, 512, NULL, false, "32"},
    {"server", "devices", CONF_PATH, AT(devices), 0, 0, NULL, false, NULL},
    {"timeouts", "connect", CONF_SECONDS, AT(connect_ms), 100, 60000, NULL, false, "3"},
    {"timeouts", "answer", CONF_SECONDS, AT(answer_ms), 100, 600000, NULL, false, "10"},
    {"timeouts", "answer_fb", CONF_SECONDS, AT(answer_fb_ms), 100, 600000, NULL, false, "30"},
    {"timeouts", "drain", CONF_SECONDS, AT(drain_ms), 100, 600000, NULL, false, "25"},
    {"timeouts", "keepalive", CONF_SECONDS, AT(keepalive_ms), 0, 3600000, NULL, false, "2"},
    {"agent", "log_level", CONF_CHOICE, AT(log_level), 0, 0, levels, false, "info"},
    {"agent", "log_format", CONF_CHOICE, AT(log_format), 0, 0, formats, false, "logfmt"},
    {"agent", "status_socket", CONF_PATH, AT(status_socket), 0, 0, NULL, false,
     "/run/thinknx-agent/status.sock"},
    {"pages", "listen", CONF_TEXT, AT(pages_listen), 0, 0, NULL, false, NULL},
    {"pages", "devices", CONF_PATH, AT(pages_devices), 0, 0, NULL, false, NULL},
    {"agent", "runtime_file", CONF_PATH, AT(runtime_file), 0, 0, NULL, false, NULL},
};
/* clang-format on */

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

/* To inih a key ends at the first '=' or ':'. */
static struct span key_of(struct span line)
{
    size_t equals = span_find(line, '=');
    size_t colon = span_find(line, ':');

    line.len = equals < colon ? equals : colon;
    return span_trim(line);
}

/* The line of a key, for errors found after reading; 0 if it is not there. conf.h remembers lines
 * only of lists. */
static int find_line(const char *path, const char *section, const char *name)
{
    char line[CONF_LINE_BYTES + sizeof("\r\n")];
    bool inside = false;
    int number = 0;
    int found = 0;
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return 0;
    }
    while (found == 0 && fgets(line, sizeof(line), file) != NULL) {
        struct span text = span_trim((struct span){line, strcspn(line, "\r\n")});
        number++;
        if (span_starts(text, span_of("["))) {
            struct span title = {text.p + 1, span_find(text, ']') - 1};
            inside = span_equal(title, span_of(section));
        } else if (inside && span_equal(key_of(text), span_of(name))) {
            found = number;
        }
    }
    (void)fclose(file); /* was only read */
    return found;
}

static int wrong_at(const char *path, int line, const char *section, const char *name,
                    const char *reason, struct error_text *e)
{
    if (line == 0) {
        return error_set(e, ERROR_CONFIG, "%s: [%s] %s: %s", path, section, name, reason);
    }
    return error_set(e, ERROR_CONFIG, "%s:%d: [%s] %s: %s", path, line, section, name, reason);
}

int config_wrong(const char *path, const char *section, const char *name, const char *reason,
                 struct error_text *e)
{
    return wrong_at(path, find_line(path, section, name), section, name, reason, e);
}

static int check_urls(struct config *c, const char *path, struct error_text *e)
{
    struct error_text why;

    for (size_t i = 0; i < c->relay_urls.n_values; i++) {
        int line = c->relay_urls.lines[i];
        if (url_parse_relay(c->relay_urls.values[i], &c->relays[i], &why) != 0) {
            return wrong_at(path, line, "relay", "url", why.text, e);
        }
        for (size_t j = 0; j < i; j++) {
            if (url_equal(&c->relays[i], &c->relays[j])) {
                return wrong_at(path, line, "relay", "url", "the same relay is given twice", e);
            }
        }
        if (c->proxy_url != NULL && strlen(c->relays[i].host) > LINK_PROXIED_HOST_BYTES) {
            return wrong_at(path, line, "relay", "url", "too long a name to go through a proxy", e);
        }
    }
    return 0;
}

static int check_pins(struct config *c, const char *path, struct error_text *e)
{
    for (size_t i = 0; i < c->pin_texts.n_values; i++) {
        if (trust_parse_pin(c->pin_texts.values[i], c->pins[i]) != 0) {
            return wrong_at(path, c->pin_texts.lines[i], "relay", "pin_sha256",
                            "must be 64 hexadecimal digits, or sha256// and base64", e);
        }
    }
    return 0;
}

static bool has_bytes_of(const char *text, const char *banned)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f || strchr(banned, *p) != NULL) {
            return true;
        }
    }
    return false;
}

static int check_serial(const struct config *c, const char *path, struct error_text *e)
{
    if (c->serial[0] == '\0' || strlen(c->serial) >= LINK_SERIAL_BYTES) {
        return config_wrong(path, "relay", "serial", "must have 1 to 64 characters", e);
    }
    /* It is the user of HTTP's basic authentication, which ends at the first colon. */
    if (has_bytes_of(c->serial, ":")) {
        return config_wrong(path, "relay", "serial", "may hold no colon and no control character",
                            e);
    }
    return 0;
}

static int read_secret(const char *path, const char *section, const char *name, const char *file,
                       char secret[SECRET_BYTES], struct error_text *e)
{
    struct error_text why;
    return secret_read_file(file, secret, &why) == 0
               ? 0
               : config_wrong(path, section, name, why.text, e);
}

static int check_proxy(struct config *c, const char *path, struct error_text *e)
{
    struct error_text why;

    if (c->proxy_url == NULL) {
        if (c->proxy_user != NULL) {
            return config_wrong(path, "relay", "proxy_user", "there is no proxy", e);
        }
        return c->proxy_password_file == NULL
                   ? 0
                   : config_wrong(path, "relay", "proxy_password_file", "there is no proxy", e);
    }
    if (url_parse_proxy(c->proxy_url, &c->proxy, &why) != 0) {
        return config_wrong(path, "relay", "proxy", why.text, e);
    }
    if ((c->proxy_user == NULL) != (c->proxy_password_file == NULL)) {
        return config_wrong(path, "relay",
                            c->proxy_user == NULL ? "proxy_password_file" : "proxy_user",
                            "proxy_user and proxy_password_file belong together", e);
    }
    if (c->proxy_user == NULL) {
        return 0;
    }
    if (c->proxy_user[0] == '\0' || has_bytes_of(c->proxy_user, ":")) {
        return config_wrong(path, "relay", "proxy_user",
                            "may not be empty and may hold no colon and no control character", e);
    }
    int rc = read_secret(path, "relay", "proxy_password_file", c->proxy_password_file,
                         c->proxy_password, e);
    if (rc == 0 &&
        strlen(c->proxy_user) + 1 + strlen(c->proxy_password) > LINK_PROXY_SECRET_BYTES) {
        rc = config_wrong(path, "relay", "proxy_password_file",
                          "user and password together have more than 94 bytes", e);
    }
    return rc;
}

static int check_credentials(struct config *c, const char *path, struct error_text *e)
{
    if (c->auth == UPSTREAM_AUTH_NONE) {
        if (c->user != NULL || c->password_file != NULL) {
            return config_wrong(path, "server", c->user != NULL ? "user" : "password_file",
                                "is not used with auth = none", e);
        }
        return 0;
    }
    if (c->user == NULL || c->password_file == NULL) {
        return config_wrong(path, "server", "auth", "wants user and password_file beside it", e);
    }
    if (c->user[0] == '\0' || strlen(c->user) > USER_BYTES_MAX || has_bytes_of(c->user, "")) {
        return config_wrong(path, "server", "user",
                            "must have 1 to 255 characters and no control character", e);
    }
    if (c->auth == UPSTREAM_AUTH_BASIC && has_bytes_of(c->user, ":")) {
        return config_wrong(path, "server", "user", "may hold no colon with auth = basic", e);
    }
    return read_secret(path, "server", "password_file", c->password_file, c->password, e);
}

static int check_server(const struct config *c, const char *path, struct error_text *e)
{
    struct origin origin;
    struct error_text why;

    return origin_parse(c->server_url, &origin, &why) == 0
               ? 0
               : config_wrong(path, "server", "url", why.text, e);
}

static int check_socket(const struct config *c, const char *path, struct error_text *e)
{
    struct sockaddr_un address;

    if (c->status_socket[0] == '\0' || strlen(c->status_socket) >= sizeof(address.sun_path)) {
        return config_wrong(path, "agent", "status_socket", "must be a path of 1 to 107 bytes", e);
    }
    return 0;
}

static int check(struct config *c, const char *path, struct error_text *e)
{
    int rc = check_urls(c, path, e);
    rc = rc != 0 ? rc : check_serial(c, path, e);
    rc = rc != 0 ? rc : read_secret(path, "relay", "token_file", c->token_file, c->token, e);
    rc = rc != 0 ? rc : check_pins(c, path, e);
    rc = rc != 0 ? rc : check_proxy(c, path, e);
    rc = rc != 0 ? rc : check_server(c, path, e);
    rc = rc != 0 ? rc : check_credentials(c, path, e);
    return rc != 0 ? rc : check_socket(c, path, e);
}

/* There is no login: only this machine may come. */
static int check_pages(const struct config *c, const char *path, struct error_text *e)
{
    char host[CONF_HOST_BYTES];
    uint16_t port = 0;

    if (c->pages_listen == NULL) {
        return 0;
    }
    if (conf_parse_address(c->pages_listen, host, &port) != 0) {
        return config_wrong(path, "pages", "listen", "must be address:port", e);
    }
    if (strcmp(host, "127.0.0.1") != 0 && strcmp(host, "::1") != 0 &&
        strcmp(host, "localhost") != 0) {
        return config_wrong(path, "pages", "listen",
                            "only 127.0.0.1, [::1] or localhost: there is no login", e);
    }
    return 0;
}

/* Whether the certificates can be loaded. */
static int check_trust(const struct config *c, const char *path, struct error_text *e)
{
    const struct trust_settings settings = {.relay = &c->relays[0], .ca_file = c->ca_file};
    struct trust *t;
    struct error_text why;
    int rc = trust_new(&settings, &t, &why);

    if (rc == 0) {
        trust_free(t);
        return 0;
    }
    return rc == ERROR_CONFIG ? config_wrong(path, "relay", "ca_file", why.text, e)
                              : error_set(e, rc, "%s", why.text);
}

int config_load(const char *path, struct config **config, struct error_text *e)
{
    struct config *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    int rc = conf_read(path, keys, N_KEYS, c, e);
    if (rc != 0) {
        free(c);
        return rc;
    }
    rc = check(c, path, e);
    rc = rc != 0 ? rc : check_pages(c, path, e);
    rc = rc != 0 ? rc : check_trust(c, path, e);
    if (rc != 0) {
        config_free(c);
        return rc;
    }
    *config = c;
    return 0;
}

int config_load_socket(const char *path, char **socket, struct error_text *e)
{
    struct config *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    int rc = conf_read(path, keys, N_KEYS, c, e);
    if (rc != 0) {
        free(c);
        return rc;
    }
    rc = check_socket(c, path, e);
    if (rc == 0) {
        *socket = c->status_socket;
        c->status_socket = NULL;
    }
    config_free(c);
    return rc;
}

void config_list(FILE *to)
{
    conf_list_print(keys, N_KEYS, to);
}

void config_free(struct config *c)
{
    if (c == NULL) {
        return;
    }
    conf_free(keys, N_KEYS, c);
    secret_cleanse(c, sizeof(*c));
    free(c);
}

struct dialer_settings config_dialer(const struct config *c, size_t relay)
{
    return (struct dialer_settings){
        .relay = &c->relays[relay],
        .proxy = c->proxy_url != NULL ? &c->proxy : NULL,
        .proxy_user = c->proxy_user,
        .proxy_password = c->proxy_user != NULL ? c->proxy_password : NULL,
        .serial = c->serial,
        .token = c->token,
        .ca_file = c->ca_file,
        .pins = c->pins,
        .n_pins = c->pin_texts.n_values,
        .drain_ms = c->drain_ms,
        .keepalive_ms = c->keepalive_ms,
    };
}

struct upstream_settings config_upstream(const struct config *c)
{
    return (struct upstream_settings){
        .url = c->server_url,
        .auth = (enum upstream_auth)c->auth,
        .user = c->user != NULL ? c->user : "",
        .password = c->password,
        .max_connections = c->max_connections,
        .max_paused = c->max_paused,
        .connect_timeout_ms = c->connect_ms,
        .answer_timeout_ms = c->answer_ms,
        .feedback_timeout_ms = c->answer_fb_ms,
    };
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

bool config_same_upstream(const struct config *a, const struct config *b)
{
    return same_text(a->server_url, b->server_url) && a->auth == b->auth &&
           same_text(a->user, b->user) && secret_equal(a->password, b->password, SECRET_BYTES) &&
           a->max_connections == b->max_connections && a->max_paused == b->max_paused &&
           a->connect_ms == b->connect_ms && a->answer_ms == b->answer_ms &&
           a->answer_fb_ms == b->answer_fb_ms;
}

void config_say_what_stays(const struct config *start, const struct config *next)
{
    const struct {
        const char *name;
        bool same;
    } rows[] = {
        {"[agent] status_socket", same_text(start->status_socket, next->status_socket)},
        {"[agent] runtime_file", same_text(start->runtime_file, next->runtime_file)},
        {"[pages] listen", same_text(start->pages_listen, next->pages_listen)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!rows[i].same) {
            log_event(LOG_LEVEL_WARN, "this setting changes only with a restart",
                      log_text("setting", rows[i].name));
        }
    }
}
