/* SPDX-License-Identifier: Apache-2.0 */
/* Entries put into a directory without a database. */
#ifndef TESTS_UNIT_STORE_ENTRIES_H
#define TESTS_UNIT_STORE_ENTRIES_H

#include "tests/unit/store/scratch.h"

#include "relay/store/directory.h"
#include "relay/store/directory_write.h"

static inline void entries_hash(const char *text, uint8_t hash[DIRECTORY_HASH_BYTES])
{
    struct credential_hasher h;
    assert_int_equal(credential_hasher_init(&h), 0);
    assert_true(credential_hash(&h, span_of(text), hash));
    credential_hasher_close(&h);
}

static inline bool entries_put_server(struct directory *d, int64_t id, const char *serial,
                                      bool enabled)
{
    struct directory_server server = {.id = id, .enabled = enabled};
    bool changed = false;
    assert_int_equal(span_copy(span_of(serial), server.serial, sizeof(server.serial)), 0);
    entries_hash("token", server.token_hash);
    assert_int_equal(directory_put_server(d, &server, &changed), 0);
    return changed;
}

static inline void entries_put_key(struct directory *d, int64_t id, int64_t server_id,
                                   const char *text, int64_t not_after_s, const char *scope)
{
    const struct directory_key key = {
        .id = id, .server_id = server_id, .enabled = true, .not_after_s = not_after_s};
    uint8_t hash[DIRECTORY_HASH_BYTES];
    struct error_text e;
    entries_hash(text, hash);
    assert_int_equal(directory_put_key(d, &key, hash, span_of(scope), &e), 0);
}

#endif
