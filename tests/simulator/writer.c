/* SPDX-License-Identifier: Apache-2.0 */
/* Text appended to a buffer, with a sticky error. */
#include "tests/simulator/writer.h"

#include <string.h>

void writer_init(struct writer *w, struct buffer *out)
{
    w->out = out;
    w->error = 0;
}

static void put(struct writer *w, const char *bytes, size_t len)
{
    if (w->error == 0) {
        w->error = buffer_append(w->out, bytes, len);
    }
}

void writer_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

void writer_span(struct writer *w, struct span s)
{
    put(w, s.p, s.len);
}

void writer_uint(struct writer *w, uint64_t value)
{
    char digits[20]; /* of 2^64 - 1 */
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(w, digits + at, sizeof digits - at);
}

void writer_fill(struct writer *w, char byte, size_t count)
{
    uint8_t *room = NULL;

    if (w->error == 0) {
        w->error = buffer_reserve(w->out, count, &room);
    }
    if (w->error == 0) {
        memset(room, byte, count);
        buffer_commit(w->out, count);
    }
}

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct writer *w, char c)
{
    static const char HEX[] = "0123456789abcdef";
    unsigned char byte = (unsigned char)c;
    char text[6] = {'\\', 'u', '0', '0', HEX[byte >> 4], HEX[byte & 15]};

    if (c == '"' || c == '\\') {
        text[1] = c;
        put(w, text, 2);
        return;
    }
    put(w, text, sizeof text);
}

void writer_json(struct writer *w, struct span s)
{
    size_t start = 0;

    put(w, "\"", 1);
    for (size_t i = 0; i < s.len; i++) {
        if (!is_plain(s.p[i])) {
            put(w, s.p + start, i - start);
            put_escaped(w, s.p[i]);
            start = i + 1;
        }
    }
    if (s.len > start) {
        put(w, s.p + start, s.len - start);
    }
    put(w, "\"", 1);
}

int writer_end(const struct writer *w)
{
    return w->error;
}
