/* SPDX-License-Identifier: Apache-2.0 */
/* A tunnel's life between two muxes, and a model that watches it: what was asked, sent, seen and
 * promised on each stream. Its events fail the test when a promise is broken. */
#ifndef TESTS_UNIT_WIRE_LIFE_H
#define TESTS_UNIT_WIRE_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/mux.h"

#define LIFE_STREAMS  4096 /* more than a life opens */
#define LIFE_WINDOW   5000
#define LIFE_TUNNEL   12000
#define LIFE_OPEN_MAX 16

/* One stream as the model sees it. */
struct life_stream {
    size_t request_bytes; /* of the request's body */
    size_t request_seen;  /* by the agent */
    size_t answer_sent;   /* given to mux_send_data */
    size_t answer_seen;   /* by the relay */
    size_t relay_held;    /* body bytes received and not given back */
    size_t agent_held;
    int64_t announced; /* length of the answer's body, -1 = unknown */
    bool on_relay;     /* open there */
    bool on_agent;
    bool reached_agent; /* on_request was fired */
    bool handed;        /* the server was given it */
    bool answered;      /* mux_respond was called */
    bool answer_ended;  /* with end */
    bool said_handed;   /* on_handed was fired */
    bool taken_back;    /* reset by the relay before it was pulled */
    bool cut;           /* the answer's length was made wrong on purpose */
};

struct life {
    struct mux *relay;
    struct mux *agent;
    struct life_stream streams[LIFE_STREAMS];
    size_t relay_held; /* body bytes of all streams received and not given back */
    size_t agent_held;
    uint32_t first_open; /* all before it are over */
    uint32_t n_streams;  /* highest id */
    uint64_t random;
    uint64_t now_ms;
    size_t n_finals;
};

/* A number below `n`, repeatable by the seed. */
size_t life_pick(struct life *l, size_t n);

/* What stands at `at` of a body. */
uint8_t life_pattern(uint32_t stream, size_t at, bool answer);

/* Fails if `delivered` says what is not so. */
void life_check_delivered(const struct life_stream *s, enum head_delivered delivered);

/* Two muxes past their handshake. */
void life_begin(struct life *l, uint64_t seed);

/* A message, cut at random. */
void life_move(struct life *l, struct mux *from, struct mux *to);

#endif
