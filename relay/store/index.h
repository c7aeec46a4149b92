/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table that is read without locks while one thread changes it: open addressing over atomic
 * pointers to items that never change. A change swaps one pointer; growth publishes a new table. */
#ifndef RELAY_STORE_INDEX_H
#define RELAY_STORE_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/store/grace.h"

/* True if the item has this key. */
typedef bool (*index_match)(const void *item, const void *key);
/* The hash that the item's key has. */
typedef uint64_t (*index_hash)(const void *item);

struct index_slots;

struct index {
    _Atomic(struct index_slots *) slots; /* owned */
    size_t n_items;
    size_t n_used;       /* slots that are not empty: items and graves */
    struct grace *grace; /* borrowed; replaced tables retire there */
    index_hash hash;
    index_match match;
};

/* 0, or ERROR_NOMEM. */
int index_init(struct index *x, struct grace *grace, index_hash hash, index_match match);

/* Frees the table, not the items. No reader may be inside. Idempotent. */
void index_close(struct index *x);

/* Readers (inside the grace) and the writer: the item, or NULL. */
const void *index_find(const struct index *x, uint64_t hash, const void *key);

/* Readers (inside the grace): shows each item that is there from beginning to end. */
void index_visit(const struct index *x, void (*visit)(void *user, const void *item), void *user);

/* Writer: makes room, so that `n` more items can be put without failing. 0, or ERROR_NOMEM. Needs
 * one place in the grace. */
int index_reserve(struct index *x, size_t n);

/* Writer: puts an item under its key. Returns the item that it replaced (to be retired by the
 * caller), or NULL. index_reserve must have made room. */
const void *index_put(struct index *x, uint64_t hash, const void *key, const void *item);

/* Writer: takes the item out and returns it (to be retired by the caller), or NULL. */
const void *index_remove(struct index *x, uint64_t hash, const void *key);

/* Writer: walks all items: start with *cursor == 0; NULL after the last. Items may be removed
 * during the walk, not put. */
const void *index_next(const struct index *x, size_t *cursor);

/* A hash for small numbers. */
uint64_t index_hash_id(int64_t id);

#endif
