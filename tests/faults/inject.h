/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a call into libc is to fail now: what the functions of inject.c and calls.c, which stand
 * before libc's, have in common. */
#ifndef TESTS_FAULTS_INJECT_H
#define TESTS_FAULTS_INJECT_H

#include <dlfcn.h>
#include <stdbool.h>

/* The order is the test's too (faults.py). */
enum kind {
    MEMORY,
    READ,
    WRITE,
    ACCEPT,
    SOCKET,
    CONNECT,
    OPEN,
    SYNC,
    MAKE,   /* threads, pipes, eventfds, epoll's own descriptors, streams, look-ups of names */
    OPTION, /* bind, listen, shutdown, options and addresses of sockets */
    FILES,  /* locks, length, mapping, status, mode and name of files */
    EPOLL,
    N_KINDS
};

/* Counts a call of that kind. True if it is the one that is to fail. */
__attribute__((visibility("hidden"))) bool inject_fails(enum kind kind);

/* The libc's (or a sanitizer's) function of that name. */
#define NEXT(name) ((typeof(&(name)))dlsym(RTLD_NEXT, #name))
#define KEEP(name)                                                                                 \
    static typeof(&(name)) next;                                                                   \
    if (next == NULL) {                                                                            \
        next = NEXT(name);                                                                         \
    }

#endif
