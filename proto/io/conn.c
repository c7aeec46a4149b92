/* SPDX-License-Identifier: Apache-2.0 */
/* One TCP connection, with TLS or without.
 *
 * Happy path: libuv reads into the shared buffer -> the BIO hands it to OpenSSL -> plaintext to
 * on_read; conn_write -> OpenSSL -> the BIO appends to shared->out -> uv_try_write. What the kernel
 * refuses goes to `writing` (in flight) and `pending` (behind it).
 *
 * shared->in and shared->out are valid only inside one call into OpenSSL: whoever calls it sends
 * or keeps what is in `out` before anything else can happen on the loop.
 *
 * Every way out ends in uv_close; on_closed is fired from its callback. */
#include "proto/io/conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/error.h"
#include "proto/io/conn_internal.h"
#include "proto/io/tcp_line.h"

/* ---- ends ---- */

bool conn_is_open(const struct conn *c)
{
    return c->state == CONN_PREAMBLE || c->state == CONN_HANDSHAKE || c->state == CONN_OPEN;
}

size_t conn_pending(const struct conn *c)
{
    return c->pending.len + c->writing.len;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    c->state = CONN_CLOSED;
    buffer_close(&c->pending);
    buffer_close(&c->writing);
    c->callbacks->on_closed(c);
}

void conn_close_handle(struct conn *c)
{
    if (c->state == CONN_CLOSING || c->state == CONN_CLOSED) {
        return;
    }
    c->state = CONN_CLOSING;
    wheel_cancel(&c->linger);
    SSL_free(c->ssl);
    c->ssl = NULL;
    uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
}

/* The peer is gone or hopeless: nobody is told but the owner, once. */
void conn_end_reading(struct conn *c, enum conn_end end)
{
    if (c->state == CONN_FINISHING) {
        conn_close_handle(c);
        return;
    }
    if (c->read_ended || !conn_is_open(c)) {
        return;
    }
    c->read_ended = true;
    c->is_lost = c->is_lost || end != CONN_END_CLEAN;
    uv_read_stop((uv_stream_t *)&c->tcp);
    c->callbacks->on_end(c, end);
}

/* What waits will not leave any more. That is told after a clean end too: on_drain would be waited
 * for in vain. */
void conn_lose_peer(struct conn *c)
{
    buffer_clear(&c->pending);
    if (!c->read_ended || !conn_is_open(c)) {
        conn_end_reading(c, CONN_END_ABRUPT);
    } else if (!c->is_lost) {
        c->is_lost = true;
        c->callbacks->on_end(c, CONN_END_ABRUPT);
    }
}

/* ---- reading ---- */

/* One step of TLS on what is in the shared buffer. False when there is no more to do now. */
static bool handshake(struct conn *c)
{
    ERR_clear_error();
    int ok = SSL_do_handshake(c->ssl);
    int why = SSL_get_error(c->ssl, ok);
    ERR_clear_error(); /* also after success: see why_nothing */
    if (conn_flush_tls(c) < 0) {
        conn_end_reading(c, CONN_END_ABRUPT);
        return false;
    }
    if (ok != 1) {
        if (why != SSL_ERROR_WANT_READ) {
            conn_end_reading(c, CONN_END_TLS);
        }
        return false;
    }
    c->state = CONN_OPEN;
    if (c->callbacks->on_open != NULL) {
        struct conn_shared *s = c->shared;
        const uint8_t *in = s->in;
        size_t in_len = s->in_len; /* behind the handshake; a write in the callback drops it */
        c->callbacks->on_open(c);
        s->in = in;
        s->in_len = in_len;
    }
    return c->state == CONN_OPEN;
}

/* Why SSL_read gave `n`, which is not a byte. SSL_get_error takes what is in the thread's error
 * queue for an error of this connection, whoever left it there. To empty the queue before each call
 * is one instruction in twenty of a request; so whatever fails here empties it behind itself, and
 * that a connection only waits for more is told without it. */
