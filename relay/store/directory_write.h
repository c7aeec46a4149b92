/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's side of the directory. All of it belongs to one thread, the store's. */
#ifndef RELAY_STORE_DIRECTORY_WRITE_H
#define RELAY_STORE_DIRECTORY_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/span.h"
#include "relay/store/directory.h"

/* NULL when out of memory. */
struct directory *directory_new(void);
/* All readers must have parted. */
void directory_free(struct directory *d);

/* Makes room for so many more, so that a big fill grows once. 0, or ERROR_NOMEM. */
int directory_reserve(struct directory *d, size_t n_servers, size_t n_keys);

/* Adds or replaces (by id). Copies; `live` is ignored, the entry keeps the one it has.
 * `*changed` is false if it was there just so. 0, or ERROR_NOMEM. */
int directory_put_server(struct directory *d, const struct directory_server *server, bool *changed);

/* Likewise; `scope` and `live` are ignored, `scope_json` (may be empty) is parsed.
 * 0, ERROR_NOMEM; ERROR_SYNTAX or ERROR_LIMIT (the scope: nothing was changed). */
int directory_put_key(struct directory *d, const struct directory_key *key,
                      const uint8_t hash[DIRECTORY_HASH_BYTES], struct span scope_json,
                      struct error_text *e);

/* True if it was there. These never fail: a revoked key is gone even without memory. */
bool directory_remove_server(struct directory *d, int64_t id);
bool directory_remove_key(struct directory *d, int64_t id);

/* A fill from scratch: what is not put again after the first call is removed by the other two. They
 * are two so that a removed server's keys end with it, not after a million others were read. */
void directory_begin_sweep(struct directory *d);
void directory_sweep_servers(struct directory *d, void (*on_server)(void *user, int64_t id),
                             void *user);
void directory_sweep_keys(struct directory *d);

/* Frees what no reader can see any more. Called now and then. */
void directory_reclaim(struct directory *d);

/* Visits up to `n_max` of the keys that were used since they were last visited. True if there are
 * more. */
bool directory_visit_used(struct directory *d, size_t n_max,
                          void (*visit)(void *user, int64_t key_id, int64_t used_s), void *user);

/* True if directory_visit_used would visit one. */
bool directory_has_used(const struct directory *d);

#endif
