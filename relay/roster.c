/* SPDX-License-Identifier: Apache-2.0 */
/* Which buildings have series of their own. Ids grow as servers are added, so the last id chosen
 * tells for every building on which side it is: no look-up per request. */
#include "relay/roster.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct roster {
    _Atomic int64_t last_id; /* of those chosen; 0 = none */
    pthread_mutex_t lock;    /* guards what follows */
    size_t n_rows;
    struct roster_row *rows; /* owned */
};

struct roster *roster_new(void)
{
    struct roster *r = calloc(1, sizeof(*r));
    if (r == NULL || pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r);
        return NULL;
    }
    return r;
}

void roster_free(struct roster *r)
{
    if (r == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&r->lock); /* nobody waits */
    free(r->rows);
    free(r);
}

/* The first ones of those seen so far, by id. */
struct choice {
    const struct directory_server *servers[ROSTER_MAX];
    size_t n;
    size_t n_max;
};

static void consider(void *user, const struct directory_server *server)
{
    struct choice *c = user;
    size_t at = c->n;
    if (c->n == c->n_max) {
        if (c->n == 0 || server->id >= c->servers[c->n - 1]->id) {
            return;
        }
        at--; /* the last one gives way */
    } else {
        c->n++;
    }
    for (; at > 0 && c->servers[at - 1]->id > server->id; at--) {
        c->servers[at] = c->servers[at - 1];
    }
    c->servers[at] = server;
}

static void take_over(struct roster *r, const struct choice *c, struct roster_row *rows)
{
    for (size_t i = 0; i < c->n; i++) {
        rows[i].id = c->servers[i]->id;
        rows[i].enabled = c->servers[i]->enabled;
        memcpy(rows[i].serial, c->servers[i]->serial, sizeof(rows[i].serial));
    }
    (void)pthread_mutex_lock(&r->lock);
    struct roster_row *old = r->rows;
    r->rows = rows;
    r->n_rows = c->n;
    (void)pthread_mutex_unlock(&r->lock);
    free(old);
    atomic_store_explicit(&r->last_id, c->n > 0 ? c->servers[c->n - 1]->id : 0,
                          memory_order_relaxed);
}

void roster_renew(struct roster *r, struct directory_reader *reader, size_t n_max)
{
    struct choice *c = calloc(1, sizeof(*c));
    struct roster_row *rows = NULL;
    if (c == NULL) {
        return;
    }
    c->n_max = n_max < ROSTER_MAX ? n_max : ROSTER_MAX;
    directory_visit_servers(reader, consider, c);
    rows = calloc(c->n + 1, sizeof(*rows)); /* never of no size */
    if (rows != NULL) {
        take_over(r, c, rows);
    }
    free(c);
}

bool roster_has(const struct roster *r, int64_t server)
{
    return server <= atomic_load_explicit(&r->last_id, memory_order_relaxed);
}

size_t roster_read(struct roster *r, struct roster_row rows[ROSTER_MAX])
{
    (void)pthread_mutex_lock(&r->lock);
    size_t n = r->n_rows;
    if (n > 0) {
        memcpy(rows, r->rows, n * sizeof(rows[0]));
    }
    (void)pthread_mutex_unlock(&r->lock);
    return n;
}
