/* SPDX-License-Identifier: Apache-2.0 */
/* A borrowed run of bytes: not owned, not NUL-terminated, valid as long as what it points into. */
#ifndef PROTO_BASE_SPAN_H
#define PROTO_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *p;
    size_t len;
};

/* Initialises a span with a string literal: no strlen at run time. */
#define SPAN_LITERAL(text)                                                                         \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

/* A span of a NUL-terminated text. `text` may be NULL: then the span is empty. Inline, as is what
 * compares names: of literals the length is then known, and most names differ in it. */
static inline struct span span_of(const char *text)
{
    return (struct span){text, text == NULL ? 0 : strlen(text)};
}

/* Byte for byte. */
static inline bool span_equal(struct span a, struct span b)
{
    /* memcmp may not be given NULL, not even for no bytes. */
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* `len` bytes, but A-Z and a-z count as the same. */
bool span_same_letters(const char *a, const char *b, size_t len);

/* As span_equal, but A-Z and a-z count as the same. */
static inline bool span_equal_nocase(struct span a, struct span b)
{
    return a.len == b.len && span_same_letters(a.p, b.p, a.len);
}

bool span_starts(struct span s, struct span prefix);

/* Index of the first `byte`, or `s.len` if there is none. */
size_t span_find(struct span s, char byte);

/* Without the spaces and tabs at both ends. */
struct span span_trim(struct span s);

/* Cuts the part before the first `separator` off `rest` and returns it; `rest` then starts after
 * the separator, and is empty with p == NULL when there was none. */
struct span span_cut(struct span *rest, char separator);

/* Decimal digits only, at most `max`. 0, or ERROR_SYNTAX (empty, not a digit, over max). */
int span_parse_u64(struct span s, uint64_t max, uint64_t *value);

/* Copies into `text` with a NUL. 0, or ERROR_LIMIT when `cap` is too small. */
int span_copy(struct span s, char *text, size_t cap);

#endif
