/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks grow to the size of a big page; holes are chained through the items themselves. Under a
 * sanitizer every item is an allocation of its own, so that a use after slab_give is seen. */
#include "relay/store/slab.h"

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A big page of the machines we run on; elsewhere only the speed suffers. */
#define BIG_PAGE_BYTES ((size_t)2 * 1024 * 1024)

/* First chunk: enough for some hundred keys. Each is twice the one before, up to a big page. */
#define CHUNK_BYTES_MIN ((size_t)64 * 1024)

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ONE_BY_ONE true
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ONE_BY_ONE true
#endif
#ifndef ONE_BY_ONE
#define ONE_BY_ONE false
#endif

struct slab_chunk {
    struct slab_chunk *next;
    alignas(max_align_t) char items[];
};

struct slab_hole {
    struct slab_hole *next;
};

void *slab_big(size_t bytes)
{
    void *memory = NULL;

    if (bytes < BIG_PAGE_BYTES) {
        return calloc(1, bytes);
    }
    if (bytes > SIZE_MAX - BIG_PAGE_BYTES || posix_memalign(&memory, BIG_PAGE_BYTES, bytes) != 0) {
        return NULL;
    }
    /* Advice: a kernel without big pages refuses it, and nothing is lost. */
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 0, bytes);
    return memory;
}

void slab_init(struct slab *s, size_t item_bytes)
{
    size_t unit = alignof(max_align_t);
    *s = (struct slab){.item_bytes = (item_bytes + unit - 1) / unit * unit};
}

void slab_close(struct slab *s)
{
    while (s->chunks != NULL) {
        struct slab_chunk *next = s->chunks->next;
        free(s->chunks);
        s->chunks = next;
    }
    slab_init(s, s->item_bytes);
}

static bool add_chunk(struct slab *s)
{
    size_t bytes = BIG_PAGE_BYTES;

    if (s->n_chunks < 5) {
        bytes = CHUNK_BYTES_MIN << s->n_chunks;
    }
    struct slab_chunk *chunk = slab_big(bytes);
    if (chunk == NULL) {
        return false;
    }
    chunk->next = s->chunks;
    s->chunks = chunk;
    s->n_chunks++;
    s->fresh = chunk->items;
    s->n_fresh = (bytes - sizeof(*chunk)) / s->item_bytes;
    return true;
}

void *slab_take(struct slab *s)
{
    if (ONE_BY_ONE) {
        return calloc(1, s->item_bytes);
    }
    if (s->holes != NULL) {
        struct slab_hole *hole = s->holes;
        s->holes = hole->next;
        memset(hole, 0, s->item_bytes);
        return hole;
    }
    if (s->n_fresh == 0 && !add_chunk(s)) {
        return NULL;
    }
    void *item = s->fresh;
    s->fresh += s->item_bytes;
    s->n_fresh--;
    return item;
}

void slab_give(struct slab *s, void *item)
{
    if (ONE_BY_ONE) {
        free(item);
        return;
    }
    struct slab_hole *hole = item;
    hole->next = s->holes;
    s->holes = hole;
}
