/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that keep their text. */
#include "tests/simulator/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"

/* More digits could exceed an int32_t. */
#define INTEGER_DIGITS_MAX 9

void number_set(struct number *n, int32_t value)
{
    (void)snprintf(n->text, sizeof n->text, "%d", (int)value); /* always fits */
    n->value = value;
}

/* Cuts the digits off the front of `s`. */
static struct span cut_digits(struct span *s)
{
    struct span digits = {s->p, 0};

    while (digits.len < s->len && s->p[digits.len] >= '0' && s->p[digits.len] <= '9') {
        digits.len++;
    }
    s->p += digits.len;
    s->len -= digits.len;
    return digits;
}

static bool cut_byte(struct span *s, char byte)
{
    if (s->len == 0 || s->p[0] != byte) {
        return false;
    }
    s->p++;
    s->len--;
    return true;
}

static struct span without_zeros(struct span digits)
{
    while (digits.len > 1 && digits.p[0] == '0') {
        digits.p++;
        digits.len--;
    }
    return digits;
}

int number_parse_integer(struct span s, struct number *n)
{
    bool negative = cut_byte(&s, '-');
    struct span digits = cut_digits(&s);
    int32_t value = 0;

    if (digits.len == 0 || digits.len > INTEGER_DIGITS_MAX || s.len > 0) {
        return ERROR_SYNTAX;
    }
    for (size_t i = 0; i < digits.len; i++) {
        value = value * 10 + (digits.p[i] - '0');
    }
    number_set(n, negative ? -value : value);
    return 0;
}

int number_parse_decimal(struct span s, struct number *n)
{
    bool negative = cut_byte(&s, '-');
    struct span whole = without_zeros(cut_digits(&s));
    bool has_point = cut_byte(&s, '.');
    struct span decimals = cut_digits(&s);
    char text[NUMBER_BYTES];

    if (whole.len == 0 || s.len > 0 || has_point != (decimals.len > 0) ||
        negative + whole.len + has_point + decimals.len >= sizeof text) {
        return ERROR_SYNTAX;
    }
    (void)snprintf(text, sizeof text, "%s%.*s%s%.*s", negative ? "-" : "", (int)whole.len, whole.p,
                   has_point ? "." : "", (int)decimals.len, decimals.p); /* checked above */
    memcpy(n->text, text, sizeof text);
    n->value = strtod(text, NULL);
    return 0;
}

bool number_within(const struct number *n, double min, double max)
{
    return n->value >= min && n->value <= max;
}
