/* SPDX-License-Identifier: Apache-2.0 */
/* One accepted TCP connection on a libuv loop, with TLS or without.
 *
 * TLS runs over a BIO of our own: what one recv(2) brought is decrypted in one go into a buffer
 * that all connections of a loop share, and what is written is encrypted into another one and
 * given to the kernel by one send(2). An idle connection owns no buffer.
 *
 * Reading: on_read gets plaintext; conn_pause stops it. Writing: conn_write takes everything; what
 * the kernel does not take at once waits here, at most CONN_PENDING_BYTES_MAX; who produces more
 * than a little asks conn_pending first and goes on in on_drain.
 *
 * Closing: conn_close ends it at once, conn_finish after what is pending has left, with a proper
 * end of TLS, and drains what the peer still sends, so that the last answer is not lost to a
 * reset (RFC 9112 9.6). on_closed is always the last callback; the memory may be freed in it and
 * not before. All other callbacks stop when conn_close or conn_finish has been called. */
#ifndef PROTO_IO_CONN_H
#define PROTO_IO_CONN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "proto/base/buffer.h"
#include "proto/io/conn_shared.h"
#include "proto/io/polled.h"
#include "proto/io/wheel.h"

/* on_drain fires when what waits has fallen below this. */
#define CONN_PENDING_LOW_BYTES 16384
/* How long conn_finish drains what the peer still sends, and how long it waits before that for the
 * peer to take what is pending. */
#define CONN_LINGER_MS 1000
#define CONN_FLUSH_MS  15000
/* The kernel's share of what a slow peer may hold up (TCP_NOTSENT_LOWAT). */
#define CONN_NOTSENT_BYTES 131072

enum conn_state {
    CONN_PREAMBLE,  /* conn_expect_preamble: before all else */
    CONN_HANDSHAKE, /* TLS is being set up */
    CONN_OPEN,
    CONN_FINISHING, /* conn_finish: sending what is pending, then lingering */
    CONN_CLOSING,   /* uv_close was called */
    CONN_CLOSED
};

enum conn_end {
    CONN_END_CLEAN,  /* the peer will send no more, and said so (close_notify; FIN without TLS) */
    CONN_END_ABRUPT, /* FIN in the middle of TLS, reset, time-out of the kernel */
    CONN_END_TLS     /* the peer does not speak TLS as it should */
};

struct conn;

struct conn_callbacks {
    /* Bytes from before TLS, after conn_expect_preamble. True: the preamble is complete, and was
     * the first `*used` of them; what follows goes the usual way. False: it goes on, and all of
     * them were taken; or the connection was closed. NULL where none is expected. */
    bool (*on_preamble)(struct conn *c, const uint8_t *bytes, size_t len, size_t *used);
    /* The handshake is done (never fired without TLS). May be NULL. */
    void (*on_open)(struct conn *c);
    void (*on_read)(struct conn *c, const uint8_t *bytes, size_t len);
    /* No more will be read. After CLEAN writing is still possible, and ABRUPT may follow if what
     * waits can no longer leave. */
    void (*on_end)(struct conn *c, enum conn_end end);
    /* Less than CONN_PENDING_LOW_BYTES wait; fired after more did. */
    void (*on_drain)(struct conn *c);
    void (*on_closed)(struct conn *c);
};

struct conn {
    struct polled socket;
    struct conn_shared *shared;
    const struct conn_callbacks *callbacks;
    SSL *ssl; /* owned; NULL = no TLS */
    enum conn_state state;
    bool paused;
    bool read_ended;
    bool is_lost;      /* on_end has told so: nothing will leave any more */
    bool write_failed; /* so that the end which is read next is not taken for a clean one */
    bool above_low;    /* on_drain is due once the pending bytes have fallen */
    bool fin_sent;
    struct buffer pending; /* the kernel has not taken it yet */
    struct wheel_timer linger;
    void *user;
};

/* Takes the connected socket `fd` and, unless it is NULL, makes a TLS server end of `ctx`. Reading
 * starts at once. 0; ERROR_NOMEM, or ERROR_IO (libuv will not take the socket): the socket is
 * closed, no callback fires. */
int conn_open(struct conn *c, struct conn_shared *shared, int fd, SSL_CTX *ctx,
              const struct conn_callbacks *callbacks, void *user);

/* Right after conn_open: something in the clear (a proxy's word on its client) comes first. Nothing
 * can be written before it is complete. */
void conn_expect_preamble(struct conn *c);

/* Puts other callbacks in (a client's session that becomes an agent's tunnel). */
void conn_take_over(struct conn *c, const struct conn_callbacks *callbacks, void *user);

/* Encrypts and writes. 0, and errors of the peer are reported later, by on_end; ERROR_CLOSED (not
 * open any more, or the peer takes nothing, which after its clean end nobody else tells);
 * ERROR_LIMIT, ERROR_NOMEM (the connection is being closed). */
int conn_write(struct conn *c, const void *bytes, size_t len);

/* Plain and encrypted bytes that wait for the kernel. */
size_t conn_pending(const struct conn *c);

/* Who the peer is. 0, or -1 with errno: it is not known any more. */
int conn_peer(const struct conn *c, struct sockaddr_storage *address);

/* Round trip to the peer as the kernel has measured it on what was sent anyway: a system call. 0 if
 * it is not known. */
uint32_t conn_rtt_us(const struct conn *c);

/* For a connection that is to outlive a line's outage: what is on its way is sent again at least
 * every TCP_LINE_REPEAT_MS (tcp_line.h). */
void conn_repeat(struct conn *c);

/* Stop and go on reading. A paused connection still notices nothing: pair with a deadline. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

void conn_finish(struct conn *c);
void conn_close(struct conn *c);
/* As conn_close, but with a TCP reset and without TLS's end: a cut answer must not look whole. */
void conn_abort(struct conn *c);

bool conn_is_open(const struct conn *c);

#endif
