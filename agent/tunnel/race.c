/* SPDX-License-Identifier: Apache-2.0 */
/* Happy eyeballs.
 *
 * Happy path: uv_getaddrinfo gives the addresses; the first is connected to; every RACE_STAGGER_MS,
 * or at once when an attempt fails, the next one joins; the first that connects wins.
 *
 * Failures: the name does not resolve; all attempts fail; RACE_DEADLINE_MS passes. In every case,
 * and on race_cancel, all handles are closed, and the race frees itself when the last of them and
 * the resolver have called back. */
#include "agent/tunnel/race.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"

struct race;

struct attempt {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct race *race;
};

struct race {
    uv_getaddrinfo_t resolver;
    uv_timer_t stagger;
    uv_timer_t deadline;
    struct attempt attempts[RACE_ADDRESSES_MAX];
    struct sockaddr_storage addresses[RACE_ADDRESSES_MAX];
    size_t n_addresses;
    size_t n_started;
    size_t n_failed;
    size_t n_handles; /* open, or their close callback is pending */
    bool resolving;
    bool over;   /* won, lost or cancelled */
    int failure; /* the most telling one so far */
    struct url to;
    race_done on_done;
    void *user;
};

static void free_if_idle(struct race *r)
{
    if (r->over && !r->resolving && r->n_handles == 0) {
        free(r);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct race *r = handle->data;
    r->n_handles--;
    free_if_idle(r);
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
    close_handle((uv_handle_t *)&r->stagger);
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
    r->n_failed++;
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
        finish(r, (const struct sockaddr *)&r->addresses[a - r->attempts], NULL);
        return;
    }
    note_failure(r, status);
    start_next(r);
}

static void on_stagger(uv_timer_t *timer)
{
    start_next(timer->data);
}

static int start_attempt(struct race *r, size_t i)
{
    struct attempt *a = &r->attempts[i];

    a->race = r;
    int rc = uv_tcp_init(r->stagger.loop, &a->tcp); /* fails for no reason we could cause */
    if (rc != 0) {
        return rc;
    }
    a->tcp.data = r;
    a->connect.data = a;
    r->n_handles++;
    r->n_started = i + 1;
    return uv_tcp_connect(&a->connect, &a->tcp, (const struct sockaddr *)&r->addresses[i],
                          on_connected);
}

/* One more attempt, or the end when none is left that could win. */
static void start_next(struct race *r)
{
    while (!r->over && r->n_started < r->n_addresses) {
        int rc = start_attempt(r, r->n_started);
        if (rc == 0) {
            (void)uv_timer_start(&r->stagger, on_stagger, RACE_STAGGER_MS, 0);
            return;
        }
        note_failure(r, rc);
    }
    if (!r->over && r->n_failed == r->n_addresses) {
        lose(r, uv_strerror(r->failure));
    }
}

static void on_deadline(uv_timer_t *timer)
{
    lose(timer->data, "no answer");
}

static void begin(struct race *r)
{
    (void)uv_timer_start(&r->deadline, on_deadline, RACE_DEADLINE_MS, 0);
    start_next(r);
}

static void on_begin(uv_timer_t *timer)
{
    begin(timer->data);
}

static void add_address(struct race *r, const struct sockaddr *address, size_t len)
{
    struct sockaddr_storage *slot = &r->addresses[r->n_addresses++];
    memcpy(slot, address, len);
    if (slot->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)slot)->sin6_port = htons(r->to.port);
    } else {
        ((struct sockaddr_in *)slot)->sin_port = htons(r->to.port);
    }
}

static const struct addrinfo *skip_to(const struct addrinfo *a, bool v6)
{
    while (a != NULL && (a->ai_family != AF_INET && a->ai_family != AF_INET6)) {
        a = a->ai_next;
    }
    while (a != NULL && a->ai_family != (v6 ? AF_INET6 : AF_INET)) {
        a = a->ai_next;
    }
    return a;
}

/* The families in turn, beginning with the one that the system prefers (RFC 6724), each in the
 * system's order. */
static void take_addresses(struct race *r, const struct addrinfo *all)
{
    const struct addrinfo *next[2] = {skip_to(all, false), skip_to(all, true)};
    size_t turn = all->ai_family == AF_INET6 ? 1 : 0;

    while (r->n_addresses < RACE_ADDRESSES_MAX && (next[0] != NULL || next[1] != NULL)) {
        const struct addrinfo *a = next[turn];
        if (a != NULL) {
            add_address(r, a->ai_addr, a->ai_addrlen);
            next[turn] = skip_to(a->ai_next, turn == 1);
        }
        turn = 1 - turn;
    }
}

static void on_resolved(uv_getaddrinfo_t *resolver, int status, struct addrinfo *all)
{
    struct race *r = resolver->data;

    r->resolving = false;
    if (!r->over && status != 0) {
        struct error_text e;
        (void)error_set(&e, ERROR_CLOSED, "cannot resolve %s: %s", r->to.host, uv_strerror(status));
        finish(r, NULL, e.text);
    } else if (!r->over) {
        take_addresses(r, all);
        begin(r);
    }
    uv_freeaddrinfo(all);
    free_if_idle(r);
}

/* An address needs no resolver. True if the host is one. */
static bool take_literal(struct race *r)
{
    struct sockaddr_storage address = {0};

    if (!r->to.literal) {
        return false;
    }
    int rc = r->to.v6 ? uv_ip6_addr(r->to.host, 0, (struct sockaddr_in6 *)&address)
                      : uv_ip4_addr(r->to.host, 0, (struct sockaddr_in *)&address);
    if (rc != 0) {
        return false;
    }
    add_address(r, (const struct sockaddr *)&address,
                r->to.v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    return true;
}

static int start_resolving(uv_loop_t *loop, struct race *r)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

    if (take_literal(r)) {
        return uv_timer_start(&r->stagger, on_begin, 0, 0);
    }
    r->resolver.data = r;
    int rc = uv_getaddrinfo(loop, &r->resolver, on_resolved, r->to.host, NULL, &hints);
    r->resolving = rc == 0;
    return rc;
}

int race_start(uv_loop_t *loop, const struct url *to, race_done on_done, void *user,
               struct race **race)
{
    struct race *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return ERROR_NOMEM;
    }
    r->to = *to;
    r->on_done = on_done;
    r->user = user;
    (void)uv_timer_init(loop, &r->stagger); /* neither can fail */
    (void)uv_timer_init(loop, &r->deadline);
    r->stagger.data = r;
    r->deadline.data = r;
    r->n_handles = 2;
    if (start_resolving(loop, r) != 0) {
        race_cancel(r);
        return ERROR_NOMEM;
    }
    *race = r;
    return 0;
}

void race_cancel(struct race *r)
{
    end(r);
    if (r->resolving) {
        (void)uv_cancel((uv_req_t *)&r->resolver); /* works if it has not been begun */
    }
}

bool race_resolving(const struct race *r)
{
    return r->resolving;
}
