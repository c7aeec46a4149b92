/* SPDX-License-Identifier: Apache-2.0 */
/* Hexadecimal digits. */
#ifndef TESTS_SIMULATOR_HEX_H
#define TESTS_SIMULATOR_HEX_H

#include <stddef.h>
#include <stdint.h>

/* 0 to 15, or -1 if it is no digit. */
int hex_value(char digit);

/* Writes 2 * len lower-case digits and a NUL. */
void hex_format(const uint8_t *bytes, size_t len, char *text);

#endif
