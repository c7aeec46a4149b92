/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a database connection, shared by the part that runs statements and the part that
 * opens, migrates and copies files. */
#ifndef RELAY_STORE_DATABASE_CONNECTION_H
#define RELAY_STORE_DATABASE_CONNECTION_H

#include <sqlite3.h>
#include <stddef.h>

#include "relay/store/database.h"

/* All the program's statements find room; one more would be our own mistake. */
#define STATEMENTS_MAX 96

struct kept_statement {
    const char *sql; /* a literal; compared by address */
    sqlite3_stmt *statement;
};

struct database {
    sqlite3 *connection;
    char *path;
    struct kept_statement statements[STATEMENTS_MAX];
    size_t n_statements;
};

/* One of our codes and a sentence for a result of SQLite, with what the operator can do. */
int database_explain(int result, const char *path, const char *detail, struct error_text *e);

/* Runs SQL that is not kept and gives no rows. */
int database_run_sql(struct database *db, const char *sql, struct error_text *e);

#endif
