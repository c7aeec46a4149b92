/* SPDX-License-Identifier: Apache-2.0 */
/* The store thread. Each turn it does the jobs that wait (rows together in one transaction), looks
 * for changes, writes back some last-used times, and frees what the workers have left.
 *
 * What can go wrong is the database: full, read-only, locked, damaged. Then the jobs fail one by
 * one (an audit row that cannot be written is logged instead), the directory stays as it is, and
 * the next turn tries again. That is logged when it begins and when it ends, not in between. */
#include "relay/store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/secret.h"
#include "relay/store/audit.h"
#include "relay/store/control.h"
#include "relay/store/database.h"
#include "relay/store/directory_write.h"
#include "relay/store/job.h"
#include "relay/store/refresh.h"
#include "relay/store/rows.h"
#include "relay/store/uses.h"

/* Last-used times per transaction, of which there are ten a second: some milliseconds on a slow
 * disk, for a revocation by another process may be waiting behind it. Of very many keys in use each
 * is a page of its own to write, for which time is taken from requests (tests/bench/run keys): with
 * 200,000 in use a time is written up to half an hour late, and what END_MS is too short for at
 * the end is lost. */
#define USES_PER_TURN 25

/* Rows of the history per transaction, and what the database is left to others before the next:
 * thousands of buildings that return at once hold up no revocation, here or in another process. */
#define ROWS_PER_TURN 100
#define ROWS_PAUSE_MS 5

/* At the end: so many per transaction, and no longer than this, whatever is left. */
#define USES_AT_END 20000
#define END_MS      1000

/* Old rows are looked for this often, and so many dropped at a time. */
#define PRUNE_MS       60000
#define PRUNE_ROWS_MAX 1000

/* Largest body of a control call (PROTOCOL.md). */
#define CALL_BYTES_MAX 16000

struct store {
    struct database *db;
    struct directory *directory;
    struct directory_reader *reader; /* the thread's own, to look servers up for calls */
    struct refresh refresh;
    struct store_events events;
    pthread_mutex_t url_lock;
    char *public_url; /* owned; NULL = unknown; under the lock */
    pthread_t thread;
    bool stopped;   /* the thread was joined */
    bool read_only; /* its disk; known from the start, for workers may not ask the connection */
    struct job_queue queue;
    uint64_t next_poll_ms; /* the thread's, as all that follow but the counters */
    uint64_t next_rows_ms;
    uint64_t next_uses_ms;
    uint64_t next_prune_ms;
    bool writing_uses; /* a batch of last-used times is under way */
    _Atomic uint64_t n_refreshes;
    _Atomic uint64_t n_failures;
    _Atomic uint64_t n_dropped;
    _Atomic bool healthy;
};

static void on_server(void *user, int64_t server_id)
{
    struct store *s = user;
    if (s->events.on_server != NULL) {
        s->events.on_server(s->events.user, server_id);
    }
}

/* Counts and logs how an operation went. */
static void note_result(struct store *s, const char *what, int rc, const struct error_text *e)
{
    if (rc == 0) {
        if (!atomic_exchange(&s->healthy, true)) {
            log_event(LOG_LEVEL_INFO, "store works again", log_text("operation", what));
        }
        return;
    }
    (void)atomic_fetch_add(&s->n_failures, 1);
    if (atomic_exchange(&s->healthy, false)) {
        log_event(LOG_LEVEL_ERROR, "store fails", log_text("operation", what),
                  log_text("reason", e->text));
    }
}

/* Jobs */

static void poll_changes(struct store *s, bool own)
{
    struct error_text e = {""};
    bool refreshed = false;
    int rc = refresh_poll(&s->refresh, own, clock_wall_s(), &refreshed, &e);

    if (refreshed) {
        (void)atomic_fetch_add(&s->n_refreshes, 1);
    }
    if (rc != 0 || refreshed) {
        note_result(s, "refresh", rc, &e);
    }
}

/* Owned. Out of memory: NULL, and the answer has no URL. */
static char *copy_public_url(struct store *s)
{
    (void)pthread_mutex_lock(&s->url_lock);
    char *copy = s->public_url != NULL ? strdup(s->public_url) : NULL;
    (void)pthread_mutex_unlock(&s->url_lock);
    return copy;
}

static void do_call(struct store *s, const struct job *job)
{
    const struct control_time now = {clock_wall_s(), clock_now_us()};
    struct buffer answer;
    const struct directory_server *server = directory_find_server(s->reader, job->server_id);

    buffer_init(&answer, CONTROL_ANSWER_BYTES);
    char *url = copy_public_url(s);
    uint16_t status = (uint16_t)control_call(s->db, server, url, job->op,
                                             (struct span){job->body, job->len}, now, &answer);
    free(url);
    directory_leave(s->reader);
    /* First live, then told. */
    poll_changes(s, true);
    job->done(job->user, status, (struct span){(const char *)buffer_bytes(&answer), answer.len});
    if (answer.data != NULL) {
        secret_cleanse(answer.data, answer.cap);
    }
    buffer_close(&answer);
}

