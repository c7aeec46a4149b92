/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a program's pages, built into it: our own from site/, and the libraries that the
 * build takes from Debian packages (docs/decisions.md). */
#ifndef PROTO_PAGES_ASSET_H
#define PROTO_PAGES_ASSET_H

#include <stddef.h>

#include "proto/base/span.h"

struct asset {
    const char *path; /* "/app.js" */
    const char *type; /* of its content */
    const char *etag; /* with its quotes */
    struct span plain;
    struct span gzip; /* the same, compressed; empty: the program has only the plain form */
};

/* What cmake/Pages.cmake makes. */
struct asset_table {
    const struct asset *rows;
    size_t n_rows;
};

/* The file of that path; "/" is index.html. NULL if there is none. Static storage. */
const struct asset *asset_find(const struct asset_table *table, struct span path);

#endif
