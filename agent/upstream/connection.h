/* SPDX-License-Identifier: Apache-2.0 */
/* Private to agent/upstream: one TCP connection to the server, carrying one call at a time. */
#ifndef AGENT_UPSTREAM_CONNECTION_H
#define AGENT_UPSTREAM_CONNECTION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/upstream/call.h"
#include "agent/upstream/pool.h"
#include "proto/base/list.h"
#include "proto/http/response.h"
#include "proto/io/polled.h"

/* Addresses of a name that are tried one after the other (localhost has two). */
#define CONNECTION_ADDRESSES_MAX 4
/* A 401's body that is longer costs its connection. */
#define CONNECTION_CHALLENGE_BYTES_MAX (64 * 1024)
/* A connection is given up so long before the server would close it (Keep-Alive: timeout=). */
#define CONNECTION_IDLE_MARGIN_MS 500

enum connection_state {
    CONNECTION_RESOLVING,  /* uv_getaddrinfo runs */
    CONNECTION_CONNECTING, /* to addresses[next_address] */
    CONNECTION_REOPENING,  /* an address failed; its socket closes, then the next is tried */
    CONNECTION_IDLE,       /* up, without a call; reading, to notice the end */
    CONNECTION_BUSY,       /* up, with a call */
    CONNECTION_CLOSING     /* freed when the close callback and the resolver are back */
};

/* How much of the request the kernel has. */
enum connection_written {
    CONNECTION_WROTE_NOTHING,
    CONNECTION_WROTE_SOME, /* or may have */
    CONNECTION_WROTE_ALL
};

struct connection {
    struct list node; /* in the pool's busy or idle, else alone */
    struct upstream *upstream;
    enum connection_state state;
    struct upstream_call *call; /* while RESOLVING to REOPENING, and BUSY */
    uint64_t deadline_ms;       /* uv_now: of connecting, of the answer, or of idling */

    struct polled socket;
    bool has_socket; /* until the close callback is back */
    uv_getaddrinfo_t resolve;
    bool is_resolving; /* the resolver has `resolve`; it cannot be freed before it is back */
    int connect_error; /* errno of connect(2) */
    struct sockaddr_storage addresses[CONNECTION_ADDRESSES_MAX];
    size_t n_addresses;
    size_t next_address;

    /* The exchange that is going on. */
    enum connection_written written;
    char *unwritten; /* owned: what the kernel did not take at once; NULL = nothing */
    size_t unwritten_bytes;
    size_t unwritten_at; /* it has taken so much of that since */
    bool is_broken;      /* a write failed: the end that is read next is no orderly one */
    bool is_reused;      /* it has carried an exchange before */
    bool is_answered;    /* bytes of the answer have come */
    bool is_challenge;   /* the answer is a 401: its body is dropped, then the call is sent again */
    size_t dropped_bytes;
    uint64_t handed_us; /* clock_now_us; 0 = not yet */
    uint32_t server_us;
    struct response answer;
};

/* Opens a connection for `call`, which it then carries and sends. 0, and the call's callbacks may
 * have fired already; ERROR_NOMEM, ERROR_IO (no resolver), and the call is untouched. */
int connection_open(struct upstream *u, struct upstream_call *call);

/* Closes it; the memory goes when socket and resolver are closed too, and not at once. Its call, if
 * it has one, is forgotten: it was taken over by who calls this. No callback of a call fires.
 * Idempotent. */
void connection_close(struct connection *c);

/* What was still to be written is gone or given up: cleansed, for it may hold credentials.
 * Idempotent. */
void connection_free_unwritten(struct connection *c);

/* Takes the call off the connection and returns it; NULL if there is none. */
struct upstream_call *connection_take_call(struct connection *c);

/* Up and without a call: may be used again for `idle_ms`. */
void connection_set_idle(struct connection *c, uint32_t idle_ms);

/* The answer's body is not wanted at the moment: it is not read, and the server waits. */
bool connection_waits_for_caller(const struct connection *c);

/* Up, and what comes from the server is wanted. */
bool connection_wants_input(const struct connection *c);

/* Has libuv wait for what is of use now: state, the call's `paused` and what is unwritten tell.
 * After every change of those. */
void connection_update_poll(struct connection *c);

/* Its deadline has passed: closes it, and fails its call if it has one. */
void connection_expire(struct connection *c);

#endif
