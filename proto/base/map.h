/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from byte strings to pointers. Keys are hashed with SipHash-1-3 under a key drawn
 * at start, so that a stranger who chooses names cannot choose collisions. Not thread-safe. */
#ifndef PROTO_BASE_MAP_H
#define PROTO_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot;

struct map {
    struct map_slot *slots; /* owned; open addressing with linear probing */
    size_t n_items;
    size_t n_slots; /* power of two, or 0 */
    size_t max_items;
    bool has_numbers;
};

/* SipHash-1-3 under the process's random key. */
uint64_t map_hash(const void *key, size_t len);

/* No allocation until the first item. */
void map_init(struct map *m, size_t max_items);

/* The same for keys that are uint64_t or int64_t and that nobody else chooses, counters and ids of
 * our own: they need no SipHash. */
void map_init_numbers(struct map *m, size_t max_items);

/* Frees the table, not the values. Idempotent. */
void map_close(struct map *m);

/* The value, or NULL. */
void *map_get(const struct map *m, const void *key, size_t len);

/* Adds an item. Borrows the key until the item is removed (it usually is a member of the value).
 * 0, ERROR_EXISTS, ERROR_LIMIT (max_items), ERROR_NOMEM. */
int map_put(struct map *m, const void *key, size_t len, void *value);

/* Takes the item out and returns its value, or NULL. */
void *map_remove(struct map *m, const void *key, size_t len);

/* Walks all items: start with *cursor == 0; returns NULL after the last. The map must not be
 * changed during the walk. */
void *map_next(const struct map *m, size_t *cursor);

#endif
