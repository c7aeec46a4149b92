/* SPDX-License-Identifier: Apache-2.0 */
/* Their number first, then the digits from the last to the first, two with each division. */
#include "proto/base/decimal.h"

#include <string.h>

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

size_t decimal_format(uint64_t n, char text[DECIMAL_BYTES])
{
    size_t len = 1;
    for (uint64_t power = 10; len < DECIMAL_BYTES && n >= power; power *= 10) {
        len++;
    }
    size_t at = len;
    for (; at > 1; n /= 100) {
        at -= 2;
        memcpy(text + at, pairs + 2 * (n % 100), 2);
    }
    if (at == 1) {
        text[0] = (char)('0' + n);
    }
    return len;
}
