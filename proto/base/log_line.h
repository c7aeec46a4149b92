/* SPDX-License-Identifier: Apache-2.0 */
/* One line of the log while it is made: log_begin (proto/base/log.h), a call for each pair,
 * log_end. log_event does all of it in one, from an array of pairs; this spares the array to who
 * logs a line per request.
 *
 * A pair goes in whole, or with a cut value, or not at all; what was cut is marked with "…", and
 * nothing follows it. */
#ifndef PROTO_BASE_LOG_LINE_H
#define PROTO_BASE_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/decimal.h"
#include "proto/base/span.h"

/* Longest line; what is longer is cut. */
#define LOG_LINE_BYTES 4096

/* What stands before and after a name: one byte each in logfmt, two in JSON. */
struct log_line_marks {
    char before[2];
    char after[2];
    size_t len;
};

struct log_line {
    size_t len;
    size_t limit; /* where pairs end; 0 once something was cut */
    struct log_line_marks marks;
    bool json;
    bool urgent;                                   /* does not wait in a batch */
    char text[LOG_LINE_BYTES + 1 + DECIMAL_BYTES]; /* a number is written and then judged */
};

/* An empty line, without even what opens it: of log_begin. */
void log_line_init(struct log_line *l, bool json, bool urgent);

/* Up to a few dozen bytes at the start of a line, as they are. */
void log_line_put_raw(struct log_line *l, struct span bytes);

/* The line's end, with its newline. */
void log_line_finish(struct log_line *l);

/* Takes back what follows `start`, and marks the line as cut, unless it is. */
void log_line_cut(struct log_line *l, size_t start);

/* The values of a pair that begins at `start` and whose name is in. */
void log_line_put_text(struct log_line *l, struct span text);
void log_line_put_number(struct log_line *l, size_t start, bool negative, uint64_t magnitude);
void log_line_put_bool(struct log_line *l, size_t start, bool value);

/* Separator, name and what leads to the value: in one piece, or not at all. Inline, as all that
 * follows: the length of a literal name is then known, and it is copied with a move or two. Both
 * bytes of a mark are always written, there is room behind the limit. */
static inline bool log_line_put_name(struct log_line *l, struct span name)
{
    char *p = l->text + l->len;
    size_t len = name.len + 2 * l->marks.len;
    if (l->len + len > l->limit) {
        log_line_cut(l, l->len);
        return false;
    }
    memcpy(p, l->marks.before, sizeof(l->marks.before));
    p += l->marks.len;
    memcpy(p, name.p, name.len);
    memcpy(p + name.len, l->marks.after, sizeof(l->marks.after));
    l->len += len;
    return true;
}

/* A pair whose text is NULL is left out of the line. */
static inline void log_put_span(struct log_line *l, const char *name, struct span text)
{
    if (text.p != NULL && log_line_put_name(l, span_of(name))) {
        log_line_put_text(l, text);
    }
}

static inline void log_put_text(struct log_line *l, const char *name, const char *text)
{
    log_put_span(l, name, span_of(text));
}

static inline void log_put_uint(struct log_line *l, const char *name, uint64_t value)
{
    size_t start = l->len;
    if (log_line_put_name(l, span_of(name))) {
        log_line_put_number(l, start, false, value);
    }
}

static inline void log_put_int(struct log_line *l, const char *name, int64_t value)
{
    size_t start = l->len;
    if (log_line_put_name(l, span_of(name))) {
        log_line_put_number(l, start, value < 0, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    }
}

static inline void log_put_bool(struct log_line *l, const char *name, bool value)
{
    size_t start = l->len;
    if (log_line_put_name(l, span_of(name))) {
        log_line_put_bool(l, start, value);
    }
}

#endif
