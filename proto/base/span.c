/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing, cutting and parsing borrowed runs of bytes. */
#include "proto/base/span.h"

#include <string.h>

#include "proto/base/error.h"

/* Not tolower(3): that depends on the locale. */
static char fold(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c - 'A' + 'a');
    }
    return c;
}

bool span_same_letters(const char *a, const char *b, size_t len)
{
    if (len > 0 && memcmp(a, b, len) == 0) {
        return true; /* as nearly everybody writes it */
    }
    for (size_t i = 0; i < len; i++) {
        if (fold(a[i]) != fold(b[i])) {
            return false;
        }
    }
    return true;
}

bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_equal((struct span){s.p, prefix.len}, prefix);
}

size_t span_find(struct span s, char byte)
{
    const char *found = s.len == 0 ? NULL : memchr(s.p, byte, s.len);
    return found == NULL ? s.len : (size_t)(found - s.p);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_blank(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.p[s.len - 1])) {
        s.len--;
    }
    return s;
}

struct span span_cut(struct span *rest, char separator)
{
    struct span part = {rest->p, span_find(*rest, separator)};
    if (part.len == rest->len) {
        *rest = (struct span){NULL, 0};
    } else {
        rest->p += part.len + 1;
        rest->len -= part.len + 1;
    }
    return part;
}

int span_parse_u64(struct span s, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;
    if (s.len == 0) {
        return ERROR_SYNTAX;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return ERROR_SYNTAX;
        }
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (digit > max || sum > (max - digit) / 10) {
            return ERROR_SYNTAX;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return 0;
}

int span_copy(struct span s, char *text, size_t cap)
{
    if (s.len >= cap) {
        return ERROR_LIMIT;
    }
    if (s.len > 0) {
        memcpy(text, s.p, s.len);
    }
    text[s.len] = '\0';
    return 0;
}
