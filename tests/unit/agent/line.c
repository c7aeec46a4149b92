/* SPDX-License-Identifier: Apache-2.0 */
/* The line between an agent and a relay. */
#include "tests/unit/agent/line.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/base/span.h"
#include "proto/websocket/websocket.h"

#define FINAL  0x80
#define MASKED 0x80

/* Type, version and length (RFC 8446 5.1). */
#define RECORD_HEADER_BYTES 5

/* The kernel counts what each piece costs it, so that few large ones are more bytes. */
#define PIECE_BYTES 8192

/* ---- both ends ---- */

static int on_ticket_made(SSL *ssl, void *user)
{
    static const uint8_t data[LINE_TICKET_BYTES];
    (void)user;
    return SSL_SESSION_set1_ticket_appdata(SSL_get0_session(ssl), data, sizeof(data));
}

static SSL_TICKET_RETURN on_ticket_seen(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                        size_t name_len, SSL_TICKET_STATUS status, void *user)
{
    (void)ssl;
    (void)session;
    (void)name;
    (void)name_len;
    (void)status;
    (void)user;
    return SSL_TICKET_RETURN_IGNORE;
}

static int accept_all(X509_STORE_CTX *store, void *user)
{
    (void)store;
    (void)user;
    return 1; /* trust.c has tests of its own */
}

static void use_new_certificate(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void make_relay(struct line *line)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    use_new_certificate(ctx);
    assert_int_equal(SSL_CTX_set_num_tickets(ctx, 0), 1);
    assert_int_equal(SSL_CTX_set_max_send_fragment(ctx, LINE_RECORD_BYTES), 1);
    assert_int_equal(SSL_CTX_set_session_ticket_cb(ctx, on_ticket_made, on_ticket_seen, NULL), 1);
    line->relay = SSL_new(ctx);
    SSL_CTX_free(ctx); /* the SSL holds it */
    line->said = BIO_new(BIO_s_mem());
    SSL_set0_rbio(line->relay, BIO_new_socket(line->relay_fd, BIO_NOCLOSE));
    SSL_set0_wbio(line->relay, line->said);
    SSL_set_accept_state(line->relay);
}

/* As trust.c makes it. */
static void make_agent(struct line *line)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_cert_verify_callback(ctx, accept_all, NULL);
    line->agent = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_int_equal(SSL_set_fd(line->agent, line->agent_fd), 1);
    SSL_set_connect_state(line->agent);
}

void line_open(struct line *line)
{
    int fds[2];
    memset(line, 0, sizeof(*line));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    line->agent_fd = fds[0];
    line->relay_fd = fds[1];
    make_relay(line);
    make_agent(line);
    for (unsigned i = 0; i < 3; i++) {
        (void)SSL_do_handshake(line->agent);
        (void)SSL_do_handshake(line->relay);
        line_deliver(line);
    }
    assert_true(SSL_is_init_finished(line->agent));
    assert_true(SSL_is_init_finished(line->relay));
    assert_string_equal(SSL_get_version(line->agent), "TLSv1.3");
}

void line_close(struct line *line)
{
    SSL_free(line->agent);
    SSL_free(line->relay);
    (void)close(line->agent_fd);
    (void)close(line->relay_fd);
}

/* ---- full or not ---- */

void line_fill(struct line *line)
{
    static const uint8_t filler[1024];
    ssize_t n = 0;
    while ((n = send(line->agent_fd, filler, sizeof(filler), 0)) > 0) {
        line->n_filler += (size_t)n;
    }
    assert_int_equal(errno, EAGAIN);
}

void line_drain(struct line *line)
{
    uint8_t filler[1024];
    while (line->n_filler > 0) {
        size_t wanted = line->n_filler < sizeof(filler) ? line->n_filler : sizeof(filler);
        ssize_t n = recv(line->relay_fd, filler, wanted, 0);
        assert_true(n > 0);
        line->n_filler -= (size_t)n;
    }
}

/* ---- what the relay says ---- */

size_t line_pack(uint8_t *out, uint8_t opcode, const char *payload)
{
    const struct span bytes = span_of(payload);
    assert_true(bytes.len <= WEBSOCKET_CONTROL_BYTES_MAX);
    out[0] = FINAL | opcode;
    out[1] = (uint8_t)bytes.len;
    memcpy(out + 2, bytes.p, bytes.len);
    return 2 + bytes.len;
}

void line_say_bytes(struct line *line, const uint8_t *bytes, size_t len)
{
    assert_int_equal(SSL_write(line->relay, bytes, (int)len), (int)len);
}

void line_say(struct line *line, uint8_t opcode, const char *payload)
{
    uint8_t frame[2 + WEBSOCKET_CONTROL_BYTES_MAX];
    line_say_bytes(line, frame, line_pack(frame, opcode, payload));
}

void line_say_ticket(struct line *line)
{
    assert_int_equal(SSL_new_session_ticket(line->relay), 1);
    assert_int_equal(SSL_do_handshake(line->relay), 1);
    assert_true(BIO_ctrl_pending(line->said) > LINE_TICKET_BYTES);
}

void line_say_key_update(struct line *line)
{
    assert_int_equal(SSL_key_update(line->relay, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(line->relay), 1);
}

static void deliver(struct line *line, size_t len)
{
    uint8_t piece[PIECE_BYTES];
    while (len > 0) {
        int n = BIO_read(line->said, piece, (int)(len < sizeof(piece) ? len : sizeof(piece)));
        assert_true(n > 0);
        assert_int_equal(send(line->relay_fd, piece, (size_t)n, 0), n);
        len -= (size_t)n;
    }
}

void line_deliver(struct line *line)
{
    deliver(line, BIO_ctrl_pending(line->said));
}

void line_deliver_record(struct line *line)
{
    const uint8_t *bytes = NULL;
    assert_true(BIO_get_mem_data(line->said, &bytes) > RECORD_HEADER_BYTES);
    deliver(line, RECORD_HEADER_BYTES + ((size_t)bytes[3] << 8 | bytes[4]));
}

/* ---- what it hears ---- */

static void hear(struct line *line)
{
    int n = 0;
    do {
        ERR_clear_error();
        n = SSL_read(line->relay, line->heard + line->heard_len,
                     (int)(sizeof(line->heard) - line->heard_len));
        line->heard_len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
}

void line_assert_hears(struct line *line, uint8_t opcode, const char *payload)
{
    const uint8_t *mask = line->heard + 2;
    const uint8_t *bytes = mask + WEBSOCKET_MASK_BYTES;
    size_t len = strlen(payload);
    size_t frame_len = 2 + WEBSOCKET_MASK_BYTES + len;
    hear(line);
    assert_true(line->heard_len >= frame_len);
    assert_int_equal(line->heard[0], FINAL | opcode);
    assert_int_equal(line->heard[1], MASKED | len);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(bytes[i] ^ mask[i % WEBSOCKET_MASK_BYTES], (uint8_t)payload[i]);
    }
    line->heard_len -= frame_len;
    memmove(line->heard, line->heard + frame_len, line->heard_len);
}

void line_assert_silent(struct line *line)
{
    hear(line);
    assert_int_equal(line->heard_len, 0);
}
