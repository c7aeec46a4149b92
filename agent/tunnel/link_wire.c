/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an open link, without libwebsockets in their way.
 *
 * libwebsockets 4.1.6 takes what a client receives byte by byte through its state machine, reads
 * each TLS record in two pieces, asks the kernel for random numbers once per message, and turns the
 * loop once more after each event. Its work is done when the upgrade is: from then on it polls its
 * socket no more (flow control), and this file reads and writes the SSL that lws_get_ssl gives, on
 * a poll handle with a descriptor of its own. The connection stays libwebsockets', which ends it.
 *
 * Happy path: on_poll -> SSL_read -> websocket_feed -> on_bytes, on_message_end; and the other way:
 * link_wire_send -> mask -> SSL_write. One read takes what one write of the relay was, a record or
 * several; what OpenSSL holds behind it is read before the loop goes on.
 *
 * A message that the socket does not take whole is kept, and given to SSL_write again when it takes
 * more; until then nothing else may be sent. Control frames wait likewise. */
#include "agent/tunnel/link_internal.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/random.h"

struct link_wire {
    struct link *link; /* NULL when it was stopped; then all that is left is to free it */
    uv_poll_t poll;
    int fd;   /* owned: libuv takes a descriptor once only, and libwebsockets has its own */
    SSL *ssl; /* libwebsockets' */
    struct websocket *websocket;
    uint8_t *unsent; /* a frame, or NULL */
    size_t unsent_len;
    bool deaf; /* nothing behind what was read has a meaning */
    bool pong_due;
    size_t pong_len;
    uint8_t pong[WEBSOCKET_CONTROL_BYTES_MAX];
};

static void on_poll(uv_poll_t *poll, int status, int events);

/* Cannot fail: the descriptor is open and known to libuv. */
static void start_poll(struct link_wire *w)
{
    int reading = w->deaf ? 0 : UV_READABLE;
    int writing = w->unsent != NULL ? UV_WRITABLE : 0;
    (void)uv_poll_start(&w->poll, reading | writing, on_poll);
}

/* Four bytes that nobody can foresee (RFC 6455 10.3), from a stock. */
static const uint8_t *next_mask(struct link_set *s)
{
    if (s->n_masks == 0) {
        random_bytes(s->masks, sizeof(s->masks));
        s->n_masks = LINK_MASKS;
    }
    s->n_masks--;
    return s->masks[s->n_masks];
}

/* ---- writing ---- */

/* True if OpenSSL only waits for the socket. */
static bool must_wait(const struct link_wire *w, int n)
{
    int why = SSL_get_error(w->ssl, n);
    return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ;
}

/* OpenSSL has begun with the frame, and wants exactly it again. */
static int keep_unsent(struct link_wire *w, const uint8_t *frame, size_t len)
{
    w->unsent = malloc(len);
    if (w->unsent == NULL) {
        return ERROR_CLOSED;
    }
    memcpy(w->unsent, frame, len);
    w->unsent_len = len;
    start_poll(w);
    return 0;
}

/* OpenSSL asks for none to be there before a call, and libwebsockets leaves some. To clear a queue
 * costs 800 instructions, be it empty. */
static void forget_errors(void)
{
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

static int send_frame(struct link_wire *w, const uint8_t *frame, size_t len)
{
    forget_errors();
    int n = SSL_write(w->ssl, frame, (int)len);
    if (n > 0) {
        return 0; /* all of it: SSL_MODE_ENABLE_PARTIAL_WRITE is off */
    }
    return must_wait(w, n) ? keep_unsent(w, frame, len) : ERROR_CLOSED;
}

bool link_wire_can_send(const struct link_wire *w)
{
    return w->unsent == NULL;
}

int link_wire_send(struct link_wire *w, enum websocket_opcode opcode, uint8_t *payload, size_t len)
{
    size_t frame_len = 0;
    uint8_t *frame = websocket_wrap(payload, len, opcode, next_mask(w->link->set), &frame_len);
    return send_frame(w, frame, frame_len);
}

/* At most 125 bytes, which are copied. */
static int send_control(struct link_wire *w, enum websocket_opcode opcode, const uint8_t *payload,
                        size_t len)
{
    uint8_t room[WEBSOCKET_HEADER_BYTES_MAX + WEBSOCKET_CONTROL_BYTES_MAX];
    uint8_t *copy = room + WEBSOCKET_HEADER_BYTES_MAX;

    memcpy(copy, payload, len);
    return link_wire_send(w, opcode, copy, len);
}

int link_wire_send_close(struct link_wire *w, uint16_t code)
{
    const uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    return send_control(w, WEBSOCKET_CLOSE, payload, sizeof(payload));
}

/* What waits behind the unsent message: pong, then close. */
static int send_due(struct link_wire *w)
{
    int rc = 0;

    if (w->pong_due && w->unsent == NULL) {
        w->pong_due = false;
        rc = send_control(w, WEBSOCKET_PONG, w->pong, w->pong_len);
    }
    return rc != 0 ? rc : link_send_due(w->link);
}

static int on_writable(struct link_wire *w)
{
    uint8_t *frame = w->unsent;

    if (frame == NULL) {
        return 0;
    }
    forget_errors();
    int n = SSL_write(w->ssl, frame, (int)w->unsent_len);
    if (n <= 0) {
        return must_wait(w, n) ? 0 : ERROR_CLOSED;
    }
    w->unsent = NULL;
    free(frame);
    start_poll(w);
    return send_due(w);
}

/* ---- reading ---- */

static bool stopped(const struct link_wire *w)
{
    return w->link == NULL;
}

static int on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    struct link_wire *w = user;
    int rc = link_take_bytes(w->link, bytes, len);
    return stopped(w) ? -1 : rc;
}

