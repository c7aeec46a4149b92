/* SPDX-License-Identifier: Apache-2.0 */
/* Items of one size, packed into big pages: a million of them need few entries in the processor's
 * table of pages, which makes looking at any of them twice as fast. Not thread-safe. */
#ifndef RELAY_STORE_SLAB_H
#define RELAY_STORE_SLAB_H

#include <stddef.h>

struct slab_chunk;
struct slab_hole;

struct slab {
    size_t item_bytes;
    size_t n_chunks;
    struct slab_chunk *chunks; /* owned; newest first */
    struct slab_hole *holes;   /* items given back */
    char *fresh;               /* items never taken, in the newest chunk */
    size_t n_fresh;
};

void slab_init(struct slab *s, size_t item_bytes);
/* Frees all items, given back or not. Idempotent. */
void slab_close(struct slab *s);

/* A zeroed item, aligned for any type. NULL when out of memory. */
void *slab_take(struct slab *s);
void slab_give(struct slab *s, void *item);

/* Zeroed memory for a big table, in big pages where there are any; freed by free(). NULL when out
 * of memory. */
void *slab_big(size_t bytes);

#endif
