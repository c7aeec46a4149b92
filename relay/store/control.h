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
    CONTROL_UNKNOWN = 1,  /* no such operation */
    CONTROL_BAD_BODY = 2, /* the body is not what the operation takes */
    CONTROL_REFUSED = 3,  /* the operator does not allow it, too often, no such key or server */
    CONTROL_FAILED = 4    /* the relay's database does not take it; later, perhaps */
};

/* Keys that one building may make in an hour: a broken agent must not fill the database. */
#define CONTROL_KEYS_PER_HOUR 60
/* Acts of one building that the audit keeps in an hour; more are refused without a trace, lest a
 * broken agent fill the audit instead. */
#define CONTROL_ACTS_PER_HOUR 200
/* Calls of one building, whatever they ask for: per second, and at once. */
#define CONTROL_CALLS_PER_S 5
#define CONTROL_CALLS_BURST 30
/* Newest keys in an answer to CONTROL_KEY_LIST, and the size of any answer. */
#define CONTROL_LIST_MAX     100
#define CONTROL_ANSWER_BYTES 16000

/* The two clocks, as the caller reads them. */
struct control_time {
    int64_t wall_s;
    uint64_t monotonic_us;
};

/* `server` is NULL if it was removed meanwhile. `public_url` may be NULL. The answer is appended to
 * `answer`, which holds secrets and is to be cleansed. */
enum control_status control_call(struct database *db, const struct directory_server *server,
                                 const char *public_url, uint16_t op, struct span body,
                                 struct control_time now, struct buffer *answer);

#endif
