/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of client addresses: how many connections each has open, and how many refused
 * keys each has tried. IPv6 addresses count by their /64, which is what one subscriber gets.
 * Shared by all workers; its memory is bounded whatever knocks. */
#ifndef RELAY_FRONT_PEERS_H
#define RELAY_FRONT_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/bucket.h"

/* Buckets for refused keys. Addresses share them by hash: when millions knock, an address may
 * find its bucket drained by another, and gets 429 where it would get 403. */
#define PEERS_BUCKETS 65536

/* An address as it is counted, in 16 bytes. IPv4 as ::ffff:a.b.c.d, IPv6 cut to /64. */
struct peer_address {
    uint8_t bytes[16];
};

struct peers;

/* `connections_max` bounds the table of open connections. NULL when out of memory. */
struct peers *peers_new(uint32_t connections_max);
void peers_free(struct peers *p);

struct peer_address peers_address(const struct sockaddr *address);

/* One connection more: false if the address has `per_address` already. */
bool peers_connect(struct peers *p, const struct peer_address *a, uint32_t per_address);
void peers_disconnect(struct peers *p, const struct peer_address *a);

/* The address tried a key that was refused: false if it does so too often. */
bool peers_refuse(struct peers *p, const struct peer_address *a, struct bucket_rate rate,
                  uint64_t now_us, struct bucket_state *state);

#endif
