/* SPDX-License-Identifier: Apache-2.0 */
/* How far away the peer of a TCP connection is, from what was sent anyway. */
#ifndef PROTO_IO_TCP_RTT_H
#define PROTO_IO_TCP_RTT_H

#include <stdint.h>

/* The least round trip, in microseconds, that the kernel saw on the connection within its last
 * minutes; 0 if it does not know. One system call. */
uint32_t tcp_rtt_us(int fd);

#endif
