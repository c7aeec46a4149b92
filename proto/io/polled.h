/* SPDX-License-Identifier: Apache-2.0 */
/* A socket that libuv watches, and its owner reads and writes as it likes: recv(2) and send(2), for
 * one, take the kernel a shorter way than the read(2) and write(2) of libuv's streams. On one loop,
 * not thread-safe. */
#ifndef PROTO_IO_POLLED_H
#define PROTO_IO_POLLED_H

#include <stdbool.h>
#include <uv.h>

struct polled {
    uv_poll_t poll; /* its data is the owner's */
    int fd;         /* owned; -1 = closed */
    int events;     /* that are waited for; 0 = none */
    uv_poll_cb on_ready;
};

/* Takes the socket, and makes it non-blocking. 0; or libuv's error: the socket is closed, and there
 * is nothing to close. */
int polled_open(struct polled *p, uv_loop_t *loop, int fd, uv_poll_cb on_ready);

/* Waits for these (UV_READABLE, UV_WRITABLE; 0 = nothing) from now on: on_ready tells as long as
 * they are there. Costs nothing if they are waited for already. */
void polled_wait(struct polled *p, int events);

/* Of on_ready's status and events: what is to be done. After an error of the socket that is to
 * read, if it was waited for: recv(2) gives what came before, and then tells; send(2) would take
 * the error along. polled_wait is to be called again in any case. */
int polled_events(struct polled *p, int status, int events);

/* Closes the socket at once; on_closed follows, with the handle, whose memory must last so long. */
void polled_close(struct polled *p, uv_close_cb on_closed);

/* Of errno behind recv(2) or send(2): the socket is in order, it has or takes nothing just now. */
bool polled_is_for_later(int error);

#endif
