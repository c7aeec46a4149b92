/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket of one worker. libuv's own accept can stop for good after an error (1.44), so
 * the socket is polled, and accept4 is called here. */
#include "relay/front/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "relay/admin/admin.h"
#include "relay/front/session.h"
#include "relay/worker.h"

static int open_socket(const struct sockaddr *address, socklen_t len)
{
    int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
        (address->sa_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, address, len) == 0 && listen(fd, LISTENER_BACKLOG) == 0) {
        return fd;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

bool listener_is_taken(const struct sockaddr *address, socklen_t len)
{
    int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool taken = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                 (address->sa_family != AF_INET6 ||
                  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
                 bind(fd, address, len) < 0 && errno == EADDRINUSE;
    close(fd);
    return taken;
}

static void format_address(const struct sockaddr *address, char *text, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        (void)inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
        (void)snprintf(text, cap, "[%s]:%u", host, ntohs(in6.sin6_port));
        return;
    }
    struct sockaddr_in in;
    memcpy(&in, address, sizeof(in));
    (void)inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host));
    (void)snprintf(text, cap, "%s:%u", host, ntohs(in.sin_port));
}

int listener_bind(const struct sockaddr *address, socklen_t len, int *fd, struct error_text *e)
{
    int opened = open_socket(address, len);
    if (opened < 0) {
        char text[SESSION_ADDRESS_BYTES];
        int why = errno;
        format_address(address, text, sizeof(text));
        return error_set(e, ERROR_IO, "cannot listen on %s: %s", text, strerror(why));
    }
    *fd = opened;
    return 0;
}

void listener_format_address(int fd, char *text, size_t cap)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    memset(&address, 0, sizeof(address));
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
        (void)snprintf(text, cap, "?");
        return;
    }
    format_address((const struct sockaddr *)&address, text, cap);
}

/* ---- accepting ---- */

/* No descriptor is left: the spare one makes room to take a connection and end it, so that it does
 * not wait in vain and the poll does not fire for it for ever. */
static bool turn_one_away(struct listener *l)
{
    if (l->spare_fd >= 0) {
        close(l->spare_fd);
    }
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    metrics_add(&l->worker->metrics.accept_errors, 1);
    return fd >= 0;
}

/* The caps, before anything has been spent on the connection. `peer` is NULL for a trusted proxy,
 * whose clients are counted instead. */
static bool within_limits(struct listener *l, const struct peer_address *peer)
{
    struct worker *w = l->worker;
    struct relay *relay = w->relay;
    if (atomic_fetch_add(&relay->n_connections, 1) >= w->settings.connections) {
        atomic_fetch_sub(&relay->n_connections, 1);
        return false;
    }
    if (peer != NULL && !peers_connect(relay->peers, peer, w->settings.connections_per_address)) {
        atomic_fetch_sub(&relay->n_connections, 1);
        return false;
    }
    return true;
}

static void take(struct listener *l, int fd, const struct sockaddr_storage *address)
{
    struct worker *w = l->worker;
    if (l->kind == LISTENER_ADMIN) {
        admin_accept(w, fd, l->is_loopback);
        return;
    }
    const struct sockaddr *from = (const struct sockaddr *)address;
    struct peer_address peer = peers_address(from);
    const struct peer_address *counted = proxy_is_trusted(&w->settings.proxy, from) ? NULL : &peer;
    metrics_add(&w->metrics.connections_accepted, 1);
    if (!within_limits(l, counted)) {
        metrics_add(&w->metrics.connections_dropped, 1);
        close(fd);
        return;
    }
    (void)session_open(w, fd, from, counted, l->kind == LISTENER_HTTPS,
                       l->kind == LISTENER_REDIRECT);
}

/* False when there is nothing more to accept now. */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    int fd = accept4(l->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        take(l, fd, &address);
        return true;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE: return turn_one_away(l);
    case EINTR:
    case ECONNABORTED:
    case EPROTO: return true;
    default: return false;
    }
}

static void on_connections(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct listener *l = poll->data;
    if (status < 0) {
        metrics_add(&l->worker->metrics.accept_errors, 1);
        return;
    }
    for (int i = 0; i < LISTENER_ACCEPTS_PER_TURN; i++) {
        if (!accept_one(l)) {
            return;
        }
    }
}

static bool is_loopback(int fd)
{
    struct sockaddr_storage address;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    socklen_t len = sizeof(address);
    memset(&address, 0, sizeof(address));
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
        return false;
    }
    if (address.ss_family == AF_INET6) {
        memcpy(&in6, &address, sizeof(in6));
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    memcpy(&in, &address, sizeof(in));
    return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

int listener_start(struct worker *w, enum listener_kind kind, int fd)
{
    struct listener *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        close(fd);
        return ERROR_NOMEM;
    }
    l->worker = w;
    l->kind = kind;
    l->fd = fd;
    l->is_loopback = is_loopback(fd);
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (uv_poll_init(&w->loop, &l->poll, fd) < 0) {
        close(fd);
        if (l->spare_fd >= 0) {
            close(l->spare_fd);
        }
        free(l);
        return ERROR_IO;
    }
    l->poll.data = l;
    list_push(&w->listeners, &l->node);
    return uv_poll_start(&l->poll, UV_READABLE, on_connections) < 0 ? ERROR_IO : 0;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    close(l->fd);
    if (l->spare_fd >= 0) {
        close(l->spare_fd);
    }
    free(l);
}

void listener_close(struct listener *l)
{
    if (l->draining) {
        return;
    }
    l->draining = true;
    list_remove(&l->node);
    for (int i = 0; i < LISTENER_BACKLOG && accept_one(l); i++) {
    }
    uv_close((uv_handle_t *)&l->poll, on_poll_closed);
}
