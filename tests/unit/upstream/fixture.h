/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of agent/upstream: an upstream towards the fake server, and calls that record what
 * they are told. All waiting is for events; a watchdog ends a test that hangs. */
#ifndef TESTS_UNIT_UPSTREAM_FIXTURE_H
#define TESTS_UNIT_UPSTREAM_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/upstream/upstream.h"
#include "tests/unit/upstream/fake_server.h"

#define FIXTURE_CALLS_MAX 600

/* The two kinds of calls, and the usual answer. */
#define STATUS  "/api/v1/powerstatus?guid=1" /* reads only */
#define COMMAND "/api/V1/power?guid=1&cmd=1" /* acts */
#define OK      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* A test with a fixture of its own. */
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* What a test does from inside a callback. */
enum act { ACT_NONE, ACT_CANCEL, ACT_CLOSE, ACT_PAUSE };

struct call {
    struct fixture *f;
    struct upstream_call *call; /* NULL once it is gone */
    enum act on_handed;
    enum act on_head;
    enum act on_data;
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
    struct call *calls; /* FIXTURE_CALLS_MAX of them */
    size_t n_calls;
};

/* cmocka's setup and teardown: a server that answers "ok" to everything, settings for it without
 * authentication, an upstream not yet made. The teardown closes all that is open and asserts that
 * the loop is empty. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Makes the upstream by f->settings. */
void start(struct fixture *f);

/* Starts a GET of `target` (path, and query behind "?"), or any request. */
struct call *get(struct fixture *f, const char *target);
struct call *request(struct fixture *f, enum head_method method, const char *target,
                     const struct head_field *fields, size_t n_fields, const char *body,
                     size_t body_len, uint32_t deadline_ms);
int try_request(struct fixture *f, const struct head_request *head, const char *body,
                struct call **call);

/* Run the loop until … */
void until_done(struct call *call);                  /* … it ended or failed */
void until_handed(struct call *call);                /* … on_handed */
void until_data(struct call *call);                  /* … on_data */
void until_requests(struct fixture *f, size_t n);    /* … the server has got so many */
void until_open(struct fixture *f, uint32_t n_open); /* … the upstream has so many connections */
void until_peers(struct fixture *f, size_t n);
void until_end_seen(struct fixture *f, size_t peer); /* … the server sees the upstream close it */
void until_resolving(struct fixture *f);             /* … the resolver is at FAKE_NAME_SLOW */
void until_closed(struct fixture *f);
void run_turns(struct fixture *f, int n); /* … so many turns, without sleeping */

/* The call ended with `status` and `body`. */
void expect_answer(const struct call *call, unsigned status, const char *body);
void expect_failure(const struct call *call, enum head_reset reason, enum head_delivered delivered);

#endif
