/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people: columns as wide as their widest cell. */
#ifndef RELAY_ADMIN_TABLE_H
#define RELAY_ADMIN_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct table {
    size_t n_columns;
    char **cells; /* owned, row by row; the titles first */
    size_t n_cells;
    size_t cap;
    int failed; /* ERROR_NOMEM once a cell was lost */
};

/* `titles` has n_columns texts (copied). */
void table_init(struct table *t, const char *const *titles, size_t n_columns);
void table_close(struct table *t);

/* Adds the next cell (copies); control characters and broken UTF-8 become "?". NULL is "-". */
void table_add(struct table *t, const char *text);
void table_add_number(struct table *t, uint64_t number);
/* "2026-01-31 23:59:59", or "-" for 0. UTC. */
void table_add_time(struct table *t, int64_t wall_s);

/* Prints all. 0, or ERROR_NOMEM if something could not be kept. */
int table_print(const struct table *t, FILE *out);

#endif
