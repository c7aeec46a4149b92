/* SPDX-License-Identifier: Apache-2.0 */
/* Filling and changing the directory. */
#include "relay/store/directory_write.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/map.h"
#include "relay/store/directory_entry.h"

/* Places in the grace that one change of an entry may take: the entry, its counters, and the
 * tables of two indexes. */
#define RETIREMENTS_MAX 4

static void release_live(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static void release_server(void *user, void *memory)
{
    struct directory *d = user;
    slab_give(&d->server_entries, memory);
}

/* The cell outlives its entries: it is retired after them. */
static void release_key(void *user, void *memory)
{
    struct directory *d = user;
    struct key_entry *entry = memory;

    scope_pool_give(&d->scopes, entry->scope);
    if (entry != &directory_entry_cell(entry->key.live)->first) {
        free(entry);
    }
}

static void release_cell(void *user, void *memory)
{
    struct directory *d = user;
    struct key_cell *cell = memory;

    /* No worker can reach it any more, so this does not change under our eyes. */
    if (atomic_load(&cell->queued)) {
        cell->orphan = true;
    } else {
        slab_give(&d->key_cells, cell);
    }
}

/* Entries are const to everybody but the one who frees them. */
static void *own(const void *item)
{
    return (void *)(uintptr_t)item;
}

struct directory *directory_new(void)
{
    struct directory *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return NULL;
    }
    if (grace_init(&d->grace, d) != 0) {
        goto no_grace;
    }
    if (directory_entry_init(d) != 0) {
        goto no_indexes;
    }
    scope_pool_init(&d->scopes);
    slab_init(&d->key_cells, sizeof(struct key_cell));
    slab_init(&d->server_entries, sizeof(struct server_entry));
    return d;
no_indexes:
    grace_close(&d->grace);
no_grace:
    free(d);
    return NULL;
}

static void drop_used(void *user, int64_t key_id, int64_t used_s)
{
    (void)user;
    (void)key_id;
    (void)used_s;
}

void directory_free(struct directory *d)
{
    const void *item = NULL;
    size_t cursor = 0;

    if (d == NULL) {
        return;
    }
    while (directory_visit_used(d, SIZE_MAX, drop_used, NULL)) {
    }
    grace_close(&d->grace);
    while ((item = index_next(&d->key_ids, &cursor)) != NULL) {
        struct key_entry *entry = own(item);
        struct key_cell *cell = directory_entry_cell(entry->key.live);
        release_key(d, entry);
        slab_give(&d->key_cells, cell);
    }
    cursor = 0;
    while ((item = index_next(&d->servers, &cursor)) != NULL) {
        struct server_entry *entry = own(item);
        free(entry->server.live);
        slab_give(&d->server_entries, entry);
    }
    slab_close(&d->key_cells);
    slab_close(&d->server_entries);
    directory_entry_close(d);
    scope_pool_close(&d->scopes);
    free(d);
}

int directory_reserve(struct directory *d, size_t n_servers, size_t n_keys)
{
    if (index_reserve(&d->servers, n_servers) != 0 || index_reserve(&d->serials, n_servers) != 0 ||
        index_reserve(&d->keys, n_keys) != 0 || index_reserve(&d->key_ids, n_keys) != 0) {
        return ERROR_NOMEM;
    }
    return 0;
}

static bool same_server(const struct directory_server *a, const struct directory_server *b)
{
    return strcmp(a->serial, b->serial) == 0 &&
           memcmp(a->token_hash, b->token_hash, sizeof(a->token_hash)) == 0 &&
           a->enabled == b->enabled && a->may_enable_keys == b->may_enable_keys &&
           a->command_rate.per_s == b->command_rate.per_s &&
           a->command_rate.burst == b->command_rate.burst;
}

/* A new version; takes over the counters of `old`, which may be NULL. */
static struct server_entry *server_new(struct directory *d, const struct directory_server *server,
                                       const struct server_entry *old)
{
    struct server_entry *entry = slab_take(&d->server_entries);
    if (entry == NULL) {
        return NULL;
    }
    entry->server = *server;
    entry->sweep = d->sweep;
    entry->server.live = old != NULL ? old->server.live : calloc(1, sizeof(*old->server.live));
    if (entry->server.live == NULL) {
        slab_give(&d->server_entries, entry);
        return NULL;
    }
    return entry;
}

