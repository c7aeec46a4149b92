/* SPDX-License-Identifier: Apache-2.0 */
/* The open streams of one mux.
 *
 * The table is kept at most half full. Ids grow by one from stream to stream; multiplying by the
 * golden ratio spreads such a series evenly, so that hardly any two want the same slot, and no long
 * runs arise that a removal would have to walk. */
#include "proto/wire/mux_streams.h"

#include <stdlib.h>
#include <string.h>

/* Slots of the first table: 128 bytes, enough for the usual handful of requests at once. */
#define FIRST_SLOTS 16
#define FIRST_SHIFT 28

/* 2^32 / golden ratio */
#define GOLDEN UINT32_C(2654435769)

void mux_streams_init(struct mux_streams *t)
{
    *t = (struct mux_streams){0};
    list_init(&t->open);
    list_init(&t->spare);
}

static void free_stream(struct mux_stream *s)
{
    buffer_close(&s->queue);
    free(s);
}

static void free_list(struct list *l)
{
    struct list *node = l->next;
    while (node != l) {
        struct list *next = node->next;
        free_stream(LIST_ITEM(node, struct mux_stream, open));
        node = next;
    }
    list_init(l);
}

void mux_streams_close(struct mux_streams *t)
{
    free_list(&t->open);
    free_list(&t->spare);
    free(t->slots);
    mux_streams_init(t);
}

static size_t home_of(uint32_t id, unsigned shift)
{
    return (uint32_t)(id * GOLDEN) >> shift;
}

struct mux_stream *mux_streams_find(const struct mux_streams *t, uint32_t id)
{
    if (t->n_open == 0) {
        return NULL;
    }
    size_t mask = t->n_slots - 1;
    for (size_t i = home_of(id, t->shift); t->slots[i] != NULL; i = (i + 1) & mask) {
        if (t->slots[i]->id == id) {
            return t->slots[i];
        }
    }
    return NULL;
}

static void insert(struct mux_streams *t, struct mux_stream *s)
{
    size_t mask = t->n_slots - 1;
    size_t i = home_of(s->id, t->shift);
    while (t->slots[i] != NULL) {
        i = (i + 1) & mask;
    }
    t->slots[i] = s;
}

/* Room for one more stream. */
static bool grow(struct mux_streams *t)
{
    if ((t->n_open + 1) * 2 <= t->n_slots) {
        return true;
    }
    size_t n_slots = t->n_slots == 0 ? FIRST_SLOTS : t->n_slots * 2;
    struct mux_stream **slots = calloc(n_slots, sizeof(struct mux_stream *));
    if (slots == NULL) {
        return false;
    }
    free(t->slots);
    t->shift = t->n_slots == 0 ? FIRST_SHIFT : t->shift - 1;
    t->slots = slots;
    t->n_slots = n_slots;
    for (struct mux_stream *s = mux_streams_first(t); s != NULL; s = mux_streams_next(t, s)) {
        insert(t, s);
    }
    return true;
}

/* A spare stream, or a new one; zeroed but for the memory of its queue. */
static struct mux_stream *take_stream(struct mux_streams *t)
{
    struct list *node = list_pop(&t->spare);
    if (node == NULL) {
        return calloc(1, sizeof(struct mux_stream));
    }
    t->n_spare--;
    struct mux_stream *s = LIST_ITEM(node, struct mux_stream, open);
    struct buffer queue = s->queue;
    *s = (struct mux_stream){.queue = queue};
    return s;
}

struct mux_stream *mux_streams_add(struct mux_streams *t, uint32_t id, size_t queue_max)
{
    if (!grow(t)) {
        return NULL;
    }
    struct mux_stream *s = take_stream(t);
    if (s == NULL) {
        return NULL;
    }
    s->id = id;
    s->queue.max_bytes = queue_max;
    list_init(&s->open);
    list_init(&s->send);
    list_init(&s->handed);
    list_init(&s->due);
    insert(t, s);
    list_push(&t->open, &s->open);
    t->n_open++;
    return s;
}

/* Takes `s` out of the table and moves back what had been pushed behind it. */
static void erase(struct mux_streams *t, const struct mux_stream *s)
{
    size_t mask = t->n_slots - 1;
    size_t hole = home_of(s->id, t->shift);
    while (t->slots[hole] != s) {
        hole = (hole + 1) & mask;
    }
    for (size_t i = (hole + 1) & mask; t->slots[i] != NULL; i = (i + 1) & mask) {
        size_t home = home_of(t->slots[i]->id, t->shift);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = NULL;
}

void mux_streams_remove(struct mux_streams *t, struct mux_stream *s)
{
    erase(t, s);
    list_remove(&s->open);
    list_remove(&s->send);
    list_remove(&s->handed);
    list_remove(&s->due);
    t->n_open--;
    if (t->n_spare >= MUX_STREAMS_SPARE_MAX) {
        free_stream(s);
        return;
    }
    buffer_clear(&s->queue);
    if (s->queue.cap > MUX_STREAMS_SPARE_BYTES) {
        buffer_release(&s->queue);
    }
    list_push(t->spare.next, &s->open); /* in front: the next one is still in the caches */
    t->n_spare++;
}

struct mux_stream *mux_streams_first(const struct mux_streams *t)
{
    struct list *node = list_first(&t->open);
    return node == NULL ? NULL : LIST_ITEM(node, struct mux_stream, open);
}

struct mux_stream *mux_streams_next(const struct mux_streams *t, const struct mux_stream *s)
{
    return s->open.next == &t->open ? NULL : LIST_ITEM(s->open.next, struct mux_stream, open);
}

void mux_streams_trim(struct mux_streams *t)
{
    if (t->n_open == 0) {
        mux_streams_close(t);
    }
}
