/* SPDX-License-Identifier: Apache-2.0 */
/* A library to be preloaded (LD_PRELOAD) that lets a program's monotonic clock jump: the file
 * TNX_CLOCK_FILE holds how many seconds it is ahead (int64_t), and is looked at at each call. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/faults/inject.h"

static const volatile int64_t *ahead_s;

__attribute__((constructor)) static void look(void)
{
    const char *path = getenv("TNX_CLOCK_FILE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof(*ahead_s), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    ahead_s = page != MAP_FAILED ? page : NULL;
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* glibc's own names of parameters are reserved ones.
 * NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    KEEP(clock_gettime)
    int rc = next(clock, t);
    if (rc == 0 && ahead_s != NULL &&
        (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE)) {
        t->tv_sec += *ahead_s;
    }
    return rc;
}
