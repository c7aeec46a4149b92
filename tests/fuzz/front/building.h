/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of a tunnel: an agent that keeps the protocol, with the owner's part of it chosen by
 * the input; or, once building_lie was used, one that sends what the input says. */
#ifndef TESTS_FUZZ_FRONT_BUILDING_H
#define TESTS_FUZZ_FRONT_BUILDING_H

#include "proto/wire/mux.h"
#include "tests/fuzz/front/world.h"

#define BUILDING_STREAMS 64

struct building {
    struct world_peer peer;
    struct mux *mux;
    bool upgraded;
    bool lies; /* what it does counts for nothing */
    bool closed;
    uint32_t streams[BUILDING_STREAMS]; /* open, 0 = free */
    bool answered[BUILDING_STREAMS];
    size_t n_requests; /* that have reached it */
};

/* Connects, with serial and token, and shakes hands. */
void building_open(struct building *b);
void building_close(struct building *b);

/* Takes what has come, sends what is to be sent. */
void building_move(struct building *b);

/* Does something with one of its streams. */
void building_act(struct building *b, uint8_t what);

/* Answers everything that is open, whole. */
void building_answer_all(struct building *b);

/* Sends bytes: as one message, or (raw) as they are. */
void building_lie(struct building *b, const uint8_t *bytes, size_t len, bool raw);

#endif
