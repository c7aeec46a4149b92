/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners of the configuration. */
#include "relay/addresses.h"

#include <jansson.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/conf.h"
#include "proto/base/log.h"
#include "proto/base/runtime_file.h"
#include "proto/json/json_text.h"
#include "relay/front/listener.h"
#include "relay/front/session.h"
#include "relay/replace.h"
#include "relay/worker.h"

static void set_port(struct sockaddr_storage *address, const struct sockaddr_storage *bound)
{
    if (address->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_port =
            ((const struct sockaddr_in6 *)bound)->sin6_port;
    } else {
        ((struct sockaddr_in *)address)->sin_port = ((const struct sockaddr_in *)bound)->sin_port;
    }
}

/* Two relays that share a port by mistake would each get half of the calls, and one of them all
 * agents. It is no error: that is how one takes over from the other. */
static void warn_if_taken(const struct addrinfo *info, const char *text)
{
    if (!replace_expected() && listener_is_taken(info->ai_addr, info->ai_addrlen)) {
        log_event(LOG_LEVEL_WARN, "another relay listens here too, and must be stopped",
                  log_text("on", text));
    }
}

/* One socket for each of `n` workers; port 0 is picked once, by the first. */
static int open_for_workers(struct relay *relay, enum listener_kind kind, unsigned n,
                            const struct addrinfo *info, struct error_text *e)
{
    struct sockaddr_storage address;
    memset(&address, 0, sizeof(address));
    memcpy(&address, info->ai_addr, info->ai_addrlen);
    for (unsigned i = 0; i < n; i++) {
        int fd = -1;
        int err = listener_bind((const struct sockaddr *)&address, info->ai_addrlen, &fd, e);
        if (err < 0) {
            return err;
        }
        struct sockaddr_storage bound;
        socklen_t len = sizeof(bound);
        memset(&bound, 0, sizeof(bound));
        if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0) {
            set_port(&address, &bound);
        }
        err = listener_start(&relay->workers[i], kind, fd);
        if (err < 0) {
            return error_set(e, err, "cannot start a listener: %s", error_name(err));
        }
    }
    return 0;
}

static int open_one(struct relay *relay, enum listener_kind kind, const char *text,
                    struct error_text *e)
{
    char host[CONF_HOST_BYTES];
    char service[8];
    uint16_t port = 0;
    if (conf_parse_address(text, host, &port) < 0) {
        return error_set(e, ERROR_CONFIG, "%s is no address", text);
    }
    (void)snprintf(service, sizeof(service), "%u", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host[0] != '\0' ? host : NULL, service, &hints, &found);
    if (failed != 0) {
        return error_set(e, ERROR_IO, "cannot listen on %s: %s", text, gai_strerror(failed));
    }
    unsigned n = kind == LISTENER_ADMIN ? 1 : relay->n_workers;
    int err = 0;
    for (const struct addrinfo *i = found; i != NULL && err == 0; i = i->ai_next) {
        if (port != 0) {
            warn_if_taken(i, text);
        }
        err = open_for_workers(relay, kind, n, i, e);
    }
    freeaddrinfo(found);
    return err;
}

static int open_list(struct relay *relay, enum listener_kind kind, const struct conf_list *list,
                     struct error_text *e)
{
    int err = 0;
    for (size_t i = 0; i < list->n_values && err == 0; i++) {
        err = open_one(relay, kind, list->values[i], e);
    }
    return err;
}

int addresses_open(struct relay *relay, const struct relay_config *c, struct error_text *e)
{
    int err = open_list(relay, LISTENER_HTTPS, &c->https_listen, e);
    if (err == 0) {
        err = open_list(relay, LISTENER_PLAIN, &c->plain_listen, e);
    }
    if (err == 0) {
        err = open_list(relay, LISTENER_REDIRECT, &c->http_listen, e);
    }
    return err == 0 ? open_list(relay, LISTENER_ADMIN, &c->admin_listen, e) : err;
}

static const char *kind_name(enum listener_kind kind)
{
    switch (kind) {
    case LISTENER_HTTPS: return "https";
    case LISTENER_REDIRECT: return "http";
    case LISTENER_PLAIN: return "plain";
    case LISTENER_ADMIN:
    default: return "admin";
    }
}

/* All listeners of worker 0: it has one for every address. */
static json_t *describe(const struct relay *relay)
{
    json_t *root = json_object();
    (void)json_object_set_new(root, "pid", json_integer(getpid()));
    const struct list *all = &relay->workers[0].listeners;
    for (const struct list *node = all->next; node != all; node = node->next) {
        const struct listener *l =
            (const struct listener *)(const void *)((const char *)node -
                                                    offsetof(struct listener, node));
        char text[SESSION_ADDRESS_BYTES];
        listener_format_address(l->fd, text, sizeof(text));
        log_event(LOG_LEVEL_INFO, "listening", log_text("on", text),
                  log_text("for", kind_name(l->kind)));
        json_t *list = json_object_get(root, kind_name(l->kind));
        if (list == NULL) {
            list = json_array();
            (void)json_object_set_new(root, kind_name(l->kind), list);
        }
        (void)json_array_append_new(list, json_string(text));
    }
    return root;
}

int addresses_announce(const struct relay *relay, const struct relay_config *c,
                       struct error_text *e)
{
    json_t *root = describe(relay);
    char *text = json_text_format(root, JSON_INDENT(1));
    json_decref(root);
    if (text == NULL) {
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    int err = c->runtime_file != NULL ? runtime_file_write(c->runtime_file, text, e) : 0;
    free(text);
    return err;
}