static void count_items(struct directory *d)
{
    atomic_store_explicit(&d->n_servers, d->servers.n_items, memory_order_relaxed);
    atomic_store_explicit(&d->n_keys, d->keys.n_items, memory_order_relaxed);
}

/* A server that was enabled, or not (or not there), now is, or not. */
static void count_enabled(struct directory *d, bool before, bool now)
{
    size_t n = atomic_load_explicit(&d->n_enabled, memory_order_relaxed);
    n = n + (now ? 1 : 0) - (before ? 1 : 0);
    atomic_store_explicit(&d->n_enabled, n, memory_order_relaxed);
}

static void unlink_serial(struct directory *d, const char *serial)
{
    struct span key = span_of(serial);
    (void)index_remove(&d->serials, map_hash(key.p, key.len), &key);
}

int directory_put_server(struct directory *d, const struct directory_server *server, bool *changed)
{
    struct server_entry *old = own(directory_entry_server(d, server->id));
    struct span serial = span_of(server->serial);

    if (old != NULL && same_server(&old->server, server)) {
        old->sweep = d->sweep;
        *changed = false;
        return 0;
    }
    if (directory_reserve(d, 1, 0) != 0 || grace_reserve(&d->grace, RETIREMENTS_MAX) != 0) {
        return ERROR_NOMEM;
    }
    struct server_entry *entry = server_new(d, server, old);
    if (entry == NULL) {
        return ERROR_NOMEM;
    }
    (void)index_put(&d->servers, index_hash_id(server->id), &server->id, entry);
    if (old != NULL && strcmp(old->server.serial, server->serial) != 0) {
        unlink_serial(d, old->server.serial);
    }
    /* Another server with this serial can only be one that is about to be removed; it stays in the
     * index by id until then. */
    (void)index_put(&d->serials, map_hash(serial.p, serial.len), &serial, entry);
    count_enabled(d, old != NULL && old->server.enabled, server->enabled);
    if (old != NULL) {
        grace_retire(&d->grace, old, release_server);
    }
    count_items(d);
    *changed = true;
    return 0;
}

static bool same_key(const struct key_entry *old, const struct directory_key *key,
                     const uint8_t *hash, const struct scope_shared *scope)
{
    const struct directory_key *a = &old->key;
    return a->server_id == key->server_id && a->enabled == key->enabled &&
           a->not_after_s == key->not_after_s && a->rate.per_s == key->rate.per_s &&
           a->rate.burst == key->rate.burst && old->scope == scope &&
           memcmp(old->hash, hash, sizeof(old->hash)) == 0;
}

/* Room for a version, in the cell of a new key or beside that of an old one. */
static struct key_entry *key_room(struct directory *d, const struct key_entry *old)
{
    if (old != NULL) {
        struct key_entry *entry = calloc(1, sizeof(*entry));
        if (entry != NULL) {
            entry->key.live = old->key.live;
        }
        return entry;
    }
    struct key_cell *cell = slab_take(&d->key_cells);
    if (cell == NULL) {
        return NULL;
    }
    cell->first.key.live = &cell->live;
    return &cell->first;
}

/* As server_new. Takes `scope` on success. */
static struct key_entry *key_new(struct directory *d, const struct directory_key *key,
                                 const uint8_t *hash, struct scope_shared *scope,
                                 const struct key_entry *old)
{
    struct key_entry *entry = key_room(d, old);
    if (entry == NULL) {
        return NULL;
    }
    struct directory_live *live = entry->key.live;
    entry->key = *key;
    entry->key.live = live;
    entry->sweep = d->sweep;
    entry->scope = scope;
    entry->key.scope = scope == NULL ? NULL : scope->scope;
    memcpy(entry->hash, hash, sizeof(entry->hash));
    return entry;
}

static void link_key(struct directory *d, struct key_entry *entry, struct key_entry *old)
{
    if (old != NULL && memcmp(old->hash, entry->hash, sizeof(old->hash)) != 0) {
        (void)index_remove(&d->keys, directory_entry_prefix(old->hash), old->hash);
    }
    (void)index_put(&d->key_ids, index_hash_id(entry->key.id), &entry->key.id, entry);
    (void)index_put(&d->keys, directory_entry_prefix(entry->hash), entry->hash, entry);
    if (old != NULL) {
        grace_retire(&d->grace, old, release_key);
    }
    count_items(d);
}

