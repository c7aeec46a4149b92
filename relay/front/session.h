/* SPDX-License-Identifier: Apache-2.0 */
/* One client's connection: requests one after another, each answered before the next is looked at
 * (so that pipelined ones are answered in order). An idle session holds no buffer and no request.
 */
#ifndef RELAY_FRONT_SESSION_H
#define RELAY_FRONT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/buffer.h"
#include "proto/base/list.h"
#include "proto/http/request.h"
#include "proto/io/conn.h"
#include "proto/io/wheel.h"
#include "relay/front/answer.h"
#include "relay/front/peers.h"
#include "relay/front/proxy.h"

/* Requests on one connection; the last is answered with Connection: close. */
#define SESSION_REQUESTS_MAX 10000
/* Bytes of further requests that are read while one is being answered: what one read brings.
 * Reading stops until they have been looked at. */
#define SESSION_REST_BYTES_MAX (CONN_READ_BYTES + 2 * 16384)
/* Generated request ids: 16 hexadecimal digits. */
#define SESSION_ID_BYTES 17
/* Text of an address with port, with NUL. */
#define SESSION_ADDRESS_BYTES 64

struct worker;
struct exchange;
struct listener;

enum session_state {
    SESSION_HANDSHAKE, /* TLS, and a proxy's header before it */
    SESSION_IDLE,      /* not a byte of the next request has come */
    SESSION_HEAD,
    SESSION_BODY,
    SESSION_WAITING,   /* for the exchange's answer */
    SESSION_ANSWERING, /* some of it has been written */
    SESSION_ENDING,    /* the last answer is out, the connection is being closed */
    SESSION_UPGRADED   /* answered 101: the connection goes over to a tunnel */
};

/* What the access log says of the request. */
struct session_result {
    unsigned status;
    const char *reason; /* machine word, NULL = the building's own answer */
    uint64_t bytes;     /* written to the client */
    uint64_t ended_us;  /* 0 = access_log is to take it */
    uint64_t total_us;  /* from its first byte to its end; access_log takes it */
    uint64_t queued_us; /* until a tunnel took it */
    uint64_t agent_us;  /* from then to the end */
    uint32_t server_us; /* as the agent measured it */
    bool cut;
};

struct session {
    struct worker *worker;
    struct conn *conn; /* owned, until a tunnel takes it over */
    enum session_state state;
    bool is_tls;
    bool is_redirect; /* of a listener that only sends to https:// */
    bool processing;  /* inside the loop over the bytes read */
    bool input_ended; /* the client has closed its half */
    bool close_after; /* no request after this one */
    bool admitted;
    bool is_counted;             /* for `counted`, in relay->peers */
    bool is_forwarded;           /* a trusted proxy's: its requests say whose they are */
    struct peer_address counted; /* whom the connection is counted for */
    union proxy_address sender;  /* who sends on this connection; of PROXY the client it named */
    /* Of the current request. */
    union proxy_address address;
    char address_text[SESSION_ADDRESS_BYTES]; /* session_address; empty until it is asked for */
    struct peer_address peer;
    struct list node;  /* worker->sessions */
    struct list ready; /* worker->ready_sessions: has `rest` to look at */
    struct wheel_timer deadline;
    struct request *request; /* owned; NULL while idle */
    struct buffer rest;      /* read, not yet looked at */
    struct exchange *exchange;
    uint32_t n_requests;

    /* of the current request */
    uint64_t request_us; /* its first byte */
    int64_t key;         /* 0 = none */
    int64_t server;
    char serial[65];
    struct span forward_path;  /* in the request's head */
    char id[SESSION_ID_BYTES]; /* generated, if the request brought none */
    struct session_result result;
};

/* Takes an accepted socket, which is counted for `peer`; NULL: it is a trusted proxy's, counted
 * when it has said for whom it is. Frees itself when it is closed. On failure the socket is closed,
 * and the count given back. */
int session_open(struct worker *w, int fd, const struct sockaddr *address,
                 const struct peer_address *peer, bool is_tls, bool is_redirect);

/* The relay's own answer as the final one of the current request. */
void session_answer(struct session *s, enum answer_reason reason, const struct answer_details *d);

/* For the exchange: the building's answer. */
void session_begin_answer(struct session *s, unsigned status);
/* 0, or an error when the client is gone. */
int session_write(struct session *s, const void *bytes, size_t len);
/* The answer is complete. */
void session_done(struct session *s);
/* The answer cannot be completed: the connection is cut so that the client sees it. */
void session_cut(struct session *s, enum answer_reason reason);
/* The client is gone: cancels the exchange and closes. */
void session_lost(struct session *s);

struct answer_context session_answer_context(struct session *s);
struct span session_request_id(struct session *s);
size_t session_pending(const struct session *s);

/* May the key of the current request still be used? (It may have been revoked while parked.) */
bool session_still_allowed(struct session *s);

/* The request was an agent's and has been answered 101: the connection becomes the tunnel of
 * s->server as soon as the bytes at hand are through. */
void session_upgrade(struct session *s);

/* Sessions of the worker that were answered and have read more meanwhile go on. */
void session_process_ready(struct worker *w);

/* Of draining: ends if idle, else after the current answer. */
void session_retire(struct session *s);

/* At the end of the process: an exchange that is under way is answered without its building, a
 * request that has not come whole without waiting for its rest. What was answered still leaves. */
void session_kill(struct session *s);

/* Of the current request's client: "192.0.2.1:4711", "[2001:db8::1]:4711"; "unknown" if a proxy
 * could not say. Returns borrowed until the request's client changes or the session goes. */
const char *session_address(struct session *s);

#endif
