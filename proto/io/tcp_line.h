/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel knows of a TCP connection's line, and how it treats one that is silent. Every
 * function is one or a few system calls. */
#ifndef PROTO_IO_TCP_LINE_H
#define PROTO_IO_TCP_LINE_H

#include <stdint.h>

/* Longest pause between two attempts to send what was not acknowledged. The kernel's own doubles up
 * to 120 s, so that a line which returns after 10 s waits up to 10 s more. Not shorter, because it
 * bounds the first pause too, which is to be longer than the round trip of a slow line. Linux 6.15
 * and later; before, only the first six attempts of a connection with little on its way come
 * evenly. */
#define TCP_LINE_REPEAT_MS 2000
/* What was not acknowledged, or not taken, for so long ends the connection. Without it the number
 * of attempts would, after 15 of them. */
#define TCP_LINE_PATIENCE_MS 60000
/* Between two questions of the kernel to a peer that does not answer, seconds. */
#define TCP_LINE_ASK_S 1

/* The least round trip, in microseconds, that the kernel saw on the connection within its last
 * minutes; 0 if it does not know. */
uint32_t tcp_line_rtt_us(int fd);

/* What is on its way is sent again at least every TCP_LINE_REPEAT_MS, for TCP_LINE_PATIENCE_MS.
 * A kernel that cannot is no error. */
void tcp_line_repeat(int fd);

/* The kernel asks the peer for a sign of life (RFC 9293 section 3.8.4) when nothing has come for
 * `idle_s`, then every TCP_LINE_ASK_S, without waking anybody. For a connection with
 * tcp_line_repeat, whose patience counts here too. */
void tcp_line_ask(int fd, uint32_t idle_s);

/* For how long nothing at all has come from the peer, not even an acknowledgement, less the two
 * round trips that an answer on a slow line may take; 0 if the kernel does not know. */
uint32_t tcp_line_silence_ms(int fd);

#endif
