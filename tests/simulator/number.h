/* SPDX-License-Identifier: Apache-2.0 */
/* A number that keeps its text: "85.325" that was set comes back as 85.325, not as the nearest
 * binary fraction. The text always is a valid JSON number. */
#ifndef TESTS_SIMULATOR_NUMBER_H
#define TESTS_SIMULATOR_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/span.h"

/* Longest text of a number, with NUL: enough for 30 digits, sign and point. */
#define NUMBER_BYTES 33

struct number {
    char text[NUMBER_BYTES];
    double value;
};

void number_set(struct number *n, int32_t value);

/* "-"? digits, at most nine. Leading zeros are dropped. 0 or ERROR_SYNTAX. */
int number_parse_integer(struct span s, struct number *n);

/* "-"? digits ("." digits)?, no exponent. Leading zeros are dropped; zeros at the end stay.
 * 0 or ERROR_SYNTAX (also when too long to be kept). */
int number_parse_decimal(struct span s, struct number *n);

/* Both ends included. */
bool number_within(const struct number *n, double min, double max);

#endif
