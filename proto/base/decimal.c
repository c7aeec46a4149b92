/* SPDX-License-Identifier: Apache-2.0 */
/* Their number first, then the digits from the last to the first. */
#include "proto/base/decimal.h"

size_t decimal_format(uint64_t n, char text[DECIMAL_BYTES])
{
    size_t len = 1;
    for (uint64_t power = 10; len < DECIMAL_BYTES && n >= power; power *= 10) {
        len++;
    }
    for (size_t at = len; at > 0; n /= 10) {
        text[--at] = (char)('0' + n % 10);
    }
    return len;
}
