/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table with open addressing. A removal moves later items of the run back into the gap, so
 * that there are no tombstones and a lookup ends at the first free slot. */
#include "proto/base/map.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/base/random.h"

/* Slots of the first allocation. */
#define MAP_FIRST_SLOTS 16

struct map_slot {
    const void *key; /* borrowed */
    size_t len;
    uint64_t hash;
    void *value; /* NULL = free slot */
};

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void draw_hash_key(void)
{
    random_bytes(hash_key, sizeof(hash_key));
}

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* Inline: the words then stay in registers. */
static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* One round per word, three at the end (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF"). The byte order within words is the machine's: hashes never leave the process. */
static uint64_t sip_hash(const uint64_t key[2], const uint8_t *bytes, size_t len)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
                     key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U};
    size_t left = len;
    uint64_t word = 0;

    for (; left >= sizeof(word); left -= sizeof(word), bytes += sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(const void *key, size_t len)
{
    int rc = pthread_once(&hash_key_once, draw_hash_key);
    assert(rc == 0);
    (void)rc;
    return sip_hash(hash_key, key, len);
}

/* Fibonacci hashing (Knuth, "Sorting and Searching", 6.4): the product's high bits are the good
 * ones, and slots are found by the low ones. Either step can be undone, so that different numbers
 * have different hashes. */
static uint64_t hash_number(const void *key, size_t len)
{
    uint64_t number = 0;
    assert(len == sizeof(number));
    memcpy(&number, key, sizeof(number));
    number *= UINT64_C(0x9e3779b97f4a7c15);
    return number ^ number >> 32;
}

static uint64_t hash_of(const struct map *m, const void *key, size_t len)
{
    return m->has_numbers ? hash_number(key, len) : map_hash(key, len);
}

void map_init(struct map *m, size_t max_items)
{
    *m = (struct map){.max_items = max_items};
}

void map_init_numbers(struct map *m, size_t max_items)
{
    *m = (struct map){.max_items = max_items, .has_numbers = true};
}

void map_close(struct map *m)
{
    free(m->slots);
    *m = (struct map){.max_items = m->max_items, .has_numbers = m->has_numbers};
}

static bool same_bytes(const struct map_slot *s, const void *key, size_t len)
{
    return s->len == len && (len == 0 || memcmp(s->key, key, len) == 0);
}

/* Index of the key's slot, or of the free slot where it would go. There is always a free one. */
static size_t find_slot(const struct map *m, const void *key, size_t len, uint64_t hash)
{
    size_t mask = m->n_slots - 1;
    size_t i = (size_t)hash & mask;
    for (; m->slots[i].value != NULL; i = (i + 1) & mask) {
        const struct map_slot *s = &m->slots[i];
        /* No two numbers have the same hash. */
        if (s->hash == hash && (m->has_numbers || same_bytes(s, key, len))) {
            break;
        }
    }
    return i;
}

void *map_get(const struct map *m, const void *key, size_t len)
{
    if (m->n_items == 0) {
        return NULL;
    }
    return m->slots[find_slot(m, key, len, hash_of(m, key, len))].value;
}

static int grow(struct map *m)
{
    struct map bigger = *m;
    bigger.n_slots = m->n_slots == 0 ? MAP_FIRST_SLOTS : m->n_slots * 2;
    if (m->n_slots > SIZE_MAX / 2 / sizeof(*m->slots)) {
        return ERROR_NOMEM;
    }
    bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
    if (bigger.slots == NULL) {
        return ERROR_NOMEM;
    }
    for (size_t i = 0; i < m->n_slots; i++) {
        const struct map_slot *s = &m->slots[i];
        if (s->value != NULL) {
            bigger.slots[find_slot(&bigger, s->key, s->len, s->hash)] = *s;
        }
    }
    free(m->slots);
    *m = bigger;
    return 0;
}

int map_put(struct map *m, const void *key, size_t len, void *value)
{
    uint64_t hash = hash_of(m, key, len);

    assert(value != NULL);
    if (m->n_slots > 0 && m->slots[find_slot(m, key, len, hash)].value != NULL) {
        return ERROR_EXISTS;
    }
    if (m->n_items >= m->max_items) {
        return ERROR_LIMIT;
    }
    /* At most three quarters full, so that runs stay short. */
    if (m->n_items >= m->n_slots - m->n_slots / 4) {
        int rc = grow(m);
        if (rc != 0) {
            return rc;
        }
    }
    m->slots[find_slot(m, key, len, hash)] = (struct map_slot){key, len, hash, value};
    m->n_items++;
    return 0;
}

/* Closes the gap at `hole`: an item further on in the run moves into it unless its home slot lies
 * between the gap and the item, for then it would be in front of its home. */
static void close_gap(struct map *m, size_t hole)
{
    size_t mask = m->n_slots - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t home = (size_t)m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){NULL, 0, 0, NULL};
}

void *map_remove(struct map *m, const void *key, size_t len)
{
    if (m->n_items == 0) {
        return NULL;
    }
    size_t i = find_slot(m, key, len, hash_of(m, key, len));
    void *value = m->slots[i].value;
    if (value != NULL) {
        close_gap(m, i);
        m->n_items--;
    }
    return value;
}

void *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor < m->n_slots) {
        void *value = m->slots[(*cursor)++].value;
        if (value != NULL) {
            return value;
        }
    }
    return NULL;
}
