/* SPDX-License-Identifier: Apache-2.0 */
/* A byte queue in one piece of memory: appended at the end, consumed at the front, never longer
 * than the maximum it was made with. Not thread-safe. */
#ifndef PROTO_BASE_BUFFER_H
#define PROTO_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buffer {
    uint8_t *data;    /* owned; NULL while nothing is held */
    size_t start;     /* bytes consumed in front */
    size_t len;       /* bytes held */
    size_t cap;       /* bytes allocated; at most max_bytes */
    size_t max_bytes; /* never holds more */
};

/* No allocation until the first byte. */
void buffer_init(struct buffer *b, size_t max_bytes);

/* Frees the memory; the buffer is empty and usable afterwards. Idempotent. */
void buffer_close(struct buffer *b);

/* First byte held (valid until the next append, reserve, release or close). */
const uint8_t *buffer_bytes(const struct buffer *b);

/* The rare half of buffer_append: what does not fit behind the bytes held. */
int buffer_append_growing(struct buffer *b, const void *bytes, size_t len);

/* Appends all or nothing. 0, ERROR_LIMIT (over max_bytes), ERROR_NOMEM. Inline: a head is made and
 * collected with a dozen of these. */
static inline int buffer_append(struct buffer *b, const void *bytes, size_t len)
{
    if (len == 0 || len > b->cap - b->start - b->len) {
        return buffer_append_growing(b, bytes, len);
    }
    memcpy(b->data + b->start + b->len, bytes, len);
    b->len += len;
    return 0;
}

/* Appends what fits of it. 0; or ERROR_LIMIT (the rest was left out), ERROR_NOMEM (nothing was
 * appended). */
int buffer_append_fitting(struct buffer *b, const void *bytes, size_t len);

/* The rare half of buffer_reserve. */
int buffer_reserve_growing(struct buffer *b, size_t len, uint8_t **room);

/* Makes room for `len` more bytes; `*room` is where they go, until any other call on `b`.
 * 0, ERROR_LIMIT, ERROR_NOMEM. Inline as buffer_append is: frames and heads are made with it. */
static inline int buffer_reserve(struct buffer *b, size_t len, uint8_t **room)
{
    if (len == 0 || len > b->cap - b->start - b->len) {
        return buffer_reserve_growing(b, len, room);
    }
    *room = b->data + b->start + b->len;
    return 0;
}

/* `len` bytes of the reserved room are now held. */
void buffer_commit(struct buffer *b, size_t len);

/* Drops `len` bytes (at most b->len) in front. */
void buffer_consume(struct buffer *b, size_t len);

/* Drops everything, keeps the memory for the next use. */
void buffer_clear(struct buffer *b);

/* Gives the memory back if nothing is held. */
void buffer_release(struct buffer *b);

#endif
