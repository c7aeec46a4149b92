/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of proto/io/conn.h: both ends of TCP connections over loopback. The near end is a
 * struct conn on a libuv loop, which records its callbacks; the far end is a bare socket, with
 * OpenSSL over memory where the connection is to have TLS, that the test moves by hand. Turns of
 * the loop and steps of the far end alternate until what is waited for has happened; a watchdog
 * fails a test that waits in vain. The wheel is turned by the test alone. */
#ifndef TESTS_UNIT_IO_ENDS_H
#define TESTS_UNIT_IO_ENDS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proto/base/buffer.h"
#include "proto/io/conn.h"
#include "tests/unit/io/far.h"

/* What one end may have received. */
#define ENDS_BYTES_MAX ((size_t)16 * 1024 * 1024)
/* Enough that one read cannot bring it, nor do the buffers of the kernel hold it. */
#define ENDS_BIG_BYTES ((size_t)900 * 1024)

struct ends {
    /* near */
    struct conn conn;
    unsigned n_open;
    unsigned n_reads;
    unsigned n_ends;
    unsigned n_drains;
    unsigned n_closed;
    size_t preamble_bytes; /* what the preamble is to have; 0 = none is expected */
    size_t n_written;      /* bytes, by ends_write */
    enum conn_end end;     /* the last one */
    struct buffer preamble;
    struct buffer got;
    /* What a test does from inside a callback. */
    void (*do_on_preamble)(struct ends *e);
    void (*do_on_open)(struct ends *e);
    void (*do_on_read)(struct ends *e);
    void (*do_on_end)(struct ends *e);
    void (*do_on_drain)(struct ends *e);

    /* far */
    int fd;   /* -1 = closed */
    SSL *ssl; /* NULL = no TLS */
    BIO *in;
    BIO *out;
    bool deaf;         /* reads nothing */
    size_t send_bytes; /* most bytes of one send(2); the loop turns between them. 0 = no limit */
    struct buffer far_got;
    bool saw_fin;
    bool saw_reset;
    bool saw_close_notify;
    bool saw_tls_error;
};

/* cmocka's group set-up: certificates and TLS contexts. */
int ends_group_set_up(void **state);
int ends_group_tear_down(void **state);

/* cmocka's set-up: a loop; `*state` becomes a struct ends, connected, without TLS or with it after
 * its handshake. The tear-down closes all that is open, and asserts that everything was closed
 * once and that the loop is empty. */
int ends_set_up(void **state);
int ends_set_up_tls(void **state);
/* A struct ends not yet connected. */
int ends_set_up_loop(void **state);
int ends_tear_down(void **state);

/* One more struct ends on the same loop, freed by the tear-down. */
struct ends *ends_new(void);

/* Connects the two; with TLS the handshake is still to come. */
void ends_connect(struct ends *e, bool tls);
void ends_shake_hands(struct ends *e);

uv_loop_t *ends_loop(void);
struct conn_shared *ends_shared(void);
SSL_CTX *ends_tls(void);
extern const struct conn_callbacks ends_callbacks;

/* One turn of the loop, and what it may bring to the far end. */
void ends_turn(struct ends *e);
void ends_turns(struct ends *e, int n);
/* Turns until `*what` is at least `wanted`. */
void ends_until(struct ends *e, const unsigned *what, unsigned wanted);
void ends_until_got(struct ends *e, size_t len);
void ends_until_far_got(struct ends *e, size_t len);
void ends_until_far(struct ends *e, const bool *what);
/* Turns the wheel, as if so much time had passed. */
void ends_pass(uint64_t ms);
/* Fails the test if it has waited too long since then. */
void ends_check_watchdog(uint64_t start_ms);

/* `len` bytes that begin at `offset` of an endless pattern. */
const uint8_t *ends_pattern(size_t offset, size_t len);
/* The near, or far, end has got exactly so many bytes of the pattern. */
void ends_assert_got(const struct ends *e, size_t len);
void ends_assert_far_got(const struct ends *e, size_t len);

/* Writes of the pattern at the near end, from where the last one ended. */
int ends_write(struct ends *e, size_t len);
/* The far end becomes deaf, and the near one writes until something waits. */
void ends_fill(struct ends *e);

#endif
