/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness from getrandom(2). */
#include "proto/base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *bytes, size_t len)
{
    uint8_t *p = bytes;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (errno != EINTR) {
            perror("getrandom");
            abort();
        }
    }
}

uint64_t random_u64(void)
{
    uint64_t value = 0;
    random_bytes(&value, sizeof(value));
    return value;
}
