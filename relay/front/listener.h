/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket of one worker. Each worker has its own for the same address (SO_REUSEPORT), so
 * that the kernel spreads the connections. Accepting never stops for good: when descriptors run
 * out, a spare one is spent on turning connections away. */
#ifndef RELAY_FRONT_LISTENER_H
#define RELAY_FRONT_LISTENER_H

#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

#include "proto/base/error.h"
#include "proto/base/list.h"

/* Connections that the kernel keeps for us until they are accepted. */
#define LISTENER_BACKLOG 4096
/* Connections accepted in one turn of the loop, so that a flood does not starve what is open. */
#define LISTENER_ACCEPTS_PER_TURN 64

struct worker;

enum listener_kind {
    LISTENER_HTTPS,
    LISTENER_REDIRECT, /* plain HTTP that only sends to https:// */
    LISTENER_PLAIN,    /* plain HTTP behind a TLS terminator */
    LISTENER_ADMIN     /* metrics and health */
};

struct listener {
    struct worker *worker;
    enum listener_kind kind;
    int fd;
    int spare_fd;
    bool draining;
    bool is_loopback; /* bound to an address that only this machine can reach */
    uv_poll_t poll;
    struct list node; /* worker->listeners */
};

/* Binds and listens, for all workers to share the address. `address` port 0 picks a free port. The
 * socket is returned. ERROR_IO with a sentence that names the address. */
int listener_bind(const struct sockaddr *address, socklen_t len, int *fd, struct error_text *e);

/* Does somebody listen there already? Who shares the port with us (SO_REUSEPORT) would not make
 * listener_bind fail. */
bool listener_is_taken(const struct sockaddr *address, socklen_t len);

/* Starts accepting on the worker's loop; owns the socket from here on. 0, ERROR_NOMEM, ERROR_IO
 * (the socket is closed). Freed by listener_close. */
int listener_start(struct worker *w, enum listener_kind kind, int fd);

/* Accepts what the kernel still holds, then stops listening. */
void listener_close(struct listener *l);

/* "127.0.0.1:443", "[::1]:443". */
void listener_format_address(int fd, char *text, size_t cap);

#endif
