/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the pages, built into the program: our own from site/, and the libraries that the
 * build takes from Debian packages (docs/decisions.md). */
#ifndef PROTO_PAGES_ASSET_H
#define PROTO_PAGES_ASSET_H

#include <stddef.h>

#include "proto/base/span.h"

struct asset {
    const char *path; /* "/pages/app.js" */
    const char *type; /* of its content */
    const char *etag; /* with its quotes */
    struct span plain;
    struct span gzip; /* the same, compressed */
};

/* The file of that path; "/" is index.html. NULL if there is none. Static storage. */
const struct asset *asset_find(struct span path);

/* All of them, for tests. `i` < asset_count(). */
size_t asset_count(void);
const struct asset *asset_at(size_t i);

#endif
