/* SPDX-License-Identifier: Apache-2.0 */
/* Who the client is when a proxy stands in front: whose word is taken, and HAProxy's PROXY
 * protocol, versions 1 and 2. (The fields in a request: forwarded.h.) Pure functions.
 *
 * A client that a trusted proxy could not name has no address (AF_UNSPEC): it is inside no block,
 * so that a key bound to addresses refuses it. */
#ifndef RELAY_FRONT_PROXY_H
#define RELAY_FRONT_PROXY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/span.h"
#include "relay/store/cidr.h"

/* Blocks that may be listed. */
#define PROXY_TRUSTED_MAX 32
/* A PROXY protocol header of either version: addresses take 52 bytes, the rest are TLVs that
 * nobody here reads. */
#define PROXY_HEADER_BYTES_MAX 2048
/* The longest line of version 1, with CR LF (the protocol's 2.1). */
#define PROXY_LINE_BYTES_MAX 107
enum proxy_mode {
    PROXY_NONE,     /* the peer is the client */
    PROXY_PROTOCOL, /* a header before the first byte */
    PROXY_FORWARDED /* a field in every request */
};

struct proxy_trust {
    enum proxy_mode mode;
    struct cidr blocks[PROXY_TRUSTED_MAX];
    size_t n_blocks;
};

/* An address of a client, as short as it gets. */
union proxy_address {
    struct sockaddr any; /* AF_INET, AF_INET6, or AF_UNSPEC: not known */
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

enum proxy_state {
    PROXY_MORE, /* not yet complete */
    PROXY_COMPLETE,
    PROXY_BAD /* no such header, or malformed */
};

enum proxy_speaker {
    PROXY_OF_CLIENT, /* the proxy speaks for a client that it names */
    PROXY_OF_NOBODY, /* for one that it cannot name (UNKNOWN, UNSPEC, a local socket) */
    PROXY_OF_ITSELF  /* LOCAL: a health check of its own */
};

struct proxy_header {
    size_t len; /* of the header; what follows is the client's */
    enum proxy_speaker speaker;
    union proxy_address client; /* AF_UNSPEC unless PROXY_OF_CLIENT */
};

/* True if the word of `peer` is to be taken. Never in mode PROXY_NONE. */
bool proxy_is_trusted(const struct proxy_trust *t, const struct sockaddr *peer);

/* Reads the header that `bytes` begin with. `h` is written on PROXY_COMPLETE only. Never MORE with
 * PROXY_HEADER_BYTES_MAX bytes or more. */
enum proxy_state proxy_parse_header(const uint8_t *bytes, size_t len, struct proxy_header *h);

/* Copies AF_INET and AF_INET6; all else becomes AF_UNSPEC. */
void proxy_address_set(union proxy_address *a, const struct sockaddr *from);

/* An address in text, of the family wanted, and a port without leading zeros. 0, or ERROR_SYNTAX.
 */
int proxy_parse_host(struct span text, int family, uint16_t port, union proxy_address *a);
int proxy_parse_port(struct span text, uint16_t *port);

#endif
