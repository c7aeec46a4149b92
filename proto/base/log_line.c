/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a line of the log. What closes a value or the line always fits, because its room is
 * never given to pairs. */
#include "proto/base/log_line.h"

#include <stdio.h>

#include "proto/base/text.h"

/* Kept free for the longest end of a line, which is `","cut":"…"}` and a newline. */
#define TAIL_BYTES  20
#define LIMIT_BYTES (LOG_LINE_BYTES - TAIL_BYTES)

/* Longest form of one character: a \u escape. */
#define GLYPH_BYTES 7

#define ELLIPSIS "\xe2\x80\xa6"

void log_line_init(struct log_line *l, bool json, bool urgent)
{
    static const struct log_line_marks marks_of_logfmt = {{' '}, {'='}, 1};
    static const struct log_line_marks marks_of_json = {{',', '"'}, {'"', ':'}, 2};

    l->len = 0;
    l->limit = LIMIT_BYTES;
    l->marks = json ? marks_of_json : marks_of_logfmt;
    l->json = json;
    l->urgent = urgent;
}

/* All or nothing, up to `limit`, which the line may have passed already. */
static bool put_below(struct log_line *l, size_t limit, const char *bytes, size_t len)
{
    if (l->len + len > limit) {
        return false;
    }
    memcpy(l->text + l->len, bytes, len);
    l->len += len;
    return true;
}

static bool put(struct log_line *l, const char *bytes, size_t len)
{
    return put_below(l, l->limit, bytes, len);
}

/* What ends a value or the line goes into the tail, and so always fits. */
static void put_tail(struct log_line *l, const char *text)
{
    (void)put_below(l, LOG_LINE_BYTES, text, strlen(text));
}

void log_line_put_raw(struct log_line *l, struct span bytes)
{
    (void)put(l, bytes.p, bytes.len);
}

void log_line_finish(struct log_line *l)
{
    put_tail(l, l->json ? "}\n" : "\n");
}

void log_line_cut(struct log_line *l, size_t start)
{
    if (l->limit > 0) {
        l->len = start;
        l->limit = 0;
        put_tail(l, l->json ? ",\"cut\":\"" ELLIPSIS "\"" : " cut=" ELLIPSIS);
    }
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

static void cut_text(struct log_line *l)
{
    put_tail(l, ELLIPSIS);
    l->limit = 0;
}

static void put_plain(struct log_line *l, struct span s)
{
    if (!put(l, s.p, s.len)) {
        (void)put(l, s.p, l->len < l->limit ? l->limit - l->len : 0);
        cut_text(l);
    }
}

static void put_escaped(struct log_line *l, struct span s)
{
    char glyph[GLYPH_BYTES];
    size_t glyph_len = 0;

    while (s.len > 0) {
        size_t taken = escape(s, glyph, &glyph_len);
        if (!put(l, glyph, glyph_len)) {
            cut_text(l);
            break;
        }
        s.p += taken;
        s.len -= taken;
    }
}

void log_line_put_text(struct log_line *l, struct span text)
{
    bool plain = is_plain(text);
    bool quoted = l->json || !plain;

    if (quoted) {
        put_tail(l, "\"");
    }
    if (plain) {
        put_plain(l, text);
    } else {
        put_escaped(l, text);
    }
    if (quoted) {
        put_tail(l, "\"");
    }
}

void log_line_put_number(struct log_line *l, size_t start, bool negative, uint64_t magnitude)
{
    char *p = l->text + l->len;
    size_t len = negative ? 1 : 0;
    *p = '-';
    len += decimal_format(magnitude, p + len);
    if (l->len + len > l->limit) {
        log_line_cut(l, start);
    } else {
        l->len += len;
    }
}

void log_line_put_bool(struct log_line *l, size_t start, bool value)
{
    if (!put(l, value ? "true" : "false", value ? 4 : 5)) {
        log_line_cut(l, start);
    }
}
