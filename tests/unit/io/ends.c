/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of TCP connections, on one loop and in one thread. */
#include "tests/unit/io/ends.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/base/clock.h"
#include "proto/io/tls.h"
#include "tests/unit/io/pair_files.h"

#define WATCHDOG_MS 30000
#define ENDS_MAX    16
#define SOCKET_BYTES                                                                               \
    16384 /* asked of the kernel for its buffers, so that little fits into them                    \
           */
#define PATTERN_BYTES ((size_t)4 * 1024 * 1024)
#define PATTERN_PRIME 251
#define STEP_BYTES    65536

static struct tls_server *server;
static SSL_CTX *client_ctx;
static uint8_t *pattern;

static uv_loop_t loop;
static struct wheel wheel;
static uint64_t passed_ms;
static struct conn_shared *shared;
static struct ends *all[ENDS_MAX];
static size_t n_all;

int ends_group_set_up(void **state)
{
    struct pair_files files;
    struct error_text why;
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || pair_files_set_up(state) != 0) {
        return -1;
    }
    pair_files_make(&files, "near.example", clock_wall_s() + 86400);
    client_ctx = SSL_CTX_new(TLS_client_method());
    pattern = malloc(PATTERN_BYTES);
    if (client_ctx == NULL || pattern == NULL) {
        return -1;
    }
    for (size_t i = 0; i < PATTERN_BYTES; i++) {
        pattern[i] = (uint8_t)(i % PATTERN_PRIME);
    }
    return tls_server_new(&files.pair, 1, NULL, &server, &why);
}

int ends_group_tear_down(void **state)
{
    tls_server_free(server);
    SSL_CTX_free(client_ctx);
    free(pattern);
    return pair_files_tear_down(state);
}

/* ---- the near end's callbacks ---- */

static void run(struct ends *e, void (*what)(struct ends *e))
{
    if (what != NULL) {
        what(e);
    }
}

static bool on_preamble(struct conn *c, const uint8_t *bytes, size_t len, size_t *used)
{
    struct ends *e = c->user;
    size_t left = e->preamble_bytes - e->preamble.len;
    size_t n = len < left ? len : left;
    assert_true(len > 0);
    assert_int_equal(buffer_append(&e->preamble, bytes, n), 0);
    run(e, e->do_on_preamble);
    *used = n;
    return n == left && conn_is_open(c);
}

static void on_open(struct conn *c)
{
    struct ends *e = c->user;
    e->n_open++;
    run(e, e->do_on_open);
}

static void on_read(struct conn *c, const uint8_t *bytes, size_t len)
{
    struct ends *e = c->user;
    assert_true(len > 0);
    assert_int_equal(buffer_append(&e->got, bytes, len), 0);
    e->n_reads++;
    run(e, e->do_on_read);
}

static void on_end(struct conn *c, enum conn_end end)
{
    struct ends *e = c->user;
    e->n_ends++;
    e->end = end;
    run(e, e->do_on_end);
}

static void on_drain(struct conn *c)
{
    struct ends *e = c->user;
    e->n_drains++;
    assert_in_range(conn_pending(c), 0, CONN_PENDING_LOW_BYTES - 1);
    run(e, e->do_on_drain);
}

static void on_closed(struct conn *c)
{
    struct ends *e = c->user;
    e->n_closed++;
}

const struct conn_callbacks ends_callbacks = {
    .on_preamble = on_preamble,
    .on_open = on_open,
    .on_read = on_read,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_closed = on_closed,
};

/* ---- fixture ---- */

uv_loop_t *ends_loop(void)
{
    return &loop;
}

struct conn_shared *ends_shared(void)
{
    return shared;
}

struct ends *ends_new(void)
{
    assert_true(n_all < ENDS_MAX);
    struct ends *e = calloc(1, sizeof(*e));
    assert_non_null(e);
    e->fd = -1;
    e->conn.state = CONN_CLOSED;
    buffer_init(&e->preamble, ENDS_BYTES_MAX);
    buffer_init(&e->got, ENDS_BYTES_MAX);
    buffer_init(&e->far_got, ENDS_BYTES_MAX);
    all[n_all++] = e;
    return e;
}

int ends_set_up_loop(void **state)
{
    assert_int_equal(uv_loop_init(&loop), 0);
    passed_ms = uv_now(&loop);
    wheel_init(&wheel, passed_ms);
    shared = malloc(sizeof(*shared));
    assert_non_null(shared);
    assert_int_equal(conn_shared_init(shared, &loop, &wheel), 0);
    *state = ends_new();
    return 0;
}

int ends_set_up(void **state)
{
    (void)ends_set_up_loop(state);
    ends_connect(*state, false);
    return 0;
}

int ends_set_up_tls(void **state)
{
    (void)ends_set_up_loop(state);
    ends_connect(*state, true);
    ends_shake_hands(*state);
    return 0;
}

