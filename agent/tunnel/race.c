/* SPDX-License-Identifier: Apache-2.0 */
/* Happy eyeballs, in rounds.
 *
 * Happy path: the lookup gives the addresses; the first is connected to; every RACE_STAGGER_MS, or
 * at once when an attempt fails, the next one joins; the first that connects wins.
 *
 * The lookup is slow or fails: the addresses that it remembers take part instead.
 *
 * Failures: the name does not resolve and never did; all attempts have failed; RACE_DEADLINE_MS
 * passes. In every case, and on race_cancel, all handles are closed, and the race frees itself when
 * the last of them has called back. */
#include "agent/tunnel/race.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"

struct race;

struct attempt {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct race *race;
    size_t address;
};

struct race {
    struct lookup *lookup;
    uv_timer_t next_timer; /* patience, then stagger or round */
    uv_timer_t deadline;
    struct attempt attempts[RACE_ATTEMPTS_MAX];
    struct sockaddr_storage addresses[RACE_ADDRESSES_MAX];
    size_t n_addresses; /* 0 = still resolving */
    size_t next;        /* address of this round */
    size_t n_started;
    size_t n_failed;
    size_t n_handles; /* open, or their close callback is pending */
    bool resolving;   /* on_resolved is to come */
    bool resting;     /* all of this round was started; the timer begins the next one */
    bool over;        /* won, lost or cancelled */
    int failure;      /* the most telling one so far */
    struct url to;
    race_done on_done;
    void *user;
};

static void on_closed(uv_handle_t *handle)
{
    struct race *r = handle->data;
    r->n_handles--;
    if (r->n_handles == 0) {
        free(r);
    }
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, on_closed);
    }
}

/* Closes everything; no callback to the owner afterwards. */
static void end(struct race *r)
{
    r->over = true;
    if (r->resolving) {
        r->resolving = false;
        lookup_stop(r->lookup);
    }
    close_handle((uv_handle_t *)&r->next_timer);
    close_handle((uv_handle_t *)&r->deadline);
    for (size_t i = 0; i < r->n_started; i++) {
        close_handle((uv_handle_t *)&r->attempts[i].tcp);
    }
}

static void finish(struct race *r, const struct sockaddr *winner, const char *reason)
{
    if (!r->over) {
        end(r);
        r->on_done(r->user, winner, reason); /* `r` lives on until its handles are closed */
    }
}

static void lose(struct race *r, const char *why)
{
    char authority[URL_AUTHORITY_BYTES];
    struct error_text e;

    url_format_authority(&r->to, 0, authority);
    (void)error_set(&e, ERROR_CLOSED, "cannot connect to %s: %s", authority, why);
    finish(r, NULL, e.text);
}

/* "connection refused" says more than "network is unreachable" of the other family. */
static void note_failure(struct race *r, int status)
{
    bool dull = r->failure == UV_ENETUNREACH || r->failure == UV_EHOSTUNREACH ||
                r->failure == UV_EADDRNOTAVAIL || r->failure == UV_EAFNOSUPPORT;
    if (r->failure == 0 || dull) {
        r->failure = status;
    }
}

static void start_next(struct race *r);

static void on_connected(uv_connect_t *connect, int status)
{
    struct attempt *a = connect->data;
    struct race *r = a->race;

    if (r->over) {
        return;
    }
    if (status == 0) {
        finish(r, (const struct sockaddr *)&r->addresses[a->address], NULL);
        return;
    }
    note_failure(r, status);
    r->n_failed++;
    close_handle((uv_handle_t *)&a->tcp);
    start_next(r);
}

static int start_attempt(struct race *r, size_t address)
{
    struct attempt *a = &r->attempts[r->n_started];

    a->race = r;
    a->address = address;
    int rc = uv_tcp_init(r->deadline.loop, &a->tcp); /* fails for no reason we could cause */
    if (rc != 0) {
        return rc;
    }
    a->tcp.data = r;
    a->connect.data = a;
    r->n_handles++;
    r->n_started++;
    rc = uv_tcp_connect(&a->connect, &a->tcp, (const struct sockaddr *)&r->addresses[address],
                        on_connected);
    if (rc != 0) {
        r->n_failed++;
    }
    return rc;
}

static void on_next(uv_timer_t *timer)
{
    struct race *r = timer->data;
    if (r->resting) {
        r->resting = false;
        r->next = 0;
    }
    start_next(r);
}

