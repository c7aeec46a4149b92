/* SPDX-License-Identifier: Apache-2.0 */
/* What a building may ask of the relay through its agent (PROTOCOL.md, "Control calls"): enable,
 * list and revoke the keys of its own server. Runs on the store thread. */
#ifndef RELAY_STORE_CONTROL_H
#define RELAY_STORE_CONTROL_H

#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/base/span.h"
#include "relay/store/database.h"
#include "relay/store/directory.h"

/* Numbers are fixed by PROTOCOL.md. */
enum control_op { CONTROL_KEY_ENABLE = 1, CONTROL_KEY_LIST = 2, CONTROL_KEY_REVOKE = 3 };

/* Status of an answer. With any but CONTROL_DONE the body is {"error": "a sentence"}. */
enum control_status {
    CONTROL_DONE = 0,
    CONTROL_BAD_CALL = 1,  /* unknown op, or a body that makes no sense */
    CONTROL_FORBIDDEN = 2, /* the operator does not let this building enable keys */
    CONTROL_NOT_FOUND = 3, /* no such key, or no such server any more */
    CONTROL_LIMIT = 4,     /* too many keys at once; or an answer that is too long */
    CONTROL_FAILED = 5     /* the relay's database does not take it; later, perhaps */
};

/* Keys that one building may make in an hour: a broken agent must not fill the database. */
#define CONTROL_KEYS_PER_HOUR 60
/* Newest keys in an answer to CONTROL_KEY_LIST, and the size of any answer. */
#define CONTROL_LIST_MAX     100
#define CONTROL_ANSWER_BYTES 16000

/* `server` is NULL if it was removed meanwhile. `public_url` may be NULL. The answer is appended to
 * `answer`, which holds secrets and is to be cleansed. */
enum control_status control_call(struct database *db, const struct directory_server *server,
                                 const char *public_url, uint16_t op, struct span body,
                                 int64_t now_s, struct buffer *answer);

#endif