static void drop(struct ends *e)
{
    if (e->conn.state != CONN_CLOSED) {
        e->do_on_end = NULL;
        conn_close(&e->conn);
        ends_until(e, &e->n_closed, 1);
    }
    assert_in_range(e->n_closed, 0, 1);
    far_close(e);
    SSL_free(e->ssl);
    buffer_close(&e->preamble);
    buffer_close(&e->got);
    buffer_close(&e->far_got);
    free(e);
}

int ends_tear_down(void **state)
{
    (void)state;
    while (n_all > 0) {
        drop(all[--n_all]);
    }
    for (size_t i = 0; i < WHEEL_SLOTS; i++) {
        assert_true(list_empty(&wheel.slots[i]));
    }
    conn_shared_close(shared);
    free(shared);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

/* ---- connecting ---- */

static void set_small_buffers(int fd)
{
    int bytes = SOCKET_BYTES;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

/* Returns the near end's socket. */
static int connect_sockets(struct ends *e)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0 && e->fd >= 0);
    set_small_buffers(listener); /* is inherited by what it accepts */
    set_small_buffers(e->fd);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(e->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    int near = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(near >= 0);
    assert_int_equal(close(listener), 0);
    return near;
}

SSL_CTX *ends_tls(void)
{
    return tls_server_context(server);
}

void ends_connect(struct ends *e, bool tls)
{
    int near = connect_sockets(e);
    if (tls) {
        far_start_tls(e, client_ctx);
    }
    SSL_CTX *ctx = tls ? ends_tls() : NULL;
    assert_int_equal(conn_open(&e->conn, shared, near, ctx, &ends_callbacks, e), 0);
    if (e->preamble_bytes > 0) {
        conn_expect_preamble(&e->conn);
    }
}

void ends_shake_hands(struct ends *e)
{
    (void)SSL_do_handshake(e->ssl);
    far_flush(e);
    ends_until(e, &e->n_open, 1);
    assert_true(SSL_is_init_finished(e->ssl));
}

/* ---- turning ---- */

void ends_turn(struct ends *e)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    far_read(e);
}

void ends_turns(struct ends *e, int n)
{
    for (int i = 0; i < n; i++) {
        ends_turn(e);
    }
}

void ends_check_watchdog(uint64_t start_ms)
{
    if (clock_now_ms() - start_ms > WATCHDOG_MS) {
        fail_msg("what is waited for does not happen");
    }
}

void ends_until(struct ends *e, const unsigned *what, unsigned wanted)
{
    uint64_t start_ms = clock_now_ms();
    while (*what < wanted) {
        ends_turn(e);
        ends_check_watchdog(start_ms);
    }
}

static void until_len(struct ends *e, const struct buffer *b, size_t len)
{
    uint64_t start_ms = clock_now_ms();
    while (b->len < len) {
        ends_turn(e);
        ends_check_watchdog(start_ms);
    }
}

void ends_until_got(struct ends *e, size_t len)
{
    until_len(e, &e->got, len);
}

void ends_until_far_got(struct ends *e, size_t len)
{
    until_len(e, &e->far_got, len);
}

void ends_until_far(struct ends *e, const bool *what)
{
    uint64_t start_ms = clock_now_ms();
    while (!*what) {
        ends_turn(e);
        ends_check_watchdog(start_ms);
    }
}

void ends_pass(uint64_t ms)
{
    uint64_t now_ms = uv_now(&loop);
    passed_ms = (passed_ms > now_ms ? passed_ms : now_ms) + ms;
    wheel_turn(&wheel, passed_ms);
}

/* ---- the pattern ---- */

const uint8_t *ends_pattern(size_t offset, size_t len)
{
    assert_in_range(len, 0, PATTERN_BYTES - PATTERN_PRIME);
    return pattern + offset % PATTERN_PRIME;
}

static void assert_pattern(const struct buffer *b, size_t len)
{
    assert_int_equal(b->len, len);
    if (len > 0) {
        assert_memory_equal(buffer_bytes(b), ends_pattern(0, len), len);
    }
}

void ends_assert_got(const struct ends *e, size_t len)
{
    assert_pattern(&e->got, len);
}

void ends_assert_far_got(const struct ends *e, size_t len)
{
    assert_pattern(&e->far_got, len);
}

int ends_write(struct ends *e, size_t len)
{
    int err = conn_write(&e->conn, ends_pattern(e->n_written, len), len);
    e->n_written += err == 0 ? len : 0;
    return err;
}

void ends_fill(struct ends *e)
{
    uint64_t start_ms = clock_now_ms();
    e->deaf = true;
    do {
        assert_int_equal(ends_write(e, 1000), 0);
        ends_turn(e);
        ends_check_watchdog(start_ms);
    } while (conn_pending(&e->conn) == 0);
}
