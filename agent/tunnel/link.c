/* SPDX-License-Identifier: Apache-2.0 */
/* libwebsockets 4.1.6 as a client on our loop.
 *
 * Happy path: link_open -> lws connects, does TLS (trust.c judges) and sends the upgrade, to which
 * append_authorization() adds the token -> on_open -> link_prepare hands the connection to
 * link_wire.c -> messages both ways -> link_finish sends a close frame -> the relay's answer ->
 * on_closed -> lws closes the connection.
 *
 * What the source of 4.1.6 taught, and why this file looks as it does:
 * - A wsi dies when lws wants it to, and lws_client_connect_via_info may return NULL though
 *   callbacks for its wsi are still to come. So what lws carries for us is a number, not a pointer;
 *   a callback whose number is unknown is ignored.
 * - Its timeouts run from a timer that only its own socket events start. On a silent line they do
 *   not fire, so every deadline is ours, and link_abort wakes lws by lws_cancel_service.
 * - It follows redirects, with our Authorization header, unless it is told not to.
 * - What came behind the answer to the upgrade lies in a buffer of lws until its idle handle has
 *   run, so that the hand-over waits for that. (A relay says nothing before HELLO but a GOAWAY; if
 *   lws had only half of its frame, link_wire.c would find the rest unreadable.)
 * - A connection that is refused leaks its uv_poll handle, without its file; race.c has seen the
 *   address answer just before, so that this is rare. link_set.c closes such handles in the end. */
#include "agent/tunnel/link_internal.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/io/tcp_line.h"

/* Unsent bytes in the kernel. More would only make urgent frames wait behind bulk. */
#define NOTSENT_BYTES 65536

#define AUTHORIZATION "Authorization:"

/* By the second turn behind the upgrade lws' idle handle has run. */
#define LINK_HANDOVER_TURNS 2

static struct link *find(struct link_set *s, const void *user)
{
    for (struct list *node = s->links.next; node != &s->links; node = node->next) {
        struct link *l = LIST_ITEM(node, struct link, node);
        if (l->number == (uintptr_t)user) {
            return l;
        }
    }
    return NULL;
}

void link_stop_connecting(struct link *l)
{
    if (l->lane->connecting == l) {
        l->lane->connecting = NULL;
    }
    secret_cleanse(l->authorization, sizeof(l->authorization));
    /* lws' buffer, which all connections share, keeps the request until something else is read into
     * it. Of an answer to the upgrade nothing is left in it that is wanted. */
    if (l->sent_len > 0 &&
        (l->state == LINK_OPEN || memcmp(l->sent_at, AUTHORIZATION, strlen(AUTHORIZATION)) == 0)) {
        secret_cleanse(l->sent_at, l->sent_len);
    }
    l->sent_len = 0;
}

static void stop_wire(struct link *l)
{
    if (l->wire != NULL) {
        link_wire_stop(l->wire);
        l->wire = NULL;
    }
}

void link_free(struct link *l)
{
    stop_wire(l);
    link_stop_connecting(l);
    list_remove(&l->node);
    l->set->n_links--;
    free(l);
}

/* `text` has room for the reason, which the end borrows. */
static struct link_end describe_end(const struct link *l, enum link_failure failure,
                                    const char *reason, struct error_text *text)
{
    if (failure == LINK_LOST && !link_reached(l)) {
        failure = LINK_UNREACHED;
    }
    (void)error_set(text, ERROR_CLOSED, "%s", l->reason.text[0] != '\0' ? l->reason.text : reason);
    return (struct link_end){
        .failure = l->peer_closed ? LINK_PEER_CLOSED : failure,
        .was_open = l->was_open,
        .close_code = l->peer_code,
        .reason = text->text,
    };
}

/* The wsi is gone, or as good as. */
static void end_link(struct link *l, enum link_failure failure, const char *reason)
{
    const struct link_callbacks callbacks = l->callbacks;
    void *user = l->user;
    enum link_state state = l->state;
    struct error_text text;
    struct link_end end = describe_end(l, failure, reason, &text);

    if (l->starting) {
        l->died = true; /* link_open returns the error */
        return;
    }
    link_free(l);
    if (state != LINK_ABORTED) {
        callbacks.on_closed(user, &end);
    }
}

void link_end_open(struct link *l, const char *reason)
{
    const struct link_callbacks callbacks = l->callbacks;
    void *user = l->user;
    struct error_text text;
    struct link_end end = describe_end(l, LINK_LOST, reason, &text);

    link_abort(l);
    callbacks.on_closed(user, &end);
}

