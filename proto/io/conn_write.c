/* SPDX-License-Identifier: Apache-2.0 */
/* The writing half of a connection: what the kernel does not take at once goes to `writing` (in
 * flight) and `pending` (behind it). */
#include "proto/io/conn.h"

#include <openssl/err.h>

#include "proto/base/error.h"
#include "proto/io/conn_internal.h"

/* Largest plaintext given to one SSL_write: one TLS record. */
#define RECORD_BYTES 16384

static void on_written(uv_write_t *req, int status);

/* Hands `pending` to the kernel as the next uv_write. */
static int start_write(struct conn *c)
{
    struct buffer spent = c->writing;
    c->writing = c->pending;
    c->pending = spent;
    buffer_clear(&c->pending);
    buffer_release(&c->pending);
    uv_buf_t buf =
        uv_buf_init((char *)(uintptr_t)buffer_bytes(&c->writing), (unsigned)c->writing.len);
    c->write_req.data = c;
    return uv_write(&c->write_req, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status;
}

/* All has left: FIN, then wait for the peer's or for the linger deadline. */
void conn_send_fin(struct conn *c)
{
    if (c->fin_sent) {
        return;
    }
    c->fin_sent = true;
    wheel_set(c->shared->wheel, &c->linger, uv_now(c->shared->loop) + CONN_LINGER_MS);
    if (c->read_ended || uv_shutdown(&c->shutdown_req, (uv_stream_t *)&c->tcp, on_shutdown) < 0) {
        conn_close_handle(c);
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = req->data;
    buffer_clear(&c->writing);
    if (status < 0) {
        if (status != UV_ECANCELED) {
            conn_lose_peer(c);
        }
        return;
    }
    if (c->pending.len > 0 && start_write(c) < 0) {
        conn_lose_peer(c);
        return;
    }
    if (conn_pending(c) == 0) {
        buffer_release(&c->writing);
        if (c->state == CONN_FINISHING) {
            conn_send_fin(c);
            return;
        }
    }
    if (c->above_low && conn_pending(c) < CONN_PENDING_LOW_BYTES && conn_is_open(c)) {
        c->above_low = false;
        c->callbacks->on_drain(c);
    }
}

static int keep_pending(struct conn *c, const uint8_t *bytes, size_t len)
{
    if (len > CONN_PENDING_BYTES_MAX - conn_pending(c)) {
        return ERROR_LIMIT;
    }
    int err = buffer_append(&c->pending, bytes, len);
    if (err < 0) {
        return err;
    }
    if (c->writing.len == 0 && start_write(c) < 0) {
        return ERROR_IO;
    }
    if (conn_pending(c) >= CONN_PENDING_LOW_BYTES) {
        c->above_low = true;
    }
    return 0;
}

/* Gives bytes to the kernel, keeps what it does not take. */
static int send_bytes(struct conn *c, const uint8_t *bytes, size_t len)
{
    size_t sent = 0;
    if (conn_pending(c) == 0 && len > 0) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
        int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
        if (n < 0 && n != UV_EAGAIN) {
            c->write_failed = true;
            return ERROR_CLOSED;
        }
        sent = n > 0 ? (size_t)n : 0;
    }
    return sent == len ? 0 : keep_pending(c, bytes + sent, len - sent);
}

/* Sends what OpenSSL has put into the shared buffer. */
int conn_flush_tls(struct conn *c)
{
    struct buffer *out = &c->shared->out;
    int err = send_bytes(c, buffer_bytes(out), out->len);
    buffer_clear(out);
    return err;
}

static int write_tls(struct conn *c, const uint8_t *bytes, size_t len)
{
    struct conn_shared *s = c->shared;
    s->in_len = 0;
    s->out_error = 0;
    while (len > 0) {
        size_t n = len < RECORD_BYTES ? len : RECORD_BYTES;
        if (SSL_write(c->ssl, bytes, (int)n) != (int)n) {
            buffer_clear(&s->out);
            ERR_clear_error();
            return s->out_error < 0 ? s->out_error : ERROR_CLOSED;
        }
        bytes += n;
        len -= n;
    }
    return conn_flush_tls(c);
}

int conn_write(struct conn *c, const void *bytes, size_t len)
{
    if (c->state != CONN_OPEN) {
        return ERROR_CLOSED;
    }
    int err = c->ssl != NULL ? write_tls(c, bytes, len) : send_bytes(c, bytes, len);
    if (err < 0 && err != ERROR_CLOSED) {
        conn_close_handle(c);
    }
    return err;
}
