/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a server's end of one connection, in memory, for tests of tls.h. */
#ifndef TESTS_UNIT_IO_HANDSHAKE_H
#define TESTS_UNIT_IO_HANDSHAKE_H

/* cmocka.h wants these four first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#include "proto/io/tls.h"

#define ROUNDS_MAX 50

/* The two ends of a connection. */
static SSL_CTX *client_ctx;
static SSL *client;
static SSL *end;

static inline void drop_connection(void)
{
    SSL_free(client);
    SSL_free(end);
    client = NULL;
    end = NULL;
}

static inline void join(const struct tls_server *s)
{
    BIO *near = NULL;
    BIO *far = NULL;
    end = SSL_new(tls_server_context(s));
    assert_non_null(end);
    assert_int_equal(BIO_new_bio_pair(&near, 0, &far, 0), 1);
    SSL_set_bio(client, near, near);
    SSL_set_bio(end, far, far);
    SSL_set_connect_state(client);
    SSL_set_accept_state(end);
}

/* One step of an end. False when it has failed. */
static inline bool advance(SSL *ssl)
{
    int ok = SSL_do_handshake(ssl);
    int why = SSL_get_error(ssl, ok);
    ERR_clear_error();
    return ok == 1 || why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static inline bool shake_hands(void)
{
    for (int i = 0; i < ROUNDS_MAX; i++) {
        if (!advance(client) || !advance(end)) {
            return false;
        }
        if (SSL_is_init_finished(client) && SSL_is_init_finished(end)) {
            return true;
        }
    }
    return false;
}

static inline bool connect_to(const struct tls_server *s)
{
    join(s);
    return shake_hands();
}

static inline void connect_again(void)
{
    drop_connection();
    client = SSL_new(client_ctx);
    assert_non_null(client);
}

#endif
