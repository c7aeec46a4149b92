/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of the store thread. */
#include "relay/store/job.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "proto/base/error.h"

struct job *job_new(enum job_kind kind, size_t len)
{
    struct job *job = calloc(1, sizeof(*job) + len);
    if (job != NULL) {
        list_init(&job->node);
        job->kind = kind;
        job->len = len;
    }
    return job;
}

void job_free(struct job *job)
{
    free(job);
}

struct audit_row *job_audit_row(struct job *job)
{
    assert(job->kind == JOB_AUDIT && job->len == sizeof(struct audit_row));
    return (struct audit_row *)(void *)job->body;
}

struct history_row *job_history_row(struct job *job)
{
    assert(job->kind == JOB_HISTORY && job->len == sizeof(struct history_row));
    return (struct history_row *)(void *)job->body;
}

int job_queue_init(struct job_queue *q, size_t max_jobs)
{
    pthread_condattr_t attributes;

    q->n_jobs = 0;
    q->max_jobs = max_jobs;
    q->stopping = false;
    list_init(&q->jobs);
    list_init(&q->rows);
    if (pthread_condattr_init(&attributes) != 0) {
        return ERROR_NOMEM;
    }
    /* A wall clock that is set must not stop the polling. */
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&q->wake, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes); /* cannot fail: it was initialised */
    if (!made) {
        return ERROR_NOMEM;
    }
    if (pthread_mutex_init(&q->lock, NULL) != 0) {
        (void)pthread_cond_destroy(&q->wake); /* nobody waits */
        return ERROR_NOMEM;
    }
    return 0;
}

void job_queue_close(struct job_queue *q)
{
    /* Fail only if somebody still uses them, which the contract rules out. */
    (void)pthread_mutex_destroy(&q->lock);
    (void)pthread_cond_destroy(&q->wake);
}

int job_queue_push(struct job_queue *q, struct job *job)
{
    bool is_row = job->kind == JOB_HISTORY;
    size_t max_jobs = is_row ? q->max_jobs / 2 : q->max_jobs;
    int rc = 0;

    (void)pthread_mutex_lock(&q->lock);
    if (q->n_jobs < max_jobs && !q->stopping) {
        list_push(is_row ? &q->rows : &q->jobs, &job->node);
        q->n_jobs++;
        if (q->n_jobs == 1 || !is_row) { /* rows that were left do not wake it */
            (void)pthread_cond_signal(&q->wake);
        }
    } else {
        rc = ERROR_LIMIT;
    }
    (void)pthread_mutex_unlock(&q->lock);
    return rc;
}

/* Moves up to `n_max` of them; returns how many. */
static size_t move(struct list *from, size_t n_max, struct list *to)
{
    size_t n = 0;
    struct list *node = NULL;
    while (n < n_max && (node = list_pop(from)) != NULL) {
        list_push(to, node);
        n++;
    }
    return n;
}

bool job_queue_take(struct job_queue *q, uint64_t until_ms, size_t n_rows_max, struct list *jobs)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                                   .tv_nsec = (long)(until_ms % 1000) * 1000000};
    int timed_out = 0;

    (void)pthread_mutex_lock(&q->lock);
    while (list_empty(&q->jobs) && (n_rows_max == 0 || list_empty(&q->rows)) && !q->stopping &&
           timed_out == 0) {
        timed_out = pthread_cond_timedwait(&q->wake, &q->lock, &until);
    }
    bool stopping = q->stopping;
    q->n_jobs -= move(&q->jobs, SIZE_MAX, jobs);
    q->n_jobs -= move(&q->rows, stopping ? SIZE_MAX : n_rows_max, jobs);
    (void)pthread_mutex_unlock(&q->lock);
    return stopping;
}

void job_queue_stop(struct job_queue *q)
{
    (void)pthread_mutex_lock(&q->lock);
    q->stopping = true;
    (void)pthread_cond_signal(&q->wake);
    (void)pthread_mutex_unlock(&q->lock);
}
