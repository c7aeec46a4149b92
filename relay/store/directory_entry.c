/* SPDX-License-Identifier: Apache-2.0 */
/* The four indexes of the directory: what their items are found by. */
#include "relay/store/directory_entry.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/base/map.h"
#include "proto/base/secret.h"

uint64_t directory_entry_prefix(const uint8_t *hash)
{
    uint64_t prefix = 0;
    memcpy(&prefix, hash, sizeof(prefix));
    return prefix;
}

static uint64_t hash_server_id(const void *item)
{
    return index_hash_id(((const struct server_entry *)item)->server.id);
}

static bool match_server_id(const void *item, const void *key)
{
    return ((const struct server_entry *)item)->server.id == *(const int64_t *)key;
}

static uint64_t hash_serial(const void *item)
{
    const char *serial = ((const struct server_entry *)item)->server.serial;
    return map_hash(serial, strlen(serial));
}

static bool match_serial(const void *item, const void *key)
{
    return span_equal(span_of(((const struct server_entry *)item)->server.serial),
                      *(const struct span *)key);
}

static uint64_t hash_key(const void *item)
{
    return directory_entry_prefix(((const struct key_entry *)item)->hash);
}

/* The prefix may be compared openly: nobody can aim at a SHA-256. */
static bool match_key(const void *item, const void *key)
{
    const struct key_entry *entry = item;
    return directory_entry_prefix(entry->hash) == directory_entry_prefix(key) &&
           secret_equal(entry->hash, key, sizeof(entry->hash));
}

static uint64_t hash_key_id(const void *item)
{
    return index_hash_id(((const struct key_entry *)item)->key.id);
}

static bool match_key_id(const void *item, const void *key)
{
    return ((const struct key_entry *)item)->key.id == *(const int64_t *)key;
}

int directory_entry_init(struct directory *d)
{
    if (index_init(&d->servers, &d->grace, hash_server_id, match_server_id) != 0) {
        return ERROR_NOMEM;
    }
    if (index_init(&d->serials, &d->grace, hash_serial, match_serial) != 0) {
        goto no_serials;
    }
    if (index_init(&d->keys, &d->grace, hash_key, match_key) != 0) {
        goto no_keys;
    }
    if (index_init(&d->key_ids, &d->grace, hash_key_id, match_key_id) != 0) {
        goto no_key_ids;
    }
    return 0;
no_key_ids:
    index_close(&d->keys);
no_keys:
    index_close(&d->serials);
no_serials:
    index_close(&d->servers);
    return ERROR_NOMEM;
}

void directory_entry_close(struct directory *d)
{
    index_close(&d->keys);
    index_close(&d->key_ids);
    index_close(&d->serials);
    index_close(&d->servers);
}

const struct server_entry *directory_entry_server(const struct directory *d, int64_t id)
{
    return index_find(&d->servers, index_hash_id(id), &id);
}

const struct key_entry *directory_entry_key_id(const struct directory *d, int64_t id)
{
    return index_find(&d->key_ids, index_hash_id(id), &id);
}

const struct server_entry *directory_entry_serial(const struct directory *d, struct span serial)
{
    return index_find(&d->serials, map_hash(serial.p, serial.len), &serial);
}

const struct key_entry *directory_entry_key(const struct directory *d,
                                            const uint8_t hash[DIRECTORY_HASH_BYTES])
{
    return index_find(&d->keys, directory_entry_prefix(hash), hash);
}