static void wait(struct race *r)
{
    r->resting = r->next == r->n_addresses;
    (void)uv_timer_start(&r->next_timer, on_next, r->resting ? RACE_ROUND_MS : RACE_STAGGER_MS, 0);
}

/* One more attempt, or else the end if there is none that could win. */
static void start_next(struct race *r)
{
    while (r->next < r->n_addresses && r->n_started < RACE_ATTEMPTS_MAX) {
        int rc = start_attempt(r, r->next);
        r->next++;
        if (rc == 0) {
            wait(r);
            return;
        }
        note_failure(r, rc);
    }
    if (r->n_failed == r->n_started && !r->resolving) {
        lose(r, uv_strerror(r->failure));
    } else if (!r->resting) {
        wait(r);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    lose(timer->data, "no answer");
}

static void begin(struct race *r)
{
    (void)uv_timer_stop(&r->next_timer);
    (void)uv_timer_start(&r->deadline, on_deadline, RACE_DEADLINE_MS, 0);
    start_next(r);
}

static void on_begin(uv_timer_t *timer)
{
    begin(timer->data);
}

static bool is_known(const struct race *r, const struct sockaddr_storage *address)
{
    for (size_t i = 0; i < r->n_addresses; i++) {
        if (memcmp(&r->addresses[i], address, sizeof(*address)) == 0) {
            return true;
        }
    }
    return false;
}

/* Those of the lookup that do not take part yet. */
static void take_addresses(struct race *r)
{
    size_t n;
    const struct sockaddr_storage *from = lookup_addresses(r->lookup, &n);

    for (size_t i = 0; i < n && r->n_addresses < RACE_ADDRESSES_MAX; i++) {
        if (!is_known(r, &from[i])) {
            r->addresses[r->n_addresses++] = from[i];
        }
    }
}

/* The resolver is silent: the last answer will do. */
static void on_impatient(uv_timer_t *timer)
{
    struct race *r = timer->data;
    take_addresses(r);
    begin(r);
}

static void on_resolved(void *user, int status)
{
    struct race *r = user;
    bool begun = r->n_addresses > 0;
    struct error_text e;

    r->resolving = false;
    take_addresses(r);
    if (r->n_addresses == 0) {
        (void)error_set(&e, ERROR_CLOSED, "cannot resolve %s: %s", r->to.host,
                        uv_strerror(status == 0 ? UV_EAI_NODATA : status));
        finish(r, NULL, e.text);
    } else if (!begun) {
        begin(r);
    } else if (r->resting) {
        start_next(r);
    }
}

/* An address needs no resolver. True if the host is one. */
static bool take_literal(struct race *r)
{
    struct sockaddr_storage *address = &r->addresses[0];

    if (!r->to.literal) {
        return false;
    }
    int rc = r->to.v6 ? uv_ip6_addr(r->to.host, r->to.port, (struct sockaddr_in6 *)address)
                      : uv_ip4_addr(r->to.host, r->to.port, (struct sockaddr_in *)address);
    r->n_addresses = rc == 0 ? 1 : 0;
    return rc == 0;
}

static int start(struct race *r)
{
    size_t n_known;

    if (take_literal(r)) {
        return uv_timer_start(&r->next_timer, on_begin, 0, 0);
    }
    int rc = lookup_start(r->lookup, &r->to, on_resolved, r);
    r->resolving = rc == 0;
    (void)lookup_addresses(r->lookup, &n_known);
    if (rc == 0 && n_known > 0) {
        rc = uv_timer_start(&r->next_timer, on_impatient, RACE_RESOLVE_MS, 0);
    }
    return rc;
}

int race_start(uv_loop_t *loop, struct lookup *lookup, const struct url *to, race_done on_done,
               void *user, struct race **race)
{
    struct race *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return ERROR_NOMEM;
    }
    r->lookup = lookup;
    r->to = *to;
    r->on_done = on_done;
    r->user = user;
    (void)uv_timer_init(loop, &r->next_timer); /* neither can fail */
    (void)uv_timer_init(loop, &r->deadline);
    r->next_timer.data = r;
    r->deadline.data = r;
    r->n_handles = 2;
    if (start(r) != 0) {
        race_cancel(r);
        return ERROR_NOMEM;
    }
    *race = r;
    return 0;
}

void race_cancel(struct race *r)
{
    end(r);
}

bool race_resolving(const struct race *r)
{
    return r->n_addresses == 0;
}
