/* SPDX-License-Identifier: Apache-2.0 */
/* A poll handle that remembers what it waits for: libuv 1.44 makes two system calls of a start with
 * the same events. */
#include "proto/io/polled.h"

#include <errno.h>
#include <unistd.h>

int polled_open(struct polled *p, uv_loop_t *loop, int fd, uv_poll_cb on_ready)
{
    int rc = uv_poll_init_socket(loop, &p->poll, fd);
    p->fd = fd;
    p->events = 0;
    p->on_ready = on_ready;
    if (rc < 0) {
        (void)close(fd);
        p->fd = -1;
    }
    return rc;
}

void polled_wait(struct polled *p, int events)
{
    if (events == p->events) {
        return;
    }
    p->events = events;
    /* Cannot fail: the descriptor is open, and nobody else has it polled. */
    (void)(events != 0 ? uv_poll_start(&p->poll, events, p->on_ready) : uv_poll_stop(&p->poll));
}

int polled_events(struct polled *p, int status, int events)
{
    if (status >= 0) {
        return events;
    }
    events = p->events;
    p->events = 0; /* libuv polls no more */
    return (events & UV_READABLE) != 0 ? UV_READABLE : events;
}

void polled_close(struct polled *p, uv_close_cb on_closed)
{
    uv_close((uv_handle_t *)&p->poll, on_closed);
    (void)close(p->fd); /* nothing could be done about an error */
    p->fd = -1;
}

bool polled_is_for_later(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS;
}
