/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the pages. */
#include "proto/pages/asset.h"

#include "proto/pages/asset_table.h"

const struct asset *asset_find(struct span path)
{
    struct span wanted = span_equal(path, span_of("/")) ? span_of("/index.html") : path;

    for (size_t i = 0; i < ASSET_TABLE_LEN; i++) {
        if (span_equal(span_of(ASSET_TABLE[i].path), wanted)) {
            return &ASSET_TABLE[i];
        }
    }
    return NULL;
}

size_t asset_count(void)
{
    return ASSET_TABLE_LEN;
}

const struct asset *asset_at(size_t i)
{
    return &ASSET_TABLE[i];
}
