/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks: monotonic for intervals and deadlines, wall for what people and databases read.
 * Code that decides something by time takes the time as a parameter; only callers on a loop read
 * these. */
#ifndef PROTO_BASE_CLOCK_H
#define PROTO_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds; never 0. */
uint64_t clock_now_us(void);

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t clock_now_ms(void);

/* Seconds since 1970 (UTC). */
int64_t clock_wall_s(void);

/* Microseconds since 1970. */
uint64_t clock_wall_us(void);

/* Bytes of "2026-01-31T23:59:59.123Z" with NUL. */
#define CLOCK_ISO_BYTES 25

/* `wall_us` as RFC 3339 with milliseconds, UTC. */
void clock_format_us(uint64_t wall_us, char text[CLOCK_ISO_BYTES]);

/* `wall_s` as "2026-01-31T23:59:59Z". `text` has CLOCK_ISO_BYTES. */
void clock_format(int64_t wall_s, char text[CLOCK_ISO_BYTES]);

/* Parses "90", "90s", "15m", "24h", "7d" into seconds. 0 or ERROR_SYNTAX. */
int clock_parse_duration_s(const char *text, int64_t *seconds);

#endif