static int on_message_end(void *user)
{
    struct link_wire *w = user;
    int rc = link_take_end(w->link);
    return stopped(w) ? -1 : rc;
}

/* Only the last one needs an answer (RFC 6455 5.5.3). */
static void on_ping(void *user, const uint8_t *payload, size_t len)
{
    struct link_wire *w = user;
    memcpy(w->pong, payload, len);
    w->pong_len = len;
    w->pong_due = true;
}

static void on_close(void *user, uint16_t code)
{
    struct link_wire *w = user;
    link_take_close(w->link, code);
}

static const struct websocket_callbacks websocket_callbacks = {
    .on_bytes = on_bytes,
    .on_message_end = on_message_end,
    .on_ping = on_ping,
    .on_close = on_close,
};

/* What is there, and what OpenSSL holds behind it. False if the connection is lost. */
static bool read_records(struct link_wire *w)
{
    struct link_set *s = w->link->set;

    do {
        forget_errors();
        int n = SSL_read(w->ssl, s->received, sizeof(s->received));
        if (n <= 0) {
            return must_wait(w, n);
        }
        int code = websocket_feed(w->websocket, s->received, (size_t)n);
        if (stopped(w)) {
            return true;
        }
        if (code != 0) {
            w->deaf = true;
            link_take_fault(w->link, code);
            return true;
        }
    } while (SSL_has_pending(w->ssl));
    return true;
}

/* All was read, and what is to be said to it was sent. */
static bool finished(const struct link_wire *w)
{
    bool close_waits = w->unsent != NULL && w->link->state == LINK_FINISHING;
    return w->deaf && !close_waits;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct link_wire *w = poll->data;
    bool lives = true;

    if (!w->deaf && (status < 0 || (events & UV_READABLE) != 0)) {
        lives = read_records(w);
    }
    if (stopped(w)) {
        return;
    }
    if (lives && (events & UV_WRITABLE) != 0) {
        lives = on_writable(w) == 0;
    }
    if (lives && w->pong_due) {
        lives = send_due(w) == 0;
    }
    if (!lives || status < 0 || finished(w)) { /* libuv does not poll on behind an error */
        link_end_open(w->link, "the connection was lost");
    } else if (w->deaf) {
        start_poll(w);
    }
}

/* ---- beginning and end ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    struct link_wire *w = handle->data;
    websocket_free(w->websocket);
    free(w->unsent);
    free(w);
}

void link_wire_stop(struct link_wire *w)
{
    w->link = NULL;
    uv_close((uv_handle_t *)&w->poll, on_poll_closed);
    (void)close(w->fd); /* libuv has let go of it */
}

/* OpenSSL as this file wants it, which libwebsockets could not bear: it asks SSL_pending alone
 * whether bytes wait, and so must not have it read ahead. */
static void set_modes(SSL *ssl)
{
    SSL_set_read_ahead(ssl, 1);
    (void)SSL_clear_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    (void)SSL_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

struct link_wire *link_wire_start(struct link *l)
{
    struct link_set *s = l->set;
    struct link_wire *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return NULL;
    }
    w->fd = fcntl(lws_get_socket_fd(l->wsi), F_DUPFD_CLOEXEC, 0);
    w->websocket = websocket_new(WEBSOCKET_CLIENT, &websocket_callbacks, w, &s->spare_parser);
    if (w->fd < 0 || w->websocket == NULL || uv_poll_init(s->loop, &w->poll, w->fd) != 0) {
        goto fail;
    }
    w->link = l;
    w->ssl = lws_get_ssl(l->wsi);
    w->poll.data = w;
    set_modes(w->ssl);
    (void)lws_rx_flow_control(l->wsi, 0); /* its socket's poll ends; nothing is buffered */
    start_poll(w);
    return w;

fail:
    websocket_free(w->websocket);
    if (w->fd >= 0) {
        (void)close(w->fd);
    }
    free(w);
    return NULL;
}
