/* SPDX-License-Identifier: Apache-2.0 */
/* Text appended to a buffer piece by piece. The first failure is kept and later pieces are
 * dropped, so that only the end needs a check. */
#ifndef TESTS_SIMULATOR_WRITER_H
#define TESTS_SIMULATOR_WRITER_H

#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/base/span.h"

struct writer {
    struct buffer *out; /* borrowed */
    int error;          /* 0, or the first code of buffer_append */
};

/* Borrows `out` as long as the writer is used. */
void writer_init(struct writer *w, struct buffer *out);

void writer_text(struct writer *w, const char *text);
void writer_span(struct writer *w, struct span s);
void writer_uint(struct writer *w, uint64_t value);

/* `count` times the same byte. */
void writer_fill(struct writer *w, char byte, size_t count);

/* A JSON string, quotes included. Quote, backslash, controls and every byte above 0x7e are
 * escaped, a byte b as \u00XX: read as Latin-1, the string gives back exactly the bytes. */
void writer_json(struct writer *w, struct span s);

/* 0, or why something is missing (ERROR_LIMIT, ERROR_NOMEM). */
int writer_end(const struct writer *w);

#endif
