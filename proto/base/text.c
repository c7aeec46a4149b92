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

/* Of a text that has no word: what is missing are letters. */
static uint64_t load_short(struct span s)
{
    uint64_t word = EIGHT('a');
    if (s.len > 0) { /* else it may be NULL */
        memcpy(&word, s.p, s.len);
    }
    return le64toh(word);
}

/* The top bit of each byte below `limit`, which is 0x80 at most. */
static uint64_t marks_below(uint64_t word, uint8_t limit)
{
    return (word - EIGHT(limit)) & ~word & TOP_BITS;
}

static uint64_t marks_of(uint64_t word, uint8_t byte)
{
    return marks_below(word ^ EIGHT(byte), 1);
}

size_t text_run(struct span s)
{
    size_t n = 0;
    while (s.len - n >= sizeof(uint64_t)) {
        uint64_t word = load(s.p + n);
        uint64_t marks = marks_below(word, 0x20) | marks_of(word, DEL);
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

static inline bool is_visible_word(uint64_t word)
{
    return (marks_below(word, 0x21) | marks_of(word, DEL) | (word & TOP_BITS)) == 0;
}

static inline bool is_plain_word(uint64_t word)
{
    return is_visible_word(word) &&
           (marks_of(word, '"') | marks_of(word, '=') | marks_of(word, '\\')) == 0;
}

/* The last word may share bytes with the one before. */
static inline bool all_words_are(bool (*is)(uint64_t word), struct span s)
{
    size_t n = 0;
    if (s.len < sizeof(uint64_t)) {
        return is(load_short(s));
    }
    size_t last = s.len - sizeof(uint64_t);
    while (n < last && is(load(s.p + n))) {
        n += sizeof(uint64_t);
    }
    return n >= last && is(load(s.p + last));
}

bool text_is_visible(struct span s)
{
    return all_words_are(is_visible_word, s);
}

bool text_is_plain(struct span s)
{
    return all_words_are(is_plain_word, s);
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
