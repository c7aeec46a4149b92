/* SPDX-License-Identifier: Apache-2.0 */
/* Which of eight bytes are below a limit, or zero, is told by where a subtraction from all of them
 * borrows ("Bit Twiddling Hacks", S. E. Anderson: "Determine if a word has a byte less than n").
 * A borrow may mark the bytes above one that is, but nothing below it: the lowest mark is right. */
#include "proto/base/text.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define DEL 0x7f

/* A word of eight times the same byte. */
#define EIGHT(byte) (UINT64_MAX / 0xff * (byte))
#define TOP_BITS    EIGHT(0x80)

/* The first byte is the lowest. */
static uint64_t load(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

/* The top bit of each byte below `limit`, which is 0x80 at most. */
static uint64_t marks_below(uint64_t word, uint8_t limit)
{
    return (word - EIGHT(limit)) & ~word & TOP_BITS;
}

static uint64_t marks_del(uint64_t word)
{
    return marks_below(word ^ EIGHT(DEL), 1);
}

size_t text_run(struct span s)
{
    size_t n = 0;
    while (s.len - n >= sizeof(uint64_t)) {
        uint64_t word = load(s.p + n);
        uint64_t marks = marks_below(word, 0x20) | marks_del(word);
        if (marks != 0) {
            return n + (size_t)__builtin_ctzll(marks) / 8;
        }
        n += sizeof(word);
    }
    while (n < s.len && (unsigned char)s.p[n] >= 0x20 && s.p[n] != DEL) {
        n++;
    }
    return n;
}

static bool is_visible_word(const char *p)
{
    uint64_t word = load(p);
    return (marks_below(word, 0x21) | marks_del(word) | (word & TOP_BITS)) == 0;
}

bool text_is_visible(struct span s)
{
    size_t n = 0;
    if (s.len < sizeof(uint64_t)) {
        while (n < s.len && s.p[n] > 0x20 && s.p[n] < DEL) { /* char is signed or not */
            n++;
        }
        return n == s.len;
    }
    size_t last = s.len - sizeof(uint64_t);
    while (n < last && is_visible_word(s.p + n)) {
        n += sizeof(uint64_t);
    }
    return n >= last && is_visible_word(s.p + last);
}

size_t text_whole_characters(struct span s)
{
    size_t more = 0; /* bytes at the end that go on with a character */
    while (more < 3 && more < s.len && ((uint8_t)s.p[s.len - 1 - more] & 0xc0) == 0x80) {
        more++;
    }
    if (more == s.len) {
        return s.len;
    }
    uint8_t first = (uint8_t)s.p[s.len - 1 - more];
    size_t wanted = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    return more < wanted ? s.len - 1 - more : s.len;
}
