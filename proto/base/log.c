/* SPDX-License-Identifier: Apache-2.0 */
/* Lines are made in one array on the stack (proto/base/log_line.h) and written with one write(2),
 * alone or with others of their thread, so that lines of several threads never mix. */
#include "proto/base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"

/* Longest batch. A pipe takes no more in one piece (PIPE_BUF), and neither do all sockets. A file
 * does: Linux holds its inode's lock, or without O_APPEND its offset's, during a write(2). */
#define BATCH_BYTES      LOG_LINE_BYTES
#define FILE_BATCH_BYTES 32768

/* Lines of this thread that are to leave together. */
static _Thread_local struct {
    bool on;
    size_t len;
    size_t cap;
    char text[FILE_BATCH_BYTES];
} batch;

enum stream { STREAM_UNKNOWN, STREAM_PLAIN, STREAM_JOURNAL };

static _Atomic int current_format = LOG_FORMAT_LOGFMT;
static _Atomic int current_level = LOG_LEVEL_INFO;
static _Atomic int current_stream = STREAM_UNKNOWN;

static const struct {
    const char *name;
    struct span priority; /* sd-daemon(3) */
    struct span logfmt;   /* the pair */
    struct span json;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", SPAN_LITERAL("<3>"), SPAN_LITERAL("level=error"),
                         SPAN_LITERAL("\"level\":\"error\"")},
    [LOG_LEVEL_WARN] = {"warn", SPAN_LITERAL("<4>"), SPAN_LITERAL("level=warn"),
                        SPAN_LITERAL("\"level\":\"warn\"")},
    [LOG_LEVEL_INFO] = {"info", SPAN_LITERAL("<6>"), SPAN_LITERAL("level=info"),
                        SPAN_LITERAL("\"level\":\"info\"")},
    [LOG_LEVEL_DEBUG] = {"debug", SPAN_LITERAL("<7>"), SPAN_LITERAL("level=debug"),
                         SPAN_LITERAL("\"level\":\"debug\"")},
};

void log_set_format(enum log_format format)
{
    atomic_store_explicit(&current_format, (int)format, memory_order_relaxed);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

int log_parse_level(const char *text, enum log_level *level)
{
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return ERROR_SYNTAX;
}

int log_parse_format(const char *text, enum log_format *format)
{
    if (strcmp(text, "logfmt") == 0) {
        *format = LOG_FORMAT_LOGFMT;
    } else if (strcmp(text, "json") == 0) {
        *format = LOG_FORMAT_JSON;
    } else {
        return ERROR_SYNTAX;
    }
    return 0;
}

/* systemd.exec(5): JOURNAL_STREAM is the "device:inode" of the stream given to the service. It is
 * inherited by children whose stderr may since be another, hence the comparison. */
static enum stream detect_stream(void)
{
    char expected[2 * sizeof("18446744073709551615")];
    const char *given = getenv("JOURNAL_STREAM");
    struct stat st;

    if (given == NULL || fstat(STDERR_FILENO, &st) != 0) {
        return STREAM_PLAIN;
    }
    (void)snprintf(expected, sizeof(expected), "%ju:%ju", (uintmax_t)st.st_dev,
                   (uintmax_t)st.st_ino);
    return strcmp(given, expected) == 0 ? STREAM_JOURNAL : STREAM_PLAIN;
}

static bool is_journal(void)
{
    int stream = atomic_load_explicit(&current_stream, memory_order_relaxed);
    if (stream == STREAM_UNKNOWN) {
        stream = (int)detect_stream();
        atomic_store_explicit(&current_stream, stream, memory_order_relaxed);
    }
    return stream == STREAM_JOURNAL;
}

static void write_bytes(const char *bytes, size_t len)
{
    int saved_errno = errno;
    /* Once, but for signals: a second write could fall into another thread's line. There is
     * nowhere to report that stderr is gone. */
    while (write(STDERR_FILENO, bytes, len) < 0 && errno == EINTR) {
    }
    errno = saved_errno;
}

static bool is_file(void)
{
    struct stat st;
    return fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
}

void log_batch(bool on)
{
    log_flush();
    batch.on = on;
    batch.cap = is_file() ? FILE_BATCH_BYTES : BATCH_BYTES;
}

bool log_waits(void)
{
    return batch.len > 0;
}

void log_flush(void)
{
    if (batch.len > 0) {
        write_bytes(batch.text, batch.len);
        batch.len = 0;
    }
}

/* The first pair, `time=…`, and what leads to the next. */
static void put_time(struct log_line *l, uint64_t wall_us)
{
    char text[CLOCK_ISO_BYTES];
    clock_format_us(wall_us, text);
    log_line_put_raw(l, span_of(l->json ? "\"time\":\"" : "time="));
    log_line_put_raw(l, (struct span){text, sizeof(text) - 1});
    log_line_put_raw(l, span_of(l->json ? "\"," : " "));
}

void log_begin(struct log_line *l, enum log_level level, const char *message, uint64_t wall_us)
{
    bool json = atomic_load_explicit(&current_format, memory_order_relaxed) == LOG_FORMAT_JSON;
    bool journal = is_journal();

    log_line_init(l, json, level <= LOG_LEVEL_WARN);
    if (journal) {
        log_line_put_raw(l, levels[level].priority);
    }
    if (json) {
        log_line_put_raw(l, span_of("{"));
    }
    if (!journal) {
        put_time(l, wall_us);
    }
    log_line_put_raw(l, json ? levels[level].json : levels[level].logfmt);
    log_put_text(l, "msg", message);
}

void log_end(struct log_line *l)
{
    log_line_finish(l);
    if (!batch.on) {
        write_bytes(l->text, l->len);
        return;
    }
    if (l->len > batch.cap - batch.len) {
        log_flush();
    }
    memcpy(batch.text + batch.len, l->text, l->len);
    batch.len += l->len;
    if (l->urgent) {
        log_flush();
    }
}

static void put_field(struct log_line *l, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_KIND_TEXT: log_put_span(l, f->name, f->text); break;
    case LOG_KIND_UINT: log_put_uint(l, f->name, f->number); break;
    case LOG_KIND_INT: log_put_int(l, f->name, (int64_t)f->number); break;
    case LOG_KIND_BOOL: log_put_bool(l, f->name, f->number != 0); break;
    case LOG_KIND_END:
    default: break;
    }
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    struct log_line l;
    log_begin(&l, level, message, clock_wall_us());
    for (; fields->kind != LOG_KIND_END; fields++) {
        put_field(&l, fields);
    }
    log_end(&l);
}
