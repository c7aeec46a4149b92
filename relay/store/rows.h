/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that are rows to be written: all that were taken in one turn, in one transaction. */
#ifndef RELAY_STORE_ROWS_H
#define RELAY_STORE_ROWS_H

#include <stdbool.h>

#include "proto/base/error.h"
#include "proto/base/list.h"
#include "relay/store/database.h"
#include "relay/store/job.h"

/* True if there are rows among the jobs. */
bool rows_wait(struct list *jobs);

/* Writes them all, or none of them. 0, or why not. */
int rows_write(struct database *db, struct list *jobs, struct error_text *e);

/* One that could not be written goes into the log instead. */
void rows_log_lost(const struct audit_row *row);

#endif
