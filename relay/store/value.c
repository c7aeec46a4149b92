/* SPDX-License-Identifier: Apache-2.0 */
/* Values of statements. */
#include "relay/store/value.h"

#include <string.h>

struct span value_text(sqlite3_stmt *statement, int column)
{
    /* Text first: it may change what the length is. */
    const void *text = sqlite3_column_text(statement, column);
    return (struct span){text, (size_t)sqlite3_column_bytes(statement, column)};
}

void value_copy_text(sqlite3_stmt *statement, int column, char *text, size_t cap)
{
    struct span s = value_text(statement, column);
    if (s.len >= cap) {
        s.len = cap - 1;
    }
    (void)span_copy(s, text, cap); /* fits now */
}

bool value_copy_blob(sqlite3_stmt *statement, int column, void *bytes, size_t len)
{
    const void *blob = sqlite3_column_blob(statement, column);
    if (blob == NULL || (size_t)sqlite3_column_bytes(statement, column) != len) {
        return false;
    }
    memcpy(bytes, blob, len);
    return true;
}

void value_bind_text(sqlite3_stmt *statement, int i, struct span text)
{
    /* NULL would be SQL's NULL, which no column of ours takes. */
    const char *p = text.p == NULL ? "" : text.p;
    (void)sqlite3_bind_text64(statement, i, p, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

void value_bind_blob(sqlite3_stmt *statement, int i, const void *bytes, size_t len)
{
    (void)sqlite3_bind_blob64(statement, i, bytes, len, SQLITE_STATIC);
}

void value_bind_int(sqlite3_stmt *statement, int i, int64_t value)
{
    (void)sqlite3_bind_int64(statement, i, value);
}
