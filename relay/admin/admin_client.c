/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the admin listener. Its address stands in the runtime file if there is one, because only
 * that knows a port which was picked at start, else in the configuration. */
#include "relay/admin/admin_client.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proto/base/buffer.h"
#include "proto/base/conf.h"
#include "proto/json/json_text.h"

#define READ_BYTES 16384

static int find_address(const struct relay_config *c, char *host, uint16_t *port,
                        struct error_text *e)
{
    const char *text = c->admin_listen.n_values > 0 ? c->admin_listen.values[0] : NULL;
    json_t *runtime = c->runtime_file != NULL ? json_text_load(c->runtime_file, 0, NULL) : NULL;
    const char *bound = json_string_value(json_array_get(json_object_get(runtime, "admin"), 0));
    if (bound != NULL) {
        text = bound;
    }
    int err = 0;
    if (text == NULL) {
        err = error_set(e, ERROR_NOT_FOUND, "%s has no [admin] listen: nothing can be asked",
                        c->path);
    } else if (conf_parse_address(text, host, port) < 0 || *port == 0) {
        err = error_set(e, ERROR_NOT_FOUND,
                        "the admin listener has no fixed port and the relay does not run");
    }
    json_decref(runtime);
    return err;
}

static int open_socket(const struct addrinfo *info)
{
    struct timeval limit = {.tv_sec = ADMIN_CLIENT_TIMEOUT_S};
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
        connect(fd, info->ai_addr, info->ai_addrlen) == 0) {
        return fd;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int connect_to(const char *host, uint16_t port, int *fd, struct error_text *e)
{
    char service[8];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    (void)snprintf(service, sizeof(service), "%u", port);
    int failed = getaddrinfo(host[0] != '\0' ? host : NULL, service, &hints, &found);
    if (failed != 0) {
        return error_set(e, ERROR_IO, "%s: %s", host, gai_strerror(failed));
    }
    *fd = -1;
    for (const struct addrinfo *i = found; i != NULL && *fd < 0; i = i->ai_next) {
        *fd = open_socket(i);
    }
    freeaddrinfo(found);
    return *fd >= 0 ? 0
                    : error_set(e, ERROR_NOT_FOUND, "the relay does not run (port %s: %s)", service,
                                strerror(errno));
}

/* Our own listener closes after each answer: everything until then is it. */
static int exchange(int fd, const char *path, struct buffer *answer, struct error_text *e)
{
    char request[256];
    int len = snprintf(request, sizeof(request),
                       "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    if (send(fd, request, (size_t)len, MSG_NOSIGNAL) != len) {
        return error_set(e, ERROR_IO, "the relay does not take a request: %s", strerror(errno));
    }
    for (;;) {
        uint8_t *room = NULL;
        int err = buffer_reserve(answer, READ_BYTES, &room);
        if (err < 0) {
            return error_set(e, err, "the relay's answer is too long");
        }
        ssize_t n = recv(fd, room, READ_BYTES, 0);
        if (n < 0) {
            return error_set(e, ERROR_IO, "the relay does not answer: %s", strerror(errno));
        }
        if (n == 0) {
            return 0;
        }
        buffer_commit(answer, (size_t)n);
    }
}

static int parse(const struct buffer *answer, json_t **parsed, struct error_text *e)
{
    const char *text = (const char *)buffer_bytes(answer);
    static const char OK[] = "HTTP/1.1 200 ";
    const char *body = answer->len > 0 ? memmem(text, answer->len, "\r\n\r\n", 4) : NULL;
    if (body == NULL || memcmp(text, OK, sizeof(OK) - 1) != 0) {
        return error_set(e, ERROR_SYNTAX, "this is no answer of a relay's admin listener");
    }
    body += 4;
    *parsed = json_text_parse(body, answer->len - (size_t)(body - text), 0, NULL);
    return *parsed != NULL ? 0 : error_set(e, ERROR_SYNTAX, "the relay's answer is no JSON");
}

int admin_client_get(const struct relay_config *c, const char *path, json_t **answer,
                     struct error_text *e)
{
    char host[CONF_HOST_BYTES];
    uint16_t port = 0;
    int fd = -1;
    int err = find_address(c, host, &port, e);
    if (err == 0) {
        err = connect_to(host, port, &fd, e);
    }
    if (err < 0) {
        return err;
    }
    struct buffer text;
    buffer_init(&text, ADMIN_CLIENT_BYTES_MAX);
    err = exchange(fd, path, &text, e);
    if (err == 0) {
        err = parse(&text, answer, e);
    }
    buffer_close(&text);
    close(fd);
    return err;
}