static int why_nothing(const SSL *ssl, int n)
{
    if (SSL_want_read(ssl)) {
        return SSL_ERROR_WANT_READ;
    }
    int why = SSL_get_error(ssl, n);
    ERR_clear_error();
    return why;
}

/* Decrypts as much as there is into the shared plain buffer. */
static size_t decrypt(struct conn *c, int *why)
{
    struct conn_shared *s = c->shared;
    size_t len = 0;
    *why = SSL_ERROR_NONE;
    while (len < sizeof(s->plain_bytes) && (s->in_len > 0 || SSL_pending(c->ssl) > 0)) {
        int n = SSL_read(c->ssl, s->plain_bytes + len, (int)(sizeof(s->plain_bytes) - len));
        if (n <= 0) {
            *why = why_nothing(c->ssl, n);
            break;
        }
        len += (size_t)n;
    }
    return len;
}

static void read_tls(struct conn *c, const uint8_t *bytes, size_t len)
{
    struct conn_shared *s = c->shared;
    s->in = bytes;
    s->in_len = len;
    if (c->state == CONN_HANDSHAKE && !handshake(c)) {
        s->in_len = 0;
        return;
    }
    int why = SSL_ERROR_NONE;
    size_t plain_len = decrypt(c, &why);
    s->in_len = 0;
    if (s->out.len > 0 && conn_flush_tls(c) < 0) {
        conn_end_reading(c, CONN_END_ABRUPT);
        return;
    }
    if (plain_len > 0 && c->state == CONN_OPEN) {
        c->callbacks->on_read(c, s->plain_bytes, plain_len);
    }
    if (why == SSL_ERROR_NONE || why == SSL_ERROR_WANT_READ || !conn_is_open(c)) {
        return; /* the last: finished in on_read, and what is pending must still leave */
    }
    conn_end_reading(c, why == SSL_ERROR_ZERO_RETURN ? CONN_END_CLEAN : CONN_END_TLS);
}

/* True if bytes are left, and the connection goes on with them. */
static bool read_preamble(struct conn *c, const uint8_t **bytes, size_t *len)
{
    size_t used = 0;
    if (!c->callbacks->on_preamble(c, *bytes, *len, &used)) {
        return false;
    }
    c->state = c->ssl != NULL ? CONN_HANDSHAKE : CONN_OPEN;
    *bytes += used;
    *len -= used;
    return *len > 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *c = handle->data;
    *buf = uv_buf_init((char *)c->shared->read_bytes, sizeof(c->shared->read_bytes));
}

static void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    if (n == 0) {
        return;
    }
    if (n == UV_EOF && c->state == CONN_FINISHING && conn_pending(c) > 0) {
        c->read_ended = true; /* the peer may still be reading what is pending */
        uv_read_stop(stream);
        return;
    }
    if (n < 0) {
        bool clean = n == UV_EOF && c->ssl == NULL && !c->write_failed;
        conn_end_reading(c, clean ? CONN_END_CLEAN : CONN_END_ABRUPT);
        return;
    }
    if (c->state == CONN_FINISHING) {
        return; /* lingering: what still comes is of no interest */
    }
    const uint8_t *bytes = (const uint8_t *)buf->base;
    size_t len = (size_t)n;
    if (c->state == CONN_PREAMBLE && !read_preamble(c, &bytes, &len)) {
        return;
    }
    if (c->ssl != NULL) {
        read_tls(c, bytes, len);
    } else {
        c->callbacks->on_read(c, bytes, len);
    }
}

void conn_pause(struct conn *c)
{
    if (!c->paused && conn_is_open(c) && !c->read_ended) {
        c->paused = true;
        uv_read_stop((uv_stream_t *)&c->tcp);
    }
}

void conn_resume(struct conn *c)
{
    if (c->paused && conn_is_open(c) && !c->read_ended) {
        c->paused = false;
        if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_bytes) < 0) {
            conn_end_reading(c, CONN_END_ABRUPT);
        }
    }
}

