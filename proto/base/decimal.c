/* SPDX-License-Identifier: Apache-2.0 */
/* Digits, found from the last to the first. */
#include "proto/base/decimal.h"

#include <string.h>

size_t decimal_format(uint64_t n, char text[DECIMAL_BYTES])
{
    char reversed[DECIMAL_BYTES];
    size_t at = sizeof(reversed);
    do {
        reversed[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(text, reversed + at, sizeof(reversed) - at);
    return sizeof(reversed) - at;
}