static int on_failed(struct link *l, const char *in, size_t len)
{
    char said[128] = "";
    unsigned status = lws_http_client_http_response(l->wsi);

    if (in != NULL && len < sizeof(said)) {
        memcpy(said, in, len);
        said[len] = '\0';
    }
    link_describe(l, said, status);
    end_link(l, status == 401 || status == 403 ? LINK_REFUSED : LINK_LOST, "");
    return 0;
}

/* PROTOCOL.md: the upgrade carries serial and token. The certificate has been judged: this is
 * checked once more, here, because here the secret leaves. */
static int append_authorization(struct link *l, unsigned char **at, size_t room)
{
    unsigned char *begin = *at;

    if (l->lane->connecting != l || !trust_passed(l->lane->trust)) {
        return -1;
    }
    if (lws_add_http_header_by_name(l->wsi, (const unsigned char *)AUTHORIZATION,
                                    (const unsigned char *)l->authorization,
                                    (int)strlen(l->authorization), at, begin + room) != 0) {
        return -1;
    }
    l->sent_at = begin;
    l->sent_len = (size_t)(*at - begin);
    secret_cleanse(l->authorization, sizeof(l->authorization));
    return 0;
}

/* lws takes a missing subprotocol for the wanted one. */
static int check_subprotocol(struct link *l)
{
    char name[sizeof(LINK_SUBPROTOCOL)];

    if (lws_hdr_copy(l->wsi, name, sizeof(name), WSI_TOKEN_PROTOCOL) <= 0 ||
        strcmp(name, LINK_SUBPROTOCOL) != 0) {
        (void)error_set(&l->reason, ERROR_PEER, "%s does not speak " LINK_SUBPROTOCOL,
                        l->relay.host);
        return -1;
    }
    return 0;
}

/* All of it only helps; a socket that refuses works as well. */
static void set_socket_options(const struct link *l)
{
    const int one = 1;
    const int notsent = NOTSENT_BYTES;
    int fd = lws_get_socket_fd(l->wsi);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent, sizeof(notsent));
    tcp_line_repeat(fd);
    if (l->keepalive_s > 0) {
        tcp_line_ask(fd, l->keepalive_s);
    }
}

static int on_established(struct link *l)
{
    set_socket_options(l);
    if (l->state != LINK_CONNECTING) {
        link_stop_connecting(l);
        return -1;
    }
    l->state = LINK_OPEN;
    l->was_open = true;
    link_stop_connecting(l);
    lws_cancel_service(l->set->context); /* wakes the loop for link_prepare */
    l->callbacks.on_open(l->user);
    return 0;
}

/* The owner does not know of a close that the relay began, or that a fault of its brought. */
static bool finished_in_time(const struct link *l)
{
    return l->state != LINK_FINISHING || uv_now(l->set->loop) < l->finish_by_ms;
}

bool link_prepare(struct link *l)
{
    if (!finished_in_time(l)) {
        link_end_open(l, "the connection was lost");
        return false;
    }
    bool is_open = l->state == LINK_OPEN || l->state == LINK_FINISHING;

    if (!is_open || l->wire != NULL || l->peer_closed || ++l->n_prepared < LINK_HANDOVER_TURNS) {
        return true;
    }
    l->wire = link_wire_start(l);
    if (l->wire == NULL) {
        link_end_open(l, "no memory or descriptor for the tunnel");
        return false;
    }
    (void)link_wire_send_due(l->wire); /* if it fails the connection is lost: on_closed tells */
    return true;
}

int link_take_bytes(struct link *l, const uint8_t *bytes, size_t len)
{
    /* What comes while we close is not read. */
    return l->state == LINK_OPEN ? l->callbacks.on_bytes(l->user, bytes, len) : 0;
}

int link_take_end(struct link *l)
{
    return l->state == LINK_OPEN ? l->callbacks.on_message_end(l->user) : 0;
}

void link_take_fault(struct link *l, int code)
{
    if (code < 0) {
        return;
    }
    if (code == WEBSOCKET_CLOSE_INTERNAL) {
        (void)error_set(&l->reason, ERROR_NOMEM, "no memory for the tunnel");
    } else {
        (void)error_set(&l->reason, ERROR_PEER, "%s %s", l->relay.host,
                        code == WEBSOCKET_CLOSE_UNSUPPORTED ? "sent a text message"
                        : code == WEBSOCKET_CLOSE_TOO_BIG   ? "sent a message that is too long"
                                                            : "broke the websocket protocol");
    }
    link_finish(l, (uint16_t)code);
}