int directory_put_key(struct directory *d, const struct directory_key *key,
                      const uint8_t hash[DIRECTORY_HASH_BYTES], struct span scope_json,
                      struct error_text *e)
{
    struct key_entry *old = own(directory_entry_key_id(d, key->id));
    struct scope_shared *scope = NULL;

    int rc = scope_pool_take(&d->scopes, scope_json, &scope, e);
    if (rc != 0) {
        return rc;
    }
    if (old != NULL && same_key(old, key, hash, scope)) {
        old->sweep = d->sweep;
        scope_pool_give(&d->scopes, scope);
        return 0;
    }
    struct key_entry *entry = NULL;
    if (directory_reserve(d, 0, 1) == 0 && grace_reserve(&d->grace, RETIREMENTS_MAX) == 0) {
        entry = key_new(d, key, hash, scope, old);
    }
    if (entry == NULL) {
        scope_pool_give(&d->scopes, scope);
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    link_key(d, entry, old);
    return 0;
}

bool directory_remove_server(struct directory *d, int64_t id)
{
    struct server_entry *entry = own(index_remove(&d->servers, index_hash_id(id), &id));
    if (entry == NULL) {
        return false;
    }
    /* The serial may already lead to its successor. */
    if (directory_entry_serial(d, span_of(entry->server.serial)) == entry) {
        unlink_serial(d, entry->server.serial);
    }
    count_items(d);
    count_enabled(d, entry->server.enabled, false);
    grace_make_room(&d->grace, 2);
    grace_retire(&d->grace, entry->server.live, release_live);
    grace_retire(&d->grace, entry, release_server);
    return true;
}

bool directory_remove_key(struct directory *d, int64_t id)
{
    struct key_entry *entry = own(index_remove(&d->key_ids, index_hash_id(id), &id));
    if (entry == NULL) {
        return false;
    }
    (void)index_remove(&d->keys, directory_entry_prefix(entry->hash), entry->hash);
    count_items(d);
    grace_make_room(&d->grace, 2);
    grace_retire(&d->grace, entry, release_key);
    grace_retire(&d->grace, directory_entry_cell(entry->key.live), release_cell);
    return true;
}

void directory_begin_sweep(struct directory *d)
{
    d->sweep++;
}

void directory_sweep_servers(struct directory *d, void (*on_server)(void *user, int64_t id),
                             void *user)
{
    const void *item = NULL;
    size_t cursor = 0;

    while ((item = index_next(&d->servers, &cursor)) != NULL) {
        const struct server_entry *entry = item;
        if (entry->sweep != d->sweep) {
            int64_t id = entry->server.id;
            (void)directory_remove_server(d, id);
            on_server(user, id);
        }
    }
}

void directory_sweep_keys(struct directory *d)
{
    const void *item = NULL;
    size_t cursor = 0;

    while ((item = index_next(&d->key_ids, &cursor)) != NULL) {
        const struct key_entry *entry = item;
        if (entry->sweep != d->sweep) {
            (void)directory_remove_key(d, entry->key.id);
        }
    }
}

void directory_reclaim(struct directory *d)
{
    grace_reclaim(&d->grace);
}

bool directory_has_used(const struct directory *d)
{
    return d->taken != NULL || atomic_load(&d->used) != NULL;
}

bool directory_visit_used(struct directory *d, size_t n_max,
                          void (*visit)(void *user, int64_t key_id, int64_t used_s), void *user)
{
    if (d->taken == NULL) {
        d->taken = atomic_exchange(&d->used, NULL);
    }
    for (size_t n = 0; d->taken != NULL && n < n_max; n++) {
        struct key_cell *cell = d->taken;
        d->taken = cell->next_used;
        if (cell->orphan) {
            slab_give(&d->key_cells, cell);
        } else {
            /* First taken off, then read: a use in between queues it again. The first version has
             * the id for good. */
            atomic_store(&cell->queued, false);
            visit(user, cell->first.key.id, atomic_load(&cell->live.last_used_s));
        }
    }
    return directory_has_used(d);
}
