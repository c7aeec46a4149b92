/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up in the directory.
 *
 * Used keys are chained into a list that any worker pushes to and only the store thread takes, so
 * that writing back the last-used times needs no look at the million that were not used. */
#include "relay/store/directory.h"

#include <stdlib.h>

#include "proto/base/secret.h"
#include "relay/store/credential.h"
#include "relay/store/directory_entry.h"

_Static_assert(DIRECTORY_HASH_BYTES == CREDENTIAL_HASH_BYTES, "one hash for all");

/* Longer ones are no keys; only so much of them is hashed. Our own are CREDENTIAL_CHARS; longer
 * ones may have been brought along from elsewhere. */
#define KEY_BYTES_MAX 64

struct directory_reader {
    struct directory *directory;
    struct grace_reader grace;
    struct credential_hasher hasher;
    /* What directory_find_key found last, until directory_leave: most requests ask for it again by
     * its id in the same turn. NULL = nothing. */
    const struct key_entry *key;
    const struct server_entry *owner; /* its server */
};

/* Stand in for what was not found, so that looking further costs the same. */
static const struct server_entry NO_SERVER;
static const struct key_entry NO_KEY;

struct directory_reader *directory_join(struct directory *d)
{
    struct directory_reader *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    if (credential_hasher_init(&r->hasher) != 0) {
        free(r);
        return NULL;
    }
    r->directory = d;
    grace_join(&d->grace, &r->grace);
    return r;
}

void directory_part(struct directory_reader *r)
{
    if (r == NULL) {
        return;
    }
    grace_part(&r->directory->grace, &r->grace);
    credential_hasher_close(&r->hasher);
    free(r);
}

void directory_leave(struct directory_reader *r)
{
    r->key = NULL;
    r->owner = NULL;
    grace_leave(&r->grace);
}

static bool in_time(const struct directory_key *key, int64_t now_s)
{
    return (key->not_after_s == 0) | (now_s < key->not_after_s);
}

/* Any thread. */
static void mark_used(struct directory *d, struct directory_live *live, int64_t now_s)
{
    struct key_cell *cell = directory_entry_cell(live);

    if (atomic_load_explicit(&live->last_used_s, memory_order_relaxed) != now_s) {
        atomic_store_explicit(&live->last_used_s, now_s, memory_order_relaxed);
    }
    if (atomic_load_explicit(&cell->queued, memory_order_relaxed) ||
        atomic_exchange(&cell->queued, true)) {
        return;
    }
    cell->next_used = atomic_load(&d->used);
    while (!atomic_compare_exchange_weak(&d->used, &cell->next_used, cell)) {
    }
}

/* The hash of what may be a credential; false if it cannot be one. */
static bool hash_presented(struct directory_reader *r, struct span text,
                           uint8_t hash[DIRECTORY_HASH_BYTES])
{
    bool fits = text.len <= KEY_BYTES_MAX;
    struct span hashed = {text.p, fits ? text.len : KEY_BYTES_MAX};
    return credential_hash(&r->hasher, hashed, hash) & fits;
}

const struct directory_key *directory_find_key(struct directory_reader *r, struct span key,
                                               int64_t now_s,
                                               const struct directory_server **server)
{
    struct directory *d = r->directory;
    uint8_t hash[DIRECTORY_HASH_BYTES] = {0};

    grace_enter(&d->grace, &r->grace);
    r->key = NULL;
    r->owner = NULL;
    bool usable = hash_presented(r, key, hash);
    const struct key_entry *entry = directory_entry_key(d, hash);
    if (entry == NULL) {
        entry = &NO_KEY;
        usable &= secret_equal(entry->hash, hash, sizeof(hash));
    }
    const struct server_entry *owner = directory_entry_server(d, entry->key.server_id);
    if (owner == NULL) {
        owner = &NO_SERVER;
    }
    usable &= entry->key.enabled & owner->server.enabled & in_time(&entry->key, now_s);
    secret_cleanse(hash, sizeof(hash));
    if (!usable) {
        return NULL;
    }
    mark_used(d, entry->key.live, now_s);
    r->key = entry;
    r->owner = owner;
    *server = &owner->server;
    return &entry->key;
}

const struct directory_server *directory_find_agent(struct directory_reader *r, struct span serial,
                                                    struct span token)
{
    uint8_t hash[DIRECTORY_HASH_BYTES] = {0};

    grace_enter(&r->directory->grace, &r->grace);
    bool usable = hash_presented(r, token, hash);
    const struct server_entry *entry = directory_entry_serial(r->directory, serial);
    if (entry == NULL) {
        entry = &NO_SERVER;
    }
    usable &= secret_equal(entry->server.token_hash, hash, sizeof(hash));
    secret_cleanse(hash, sizeof(hash));
    return usable ? &entry->server : NULL;
}

const struct directory_server *directory_find_server(struct directory_reader *r, int64_t id)
{
    grace_enter(&r->directory->grace, &r->grace);
    const struct server_entry *entry = directory_entry_server(r->directory, id);
    return entry == NULL ? NULL : &entry->server;
}

struct visit {
    void (*visit)(void *user, const struct directory_server *server);
    void *user;
};

static void visit_entry(void *user, const void *item)
{
    const struct visit *v = user;
    const struct server_entry *entry = item;
    v->visit(v->user, &entry->server);
}

void directory_visit_servers(struct directory_reader *r,
                             void (*visit)(void *user, const struct directory_server *server),
                             void *user)
{
    struct visit v = {visit, user};

    grace_enter(&r->directory->grace, &r->grace);
    index_visit(&r->directory->servers, visit_entry, &v);
}

const struct directory_key *directory_find_key_id(struct directory_reader *r, int64_t key_id,
                                                  int64_t now_s,
                                                  const struct directory_server **server)
{
    grace_enter(&r->directory->grace, &r->grace);
    bool again = r->key != NULL && r->key->key.id == key_id;
    const struct key_entry *entry = again ? r->key : directory_entry_key_id(r->directory, key_id);
    if (entry == NULL || !entry->key.enabled || !in_time(&entry->key, now_s)) {
        return NULL;
    }
    const struct server_entry *owner =
        again ? r->owner : directory_entry_server(r->directory, entry->key.server_id);
    if (owner == NULL || !owner->server.enabled) {
        return NULL;
    }
    *server = &owner->server;
    return &entry->key;
}

bool directory_key_usable(struct directory_reader *r, int64_t key_id, int64_t now_s)
{
    const struct directory_server *server = NULL;
    return directory_find_key_id(r, key_id, now_s, &server) != NULL;
}

struct directory_counts directory_count(const struct directory *d)
{
    return (struct directory_counts){
        .n_servers = atomic_load_explicit(&d->n_servers, memory_order_relaxed),
        .n_enabled = atomic_load_explicit(&d->n_enabled, memory_order_relaxed),
        .n_keys = atomic_load_explicit(&d->n_keys, memory_order_relaxed)};
}
