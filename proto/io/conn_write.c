/* SPDX-License-Identifier: Apache-2.0 */
/* The writing half of a connection: what the kernel does not take at once waits in `pending`. */
#include "proto/io/conn.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "proto/base/error.h"
#include "proto/io/conn_internal.h"

/* Largest plaintext given to one SSL_write: one TLS record. */
#define RECORD_BYTES 16384

/* How many the kernel has taken, 0 if none at the moment; negative: the peer is gone. */
static ssize_t give(const struct conn *c, const uint8_t *bytes, size_t len)
{
    ssize_t n = send(c->socket.fd, bytes, len, MSG_NOSIGNAL);
    return n < 0 && polled_is_for_later(errno) ? 0 : n;
}

/* All has left: FIN, then wait for the peer's or for the linger deadline. */
void conn_send_fin(struct conn *c)
{
    if (c->fin_sent) {
        return;
    }
    c->fin_sent = true;
    wheel_set(c->shared->wheel, &c->linger, uv_now(c->shared->loop) + CONN_LINGER_MS);
    if (c->read_ended || shutdown(c->socket.fd, SHUT_WR) != 0) {
        conn_close_handle(c);
    }
}

void conn_send_pending(struct conn *c)
{
    ssize_t n = give(c, buffer_bytes(&c->pending), c->pending.len);
    if (n < 0 && !c->paused && !c->read_ended) {
        buffer_clear(&c->pending);
        c->write_failed = true; /* reading tells the end, behind what came before it */
        return;
    }
    if (n < 0) {
        conn_lose_peer(c);
        return;
    }
    buffer_consume(&c->pending, (size_t)n);
    if (conn_pending(c) == 0) {
        buffer_release(&c->pending);
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
    conn_update_poll(c);
    if (conn_pending(c) >= CONN_PENDING_LOW_BYTES) {
        c->above_low = true;
    }
    return 0;
}

/* Gives bytes to the kernel, keeps what it does not take. */
static int send_bytes(struct conn *c, const uint8_t *bytes, size_t len)
{
    ssize_t sent = 0;
    if (conn_pending(c) == 0 && len > 0) {
        sent = give(c, bytes, len);
        if (sent < 0) {
            c->write_failed = true;
            return ERROR_CLOSED;
        }
    }
    return (size_t)sent == len ? 0 : keep_pending(c, bytes + sent, len - (size_t)sent);
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
