/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of agent/upstream: a server in the same loop that misbehaves as it is told, and an
 * upstream with recorded calls. All waiting is for events; a watchdog ends a test that hangs. */
#ifndef TESTS_UNIT_UPSTREAM_FAKE_SERVER_H
#define TESTS_UNIT_UPSTREAM_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/upstream/upstream.h"

#define FAKE_PEERS_MAX    32
#define FAKE_REQUESTS_MAX 32
#define FAKE_CALLS_MAX    600

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

/* What a test does from inside a callback. */
enum fake_act { FAKE_ACT_NONE, FAKE_ACT_CANCEL, FAKE_ACT_CLOSE, FAKE_ACT_PAUSE };

struct fake_call {
    struct fixture *f;
    struct upstream_call *call; /* NULL once it is gone */
    enum fake_act on_handed;
    enum fake_act on_head;
    enum fake_act on_data;
    unsigned n_handed;
    unsigned n_heads;
    unsigned n_ends;
    unsigned n_fails;
    unsigned status;
    int64_t body_bytes;
    uint32_t server_us;
    char fields[512]; /* "[name=value]…" */
    struct fake_bytes body;
    enum head_reset reason;
    enum head_delivered delivered;
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t watchdog;
    struct fake_server server;
    struct upstream_settings settings;
    struct upstream *u;
    bool closed;
    struct fake_call *calls; /* FAKE_CALLS_MAX of them */
    size_t n_calls;
};

/* cmocka's setup and teardown: a server that answers "ok" to everything, settings for it without
 * authentication, an upstream not yet made. The teardown closes all that is open and asserts that
 * the loop is empty. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Adds a reply to the script. */
void fake_reply(struct fixture *f, const char *bytes, enum fake_then then);
void fake_reply_bytes(struct fixture *f, const char *bytes, size_t len, enum fake_then then);

/* The names that resolve in these tests; all others are unknown. The server is at 127.0.0.1. */
#define FAKE_NAME      "one.test"  /* 127.0.0.1 */
#define FAKE_NAME_TWO  "two.test"  /* 127.0.0.2, where nobody listens, and 127.0.0.1 */
#define FAKE_NAME_DEAD "dead.test" /* 127.0.0.2 and 127.0.0.3 */
#define FAKE_NAME_SLOW "slow.test" /* 127.0.0.1, but only after fake_resolve_slow */
void fake_resolve_slow(void);

/* "http://name:port" with the server's port; static. */
const char *fake_url(const struct fixture *f, const char *name);

/* The server stops listening, closes or breaks its n-th connection, begins to read again. */
void fake_stop_listening(struct fixture *f);
void fake_hang_up(struct fixture *f, size_t peer);
void fake_reset(struct fixture *f, size_t peer);
void fake_listen_again(struct fixture *f);
void fake_send(struct fixture *f, size_t peer, const char *bytes);

/* A socket that listens but whose queue is full: Linux answers no further SYN. */
struct fake_hole {
    int listener;
    int fillers[4];
    char url[64];
};
void fake_hole_open(struct fake_hole *h);
void fake_hole_close(struct fake_hole *h);

/* Makes the upstream by f->settings. */
void start(struct fixture *f);

/* Starts a GET of `target` (path, and query behind "?"), or any request. */
struct fake_call *get(struct fixture *f, const char *target);
struct fake_call *request(struct fixture *f, enum head_method method, const char *target,
                          const struct head_field *fields, size_t n_fields, const char *body,
                          size_t body_len, uint32_t deadline_ms);
int try_request(struct fixture *f, const struct head_request *head, const char *body,
                struct fake_call **call);

/* Run the loop until … */
void until_done(struct fake_call *call);             /* … it ended or failed */
void until_handed(struct fake_call *call);           /* … on_handed */
void until_data(struct fake_call *call);             /* … on_data */
void until_requests(struct fixture *f, size_t n);    /* … the server has got so many */
void until_open(struct fixture *f, uint32_t n_open); /* … the upstream has so many connections */
void until_peers(struct fixture *f, size_t n);
void until_end_seen(struct fixture *f, size_t peer); /* … the server sees the upstream close it */
void until_resolving(struct fixture *f);             /* … the resolver is at FAKE_NAME_SLOW */
void until_closed(struct fixture *f);
void run_turns(struct fixture *f, int n); /* … so many turns, without sleeping */

/* The call ended with `status` and `body`. */
void expect_answer(const struct fake_call *call, unsigned status, const char *body);
void expect_failure(const struct fake_call *call, enum head_reset reason,
                    enum head_delivered delivered);

#endif
