/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as decimal digits, for texts that are made once per request: snprintf(3) takes a hundred
 * times as long. */
#ifndef PROTO_BASE_DECIMAL_H
#define PROTO_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

/* Longest number, without a NUL. */
#define DECIMAL_BYTES 20

/* Writes the digits of `n`, no leading zero, no NUL. Returns how many there are. */
size_t decimal_format(uint64_t n, char text[DECIMAL_BYTES]);

#endif
