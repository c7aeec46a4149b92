/* SPDX-License-Identifier: Apache-2.0 */
/* The values that go into SQLite's statements and come out of their rows. */
#ifndef RELAY_STORE_VALUE_H
#define RELAY_STORE_VALUE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"

/* Text of a column; empty for NULL. Borrowed until the next step. */
struct span value_text(sqlite3_stmt *statement, int column);
/* Copies a text column, cut to `cap` with its NUL. */
void value_copy_text(sqlite3_stmt *statement, int column, char *text, size_t cap);
/* True if the column is a BLOB of exactly `len` bytes, which are copied. */
bool value_copy_blob(sqlite3_stmt *statement, int column, void *bytes, size_t len);

/* Binds; a failure (no memory) shows when the statement is run. `text` is borrowed until then. */
void value_bind_text(sqlite3_stmt *statement, int i, struct span text);
void value_bind_blob(sqlite3_stmt *statement, int i, const void *bytes, size_t len);
void value_bind_int(sqlite3_stmt *statement, int i, int64_t value);

#endif
