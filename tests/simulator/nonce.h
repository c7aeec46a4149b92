/* SPDX-License-Identifier: Apache-2.0 */
/* The nonces that were given out for digest authentication, and how often each was used. */
#ifndef TESTS_SIMULATOR_NONCE_H
#define TESTS_SIMULATOR_NONCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/map.h"
#include "proto/base/span.h"

/* 16 random bytes in hexadecimal, and NUL. */
#define NONCE_BYTES 33

/* Most nonces remembered; the oldest is forgotten beyond, and so becomes stale. */
#define NONCES_MAX 4096

/* How far a count may lie behind the highest one (NONCE_COUNT_WINDOW). */
#define NONCE_WINDOW 64

enum nonce_count {
    NONCE_COUNT_GROWS, /* each count must be higher than the one before */
    NONCE_COUNT_WINDOW /* each count once, in any order: for several connections side by side */
};

struct nonce {
    char text[NONCE_BYTES];
    uint64_t issued_ms;
    uint32_t n_uses;
    uint32_t highest; /* count */
    uint64_t seen;    /* bit i: count highest - i was used */
};

struct nonces {
    struct nonce slots[NONCES_MAX]; /* a ring */
    size_t next;
    struct map by_text;
    uint32_t max_uses;    /* 0 = no limit */
    uint32_t lifetime_ms; /* 0 = no limit */
    enum nonce_count count;
};

void nonces_init(struct nonces *n, uint32_t max_uses, uint32_t lifetime_ms, enum nonce_count count);
void nonces_close(struct nonces *n);

/* A new nonce; borrowed until NONCES_MAX more were given out. ERROR_NOMEM. */
int nonces_issue(struct nonces *n, uint64_t now_ms, const char **text);

/* Uses a nonce with a count. False if it is unknown, too old or used up, or if the count does not
 * hold: the client then needs a new one. Ask only after its response was found right. */
bool nonces_use(struct nonces *n, struct span text, uint32_t count, uint64_t now_ms);

#endif
