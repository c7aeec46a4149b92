/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the pages. */
#include "proto/pages/asset.h"

const struct asset *asset_find(const struct asset_table *table, struct span path)
{
    struct span wanted = span_equal(path, span_of("/")) ? span_of("/index.html") : path;

    for (size_t i = 0; i < table->n_rows; i++) {
        if (span_equal(span_of(table->rows[i].path), wanted)) {
            return &table->rows[i];
        }
    }
    return NULL;
}
