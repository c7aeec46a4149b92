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
 * more; until then nothing else may be sent. Control frames wait likewise. Either direction may
 * also have to wait for the other (a KeyUpdate that must be answered, half a session ticket). */
#include "agent/tunnel/link_internal.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/random.h"
#include "proto/io/polled.h"

struct link_wire {
    struct link *link;    /* NULL when it was stopped; then all that is left is to free it */
    struct polled socket; /* libuv takes a descriptor once only, and libwebsockets has its own */
    SSL *ssl;             /* libwebsockets' */
    struct websocket *websocket;
    uint8_t *unsent; /* a frame, or NULL */
    size_t unsent_len;
    bool deaf; /* nothing behind what was read has a meaning */
    bool read_wants_write;
    bool write_wants_read;
    bool pong_due;
    size_t pong_len;
    uint8_t pong[WEBSOCKET_CONTROL_BYTES_MAX];
};

/* What each direction waits for; 0 = it does not. */
static int read_event(const struct link_wire *w)
{
    return w->deaf ? 0 : w->read_wants_write ? UV_WRITABLE : UV_READABLE;
}

static int write_event(const struct link_wire *w)
{
    return w->unsent == NULL ? 0 : w->write_wants_read ? UV_READABLE : UV_WRITABLE;
}

static void start_poll(struct link_wire *w)
{
    polled_wait(&w->socket, read_event(w) | write_event(w));
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

/* 0 = all of it, for nobody sets SSL_MODE_ENABLE_PARTIAL_WRITE; 1 = again, with the same bytes,
 * when the socket is ready; ERROR_CLOSED. */
static int write_bytes(struct link_wire *w, const uint8_t *frame, size_t len)
{
    forget_errors();
    int n = SSL_write(w->ssl, frame, (int)len);
    int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(w->ssl, n);
    w->write_wants_read = why == SSL_ERROR_WANT_READ;
    if (n > 0) {
        return 0;
    }
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 1 : ERROR_CLOSED;
}

static int send_frame(struct link_wire *w, const uint8_t *frame, size_t len)
{
    int rc = write_bytes(w, frame, len);
    return rc > 0 ? keep_unsent(w, frame, len) : rc;
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

int link_wire_send_due(struct link_wire *w)
{
    struct link *l = w->link;

    if (w->pong_due && w->unsent == NULL && !l->close_sent) {
        w->pong_due = false;
        if (send_control(w, WEBSOCKET_PONG, w->pong, w->pong_len) != 0) {
            return ERROR_CLOSED;
        }
    }
    if (l->state != LINK_FINISHING || l->close_sent || w->unsent != NULL) {
        return 0;
    }
    const uint8_t code[2] = {(uint8_t)(l->close_code >> 8), (uint8_t)l->close_code};
    l->close_sent = true;
    return send_control(w, WEBSOCKET_CLOSE, code, sizeof(code));
}

/* The message that waits, and what waits behind it. */
static int send_unsent(struct link_wire *w)
{
    int rc = write_bytes(w, w->unsent, w->unsent_len);
    if (rc != 0) {
        return rc > 0 ? 0 : rc;
    }
    free(w->unsent);
    w->unsent = NULL;
    return link_wire_send_due(w);
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

/* One SSL_read and what it brought. 1 = and there may be more, 0 = nothing for now, ERROR_CLOSED.
 */
static int read_record(struct link_wire *w)
{
    struct link_set *s = w->link->set;

    forget_errors();
    int n = SSL_read(w->ssl, s->received, sizeof(s->received));
    int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(w->ssl, n);
    w->read_wants_write = why == SSL_ERROR_WANT_WRITE;
    if (n <= 0) {
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : ERROR_CLOSED;
    }
    int code = websocket_feed(w->websocket, s->received, (size_t)n);
    if (stopped(w)) {
        return 0;
    }
    if (code != 0) {
        w->deaf = true;
        link_take_fault(w->link, code);
    }
    return w->deaf ? 0 : 1;
}

/* One read of the socket, as much as OpenSSL has room for, and all that came with it. From then on
 * it reads no further than to the end of a record, so that a relay that sends without end does not
 * keep the loop. */
static int read_records(struct link_wire *w)
{
    int rc = 0;

    SSL_set_read_ahead(w->ssl, 1);
    do {
        rc = read_record(w);
        SSL_set_read_ahead(w->ssl, 0);
    } while (rc > 0 && SSL_has_pending(w->ssl));
    return rc < 0 ? rc : 0;
}

/* Nothing is read any more, and no close frame waits to be sent. */
static bool finished(const struct link_wire *w)
{
    bool close_waits = w->unsent != NULL && w->link->state == LINK_FINISHING;
    return w->deaf && !close_waits;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct link_wire *w = poll->data;
    int rc = 0;

    if ((status < 0 && !w->deaf) || (events & read_event(w)) != 0) {
        rc = read_records(w);
    }
    if (stopped(w)) {
        return;
    }
    if (rc == 0 && (events & write_event(w)) != 0) {
        rc = send_unsent(w);
    }
    if (rc == 0) {
        rc = link_wire_send_due(w);
    }
    if (rc != 0 || status < 0 || finished(w)) { /* libuv does not poll on behind an error */
        link_end_open(w->link, "the connection was lost");
        return;
    }
    start_poll(w);
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
    polled_close(&w->socket, on_poll_closed);
}

struct link_wire *link_wire_start(struct link *l)
{
    struct link_set *s = l->set;
    struct link_wire *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return NULL;
    }
    w->websocket = websocket_new(WEBSOCKET_CLIENT, &websocket_callbacks, w, &s->spare_parser);
    int fd = fcntl(lws_get_socket_fd(l->wsi), F_DUPFD_CLOEXEC, 0);
    if (w->websocket == NULL || fd < 0) {
        goto fail;
    }
    if (polled_open(&w->socket, s->loop, fd, on_poll) < 0) {
        fd = -1;
        goto fail;
    }
    w->link = l;
    w->ssl = lws_get_ssl(l->wsi);
    w->socket.poll.data = w;
    (void)lws_rx_flow_control(l->wsi, 0); /* its socket's poll ends; nothing is buffered */
    start_poll(w);
    return w;

fail:
    websocket_free(w->websocket);
    if (fd >= 0) {
        (void)close(fd);
    }
    free(w);
    return NULL;
}
