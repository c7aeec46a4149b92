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

/* The bytes of a text that is shorter than a word, in any order, some of them twice; what is
 * missing are letters. */
static uint64_t load_short(struct span s)
{
    uint32_t halves[] = {(uint32_t)EIGHT('a'), (uint32_t)EIGHT('a')};
    if (s.len >= sizeof(halves[0])) {
        memcpy(&halves[0], s.p, sizeof(halves[0]));
        memcpy(&halves[1], s.p + s.len - sizeof(halves[1]), sizeof(halves[1]));
    } else if (s.len > 0) { /* else it may be NULL */
        const char bytes[] = {s.p[0], s.p[s.len / 2], s.p[s.len - 1], s.p[0]};
        memcpy(&halves[0], bytes, sizeof(halves[0]));
    }
    return (uint64_t)halves[1] << 32 | halves[0];
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

/* Of a word without bytes from 0x80 on: the top bit of each byte from `first` to `last`. */
static uint64_t marks_between(uint64_t word, uint8_t first, uint8_t last)
{
    /* No byte's sum is above 0xff: none runs over into the next. */
    return (word + EIGHT(0x80U - first)) & ~(word + EIGHT(0x7fU - last)) & TOP_BITS;
}

/* Small and capital letters differ in 0x20. */
static uint64_t marks_of_names(uint64_t word)
{
    return marks_between(word | EIGHT(0x20), 'a', 'z') | marks_between(word, '0', '9') |
           marks_between(word, '-', '-');
}

static inline bool is_name_word(uint64_t word)
{
    return (word & TOP_BITS) == 0 && marks_of_names(word) == TOP_BITS;
}

static inline bool is_path_word(uint64_t word)
{
    uint64_t more = marks_between(word, '/', '/') | marks_between(word, '_', '_');
    return (word & TOP_BITS) == 0 && (marks_of_names(word) | more) == TOP_BITS;
}

/* Whether any byte is bad needs less than which one: as long as all are below 0x80, a subtraction
 * borrows, and an addition reaches a top bit, only where one is. */
static inline bool is_visible_word(uint64_t word)
{
    uint64_t marks = word | (word - EIGHT(0x21)) | (word + EIGHT(0x80 - DEL));
    return (marks & TOP_BITS) == 0;
}

static inline bool is_plain_word(uint64_t word)
{
    uint64_t marks = ((word ^ EIGHT('"')) - EIGHT(1)) | ((word ^ EIGHT('=')) - EIGHT(1)) |
                     ((word ^ EIGHT('\\')) - EIGHT(1));
    return is_visible_word(word) && (marks & TOP_BITS) == 0;
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

bool text_is_name(struct span s)
{
    return all_words_are(is_name_word, s);
}

bool text_is_path(struct span s)
{
    return all_words_are(is_path_word, s);
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
