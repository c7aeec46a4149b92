/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of a connection: a socket, and OpenSSL over memory. */
#include "tests/unit/io/far.h"

#include <errno.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/base/clock.h"
#include "tests/unit/io/ends.h"

#define STEP_BYTES 65536

void far_start_tls(struct ends *e, SSL_CTX *ctx)
{
    e->ssl = SSL_new(ctx);
    e->in = BIO_new(BIO_s_mem());
    e->out = BIO_new(BIO_s_mem());
    assert_true(e->ssl != NULL && e->in != NULL && e->out != NULL);
    BIO_set_mem_eof_return(e->in, -1);
    SSL_set_bio(e->ssl, e->in, e->out);
    SSL_set_connect_state(e->ssl);
}

static void far_decrypt(struct ends *e)
{
    static uint8_t bytes[STEP_BYTES];
    int n = 0;
    if (!SSL_is_init_finished(e->ssl)) {
        (void)SSL_do_handshake(e->ssl);
    }
    while ((n = SSL_read(e->ssl, bytes, sizeof(bytes))) > 0) {
        assert_int_equal(buffer_append(&e->far_got, bytes, (size_t)n), 0);
    }
    int why = SSL_get_error(e->ssl, n);
    e->saw_close_notify = e->saw_close_notify || why == SSL_ERROR_ZERO_RETURN;
    e->saw_tls_error = e->saw_tls_error || why == SSL_ERROR_SSL;
    ERR_clear_error();
}

void far_read(struct ends *e)
{
    static uint8_t bytes[STEP_BYTES];
    if (e->fd < 0 || e->deaf || e->saw_fin || e->saw_reset) {
        return;
    }
    ssize_t n = recv(e->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0) {
        e->saw_fin = true;
    } else if (n < 0) {
        assert_true(errno == EAGAIN || errno == ECONNRESET);
        e->saw_reset = errno == ECONNRESET;
    } else if (e->ssl == NULL) {
        assert_int_equal(buffer_append(&e->far_got, bytes, (size_t)n), 0);
    } else {
        assert_int_equal(BIO_write(e->in, bytes, (int)n), n);
        far_decrypt(e);
        far_flush(e);
    }
}

void far_send_raw(struct ends *e, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint64_t start_ms = clock_now_ms();
    while (len > 0 && e->fd >= 0) {
        size_t most = e->send_bytes > 0 && e->send_bytes < len ? e->send_bytes : len;
        ssize_t n = send(e->fd, p, most, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            return; /* the near end has gone; the test sees that elsewhere */
        }
        size_t sent = n > 0 ? (size_t)n : 0;
        p += sent;
        len -= sent;
        if (len > 0) {
            (void)uv_run(ends_loop(), UV_RUN_NOWAIT);
        }
        ends_check_watchdog(start_ms);
    }
}

void far_flush(struct ends *e)
{
    char *bytes = NULL;
    long len = e->ssl != NULL ? BIO_get_mem_data(e->out, &bytes) : 0;
    if (len <= 0) {
        return;
    }
    uint8_t *copy = malloc((size_t)len);
    assert_non_null(copy);
    memcpy(copy, bytes, (size_t)len);
    (void)BIO_reset(e->out);
    far_send_raw(e, copy, (size_t)len);
    free(copy);
}

void far_hold(struct ends *e, const void *bytes, size_t len)
{
    assert_int_equal(SSL_write(e->ssl, bytes, (int)len), (int)len);
}

void far_send(struct ends *e, const void *bytes, size_t len)
{
    if (e->ssl == NULL) {
        far_send_raw(e, bytes, len);
        return;
    }
    far_hold(e, bytes, len);
    far_flush(e);
}

void far_end(struct ends *e)
{
    if (e->ssl == NULL) {
        far_fin(e);
        return;
    }
    (void)SSL_shutdown(e->ssl);
    far_flush(e);
}

void far_fin(struct ends *e)
{
    assert_int_equal(shutdown(e->fd, SHUT_WR), 0);
}

void far_close(struct ends *e)
{
    if (e->fd >= 0) {
        assert_int_equal(close(e->fd), 0);
        e->fd = -1;
    }
}

void far_reset(struct ends *e)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    far_close(e);
}