void link_take_close(struct link *l, uint16_t code)
{
    l->peer_closed = !l->close_sent;
    l->peer_code = code == WEBSOCKET_CLOSE_NONE ? 0 : code;
    link_finish(l, WEBSOCKET_CLOSE_NORMAL); /* RFC 6455 5.5.1: an answer, unless this is one */
}

/* Before the hand-over; lws tells text from binary, and has joined fragments to frames. */
static int on_receive(struct link *l, const uint8_t *bytes, size_t len)
{
    int rc = 0;

    if (!lws_frame_is_binary(l->wsi)) {
        link_take_fault(l, WEBSOCKET_CLOSE_UNSUPPORTED);
        return -1; /* without a close frame: lws 4.1.6 sends none when it is told so from here */
    }
    if (len > 0) {
        rc = link_take_bytes(l, bytes, len);
    }
    return rc == 0 && lws_is_final_fragment(l->wsi) != 0 ? link_take_end(l) : rc;
}

/* Before the hand-over. lws answers it. */
static int on_peer_close(struct link *l, const uint8_t *payload, size_t len)
{
    l->peer_closed = true;
    if (len >= 2) {
        l->peer_code = (uint16_t)(payload[0] << 8 | payload[1]);
    }
    return 0;
}

static int on_link_event(struct link *l, enum lws_callback_reasons reason, void *in, size_t len)
{
    /* Only reasons that concern one connection; the rest has no meaning for a client. */
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return append_authorization(l, in, len);
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH: return check_subprotocol(l);
    case LWS_CALLBACK_CLIENT_ESTABLISHED: return on_established(l);
    case LWS_CALLBACK_CLIENT_RECEIVE: return on_receive(l, in, len);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: return on_peer_close(l, in, len);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: return on_failed(l, in, len);
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        end_link(l, LINK_LOST, l->was_open ? "the connection was lost" : "the connection failed");
        return 0;
    default: return 0;
    }
}

int link_on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    struct link_set *s = lws_context_user(lws_get_context(wsi));
    struct link *l = user == NULL || s == NULL ? NULL : find(s, user);

    if (l == NULL) {
        /* Of a link that we have given up: it may not send the token any more. */
        return reason == LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER ? -1 : 0;
    }
    l->wsi = wsi;
    return on_link_event(l, reason, in, len);
}

bool link_reached(const struct link *l)
{
    return l->was_open || (l->lane->connecting == l && trust_began(l->lane->trust));
}

bool link_can_send(const struct link *l)
{
    return l->state == LINK_OPEN && l->wire != NULL && link_wire_can_send(l->wire);
}

uint8_t *link_buffer(struct link_set *s, size_t *cap)
{
    *cap = LINK_BUFFER_BYTES;
    return s->buffer + WEBSOCKET_HEADER_BYTES_MAX;
}

int link_send(struct link *l, size_t len)
{
    uint8_t *payload = l->set->buffer + WEBSOCKET_HEADER_BYTES_MAX;
    return link_wire_send(l->wire, WEBSOCKET_BINARY, payload, len);
}

void link_finish(struct link *l, uint16_t close_code)
{
    if (l->state == LINK_OPEN) {
        l->state = LINK_FINISHING;
        l->close_code = close_code;
        l->finish_by_ms = uv_now(l->set->loop) + LINK_FINISH_MS;
        if (l->wire != NULL) {
            (void)link_wire_send_due(
                l->wire); /* if it fails the connection is lost: on_closed tells */
        }
    }
}

uint32_t link_rtt_us(const struct link *l)
{
    return l->state == LINK_OPEN ? tcp_line_rtt_us(lws_get_socket_fd(l->wsi)) : 0;
}

uint32_t link_silent_in_ms(const struct link *l)
{
    if (l->state != LINK_OPEN || l->keepalive_s == 0) {
        return UINT32_MAX;
    }
    uint32_t limit_ms = l->keepalive_s * 1000 + LINK_SILENT_MS;
    uint32_t silence_ms = tcp_line_silence_ms(lws_get_socket_fd(l->wsi));
    return silence_ms < limit_ms ? limit_ms - silence_ms : 0;
}

void link_abort(struct link *l)
{
    l->state = LINK_ABORTED;
    stop_wire(l);
    link_stop_connecting(l);
    if (l->wsi == NULL) {
        link_free(l);
        return;
    }
    lws_set_timeout(l->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(l->set->context);
}
