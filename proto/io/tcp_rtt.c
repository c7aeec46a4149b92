/* SPDX-License-Identifier: Apache-2.0 */
/* How far away the peer of a TCP connection is.
 *
 * The least of the latest round trips (tcpi_min_rtt), not their average (tcpi_rtt): a peer that
 * pauses acknowledges what it got up to 40 ms late, which the average takes for distance
 * (docs/decisions.md). In a file of its own because <linux/tcp.h>, which has that member, and
 * <netinet/tcp.h>, which <uv.h> brings, exclude each other. */
#include "proto/io/tcp_rtt.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

uint32_t tcp_rtt_us(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info)); /* an old kernel fills less of it */
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        info.tcpi_min_rtt == UINT32_MAX) {
        return 0;
    }
    return info.tcpi_min_rtt;
}
