/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as events of a loop: all threads block them, a signalfd says which ones are pending. */
#include "proto/io/signals.h"

#include <pthread.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/base/error.h"

void signals_hold(struct signals *s, const int *numbers, size_t n)
{
    memset(s, 0, sizeof(*s));
    s->fd = -1;
    (void)sigemptyset(&s->held); /* neither can fail for signals that there are */
    for (size_t i = 0; i < n; i++) {
        (void)sigaddset(&s->held, numbers[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &s->held, NULL);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct signals *s = poll->data;
    struct signalfd_siginfo info;
    (void)status;
    (void)events;

    while (s->fd >= 0 && read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        s->on_signal(s->user, (int)info.ssi_signo);
    }
}

int signals_open(struct signals *s, uv_loop_t *loop, signals_callback on_signal, void *user)
{
    int fd = signalfd(-1, &s->held, SFD_NONBLOCK | SFD_CLOEXEC);

    if (fd < 0) {
        return ERROR_IO;
    }
    if (uv_poll_init(loop, &s->poll, fd) < 0) {
        (void)close(fd);
        return ERROR_IO;
    }
    s->fd = fd;
    s->poll.data = s;
    s->on_signal = on_signal;
    s->user = user;
    (void)uv_poll_start(&s->poll, UV_READABLE, on_readable); /* fails for a closed handle only */
    return 0;
}

void signals_close(struct signals *s)
{
    if (s->fd < 0) {
        return;
    }
    uv_close((uv_handle_t *)&s->poll, NULL);
    (void)close(s->fd); /* libuv has let go of it */
    s->fd = -1;
}
