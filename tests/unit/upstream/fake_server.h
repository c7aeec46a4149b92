/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of agent/upstream: a server in the same loop that misbehaves as it is told, and a
 * resolver that asks nobody. */
#ifndef TESTS_UNIT_UPSTREAM_FAKE_SERVER_H
#define TESTS_UNIT_UPSTREAM_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define FAKE_PEERS_MAX    32
#define FAKE_REQUESTS_MAX 32

/* The names that resolve in these tests; all others are unknown. The server is at 127.0.0.1. */
#define FAKE_NAME      "one.test"  /* 127.0.0.1 */
#define FAKE_NAME_TWO  "two.test"  /* 127.0.0.2, where nobody listens, and 127.0.0.1 */
#define FAKE_NAME_DEAD "dead.test" /* 127.0.0.2 and 127.0.0.3 */
#define FAKE_NAME_NOWHERE                                                                          \
    "nowhere.test"                 /* 224.0.0.1, which connect(2) refuses at once, and 127.0.0.1 */
#define FAKE_NAME_SLOW "slow.test" /* 127.0.0.1, but only after fake_resolve_slow */

/* What the server does after it has sent the bytes of a reply. */
enum fake_then {
    FAKE_KEEP,  /* waits for the next request */
    FAKE_CLOSE, /* closes in an orderly way */
    FAKE_RESET, /* breaks the connection */
    FAKE_AGAIN  /* sends the same reply once more, unasked */
};

struct fake_reply {
    const char *bytes; /* NULL or "" = none */
    size_t len;        /* 0 = up to the NUL */
    enum fake_then then;
};

/* Bytes that grow. Not a struct buffer: tests with a failing allocator must not fail in here. */
struct fake_bytes {
    char *p;
    size_t len;
    size_t cap;
};

struct fake_peer {
    struct fake_server *server;
    uv_tcp_t tcp;
    struct fake_bytes in;
    bool open;
    bool saw_end; /* the upstream has closed */
};

struct fake_request {
    size_t peer;
    char *text; /* head and body, with a NUL */
};

struct fake_server {
    uv_loop_t *loop;
    uv_tcp_t listener;
    bool listening;
    bool deaf; /* accepts, but reads nothing */
    char url[64];
    struct fake_peer peers[FAKE_PEERS_MAX];
    size_t n_peers;
    struct fake_request requests[FAKE_REQUESTS_MAX];
    size_t n_requests;
    struct fake_reply script[FAKE_REQUESTS_MAX]; /* for the n-th request; afterwards `otherwise` */
    size_t n_script;
    struct fake_reply otherwise;
};

/* Starts to listen at a free port of 127.0.0.1; every request is answered 200 "ok". */
void fake_server_start(struct fake_server *s, uv_loop_t *loop);

/* Stops listening and closes all connections; free the requests when the loop has run out. */
void fake_server_close(struct fake_server *s);
void fake_server_free(struct fake_server *s);

/* Adds a reply to the script. */
void fake_reply(struct fake_server *s, const char *bytes, enum fake_then then);
void fake_reply_bytes(struct fake_server *s, const char *bytes, size_t len, enum fake_then then);

/* Stops listening, closes or breaks the n-th connection, sends bytes on it, begins to read again.
 */
void fake_stop_listening(struct fake_server *s);
void fake_hang_up(struct fake_server *s, size_t peer);
void fake_reset(struct fake_server *s, size_t peer);
void fake_send(struct fake_server *s, size_t peer, const char *bytes);
void fake_listen_again(struct fake_server *s);

/* Reads nothing, and takes little of a large request into its socket: the client cannot write it as
 * a whole. Before the first connection. */
void fake_be_deaf(struct fake_server *s);

/* "http://name:port" with the server's port; static. */
const char *fake_url(const struct fake_server *s, const char *name);

/* Lets one request for FAKE_NAME_SLOW be answered; true once such a request is under way. */
void fake_resolve_slow(void);
bool fake_is_resolving(void);

/* A socket that listens but whose queue is full: Linux answers no further SYN. */
struct fake_hole {
    int listener;
    int fillers[4];
    char url[64];
};
void fake_hole_open(struct fake_hole *h);
void fake_hole_close(struct fake_hole *h);

#endif
