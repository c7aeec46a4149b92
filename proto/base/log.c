/* SPDX-License-Identifier: Apache-2.0 */
/* Lines are made in one array on the stack and written with one write(2), alone or with others of
 * their thread, so that lines of several threads never mix. A pair goes in whole, or with a cut
 * value, or not at all; in each case what closes the line still fits, because its room is never
 * given to pairs. */
#include "proto/base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/decimal.h"
#include "proto/base/error.h"
#include "proto/base/text.h"

/* Kept free for the longest end of a line, which is `","cut":"…"}` and a newline. */
#define TAIL_BYTES  20
#define LIMIT_BYTES (LOG_LINE_BYTES - TAIL_BYTES)

/* Longest form of one character: a \u escape. */
#define GLYPH_BYTES 7

/* Longest batch. A pipe takes no more in one piece (PIPE_BUF), and neither do all sockets. A file
 * does: Linux holds its inode's lock, or without O_APPEND its offset's, during a write(2). */
#define BATCH_BYTES      LOG_LINE_BYTES
#define FILE_BATCH_BYTES 32768

#define ELLIPSIS "\xe2\x80\xa6"

struct line {
    char text[LOG_LINE_BYTES + 1 + DECIMAL_BYTES]; /* a number is written and then judged */
    size_t len;
    enum log_format format;
    bool first; /* no pair yet */
    bool cut;   /* something did not fit; nothing more goes in */
};

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
    struct span name;
    const char *priority; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {SPAN_LITERAL("error"), "<3>"},
    [LOG_LEVEL_WARN] = {SPAN_LITERAL("warn"), "<4>"},
    [LOG_LEVEL_INFO] = {SPAN_LITERAL("info"), "<6>"},
    [LOG_LEVEL_DEBUG] = {SPAN_LITERAL("debug"), "<7>"},
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
        if (strcmp(text, levels[i].name.p) == 0) {
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

/* All or nothing, up to `limit`, which the line may have passed already. */
static bool put_below(struct line *l, size_t limit, const char *bytes, size_t len)
{
    if (l->len + len > limit) {
        return false;
    }
    memcpy(l->text + l->len, bytes, len);
    l->len += len;
    return true;
}

static bool put(struct line *l, const char *bytes, size_t len)
{
    return put_below(l, LIMIT_BYTES, bytes, len);
}

static bool put_text(struct line *l, const char *text)
{
    return put(l, text, strlen(text));
}

/* What ends a value or the line goes into the tail, and so always fits. */
static void put_tail(struct line *l, const char *text)
{
    (void)put_below(l, LOG_LINE_BYTES, text, strlen(text));
}

/* Decodes the character at the start of `s` (RFC 3629: shortest form, no surrogates). Its length,
 * or 0 if it is not UTF-8. */
static size_t decode_utf8(struct span s, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)s.p[0];
    size_t len = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (len == 0 || len > s.len || lead >= 0xf8) {
        return 0;
    }
    uint32_t value = len == 1 ? lead : lead & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if (((uint8_t)s.p[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = (value << 6) | ((uint8_t)s.p[i] & 0x3f);
    }
    if (value < least[len] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
        return 0;
    }
    *code = value;
    return len;
}

/* Characters that could move the reader's eye or a terminal's cursor: controls, line separators
 * and the marks that turn the direction of writing. */
static bool is_deceptive(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x200e && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0xfeff;
}

/* Writes the first character of `s` as it stands in a quoted value (the escapes are JSON's; logfmt
 * readers know the same). Returns the bytes of `s` that it takes. */
static size_t escape(struct span s, char glyph[GLYPH_BYTES], size_t *glyph_len)
{
    uint32_t code = 0xfffd;
    size_t taken = decode_utf8(s, &code);

    if (taken == 0 || is_deceptive(code)) {
        *glyph_len = (size_t)snprintf(glyph, GLYPH_BYTES, "\\u%04x", (unsigned)code & 0xffff);
    } else if (code == '"' || code == '\\') {
        glyph[0] = '\\';
        glyph[1] = (char)code;
        *glyph_len = 2;
    } else {
        memcpy(glyph, s.p, taken);
        *glyph_len = taken;
    }
    return taken == 0 ? 1 : taken;
}

/* Printable ASCII without what has a meaning: stands in a logfmt value without quotes, and in a
 * quoted one without escapes. Nearly all values are such. */
static bool is_plain(struct span s)
{
    return s.len > 0 && text_is_plain(s);
}

static void put_plain(struct line *l, struct span s)
{
    if (!put(l, s.p, s.len)) {
        (void)put(l, s.p, l->len < LIMIT_BYTES ? LIMIT_BYTES - l->len : 0);
        put_tail(l, ELLIPSIS);
        l->cut = true;
    }
}

static void put_escaped(struct line *l, struct span s)
{
    char glyph[GLYPH_BYTES];
    size_t glyph_len = 0;

    while (s.len > 0) {
        size_t taken = escape(s, glyph, &glyph_len);
        if (!put(l, glyph, glyph_len)) {
            put_tail(l, ELLIPSIS);
            l->cut = true;
            break;
        }
        s.p += taken;
        s.len -= taken;
    }
}

static void put_string(struct line *l, struct span s)
{
    bool plain = is_plain(s);
    bool quoted = l->format == LOG_FORMAT_JSON || !plain;

    if (quoted) {
        put_tail(l, "\"");
    }
    if (plain) {
        put_plain(l, s);
    } else {
        put_escaped(l, s);
    }
    if (quoted) {
        put_tail(l, "\"");
    }
}

static bool put_number(struct line *l, bool negative, uint64_t magnitude)
{
    char *p = l->text + l->len;
    size_t len = negative ? 1 : 0;
    *p = '-';
    len += decimal_format(magnitude, p + len);
    if (l->len + len > LIMIT_BYTES) {
        return false;
    }
    l->len += len;
    return true;
}

static bool put_value(struct line *l, const struct log_field *field)
{
    bool negative = field->kind == LOG_KIND_INT && (int64_t)field->number < 0;

    switch (field->kind) {
    case LOG_KIND_TEXT: put_string(l, field->text); return true;
    case LOG_KIND_UINT:
    case LOG_KIND_INT: return put_number(l, negative, negative ? 0 - field->number : field->number);
    case LOG_KIND_BOOL: return put_text(l, field->number != 0 ? "true" : "false");
    case LOG_KIND_END:
    default: return false;
    }
}

/* Separator, name and what leads to the value: in one piece, or not at all. */
static bool put_name(struct line *l, struct span name)
{
    bool json = l->format == LOG_FORMAT_JSON;
    size_t len = name.len + (json ? 4 : l->first ? 1 : 2);
    char *p = l->text + l->len;

    if (l->len + len > LIMIT_BYTES) {
        return false;
    }
    if (json) {
        *p++ = l->first ? '{' : ',';
        *p++ = '"';
    } else if (!l->first) {
        *p++ = ' ';
    }
    memcpy(p, name.p, name.len);
    p += name.len;
    if (json) {
        *p++ = '"';
        *p++ = ':';
    } else {
        *p++ = '=';
    }
    l->len += len;
    return true;
}

static void put_field(struct line *l, const struct log_field *field)
{
    size_t before = l->len;

    if (l->cut || (field->kind == LOG_KIND_TEXT && field->text.p == NULL)) {
        return;
    }
    if (!put_name(l, field->name) || !put_value(l, field)) {
        l->len = before;
        l->cut = true;
        put_tail(l, l->format == LOG_FORMAT_JSON ? ",\"cut\":\"" ELLIPSIS "\"" : " cut=" ELLIPSIS);
    }
    l->first = false;
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

static void write_line(const struct line *l, enum log_level level)
{
    if (!batch.on) {
        write_bytes(l->text, l->len);
        return;
    }
    if (l->len > batch.cap - batch.len) {
        log_flush();
    }
    memcpy(batch.text + batch.len, l->text, l->len);
    batch.len += l->len;
    if (level <= LOG_LEVEL_WARN) {
        log_flush();
    }
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    const struct log_field own[] = {log_span("level", levels[level].name),
                                    log_text("msg", message)};
    char now[CLOCK_ISO_BYTES];
    struct line l;

    l.len = 0;
    l.format = (enum log_format)atomic_load_explicit(&current_format, memory_order_relaxed);
    l.first = true;
    l.cut = false;
    if (is_journal()) {
        (void)put_text(&l, levels[level].priority);
    } else {
        clock_format_now(now);
        const struct log_field time = log_span("time", (struct span){now, sizeof(now) - 1});
        put_field(&l, &time);
    }
    put_field(&l, &own[0]);
    put_field(&l, &own[1]);
    for (; fields->kind != LOG_KIND_END; fields++) {
        put_field(&l, fields);
    }
    put_tail(&l, l.format == LOG_FORMAT_JSON ? "}\n" : "\n");
    write_line(&l, level);
}
