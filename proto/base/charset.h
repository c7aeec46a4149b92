/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of bytes, one bit each: whether a whole text is of a set is asked for every name, path and
 * logged value of a request. */
#ifndef PROTO_BASE_CHARSET_H
#define PROTO_BASE_CHARSET_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/span.h"

/* Bit c % 64 of bits[c / 64]. */
struct charset {
    uint64_t bits[4];
};

#define CHARSET_DIGITS   UINT64_C(0x03ff000000000000) /* of bits[0] */
#define CHARSET_CAPITALS UINT64_C(0x0000000007fffffe) /* of bits[1]: A-Z */
#define CHARSET_LETTERS  UINT64_C(0x07fffffe07fffffe) /* of bits[1]: A-Z a-z */

/* Characters of bits[0] and of bits[1]. */
#define CHARSET_LOW(c)  (UINT64_C(1) << (c))
#define CHARSET_HIGH(c) (UINT64_C(1) << ((c)-64))

/* ! # $ % & ' * + - . and digits; letters and ^ _ ` | ~ (RFC 9110 5.6.2) */
static const struct charset CHARSET_TOKEN = {{
    CHARSET_DIGITS | UINT64_C(0x00006cfa00000000),
    CHARSET_LETTERS | UINT64_C(0x50000001c0000000),
}};

/* All but controls; a tab is none (RFC 9110 5.5). */
static const struct charset CHARSET_FIELD_VALUE = {{
    UINT64_C(0xffffffff00000000) | CHARSET_LOW('\t'),
    UINT64_C(0x7fffffffffffffff),
    UINT64_MAX,
    UINT64_MAX,
}};

static inline bool charset_has(const struct charset *set, char c)
{
    unsigned char byte = (unsigned char)c;
    return (set->bits[byte / 64] >> (byte % 64) & 1) != 0;
}

/* Are all of its characters in the set? True for an empty text. */
static inline bool charset_covers(const struct charset *set, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!charset_has(set, text.p[i])) {
            return false;
        }
    }
    return true;
}

#endif
