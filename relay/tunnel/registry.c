/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns the tunnel of a server. */
#include "relay/tunnel/registry.h"

#include <stdlib.h>

struct registry_entry {
    int64_t server;
    tunnel_ref tunnel; /* 0 = down */
    uint64_t newest;   /* number of the newest one that was ever up */
    uint64_t changed_ms;
};

void registry_init(struct registry *r, uint64_t now_ms)
{
    map_init_numbers(&r->servers, REGISTRY_SERVERS_MAX);
    r->n_up = 0;
    r->started_ms = now_ms;
}

void registry_close(struct registry *r)
{
    size_t cursor = 0;
    void *entry = NULL;
    while ((entry = map_next(&r->servers, &cursor)) != NULL) {
        free(entry);
    }
    map_close(&r->servers);
}

static struct registry_entry *find(const struct registry *r, int64_t server)
{
    return map_get(&r->servers, &server, sizeof(server));
}

tunnel_ref registry_owner(const struct registry *r, int64_t server)
{
    const struct registry_entry *e = find(r, server);
    return e != NULL ? e->tunnel : 0;
}

bool registry_is_expected(const struct registry *r, int64_t server, uint64_t now_ms)
{
    const struct registry_entry *e = find(r, server);
    uint64_t since_ms = e != NULL ? e->changed_ms : r->started_ms;
    return now_ms - since_ms < REGISTRY_RECENT_MS;
}

static struct registry_entry *add(struct registry *r, int64_t server)
{
    struct registry_entry *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return NULL;
    }
    e->server = server;
    if (map_put(&r->servers, &e->server, sizeof(e->server), e) < 0) {
        free(e);
        return NULL;
    }
    return e;
}

bool registry_up(struct registry *r, int64_t server, tunnel_ref tunnel, uint64_t now_ms,
                 tunnel_ref *replaced)
{
    struct registry_entry *e = find(r, server);
    if (e == NULL) {
        e = add(r, server);
    }
    if (e == NULL || e->newest > ref_number(tunnel)) {
        return false;
    }
    *replaced = e->tunnel;
    if (e->tunnel == 0) {
        r->n_up++;
    }
    e->tunnel = tunnel;
    e->newest = ref_number(tunnel);
    e->changed_ms = now_ms;
    return true;
}

void registry_down(struct registry *r, int64_t server, tunnel_ref tunnel, uint64_t now_ms)
{
    struct registry_entry *e = find(r, server);
    if (e != NULL && e->tunnel == tunnel) {
        e->tunnel = 0;
        e->changed_ms = now_ms;
        r->n_up--;
    }
}
