/* SPDX-License-Identifier: Apache-2.0 */
/* KNX group addresses as they are written. */
#include "tests/simulator/group.h"

#include "proto/base/error.h"

/* Largest number of each part, by how many parts there are: two or three. */
static const uint64_t MAX[2][3] = {{31, 2047, 0}, {31, 7, 255}};

bool group_ok(struct span text)
{
    struct span rest = text;
    struct span part[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    uint64_t number[3] = {0, 0, 0};
    size_t n = 0;

    if (text.len >= GROUP_BYTES) {
        return false;
    }
    for (n = 0; n < 3 && rest.p != NULL; n++) {
        part[n] = span_cut(&rest, '/');
    }
    if (rest.p != NULL || n < 2) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (span_parse_u64(part[i], MAX[n - 2][i], &number[i]) != 0) {
            return false;
        }
    }
    return number[0] + number[1] + number[2] > 0;
}
