/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the resolver, by libuv's threads.
 *
 * Happy path: lookup_start -> uv_getaddrinfo -> the addresses are taken over, on_done.
 *
 * A question cannot be taken back while a thread works on it. So it has memory of its own, which
 * goes when it is back; one that nobody belongs to any more (closed, or for another host) finds its
 * `lookup` NULL. */
#include "agent/tunnel/lookup.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"

struct lookup_query {
    uv_getaddrinfo_t resolver;
    struct lookup *lookup; /* NULL = given up */
};

void lookup_init(struct lookup *l, uv_loop_t *loop)
{
    *l = (struct lookup){.loop = loop};
}

static void give_up(struct lookup *l)
{
    if (l->query != NULL) {
        l->query->lookup = NULL;
        (void)uv_cancel((uv_req_t *)&l->query->resolver); /* works if it has not been begun */
        l->query = NULL;
    }
}

void lookup_close(struct lookup *l)
{
    lookup_stop(l);
    give_up(l);
}

void lookup_stop(struct lookup *l)
{
    l->on_done = NULL;
}

static void add_address(struct lookup *l, const struct addrinfo *a)
{
    struct sockaddr_storage *slot = &l->addresses[l->n_addresses++];

    *slot = (struct sockaddr_storage){0};
    memcpy(slot, a->ai_addr, a->ai_addrlen);
    if (slot->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)slot)->sin6_port = htons(l->to.port);
    } else {
        ((struct sockaddr_in *)slot)->sin_port = htons(l->to.port);
    }
}

static const struct addrinfo *skip_to(const struct addrinfo *a, bool v6)
{
    while (a != NULL && a->ai_family != (v6 ? AF_INET6 : AF_INET)) {
        a = a->ai_next;
    }
    return a;
}

static void take_addresses(struct lookup *l, const struct addrinfo *all)
{
    const struct addrinfo *next[2] = {skip_to(all, false), skip_to(all, true)};
    size_t turn = all->ai_family == AF_INET6 ? 1 : 0;

    l->n_addresses = 0;
    while (l->n_addresses < LOOKUP_ADDRESSES_MAX && (next[0] != NULL || next[1] != NULL)) {
        const struct addrinfo *a = next[turn];
        if (a != NULL) {
            add_address(l, a);
            next[turn] = skip_to(a->ai_next, turn == 1);
        }
        turn = 1 - turn;
    }
}

static void on_resolved(uv_getaddrinfo_t *resolver, int status, struct addrinfo *all)
{
    struct lookup_query *q = resolver->data;
    struct lookup *l = q->lookup;

    free(q);
    if (l != NULL) {
        l->query = NULL;
        if (status == 0 && all != NULL) {
            take_addresses(l, all);
        }
    }
    uv_freeaddrinfo(all);
    if (l != NULL && l->on_done != NULL) {
        lookup_done on_done = l->on_done;
        l->on_done = NULL;
        on_done(l->user, status);
    }
}

static int ask(struct lookup *l)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct lookup_query *q = calloc(1, sizeof(*q));

    if (q == NULL) {
        return ERROR_NOMEM;
    }
    q->lookup = l;
    q->resolver.data = q;
    if (uv_getaddrinfo(l->loop, &q->resolver, on_resolved, l->to.host, NULL, &hints) != 0) {
        free(q);
        return ERROR_NOMEM;
    }
    l->query = q;
    return 0;
}

int lookup_start(struct lookup *l, const struct url *to, lookup_done on_done, void *user)
{
    int rc = 0;

    if (!url_equal(&l->to, to)) {
        give_up(l);
        l->to = *to;
        l->n_addresses = 0;
    }
    if (l->query == NULL) {
        rc = ask(l);
    }
    if (rc == 0) {
        l->on_done = on_done;
        l->user = user;
    }
    return rc;
}

const struct sockaddr_storage *lookup_addresses(const struct lookup *l, size_t *n)
{
    *n = l->n_addresses;
    return l->addresses;
}
