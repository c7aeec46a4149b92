/* SPDX-License-Identifier: Apache-2.0 */
/* The trail of who did what: rows that are written with the act itself, in one transaction. */
#ifndef RELAY_STORE_AUDIT_H
#define RELAY_STORE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "relay/store/database.h"

/* Longest texts, with NUL; longer ones are cut. */
#define AUDIT_WHO_BYTES    128
#define AUDIT_WHAT_BYTES   48
#define AUDIT_OBJECT_BYTES 80
#define AUDIT_DETAIL_BYTES 2048 /* a change of everything about a key */

/* Rows older than this are dropped by the relay. */
#define AUDIT_KEEP_S (400 * 24 * 3600)

struct audit_row {
    int64_t id;
    int64_t at_s;
    char who[AUDIT_WHO_BYTES];       /* "operator:alice", "agent:TNX-0001", "relay" */
    char what[AUDIT_WHAT_BYTES];     /* "key.enable" */
    char object[AUDIT_OBJECT_BYTES]; /* serial, or "k_12 of TNX-0001" */
    bool refused;
    char detail[AUDIT_DETAIL_BYTES]; /* what was set, or why it was refused; never a secret */
};

/* Which rows to list; zeroes and NULLs do not filter. */
struct audit_filter {
    int64_t since_s;
    int64_t until_s;
    const char *who;    /* begins with */
    const char *what;   /* begins with */
    const char *object; /* contains */
    bool refused_only;
    uint32_t n_max; /* the newest so many; 0 = all */
};

/* Who acts, and when (wall clock). */
struct audit_actor {
    const char *who;
    int64_t now_s;
};

/* An administrative act as one transaction: audit_begin, the changes, audit_end. Texts are
 * borrowed until then. */
struct audit_act {
    const struct audit_actor *by;
    const char *what;
    const char *object;
};

/* Opens the transaction. */
int audit_begin(struct database *db, struct error_text *e);

/* With `rc` 0 adds the row and commits. Else rolls back everything and adds a row about the
 * refusal, with the sentence in `e`; what was nobody's decision (ERROR_IO, ERROR_NOMEM,
 * ERROR_INTERNAL) leaves none. Returns the first failure. `e` may not be NULL. */
int audit_end(struct database *db, const struct audit_act *act, const char *detail, int rc,
              struct error_text *e);

/* Adds a row, inside the transaction that is open, or as one of its own. */
int audit_add(struct database *db, const struct audit_row *row, struct error_text *e);

/* Visits the rows, newest first. `visit` may not use the database. */
int audit_list(struct database *db, const struct audit_filter *filter,
               void (*visit)(void *user, const struct audit_row *row), void *user,
               struct error_text *e);

/* Rows of this actor since then. */
int audit_count(struct database *db, const char *who, int64_t since_s, int64_t *n,
                struct error_text *e);

/* Drops the rows from before `before_s`, at most `n_max` of them; `*n` = how many went. */
int audit_prune(struct database *db, int64_t before_s, uint32_t n_max, int64_t *n,
                struct error_text *e);

/* Fills the row's texts, cut to size. Any text may be NULL. */
void audit_row_set(struct audit_row *row, int64_t at_s, const char *who, const char *what,
                   const char *object, const char *detail);

#endif