/* ---- life ---- */

static void on_linger_due(struct wheel_timer *t)
{
    conn_close_handle(LIST_ITEM(t, struct conn, linger));
}

static void set_socket_options(int fd)
{
    int on = 1;
    int lowat = CONN_NOTSENT_BYTES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
}

static int open_tls(struct conn *c, SSL_CTX *ctx)
{
    BIO *bio = BIO_new(c->shared->method);
    c->ssl = SSL_new(ctx);
    if (bio == NULL || c->ssl == NULL) {
        BIO_free(bio);
        SSL_free(c->ssl);
        c->ssl = NULL;
        ERR_clear_error();
        return ERROR_NOMEM;
    }
    BIO_set_data(bio, c->shared);
    BIO_set_init(bio, 1);
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_accept_state(c->ssl);
    return 0;
}

int conn_open(struct conn *c, struct conn_shared *shared, int fd, SSL_CTX *ctx,
              const struct conn_callbacks *callbacks, void *user)
{
    memset(c, 0, sizeof(*c));
    c->shared = shared;
    c->callbacks = callbacks;
    c->user = user;
    c->state = ctx != NULL ? CONN_HANDSHAKE : CONN_OPEN;
    buffer_init(&c->pending, CONN_PENDING_BYTES_MAX);
    buffer_init(&c->writing, CONN_PENDING_BYTES_MAX);
    wheel_timer_init(&c->linger, on_linger_due);
    if (ctx != NULL && open_tls(c, ctx) < 0) {
        close(fd);
        return ERROR_NOMEM;
    }
    set_socket_options(fd);
    uv_tcp_init(shared->loop, &c->tcp);
    c->tcp.data = c;
    if (uv_tcp_open(&c->tcp, fd) < 0) {
        close(fd);
        conn_close_handle(c);
    } else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_bytes) < 0) {
        conn_close_handle(c);
    }
    return 0;
}

void conn_expect_preamble(struct conn *c)
{
    if (conn_is_open(c)) {
        c->state = CONN_PREAMBLE;
    }
}

void conn_take_over(struct conn *c, const struct conn_callbacks *callbacks, void *user)
{
    c->callbacks = callbacks;
    c->user = user;
}

/* close_notify, so that the peer can tell a whole answer from a cut one (RFC 8446 6.1). */
static void send_close_notify(struct conn *c)
{
    if (c->ssl == NULL || c->state != CONN_OPEN) {
        return;
    }
    c->shared->in_len = 0;
    ERR_clear_error();
    (void)SSL_shutdown(c->ssl);
    ERR_clear_error();
    (void)conn_flush_tls(c);
}

void conn_finish(struct conn *c)
{
    if (!conn_is_open(c)) {
        return;
    }
    if (c->state != CONN_OPEN) {
        conn_close_handle(c);
        return;
    }
    send_close_notify(c);
    conn_resume(c);
    c->state = CONN_FINISHING;
    wheel_set(c->shared->wheel, &c->linger, uv_now(c->shared->loop) + CONN_FLUSH_MS);
    if (conn_pending(c) == 0) {
        conn_send_fin(c);
    }
}

uint32_t conn_rtt_us(const struct conn *c)
{
    uv_os_fd_t fd = -1;
    return uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0 ? tcp_line_rtt_us(fd) : 0;
}

void conn_repeat(struct conn *c)
{
    uv_os_fd_t fd = -1;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0) {
        tcp_line_repeat(fd);
    }
}

void conn_close(struct conn *c)
{
    send_close_notify(c);
    conn_close_handle(c);
}

void conn_abort(struct conn *c)
{
    if (c->state == CONN_CLOSING || c->state == CONN_CLOSED) {
        return;
    }
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    uv_os_fd_t fd = -1;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    conn_close_handle(c);
}
