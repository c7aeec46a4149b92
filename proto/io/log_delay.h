/* SPDX-License-Identifier: Apache-2.0 */
/* How long lines of a batching thread (log_batch) wait for others: LOG_DELAY_MS at most, also when
 * its loop sleeps. One per loop; no timer is set while no line waits. */
#ifndef PROTO_IO_LOG_DELAY_H
#define PROTO_IO_LOG_DELAY_H

#include <uv.h>

/* Long enough for a busy thread to share a write(2) among hundreds of lines, and not noticed by
 * who reads along. It is also what a killed process loses at most, unless
 * its loop was stuck. */
#define LOG_DELAY_MS 10

struct log_delay {
    uv_timer_t timer;
};

void log_delay_init(struct log_delay *d, uv_loop_t *loop);

/* At the end of each turn of the loop, before it sleeps: lines that wait will be written in time.
 */
void log_delay_turn(struct log_delay *d);

/* Lines that still wait are the caller's to flush. The loop must run once more to be rid of the
 * handle. */
void log_delay_close(struct log_delay *d);

#endif
