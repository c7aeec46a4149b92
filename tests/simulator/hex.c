/* SPDX-License-Identifier: Apache-2.0 */
/* Hexadecimal digits. */
#include "tests/simulator/hex.h"

int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

void hex_format(const uint8_t *bytes, size_t len, char *text)
{
    static const char DIGITS[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        text[i * 2] = DIGITS[bytes[i] >> 4];
        text[i * 2 + 1] = DIGITS[bytes[i] & 15];
    }
    text[len * 2] = '\0';
}
