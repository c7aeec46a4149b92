/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as events of a loop, for a process that must never die of one: from signals_hold on they
 * have no other effect than the callback, also before signals_open and after signals_close, when an
 * orderly end is under way and one signal more must not turn it into a death by signal. (A
 * uv_signal_t gives the signal its default action back when it is closed.) One per process. */
#ifndef PROTO_IO_SIGNALS_H
#define PROTO_IO_SIGNALS_H

#include <signal.h>
#include <stddef.h>
#include <uv.h>

/* From the loop. May call signals_close. */
typedef void (*signals_callback)(void *user, int number);

struct signals {
    sigset_t held;
    int fd; /* -1 = not open */
    uv_poll_t poll;
    signals_callback on_signal;
    void *user;
};

/* Holds these signals back in this thread, and in those that it starts from now on: call it before
 * the first one. They stay held to the end of the process; programs that libuv spawns get them as
 * usual. Initialises `s`, which the caller keeps until the loop is closed. */
void signals_hold(struct signals *s, const int *numbers, size_t n);

/* 0: signals come to `on_signal`, those held until now first; the loop stays alive for them. A
 * signal that is sent several times before it is seen comes once. ERROR_IO: no descriptor; nothing
 * is open. */
int signals_open(struct signals *s, uv_loop_t *loop, signals_callback on_signal, void *user);

/* No callback any more. Idempotent, and harmless if signals_open failed or was not called. The
 * loop must run once more to be rid of the handle. */
void signals_close(struct signals *s);

#endif
