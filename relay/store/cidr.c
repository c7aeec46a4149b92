/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing and matching blocks of addresses. */
#include "relay/store/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "proto/base/error.h"

/* 12 bytes in front of an IPv4 address inside an IPv6 one (RFC 4291 2.5.5.2). */
static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static unsigned width(int family)
{
    return family == AF_INET ? 32 : 128;
}

/* True if the first `n_bits` bits are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned n_bits)
{
    unsigned whole = n_bits / 8;
    unsigned rest = n_bits % 8;

    if (memcmp(a, b, whole) != 0) {
        return false;
    }
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool rest_is_zero(const struct cidr *block)
{
    for (unsigned i = block->n_bits; i < width(block->family); i++) {
        if ((block->bytes[i / 8] >> (7 - i % 8) & 1) != 0) {
            return false;
        }
    }
    return true;
}

int cidr_parse(struct span text, struct cidr *block)
{
    struct cidr parsed = {.family = AF_INET};
    char address[INET6_ADDRSTRLEN];
    struct span rest = text;
    struct span front = span_cut(&rest, '/');
    uint64_t n_bits = 0;

    if (span_find(front, '\0') != front.len || span_copy(front, address, sizeof(address)) != 0) {
        return ERROR_SYNTAX;
    }
    if (inet_pton(AF_INET, address, parsed.bytes) != 1) {
        parsed.family = AF_INET6;
        if (inet_pton(AF_INET6, address, parsed.bytes) != 1) {
            return ERROR_SYNTAX;
        }
    }
    n_bits = width(parsed.family);
    if (rest.p != NULL && span_parse_u64(rest, n_bits, &n_bits) != 0) {
        return ERROR_SYNTAX;
    }
    parsed.n_bits = (unsigned)n_bits;
    if (!rest_is_zero(&parsed)) {
        return ERROR_SYNTAX;
    }
    *block = parsed;
    return 0;
}

bool cidr_contains(const struct cidr *block, const struct sockaddr *address)
{
    uint8_t bytes[16] = {0};
    int family = AF_UNSPEC;

    if (address == NULL) {
        return false;
    }
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        memcpy(bytes, &v4.sin_addr, 4);
        family = AF_INET;
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        memcpy(bytes, &v6.sin6_addr, 16);
        family = AF_INET6;
        if (memcmp(bytes, MAPPED, sizeof(MAPPED)) == 0) {
            memmove(bytes, bytes + sizeof(MAPPED), 4);
            family = AF_INET;
        }
    }
    return family == block->family && same_bits(block->bytes, bytes, block->n_bits);
}
