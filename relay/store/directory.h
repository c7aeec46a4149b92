/* SPDX-License-Identifier: Apache-2.0 */
/* The keys and servers in memory: what the request path looks up. Written by the store thread
 * alone, read by the workers without a lock.
 *
 * A reader may use the entries it found until it says directory_leave; the writer frees an entry
 * that it has replaced only when every reader has left since (quiescent-state reclamation). So a
 * worker calls directory_leave once per loop turn, before it sleeps, and keeps ids, never
 * pointers, across turns. */
#ifndef RELAY_STORE_DIRECTORY_H
#define RELAY_STORE_DIRECTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bucket.h"
#include "proto/base/span.h"
#include "relay/store/scope.h"

/* SHA-256. */
#define DIRECTORY_HASH_BYTES 32
/* Longest serial and label, with NUL. */
#define DIRECTORY_SERIAL_BYTES 65
#define DIRECTORY_LABEL_BYTES  129

struct directory;
struct directory_reader;

/* Counters and buckets that outlive a change of the entry they belong to. */
struct directory_live {
    struct bucket requests;      /* every request (key); control calls (server) */
    struct bucket commands;      /* commands only (server): protects the KNX bus */
    _Atomic int64_t last_used_s; /* wall clock; written back in batches */
};

struct directory_server {
    int64_t id;
    char serial[DIRECTORY_SERIAL_BYTES];
    uint8_t token_hash[DIRECTORY_HASH_BYTES];
    bool enabled;
    bool may_enable_keys;            /* the building may enable keys through its agent */
    struct bucket_rate command_rate; /* per_s 0 = the relay's default */
    struct directory_live *live;     /* shared by all versions of this entry */
};

struct directory_key {
    int64_t id;
    int64_t server_id;
    bool enabled;              /* neither revoked nor disabled */
    int64_t not_after_s;       /* wall clock; 0 = never. Also the end of a rotation's overlap */
    struct bucket_rate rate;   /* per_s 0 = the relay's default */
    const struct scope *scope; /* NULL = everything allowed; belongs to the entry */
    struct directory_live *live;
};

/* Registers the calling worker. NULL when out of memory. */
struct directory_reader *directory_join(struct directory *d);
void directory_part(struct directory_reader *r);

/* The usable key, whose server is enabled too, or NULL: unknown, malformed, disabled, revoked and
 * expired cannot be told apart, nor by time (the hash is always taken and one comparison made).
 * `*server` is set on success. Entries are borrowed until directory_leave. A key that is found has
 * been used at `now_s`: nobody else need set last_used_s. */
const struct directory_key *directory_find_key(struct directory_reader *r, struct span key,
                                               int64_t now_s,
                                               const struct directory_server **server);

/* The server with this serial and agent token, enabled or not; NULL = there is none (compared in
 * constant time). */
const struct directory_server *directory_find_agent(struct directory_reader *r, struct span serial,
                                                    struct span token);

/* By id, enabled or not; NULL = removed. */
const struct directory_server *directory_find_server(struct directory_reader *r, int64_t id);

/* Shows all of them, in no order. A look at each of possibly very many. Borrowed until
 * directory_leave. */
void directory_visit_servers(struct directory_reader *r,
                             void (*visit)(void *user, const struct directory_server *server),
                             void *user);

/* By id, once a request has shown its text: the key and its server if it may still be used, else
 * NULL. The key that directory_find_key found last is not looked up again until directory_leave:
 * what the writer changes is seen in the next turn at the latest. Borrowed until directory_leave.
 */
const struct directory_key *directory_find_key_id(struct directory_reader *r, int64_t key_id,
                                                  int64_t now_s,
                                                  const struct directory_server **server);

/* By id. True if the key may still be used (for keep-alive connections and parked requests). */
bool directory_key_usable(struct directory_reader *r, int64_t key_id, int64_t now_s);

/* Everything found by this reader is given back. Cheap; called before each sleep of the loop. */
void directory_leave(struct directory_reader *r);

struct directory_counts {
    size_t n_servers;
    size_t n_enabled; /* of them */
    size_t n_keys;
};
struct directory_counts directory_count(const struct directory *d);

#endif
