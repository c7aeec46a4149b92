/* SPDX-License-Identifier: Apache-2.0 */
/* A listening address that can be left and taken again: while nobody listens, connecting is
 * refused by the kernel, and the port still belongs to this process. */
#ifndef TESTS_SIMULATOR_LISTENER_H
#define TESTS_SIMULATOR_LISTENER_H

#include <stdint.h>
#include <sys/socket.h>

#include <uv.h>

#include "proto/base/error.h"

/* Longest "[v6 address]:port", with NUL. */
#define LISTENER_TEXT_BYTES 64

/* Called when a connection waits to be accepted at `stream`. */
typedef void (*listener_callback)(uv_stream_t *stream, void *arg);

struct listener {
    uv_loop_t *loop; /* borrowed */
    listener_callback on_connection;
    void *arg;
    struct sockaddr_storage address; /* bound, with its real port */
    socklen_t address_len;
    int guard_fd;  /* bound to the same address, never listening: keeps the port */
    uv_tcp_t *tcp; /* NULL while nobody listens */
};

/* Binds host ("" = all addresses) and port (0 = any free one), without listening yet.
 * ERROR_CONFIG (no such host), ERROR_IO. On failure nothing is left to close. */
int listener_open(struct listener *l, uv_loop_t *loop, const char *host, uint16_t port,
                  listener_callback on_connection, void *arg, struct error_text *e);

/* Listens. No effect while it does. ERROR_IO, ERROR_NOMEM. */
int listener_start(struct listener *l, struct error_text *e);

/* No longer listens. Idempotent. */
void listener_stop(struct listener *l);

/* Stops, and lets the port go. Idempotent. */
void listener_close(struct listener *l);

/* "127.0.0.1" or "::1", and the port. */
void listener_format_host(const struct listener *l, char text[LISTENER_TEXT_BYTES]);
uint16_t listener_port(const struct listener *l);

/* "127.0.0.1:5051" or "[::1]:5051". */
void listener_format(const struct listener *l, char text[LISTENER_TEXT_BYTES]);

#endif