static void do_jobs(struct store *s, struct list *jobs)
{
    struct error_text e = {""};
    int rc = 0;

    if (rows_wait(jobs)) {
        rc = rows_write(s->db, jobs, &e);
        note_result(s, "rows", rc, &e);
    }
    for (struct list *node = list_pop(jobs); node != NULL; node = list_pop(jobs)) {
        struct job *job = LIST_ITEM(node, struct job, node);
        if (job->kind == JOB_CALL) {
            do_call(s, job);
        } else if (job->kind == JOB_RUN) {
            job->run(job->user, s->db);
            poll_changes(s, true); /* first live, then told */
            job->ran(job->user);
        } else if (job->kind == JOB_HISTORY) {
            s->next_rows_ms = clock_now_ms() + ROWS_PAUSE_MS;
        } else if (rc != 0) { /* the log has the others anyway */
            rows_log_lost(job_audit_row(job));
        }
        job_free(job);
    }
}

/* Duties that come round */

/* Writes some of the last-used times; true if there are more. */
static bool write_uses(struct store *s, size_t n_max)
{
    struct error_text e = {""};
    bool more = false;

    if (!directory_has_used(s->directory)) {
        return false;
    }
    int rc = uses_write(s->db, s->directory, n_max, &more, &e);
    note_result(s, "last-used times", rc, &e);
    return more;
}

static void write_due_uses(struct store *s, uint64_t now_ms)
{
    if (now_ms >= s->next_uses_ms) {
        s->next_uses_ms = now_ms + STORE_LAST_USED_MS;
        s->writing_uses = true;
    }
    if (s->writing_uses) {
        s->writing_uses = write_uses(s, USES_PER_TURN);
    }
}

static void prune(struct store *s, uint64_t now_ms)
{
    struct error_text e = {""};
    int64_t now_s = clock_wall_s();
    int64_t n_audit = 0;
    int64_t n_history = 0;

    if (now_ms < s->next_prune_ms) {
        return;
    }
    s->next_prune_ms = now_ms + PRUNE_MS;
    int rc = audit_prune(s->db, now_s - AUDIT_KEEP_S, PRUNE_ROWS_MAX, &n_audit, &e);
    if (rc == 0) {
        rc = history_prune(s->db, now_s - HISTORY_KEEP_S, PRUNE_ROWS_MAX, &n_history, &e);
    }
    if (rc != 0 || n_audit > 0 || n_history > 0) {
        note_result(s, "old rows", rc, &e);
    }
}

static void do_duties(struct store *s)
{
    uint64_t now_ms = clock_now_ms();

    if (now_ms >= s->next_poll_ms) {
        s->next_poll_ms = now_ms + STORE_POLL_MS;
        poll_changes(s, false);
        write_due_uses(s, now_ms);
        prune(s, now_ms);
    }
    directory_reclaim(s->directory);
}

/* The thread */

static bool take_jobs(struct store *s, struct list *jobs)
{
    bool rows_due = clock_now_ms() >= s->next_rows_ms;
    uint64_t until_ms =
        rows_due || s->next_poll_ms < s->next_rows_ms ? s->next_poll_ms : s->next_rows_ms;

    return job_queue_take(&s->queue, until_ms, rows_due ? ROWS_PER_TURN : 0, jobs);
}

static void *run(void *arg)
{
    struct store *s = arg;
    struct list jobs;
    bool stopping = false;

    list_init(&jobs);
    while (!stopping) {
        stopping = take_jobs(s, &jobs);
        do_jobs(s, &jobs);
        do_duties(s);
    }
    uint64_t end_ms = clock_now_ms() + END_MS;
    while (write_uses(s, USES_AT_END) && clock_now_ms() < end_ms) {
    }
    return NULL;
}

/* Signals belong to the loops. */
static int start_thread(struct store *s)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, run, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0) {
        (void)pthread_setname_np(s->thread, "store"); /* for people with a debugger */
    }
    return failed == 0 ? 0 : ERROR_NOMEM;
}

static void set_up_duties(struct store *s)
{
    uint64_t now_ms = clock_now_ms();
    s->next_poll_ms = now_ms + STORE_POLL_MS;
    s->next_uses_ms = now_ms + STORE_LAST_USED_MS;
    s->next_prune_ms = now_ms + PRUNE_MS;
    atomic_init(&s->healthy, true);
}

static int fill(struct store *s, struct error_text *e)
{
    s->refresh =
        (struct refresh){.db = s->db, .directory = s->directory, .on_server = on_server, .user = s};
    /* Nobody needs to be told of what was there before. */
    const struct store_events events = s->events;
    s->events.on_server = NULL;
    int rc = refresh_load(&s->refresh, clock_wall_s(), e);
    s->events = events;
    if (rc == 0 && events.on_last != NULL) {
        rc = history_visit_last(s->db, events.on_last, events.user, e);
    }
    return rc;
}

int store_open(const char *path, const struct store_events *events, struct store **s,
               struct error_text *e)
{
    struct error_text ignored;
    struct store *made = calloc(1, sizeof(*made));

