/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream: every allocation of a scenario is refused once. Each call must
 * still end exactly once, and nothing may be left over. */
#include "tests/unit/upstream/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"
#include "tests/unit/base/allocator.h"

#define CHALLENGE                                                                                  \
    "HTTP/1.1 401 No\r\nContent-Length: 0\r\n"                                                     \
    "WWW-Authenticate: Digest realm=r, nonce=n, qop=auth\r\n\r\n"

/* More than any scenario needs. */
#define ALLOCATIONS_MAX 100

static char large_body[120 * 1024];

/* Returns the code of upstream_call; runs the call to its end. */
static int run_call(struct fixture *f, enum head_method method, const char *body, size_t len)
{
    struct call *call = NULL;
    const struct head_request head = {
        .method = method, .path = span_of("/api/v1/powerstatus"), .body_bytes = (uint32_t)len};
    int rc = try_request(f, &head, body, &call);
    if (rc == 0) {
        until_done(call);
        assert_int_equal(call->n_ends + call->n_fails, 1);
        assert_true(call->n_fails == 0 || call->reason == HEAD_RESET_INTERNAL ||
                    call->reason == HEAD_RESET_SERVER_AUTH);
    }
    return rc;
}

/* A 401, an answer that comes in two pieces, a kept connection used again. */
static int digest_scenario(struct fixture *f)
{
    struct error_text e;
    f->settings.auth = UPSTREAM_AUTH_DIGEST;
    fake_reply(&f->server, CHALLENGE, FAKE_KEEP);
    fake_reply(&f->server, "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 20", FAKE_KEEP);
    int rc = upstream_new(&f->loop, &f->settings, &f->u, &e);
    if (rc != 0) {
        return rc;
    }
    struct call *call = NULL;
    const struct head_request head = {.method = HEAD_METHOD_GET,
                                      .path = span_of("/api/v1/powerstatus")};
    rc = try_request(f, &head, NULL, &call);
    if (rc != 0) {
        return rc;
    }
    while (f->server.n_requests < 2 && call->call != NULL) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    run_turns(f, 20);
    if (call->call != NULL) {
        fake_send(&f->server, f->server.requests[1].peer, "4 No\r\n\r\n");
        until_done(call);
    }
    assert_int_equal(call->n_ends + call->n_fails, 1);
    /* The script goes on as planned only if nothing was refused so far. */
    return call->n_ends == 1 ? run_call(f, HEAD_METHOD_GET, NULL, 0) : 0;
}

/* A request of which a part has to wait for the server. */
static int large_scenario(struct fixture *f)
{
    struct error_text e;
    fake_be_deaf(&f->server);
    f->server.deaf = false; /* it reads, if little at a time */
    memset(large_body, 'x', sizeof(large_body));
    int rc = upstream_new(&f->loop, &f->settings, &f->u, &e);
    return rc != 0 ? rc : run_call(f, HEAD_METHOD_POST, large_body, sizeof(large_body));
}

static void refuse_each(int (*scenario)(struct fixture *f))
{
    bool refused = true;
    size_t n = 0;
    for (; refused && n < ALLOCATIONS_MAX; n++) {
        void *state = NULL;
        fixture_setup(&state);
        struct fixture *f = state;
        f->settings.answer_timeout_ms = 5000;
        allocator_refuse_after(n);
        int rc = scenario(f);
        refused = allocator_reset();
        assert_true(rc == 0 || (rc == ERROR_NOMEM && refused));
        fixture_teardown(&state);
    }
    assert_false(refused);
    assert_true(n > 4);
}

static void out_of_memory_during_authentication(void **state)
{
    (void)state;
    refuse_each(digest_scenario);
}

static void out_of_memory_during_a_large_request(void **state)
{
    (void)state;
    refuse_each(large_scenario);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(out_of_memory_during_authentication),
        cmocka_unit_test(out_of_memory_during_a_large_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
