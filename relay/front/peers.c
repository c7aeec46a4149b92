/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of client addresses. Open connections are counted in a map under a lock, once
 * per connection; refused keys in a fixed array of buckets without one. */
#include "relay/front/peers.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/map.h"

#define NETWORK_BYTES 8 /* of an IPv6 address: its /64 */

struct peer {
    struct peer_address address;
    uint32_t n_connections;
};

struct peers {
    pthread_mutex_t lock;
    struct map connected; /* address → struct peer, owned */
    struct bucket refused[PEERS_BUCKETS];
};

struct peers *peers_new(uint32_t connections_max)
{
    struct peers *p = calloc(1, sizeof(*p));
    if (p == NULL || pthread_mutex_init(&p->lock, NULL) != 0) {
        free(p);
        return NULL;
    }
    map_init(&p->connected, connections_max);
    return p;
}

void peers_free(struct peers *p)
{
    if (p == NULL) {
        return;
    }
    size_t cursor = 0;
    void *peer = NULL;
    while ((peer = map_next(&p->connected, &cursor)) != NULL) {
        free(peer);
    }
    map_close(&p->connected);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct peer_address peers_address(const struct sockaddr *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct peer_address a = {{0}};
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        memcpy(a.bytes, mapped, sizeof(mapped));
        memcpy(a.bytes + sizeof(mapped), &in.sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        bool is_v4 = memcmp(&in6.sin6_addr, mapped, sizeof(mapped)) == 0;
        memcpy(a.bytes, &in6.sin6_addr, is_v4 ? sizeof(a.bytes) : NETWORK_BYTES);
    }
    return a;
}

static struct peer *add_peer(struct peers *p, const struct peer_address *a)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return NULL;
    }
    peer->address = *a;
    if (map_put(&p->connected, &peer->address, sizeof(peer->address), peer) < 0) {
        free(peer);
        return NULL;
    }
    return peer;
}

bool peers_connect(struct peers *p, const struct peer_address *a, uint32_t per_address)
{
    pthread_mutex_lock(&p->lock);
    struct peer *peer = map_get(&p->connected, a, sizeof(*a));
    if (peer == NULL) {
        peer = add_peer(p, a);
    }
    bool ok = peer != NULL && peer->n_connections < per_address;
    if (ok) {
        peer->n_connections++;
    }
    pthread_mutex_unlock(&p->lock);
    return ok;
}

void peers_disconnect(struct peers *p, const struct peer_address *a)
{
    pthread_mutex_lock(&p->lock);
    struct peer *peer = map_get(&p->connected, a, sizeof(*a));
    if (peer != NULL && --peer->n_connections == 0) {
        map_remove(&p->connected, a, sizeof(*a));
        free(peer);
    }
    pthread_mutex_unlock(&p->lock);
}

bool peers_refuse(struct peers *p, const struct peer_address *a, struct bucket_rate rate,
                  uint64_t now_us, struct bucket_state *state)
{
    uint64_t hash = map_hash(a, sizeof(*a));
    return bucket_take(&p->refused[hash % PEERS_BUCKETS], rate, now_us, state);
}
