/* SPDX-License-Identifier: Apache-2.0 */
/* Linear probing, at most 5/8 full. A removed item leaves a grave, so that those behind it are
 * still found; graves go when the table is made anew. */
#include "relay/store/index.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/base/error.h"
#include "relay/store/slab.h"

#define SLOTS_MIN 64

struct index_slots {
    size_t n_slots; /* power of two */
    _Atomic(const void *) at[];
};

static const char GRAVE;

static struct index_slots *slots_new(size_t n_slots)
{
    if (n_slots > (SIZE_MAX - sizeof(struct index_slots)) / sizeof(_Atomic(const void *))) {
        return NULL;
    }
    /* Zeroes are null pointers on every machine this runs on. */
    struct index_slots *s = slab_big(sizeof(*s) + n_slots * sizeof(s->at[0]));
    if (s != NULL) {
        s->n_slots = n_slots;
    }
    return s;
}

static struct index_slots *current(const struct index *x)
{
    return atomic_load(&x->slots);
}

int index_init(struct index *x, struct grace *grace, index_hash hash, index_match match)
{
    struct index_slots *s = slots_new(SLOTS_MIN);
    if (s == NULL) {
        return ERROR_NOMEM;
    }
    *x = (struct index){.grace = grace, .hash = hash, .match = match};
    atomic_init(&x->slots, s);
    return 0;
}

void index_close(struct index *x)
{
    free(current(x));
    atomic_store(&x->slots, NULL);
}

/* The slot that holds the key, or NULL. */
static _Atomic(const void *) *slot_of(const struct index *x, struct index_slots *s, uint64_t hash,
                                      const void *key, const void **item)
{
    for (size_t i = (size_t)hash & (s->n_slots - 1);; i = (i + 1) & (s->n_slots - 1)) {
        const void *found = atomic_load(&s->at[i]);
        if (found == NULL) {
            return NULL;
        }
        if (found != &GRAVE && x->match(found, key)) {
            *item = found;
            return &s->at[i];
        }
    }
}

const void *index_find(const struct index *x, uint64_t hash, const void *key)
{
    const void *item = NULL;
    (void)slot_of(x, current(x), hash, key, &item);
    return item;
}

/* Puts an item into a table that nobody reads yet. */
static void put_unseen(struct index_slots *s, uint64_t hash, const void *item)
{
    size_t i = (size_t)hash & (s->n_slots - 1);
    while (atomic_load_explicit(&s->at[i], memory_order_relaxed) != NULL) {
        i = (i + 1) & (s->n_slots - 1);
    }
    atomic_store_explicit(&s->at[i], item, memory_order_relaxed);
}

static void release_slots(void *user, void *memory)
{
    (void)user;
    free(memory);
}

/* Slots that may be used. */
static size_t most(size_t n_slots)
{
    return n_slots / 8 * 5;
}

int index_reserve(struct index *x, size_t n)
{
    struct index_slots *old = current(x);
    size_t n_slots = SLOTS_MIN;
    size_t cursor = 0;
    const void *item = NULL;

    if (n <= most(old->n_slots) && x->n_used <= most(old->n_slots) - n) {
        return 0;
    }
    /* Made anew it is half full at most, lest a table full of graves be made anew for every item.
     */
    while (n_slots / 2 < x->n_items + n) {
        if (n_slots > SIZE_MAX / 16) {
            return ERROR_NOMEM;
        }
        n_slots *= 2;
    }
    struct index_slots *s = slots_new(n_slots);
    if (s == NULL || grace_reserve(x->grace, 1) != 0) {
        free(s);
        return ERROR_NOMEM;
    }
    while ((item = index_next(x, &cursor)) != NULL) {
        put_unseen(s, x->hash(item), item);
    }
    atomic_store(&x->slots, s);
    x->n_used = x->n_items;
    grace_retire(x->grace, old, release_slots);
    return 0;
}

const void *index_put(struct index *x, uint64_t hash, const void *key, const void *item)
{
    struct index_slots *s = current(x);
    const void *old = NULL;
    _Atomic(const void *) *slot = slot_of(x, s, hash, key, &old);

    if (slot != NULL) {
        atomic_store(slot, item);
        return old;
    }
    assert(x->n_used < most(s->n_slots));
    size_t i = (size_t)hash & (s->n_slots - 1);
    while (atomic_load_explicit(&s->at[i], memory_order_relaxed) != NULL) {
        i = (i + 1) & (s->n_slots - 1);
    }
    atomic_store(&s->at[i], item);
    x->n_used++;
    x->n_items++;
    return NULL;
}

const void *index_remove(struct index *x, uint64_t hash, const void *key)
{
    const void *item = NULL;
    _Atomic(const void *) *slot = slot_of(x, current(x), hash, key, &item);

    if (slot != NULL) {
        atomic_store(slot, &GRAVE);
        x->n_items--;
    }
    return item;
}

const void *index_next(const struct index *x, size_t *cursor)
{
    struct index_slots *s = current(x);

    while (*cursor < s->n_slots) {
        const void *item = atomic_load_explicit(&s->at[*cursor], memory_order_relaxed);
        (*cursor)++;
        if (item != NULL && item != &GRAVE) {
            return item;
        }
    }
    return NULL;
}

void index_visit(const struct index *x, void (*visit)(void *user, const void *item), void *user)
{
    struct index_slots *s = current(x);

    for (size_t i = 0; i < s->n_slots; i++) {
        const void *item = atomic_load(&s->at[i]);
        if (item != NULL && item != &GRAVE) {
            visit(user, item);
        }
    }
}

uint64_t index_hash_id(int64_t id)
{
    /* The finaliser of splitmix64: numbers in a row land far apart. */
    uint64_t z = (uint64_t)id + 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}
