/* SPDX-License-Identifier: Apache-2.0 */
/* One TCP connection, with TLS or without.
 *
 * Happy path: the socket is readable -> recv(2) into the shared buffer -> the BIO hands it to
 * OpenSSL -> plaintext to on_read; conn_write -> OpenSSL -> the BIO appends to shared->out ->
 * send(2). What the kernel does not take goes to `pending`, and leaves when the socket is writable.
 *
 * shared->in and shared->out are valid only inside one call into OpenSSL: whoever calls it sends
 * or keeps what is in `out` before anything else can happen on the loop.
 *
 * Every way out ends in uv_close; on_closed is fired from its callback. */
#include "proto/io/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
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
    return c->pending.len;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    c->state = CONN_CLOSED;
    buffer_close(&c->pending);
    c->callbacks->on_closed(c);
}

static bool is_closed(const struct conn *c)
{
    return c->state == CONN_CLOSING || c->state == CONN_CLOSED;
}

void conn_close_handle(struct conn *c)
{
    if (is_closed(c)) {
        return;
    }
    c->state = CONN_CLOSING;
    wheel_cancel(&c->linger);
    SSL_free(c->ssl);
    c->ssl = NULL;
    polled_close(&c->socket, on_handle_closed);
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
    bool is_lost = s->out.len > 0 && conn_flush_tls(c) < 0;
    if (plain_len > 0 && c->state == CONN_OPEN) {
        c->callbacks->on_read(c, s->plain_bytes, plain_len);
    }
    if (is_lost) {
        conn_end_reading(c, CONN_END_ABRUPT);
        return;
    }
    if (why == SSL_ERROR_NONE || why == SSL_ERROR_WANT_READ || !conn_is_open(c)) {
        return; /* the last: finished in on_read, and what is pending must still leave */
    }
    enum conn_end clean = c->write_failed ? CONN_END_ABRUPT : CONN_END_CLEAN;
    conn_end_reading(c, why == SSL_ERROR_ZERO_RETURN ? clean : CONN_END_TLS);
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

static void take_bytes(struct conn *c, const uint8_t *bytes, size_t len)
{
    if (c->state == CONN_FINISHING) {
        return; /* lingering: what still comes is of no interest */
    }
    if (c->state == CONN_PREAMBLE && !read_preamble(c, &bytes, &len)) {
        return;
    }
    if (c->ssl != NULL) {
        read_tls(c, bytes, len);
    } else {
        c->callbacks->on_read(c, bytes, len);
    }
}

/* FIN, or an error of the socket. */
static void take_end(struct conn *c, bool is_fin)
{
    if (is_fin && c->state == CONN_FINISHING && conn_pending(c) > 0) {
        c->read_ended = true; /* the peer may still be reading what is pending */
        return;
    }
    bool clean = is_fin && c->ssl == NULL && !c->write_failed;
    conn_end_reading(c, clean ? CONN_END_CLEAN : CONN_END_ABRUPT);
}

/* One call: if there is more, libuv tells again, after the others have had their turn. */
static void receive(struct conn *c)
{
    struct conn_shared *s = c->shared;
    ssize_t n = recv(c->socket.fd, s->read_bytes, sizeof(s->read_bytes), 0);
    if (n > 0) {
        take_bytes(c, s->read_bytes, (size_t)n);
    } else if (n == 0 || !polled_is_for_later(errno)) {
        take_end(c, n == 0);
    }
}

static bool wants_to_receive(const struct conn *c)
{
    return !c->paused && !c->read_ended && !is_closed(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *c = poll->data;
    events = polled_events(&c->socket, status, events);
    if ((events & UV_WRITABLE) != 0 && c->pending.len > 0) {
        conn_send_pending(c);
    }
    if ((events & UV_READABLE) != 0 && wants_to_receive(c)) {
        receive(c);
    }
    if (c->write_failed && c->paused && conn_is_open(c)) {
        conn_lose_peer(c); /* who reads no more is not told by reading */
    }
    conn_update_poll(c);
}

void conn_update_poll(struct conn *c)
{
    if (!is_closed(c)) {
        polled_wait(&c->socket, (wants_to_receive(c) ? UV_READABLE : 0) |
                                    (c->pending.len > 0 ? UV_WRITABLE : 0));
    }
}

void conn_pause(struct conn *c)
{
    if (conn_is_open(c)) {
        c->paused = true;
        conn_update_poll(c);
    }
}

void conn_resume(struct conn *c)
{
    if (conn_is_open(c)) {
        c->paused = false;
        conn_update_poll(c);
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
    c->state = CONN_CLOSED;
    buffer_init(&c->pending, CONN_PENDING_BYTES_MAX);
    wheel_timer_init(&c->linger, on_linger_due);
    if (ctx != NULL && open_tls(c, ctx) < 0) {
        close(fd);
        return ERROR_NOMEM;
    }
    if (polled_open(&c->socket, shared->loop, fd, on_poll) < 0) {
        SSL_free(c->ssl);
        c->ssl = NULL;
        return ERROR_IO;
    }
    c->state = ctx != NULL ? CONN_HANDSHAKE : CONN_OPEN;
    set_socket_options(fd);
    c->socket.poll.data = c;
    conn_update_poll(c);
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

int conn_peer(const struct conn *c, struct sockaddr_storage *address)
{
    socklen_t len = sizeof(*address);
    return getpeername(c->socket.fd, (struct sockaddr *)address, &len);
}

uint32_t conn_rtt_us(const struct conn *c)
{
    return is_closed(c) ? 0 : tcp_line_rtt_us(c->socket.fd);
}

void conn_repeat(struct conn *c)
{
    if (!is_closed(c)) {
        tcp_line_repeat(c->socket.fd);
    }
}

void conn_close(struct conn *c)
{
    send_close_notify(c);
    conn_close_handle(c);
}

void conn_abort(struct conn *c)
{
    if (is_closed(c)) {
        return;
    }
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->socket.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    conn_close_handle(c);
}
