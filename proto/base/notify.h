/* SPDX-License-Identifier: Apache-2.0 */
/* What a service tells systemd (sd_notify(3)): one datagram per message to the socket that
 * NOTIFY_SOCKET names. Its protocol is these few lines; libsystemd would map seven libraries into
 * the agent for them. Without NOTIFY_SOCKET nothing happens. Any thread. */
#ifndef PROTO_BASE_NOTIFY_H
#define PROTO_BASE_NOTIFY_H

#include <stdint.h>

/* Longest message, without NUL. */
#define NOTIFY_BYTES 256

/* Sends `state`, lines of NAME=VALUE: "READY=1". 0, also where nobody listens for it; ERROR_LIMIT
 * (too long), ERROR_IO. Never blocks. */
int notify_send(const char *state);

/* The same, formatted. */
int notify_sendf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How often WATCHDOG=1 is expected at least, in ms (WatchdogSec= of the unit); 0 = not at all. */
uint64_t notify_watchdog_ms(void);

#endif
