/* SPDX-License-Identifier: Apache-2.0 */
/* The round trip is the least of the latest ones (tcpi_min_rtt), not their average (tcpi_rtt): a
 * peer that pauses acknowledges what it got up to 40 ms late, which the average takes for distance
 * (docs/decisions.md). For silence it is the average: a late answer is no silence.
 *
 * A file of its own also because <linux/tcp.h>, which has those members, and <netinet/tcp.h>, which
 * <uv.h> brings, exclude each other. */
#include "proto/io/tcp_line.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* Debian 12's headers are older than some kernels it runs on. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif

static bool read_info(int fd, struct tcp_info *info)
{
    socklen_t len = sizeof(*info);
    memset(info, 0, sizeof(*info)); /* an old kernel fills less of it */
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

uint32_t tcp_line_rtt_us(int fd)
{
    struct tcp_info info;
    if (!read_info(fd, &info) || info.tcpi_min_rtt == UINT32_MAX) {
        return 0;
    }
    return info.tcpi_min_rtt;
}

static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

void tcp_line_repeat(int fd)
{
    set(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1);
    set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, TCP_LINE_REPEAT_MS);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_LINE_PATIENCE_MS);
}

void tcp_line_ask(int fd, uint32_t idle_s)
{
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)idle_s);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, TCP_LINE_ASK_S);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

uint32_t tcp_line_silence_ms(int fd)
{
    struct tcp_info info;
    if (!read_info(fd, &info)) {
        return 0;
    }
    /* As the kernel's own question does: data that acknowledges nothing new counts only as data. */
    uint32_t last_ms = info.tcpi_last_ack_recv < info.tcpi_last_data_recv
                           ? info.tcpi_last_ack_recv
                           : info.tcpi_last_data_recv;
    uint32_t answer_ms = info.tcpi_rtt / 1000 * 2;
    return last_ms > answer_ms ? last_ms - answer_ms : 0;
}
