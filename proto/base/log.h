/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines of key=value pairs, written whole, to stderr. Thread-safe.
 *
 * Format logfmt (`time=… level=info msg="tunnel up" serial=TNX-0001`) or JSON lines. When stderr
 * is a journald stream (JOURNAL_STREAM), lines start with their priority "<6>" and have no time.
 * Values are escaped: no value, whoever sent it, can begin a new line or forge a pair. */
#ifndef PROTO_BASE_LOG_H
#define PROTO_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/log_line.h"
#include "proto/base/span.h"

enum log_level {
    LOG_LEVEL_ERROR, /* a human must act */
    LOG_LEVEL_WARN,  /* degraded, and handled */
    LOG_LEVEL_INFO,  /* life of the process, its tunnels, and one line per request */
    LOG_LEVEL_DEBUG  /* more than that, for a developer */
};

enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

enum log_kind { LOG_KIND_END, LOG_KIND_TEXT, LOG_KIND_UINT, LOG_KIND_INT, LOG_KIND_BOOL };

/* One pair. Made by the functions below; borrows its text until the line is written. */
struct log_field {
    const char *name;
    enum log_kind kind;
    struct span text;
    uint64_t number;
};

/* A pair whose text is NULL is left out of the line. */
static inline struct log_field log_span(const char *name, struct span text)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_TEXT, .text = text};
}

static inline struct log_field log_text(const char *name, const char *text)
{
    return log_span(name, span_of(text));
}

static inline struct log_field log_uint(const char *name, uint64_t value)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_UINT, .number = value};
}

static inline struct log_field log_int(const char *name, int64_t value)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_INT, .number = (uint64_t)value};
}

static inline struct log_field log_bool(const char *name, bool value)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_BOOL, .number = value ? 1 : 0};
}

/* Both may be called at any time; the defaults are logfmt and info. */
void log_set_format(enum log_format format);
void log_set_level(enum log_level level);

bool log_enabled(enum log_level level);

/* "error", "warn", "info", "debug" → level, "logfmt", "json" → format. 0 or ERROR_SYNTAX. */
int log_parse_level(const char *text, enum log_level *level);
int log_parse_format(const char *text, enum log_format *format);

/* Writes one line. `fields` ends with an item of kind LOG_KIND_END. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* The same in steps: between the two, a call of log_put_… for each pair (proto/base/log_line.h).
 * Whether the level is on is for the caller to ask. `wall_us` is the line's time. */
void log_begin(struct log_line *l, enum log_level level, const char *message, uint64_t wall_us);
void log_end(struct log_line *l);

/* While on, lines of the calling thread wait until log_flush, until there is no room for one more,
 * or until one is a warning or worse. For a loop that writes a line per request; it says how long
 * they may wait (proto/io/log_delay.h). Off flushes. */
void log_batch(bool on);
void log_flush(void);

/* Has the calling thread lines that wait? */
bool log_waits(void);

/* log_event(LOG_LEVEL_INFO, "tunnel up", log_text("serial", s), log_uint("tunnel", id)) formats
 * its fields only if the level is on. At least one field. */
#define log_event(level, message, ...)                                                             \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            log_write(level, message,                                                              \
                      (const struct log_field[]){__VA_ARGS__, {.kind = LOG_KIND_END}});            \
        }                                                                                          \
    } while (0)

#endif
