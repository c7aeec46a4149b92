/* SPDX-License-Identifier: Apache-2.0 */
/* A listening address that can be left and taken again.
 *
 * Linux lets several sockets with SO_REUSEADDR be bound to one address as long as none of them
 * listens yet (socket(7)); the guard is bound first and stays, the listening socket comes and
 * goes. */
#include "tests/simulator/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Connections that the kernel keeps until they are accepted. */
#define BACKLOG 511

static int resolve(const char *host, uint16_t port, struct listener *l, struct error_text *e)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char service[6]; /* of 65535 */
    int rc = 0;

    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    rc = getaddrinfo(host[0] == '\0' ? NULL : host, service, &hints, &found);
    if (rc != 0) {
        return error_set(e, ERROR_CONFIG, "--listen: no address for \"%s\": %s", host,
                         gai_strerror(rc));
    }
    memcpy(&l->address, found->ai_addr, found->ai_addrlen);
    l->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* A socket bound to the address. -1 with errno. */
static int bind_socket(const struct listener *l)
{
    int on = 1;
    int fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)&l->address, l->address_len) != 0) {
        int reason = errno;
        (void)close(fd); /* the reason is what counts */
        errno = reason;
        return -1;
    }
    return fd;
}

int listener_open(struct listener *l, uv_loop_t *loop, const char *host, uint16_t port,
                  listener_callback on_connection, void *arg, struct error_text *e)
{
    int rc = 0;

    *l =
        (struct listener){.loop = loop, .on_connection = on_connection, .arg = arg, .guard_fd = -1};
    rc = resolve(host, port, l, e);
    if (rc != 0) {
        return rc;
    }
    l->guard_fd = bind_socket(l);
    l->address_len = sizeof l->address;
    if (l->guard_fd < 0 ||
        getsockname(l->guard_fd, (struct sockaddr *)&l->address, &l->address_len) != 0) {
        rc = error_set(e, ERROR_IO, "cannot bind %s:%u: %s", host, (unsigned)port, strerror(errno));
        listener_close(l);
    }
    return rc;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = stream->data;

    if (status == 0) {
        l->on_connection(stream, l->arg);
    }
}

int listener_start(struct listener *l, struct error_text *e)
{
    int fd = -1;
    int rc = 0;

    if (l->tcp != NULL) {
        return 0;
    }
    l->tcp = malloc(sizeof *l->tcp);
    if (l->tcp == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    if (uv_tcp_init(l->loop, l->tcp) != 0) {
        free(l->tcp);
        l->tcp = NULL;
        return error_set(e, ERROR_INTERNAL, "libuv cannot make a socket");
    }
    l->tcp->data = l;
    fd = bind_socket(l);
    rc = fd < 0 ? -errno : uv_tcp_open(l->tcp, fd);
    if (rc != 0 && fd >= 0) {
        (void)close(fd); /* libuv did not take it */
    }
    if (rc == 0) {
        rc = uv_listen((uv_stream_t *)l->tcp, BACKLOG, on_connection);
    }
    if (rc != 0) {
        listener_stop(l);
        return error_set(e, ERROR_IO, "cannot listen: %s", uv_strerror(rc));
    }
    return 0;
}

void listener_stop(struct listener *l)
{
    if (l->tcp != NULL) {
        uv_close((uv_handle_t *)l->tcp, on_closed);
        l->tcp = NULL;
    }
}

void listener_close(struct listener *l)
{
    listener_stop(l);
    if (l->guard_fd >= 0) {
        (void)close(l->guard_fd); /* nothing can be lost */
        l->guard_fd = -1;
    }
}

void listener_format_host(const struct listener *l, char text[LISTENER_TEXT_BYTES])
{
    if (getnameinfo((const struct sockaddr *)&l->address, l->address_len, text, LISTENER_TEXT_BYTES,
                    NULL, 0, NI_NUMERICHOST) != 0) {
        text[0] = '\0';
    }
}

uint16_t listener_port(const struct listener *l)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memcpy(&v4, &l->address, sizeof v4);
    memcpy(&v6, &l->address, sizeof v6);
    return ntohs(l->address.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}

void listener_format(const struct listener *l, char text[LISTENER_TEXT_BYTES])
{
    char host[LISTENER_TEXT_BYTES];
    bool v6 = l->address.ss_family == AF_INET6;

    listener_format_host(l, host);
    if (snprintf(text, LISTENER_TEXT_BYTES, v6 ? "[%s]:%u" : "%s:%u", host,
                 (unsigned)listener_port(l)) >= LISTENER_TEXT_BYTES) {
        text[0] = '\0';
    }
}
