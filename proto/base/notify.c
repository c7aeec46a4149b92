/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams to systemd. WATCHDOG_PID is not looked at: a relay that took over from another one
 * (relay/replace.h) has inherited the environment of the process it replaced. */
#include "proto/base/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/error.h"
#include "proto/base/span.h"

/* A day; more is a slip of the finger. */
#define WATCHDOG_US_MAX UINT64_C(86400000000)

/* "/path", or "@name" of the abstract space. False if it is no address. */
static bool find_address(const char *name, struct sockaddr_un *address, socklen_t *len)
{
    size_t n = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof(address->sun_path)) {
        return false;
    }
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, n);
    if (name[0] == '@') {
        address->sun_path[0] = '\0';
    }
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return true;
}

int notify_send(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t n = strlen(state);
    struct sockaddr_un address;
    socklen_t len = 0;

    if (n > NOTIFY_BYTES) {
        return ERROR_LIMIT;
    }
    if (name == NULL || !find_address(name, &address, &len)) {
        return name == NULL ? 0 : ERROR_IO;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return ERROR_IO;
    }
    ssize_t sent =
        sendto(fd, state, n, MSG_NOSIGNAL, (const struct sockaddr *)(const void *)&address, len);
    (void)close(fd); /* what was sent is with the kernel */
    return sent == (ssize_t)n ? 0 : ERROR_IO;
}

int notify_sendf(const char *format, ...)
{
    char state[NOTIFY_BYTES + 1];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(state, sizeof(state), format, args);
    va_end(args);
    return n < 0 || n > NOTIFY_BYTES ? ERROR_LIMIT : notify_send(state);
}

uint64_t notify_watchdog_ms(void)
{
    const char *text = getenv("WATCHDOG_USEC");
    uint64_t us = 0;

    if (text == NULL || span_parse_u64(span_of(text), WATCHDOG_US_MAX, &us) != 0) {
        return 0;
    }
    return us / 1000;
}
