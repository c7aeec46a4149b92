/* SPDX-License-Identifier: Apache-2.0 */
/* A relay's worker without its thread, listeners and TLS: one building with one key, clients and
 * agents on socket pairs. Turned by hand, so that the same input always gives the same run. Made
 * once per process; world_settle leaves it as new. A broken promise ends the process. */
#ifndef TESTS_FUZZ_FRONT_WORLD_H
#define TESTS_FUZZ_FRONT_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "relay/worker.h"

/* The building's key, serial and token; corpora and dictionary know them. */
#define WORLD_KEY    "KKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKK"
#define WORLD_SERIAL "S"
#define WORLD_TOKEN  "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT"

/* Bytes kept of each direction of a connection. */
#define WORLD_BYTES_MAX (16 * 1024 * 1024)

/* The far end of one of the relay's connections. */
struct world_peer {
    int fd;     /* -1 = closed by us */
    bool ended; /* by the relay */
    struct buffer sent;
    struct buffer received;
};

void world_require(bool promise);

/* The worker; set up by the first call. */
struct worker *world_open(void);

/* A few turns of the worker's loop. */
void world_turn(void);

/* A new connection to the relay, as one without TLS. */
void world_connect(struct world_peer *p, bool is_redirect);

/* Sends what the kernel takes, and reads what is there. */
void world_send(struct world_peer *p, const void *bytes, size_t len);
void world_receive(struct world_peer *p);
/* Sends no more; the other half stays open. */
void world_half_close(struct world_peer *p);
void world_close(struct world_peer *p);

/* All exchanges are answered and all connections closed. */
void world_settle(void);

#endif
