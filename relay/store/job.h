/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers hand to the store thread, and the queue it waits in. Rows of the history come in
 * thousands when all buildings return at once: they are taken some at a time, while all else is
 * taken as soon as it is there. */
#ifndef RELAY_STORE_JOB_H
#define RELAY_STORE_JOB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/base/span.h"
#include "relay/store/audit.h"
#include "relay/store/history.h"

enum job_kind {
    JOB_AUDIT,   /* write a row */
    JOB_HISTORY, /* likewise */
    JOB_CALL,    /* answer an agent's control call */
    JOB_RUN      /* an operation of the pages */
};

struct job {
    struct list node;
    enum job_kind kind;
    int64_t server_id; /* JOB_CALL, with what follows */
    uint16_t op;
    void (*done)(void *user, uint16_t status, struct span body);
    void *user;
    void (*run)(void *user, struct database *db); /* JOB_RUN, with `user` */
    void (*ran)(void *user);
    size_t len;
    _Alignas(int64_t) char body[]; /* JOB_CALL's; else the row */
};

/* The row of a JOB_AUDIT, of a JOB_HISTORY; made with its size as `len`. */
struct audit_row *job_audit_row(struct job *job);
struct history_row *job_history_row(struct job *job);

/* Room for `len` bytes of body. NULL when out of memory. */
struct job *job_new(enum job_kind kind, size_t len);
void job_free(struct job *job);

struct job_queue {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list jobs;
    struct list rows; /* of the history */
    size_t n_jobs;    /* in both */
    size_t max_jobs;
    bool stopping;
};

/* 0, or ERROR_NOMEM. */
int job_queue_init(struct job_queue *q, size_t max_jobs);
/* The queue is empty and nobody waits in it. */
void job_queue_close(struct job_queue *q);

/* Any thread: takes the job. ERROR_LIMIT: the queue is full (for JOB_HISTORY half full: many
 * buildings that come back at once keep no one from the audit) or stopped, the job still the
 * caller's. */
int job_queue_push(struct job_queue *q, struct job *job);

/* Waits until there is a job, the queue is stopped, or the monotonic clock shows `until_ms`; then
 * moves all jobs behind those in `jobs`, but at most `n_rows_max` of kind JOB_HISTORY: 0 = it does
 * not wait for those either. True = stopped: all were moved, and there will be no more. */
bool job_queue_take(struct job_queue *q, uint64_t until_ms, size_t n_rows_max, struct list *jobs);

/* Any thread: what is waiting is still taken, nothing more is pushed. */
void job_queue_stop(struct job_queue *q);

#endif
