/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of a query; see query.h. */
#include "proto/http/query.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/http/field.h"

bool query_next(struct span *rest, struct query_param *p)
{
    while (rest->len > 0) {
        struct span value = span_cut(rest, '&');
        if (value.len == 0) {
            continue;
        }
        /* span_cut leaves p == NULL where there was no "=". */
        struct span name = span_cut(&value, '=');
        *p = (struct query_param){name, value, value.p != NULL};
        return true;
    }
    return false;
}

/* Decodes the byte at `*i` and moves behind it. 0 or ERROR_SYNTAX. */
static int decode_byte(struct span raw, size_t *i, char *byte)
{
    char c = raw.p[*i];
    if (c == '%') {
        if (raw.len - *i < 3) {
            return ERROR_SYNTAX;
        }
        int high = field_hex_value(raw.p[*i + 1]);
        int low = field_hex_value(raw.p[*i + 2]);
        if (high < 0 || low < 0) {
            return ERROR_SYNTAX;
        }
        *byte = (char)(unsigned char)(high * 16 + low);
        *i += 3;
        return 0;
    }
    if (c == '+') {
        c = ' ';
    }
    *byte = c;
    *i += 1;
    return 0;
}

/* Compares without decoding into a buffer, so that a name may be of any length. */
static bool decoded_equal(struct span raw, struct span name)
{
    size_t i = 0;
    size_t n = 0;
    while (i < raw.len) {
        char byte = 0;
        if (decode_byte(raw, &i, &byte) != 0 || n == name.len || byte != name.p[n]) {
            return false;
        }
        n++;
    }
    return n == name.len;
}

bool query_find(struct span query, struct span name, struct query_param *p)
{
    struct query_param candidate;
    while (query_next(&query, &candidate)) {
        if (decoded_equal(candidate.name, name)) {
            *p = candidate;
            return true;
        }
    }
    return false;
}

bool query_has(struct span query, struct span name)
{
    struct query_param p;
    return query_find(query, name, &p);
}

int query_decode(struct span raw, char *text, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.len;) {
        char byte = 0;
        if (decode_byte(raw, &i, &byte) != 0 || byte == '\0') {
            return ERROR_SYNTAX;
        }
        if (n + 1 >= cap) {
            return ERROR_LIMIT;
        }
        text[n++] = byte;
    }
    if (cap == 0) {
        return ERROR_LIMIT;
    }
    text[n] = '\0';
    return 0;
}

static bool is_unreserved(char c)
{
    static const char MARKS[] = "-._~";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           memchr(MARKS, c, sizeof(MARKS) - 1) != NULL;
}

int query_encode(struct span raw, char *text, size_t cap)
{
    static const char HEX[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.p[i];
        bool plain = is_unreserved(raw.p[i]);
        if (cap - n < (plain ? 2u : 4u)) {
            return ERROR_LIMIT;
        }
        if (plain) {
            text[n++] = raw.p[i];
        } else {
            text[n++] = '%';
            text[n++] = HEX[c >> 4];
            text[n++] = HEX[c & 15];
        }
    }
    if (n >= cap) {
        return ERROR_LIMIT;
    }
    text[n] = '\0';
    return 0;
}
