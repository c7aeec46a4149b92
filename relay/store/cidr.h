/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of IP addresses, as "10.0.0.0/8" or "2001:db8::/32". */
#ifndef RELAY_STORE_CIDR_H
#define RELAY_STORE_CIDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/span.h"

struct cidr {
    int family; /* AF_INET or AF_INET6 */
    unsigned n_bits;
    uint8_t bytes[16]; /* network order; 4 or 16 of them count */
};

/* An address alone is a block of one. Bits behind the prefix must be zero: "10.0.0.1/8" is more
 * likely a slip than meant. 0, or ERROR_SYNTAX. */
int cidr_parse(struct span text, struct cidr *block);

/* True if the address is in the block. An IPv4 address that came in through an IPv6 socket
 * (::ffff:a.b.c.d) counts as the IPv4 address it is. NULL and other families: false. */
bool cidr_contains(const struct cidr *block, const struct sockaddr *address);

#endif
