/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the directory, shared by its reading and its writing half: the entries, and the
 * indexes they are found by. An entry never changes: a new version replaces it, and the old one is
 * freed after a grace period. What must survive a change (buckets, last use) lives beside the
 * versions and is freed with the last of them. */
#ifndef RELAY_STORE_DIRECTORY_ENTRY_H
#define RELAY_STORE_DIRECTORY_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"
#include "relay/store/directory.h"
#include "relay/store/grace.h"
#include "relay/store/index.h"
#include "relay/store/scope_pool.h"
#include "relay/store/slab.h"

struct server_entry {
    struct directory_server server;
    uint32_t sweep; /* writer */
};

struct key_entry {
    uint8_t hash[DIRECTORY_HASH_BYTES];
    struct directory_key key;
    struct scope_shared *scope; /* writer */
    uint32_t sweep;             /* writer */
};

/* What lives as long as the key, with its first version in the same memory: most keys never have a
 * second one. */
struct key_cell {
    struct directory_live live;
    struct key_cell *next_used; /* while `queued` */
    _Atomic bool queued;        /* on the list of used keys */
    bool orphan; /* writer: the key is gone; whoever takes it off the list frees it */
    struct key_entry first;
};

struct directory {
    struct index servers; /* by id */
    struct index serials; /* servers by serial */
    struct index keys;    /* by hash */
    struct index key_ids; /* keys by id */
    struct grace grace;
    struct scope_pool scopes;   /* writer */
    uint32_t sweep;             /* writer: number of the running or last sweep */
    struct key_cell *taken;     /* writer: the rest of what it took */
    struct slab key_cells;      /* writer */
    struct slab server_entries; /* writer */
    _Atomic size_t n_servers;
    _Atomic size_t n_enabled; /* of them */
    _Atomic size_t n_keys;
    /* Keys, since the writer last took them. Last: written by the workers, far from what they all
     * read. */
    _Atomic(struct key_cell *) used;
};

/* The counters of a key are the first member of its cell. */
static inline struct key_cell *directory_entry_cell(struct directory_live *live)
{
    return (struct key_cell *)(void *)live;
}

/* The part of a hash that the index goes by. */
uint64_t directory_entry_prefix(const uint8_t *hash);

/* 0, or ERROR_NOMEM with nothing left to close. */
int directory_entry_init(struct directory *d);
void directory_entry_close(struct directory *d);

/* Readers inside the grace, and the writer. NULL = none. */
const struct server_entry *directory_entry_server(const struct directory *d, int64_t id);
const struct server_entry *directory_entry_serial(const struct directory *d, struct span serial);
const struct key_entry *directory_entry_key(const struct directory *d,
                                            const uint8_t hash[DIRECTORY_HASH_BYTES]);
const struct key_entry *directory_entry_key_id(const struct directory *d, int64_t id);

#endif
