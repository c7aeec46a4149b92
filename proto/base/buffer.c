/* SPDX-License-Identifier: Apache-2.0 */
/* A byte queue in one piece of memory. Room is found in this order: behind the bytes held, by
 * moving them to the front, by growing. */
#include "proto/base/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"

/* First allocation: a frame header or a short HTTP head fits without a second one. */
#define BUFFER_FIRST_BYTES 256

void buffer_init(struct buffer *b, size_t max_bytes)
{
    *b = (struct buffer){.max_bytes = max_bytes};
}

void buffer_close(struct buffer *b)
{
    free(b->data);
    buffer_init(b, b->max_bytes);
}

const uint8_t *buffer_bytes(const struct buffer *b)
{
    return b->data == NULL ? NULL : b->data + b->start;
}

/* Doubling keeps the cost of many small appends linear; the maximum caps it. */
static size_t next_cap(const struct buffer *b, size_t needed)
{
    size_t cap = b->cap > b->max_bytes / 2 ? b->max_bytes : b->cap * 2;
    if (cap < BUFFER_FIRST_BYTES) {
        cap = BUFFER_FIRST_BYTES < b->max_bytes ? BUFFER_FIRST_BYTES : b->max_bytes;
    }
    return cap < needed ? needed : cap;
}

/* Not realloc(3): that would copy the consumed bytes in front too. */
static int grow(struct buffer *b, size_t needed)
{
    size_t cap = next_cap(b, needed);
    uint8_t *data = malloc(cap);
    if (data == NULL) {
        return ERROR_NOMEM;
    }
    if (b->len > 0) {
        memcpy(data, b->data + b->start, b->len);
    }
    free(b->data);
    b->data = data;
    b->start = 0;
    b->cap = cap;
    return 0;
}

int buffer_reserve_growing(struct buffer *b, size_t len, uint8_t **room)
{
    if (len > b->max_bytes - b->len) {
        return ERROR_LIMIT;
    }
    if (len > b->cap - b->len) {
        int rc = grow(b, b->len + len);
        if (rc != 0) {
            return rc;
        }
    } else if (len > b->cap - b->start - b->len) {
        memmove(b->data, b->data + b->start, b->len);
        b->start = 0;
    }
    *room = b->data == NULL ? NULL : b->data + b->start + b->len;
    return 0;
}

void buffer_commit(struct buffer *b, size_t len)
{
    assert(len <= b->cap - b->start - b->len);
    b->len += len;
}

int buffer_append_growing(struct buffer *b, const void *bytes, size_t len)
{
    uint8_t *room = NULL;
    int rc = buffer_reserve_growing(b, len, &room);
    if (rc != 0) {
        return rc;
    }
    if (len > 0) {
        assert(room != NULL);
        memcpy(room, bytes, len);
        buffer_commit(b, len);
    }
    return 0;
}

int buffer_append_fitting(struct buffer *b, const void *bytes, size_t len)
{
    size_t room = b->max_bytes - b->len;
    int rc = buffer_append(b, bytes, len < room ? len : room);

    return rc == 0 && len > room ? ERROR_LIMIT : rc;
}

void buffer_consume(struct buffer *b, size_t len)
{
    assert(len <= b->len);
    b->len -= len;
    b->start = b->len == 0 ? 0 : b->start + len;
}

void buffer_clear(struct buffer *b)
{
    b->start = 0;
    b->len = 0;
}

void buffer_release(struct buffer *b)
{
    if (b->len == 0) {
        buffer_close(b);
    }
}