    if (made == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    if (e == NULL) {
        e = &ignored;
    }
    if (events != NULL) {
        made->events = *events;
    }
    set_up_duties(made);
    made->url_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    int rc = database_open(path, true, &made->db, e);
    if (rc != 0) {
        goto no_database;
    }
    made->read_only = database_is_read_only(made->db);
    if (made->read_only) {
        log_event(LOG_LEVEL_WARN,
                  "the database's disk is read-only: nothing can be changed, and a "
                  "change made elsewhere is not seen",
                  log_text("file", path));
    }
    made->directory = directory_new();
    if (made->directory == NULL) {
        rc = error_set(e, ERROR_NOMEM, "no memory");
        goto no_directory;
    }
    rc = fill(made, e);
    if (rc != 0) {
        goto no_reader;
    }
    made->reader = directory_join(made->directory);
    if (made->reader == NULL || job_queue_init(&made->queue, STORE_QUEUE_MAX) != 0) {
        rc = error_set(e, ERROR_NOMEM, "no memory");
        goto no_queue;
    }
    if (start_thread(made) != 0) {
        rc = error_set(e, ERROR_NOMEM, "no more threads");
        goto no_thread;
    }
    *s = made;
    return 0;
no_thread:
    job_queue_close(&made->queue);
no_queue:
    directory_part(made->reader);
no_reader:
    directory_free(made->directory);
no_directory:
    database_close(made->db);
no_database:
    free(made);
    return rc;
}

void store_stop(struct store *s)
{
    if (s->stopped) {
        return;
    }
    s->stopped = true;
    job_queue_stop(&s->queue);
    (void)pthread_join(s->thread, NULL); /* cannot fail: it runs, and nobody else joins it */
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    store_stop(s);
    job_queue_close(&s->queue);
    directory_part(s->reader);
    directory_free(s->directory);
    database_close(s->db);
    (void)pthread_mutex_destroy(&s->url_lock); /* nobody waits */
    free(s->public_url);
    free(s);
}

struct directory *store_directory(struct store *s)
{
    return s->directory;
}

int store_set_public_url(struct store *s, const char *url)
{
    char *copy = strdup(url);
    if (copy == NULL) {
        return ERROR_NOMEM;
    }
    (void)pthread_mutex_lock(&s->url_lock);
    char *old = s->public_url;
    s->public_url = copy;
    (void)pthread_mutex_unlock(&s->url_lock);
    free(old);
    return 0;
}

/* Any thread. ERROR_LIMIT: the job is still the caller's. */
static int push(struct store *s, struct job *job)
{
    int rc = job_queue_push(&s->queue, job);
    if (rc != 0) {
        (void)atomic_fetch_add(&s->n_dropped, 1);
    }
    return rc;
}

void store_audit(struct store *s, const char *who, const char *what, const char *detail)
{
    struct audit_row row;
    struct job *job = job_new(JOB_AUDIT, sizeof(row));

    audit_row_set(&row, clock_wall_s(), who, what, NULL, detail);
    if (job == NULL) {
        (void)atomic_fetch_add(&s->n_dropped, 1);
        rows_log_lost(&row);
        return;
    }
    *job_audit_row(job) = row;
    if (push(s, job) != 0) {
        job_free(job);
        rows_log_lost(&row);
    }
}

int store_note(struct store *s, const struct history_row *row)
{
    if (s->read_only) { /* said at the start */
        return 0;
    }
    struct job *job = job_new(JOB_HISTORY, sizeof(*row));
    if (job == NULL) {
        (void)atomic_fetch_add(&s->n_dropped, 1);
        return ERROR_NOMEM;
    }
    *job_history_row(job) = *row;
    int rc = push(s, job);
    if (rc != 0) {
        job_free(job);
    }
    return rc;
}

int store_control(struct store *s, int64_t server_id, uint16_t op, struct span body,
                  void (*done)(void *user, uint16_t status, struct span body), void *user)
{
    if (body.len > CALL_BYTES_MAX) {
        return ERROR_LIMIT;
    }
    struct job *job = job_new(JOB_CALL, body.len);
    if (job == NULL) {
        (void)atomic_fetch_add(&s->n_dropped, 1);
        return ERROR_LIMIT;
    }
    job->server_id = server_id;
    job->op = op;
    job->done = done;
    job->user = user;
    if (body.len > 0) {
        memcpy(job->body, body.p, body.len);
    }
    int rc = push(s, job);
    if (rc != 0) {
        job_free(job);
    }
    return rc;
}

int store_run(struct store *s, void (*work)(void *user, struct database *db),
              void (*done)(void *user), void *user)
{
    struct job *job = job_new(JOB_RUN, 0);
    if (job == NULL) {
        (void)atomic_fetch_add(&s->n_dropped, 1);
        return ERROR_LIMIT;
    }
    job->run = work;
    job->ran = done;
    job->user = user;
    int rc = push(s, job);
    if (rc != 0) {
        job_free(job);
    }
    return rc;
}

void store_read_stats(struct store *s, struct store_stats *stats)
{
    *stats = (struct store_stats){.n_refreshes = atomic_load(&s->n_refreshes),
                                  .n_failures = atomic_load(&s->n_failures),
                                  .n_dropped = atomic_load(&s->n_dropped),
                                  .healthy = atomic_load(&s->healthy)};
}
