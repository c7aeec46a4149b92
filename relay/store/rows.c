/* SPDX-License-Identifier: Apache-2.0 */
/* Rows among the jobs. */
#include "relay/store/rows.h"

#include "proto/base/log.h"

bool rows_wait(struct list *jobs)
{
    for (struct list *node = jobs->next; node != jobs; node = node->next) {
        const struct job *job = LIST_ITEM(node, struct job, node);
        if (job->kind == JOB_AUDIT || job->kind == JOB_HISTORY) {
            return true;
        }
    }
    return false;
}

static int write_row(struct database *db, struct job *job, struct error_text *e)
{
    switch (job->kind) {
    case JOB_AUDIT: return audit_add(db, job_audit_row(job), e);
    case JOB_HISTORY: return history_add(db, job_history_row(job), e);
    case JOB_CALL:
    case JOB_RUN:
    default: return 0;
    }
}

int rows_write(struct database *db, struct list *jobs, struct error_text *e)
{
    int rc = database_begin(db, e);
    if (rc != 0) {
        return rc;
    }
    for (struct list *node = jobs->next; rc == 0 && node != jobs; node = node->next) {
        rc = write_row(db, LIST_ITEM(node, struct job, node), e);
    }
    return database_end(db, rc, e);
}

void rows_log_lost(const struct audit_row *row)
{
    log_event(LOG_LEVEL_WARN, "audit row not stored", log_text("who", row->who),
              log_text("what", row->what), log_text("object", row->object),
              log_bool("refused", row->refused), log_text("detail", row->detail));
}
