/* SPDX-License-Identifier: Apache-2.0 */
/* libwebsockets 4.1.6 as a client on our loop.
 *
 * Happy path: link_open -> lws connects, does TLS (trust.c judges) and sends the upgrade, to which
 * append_authorization() adds the token -> on_open -> messages both ways -> link_finish -> lws
 * sends a close frame and waits for its answer -> on_closed.
 *
 * What the source of 4.1.6 taught, and why this file looks as it does:
 * - A wsi dies when lws wants it to, and lws_client_connect_via_info may return NULL though
 *   callbacks for its wsi are still to come. So what lws carries for us is a number, not a pointer;
 *   a callback whose number is unknown is ignored.
 * - Its timeouts run from a timer that only its own socket events start. On a silent line they do
 *   not fire, so every deadline is ours, and link_abort wakes lws by lws_cancel_service.
 * - It follows redirects, with our Authorization header, unless it is told not to.
 * - lws_write outside the writeable callback is sound if the link is established and
 *   lws_partial_buffered is false, without extensions and with whole messages; that saves one loop
 *   turn per message.
 * - As Debian builds it (with _DEBUG), every close it is asked for is done twice, and the second
 * one cuts the polite close short that the first one began. So the close frame is written by us.
 * - A connection that is refused leaks its uv_poll handle, without its file; race.c has seen the
 *   address answer just before, so that this is rare. sweep() closes such handles in the end. */
#include "agent/tunnel/link.h"

#include <assert.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/span.h"
#include "proto/wire/frame.h"

/* One message: full ones are one TLS record, a single larger frame is the exception. */
#define BUFFER_BYTES (FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX)

/* Bytes of one SSL_read and of one piece given to on_bytes: a TLS record. 4096 saves 12 kB of RSS
 * and costs three more calls per full record. */
#define RX_BYTES 16384

/* lws writes at most this much at once; a message must not be cut by it. */
#define TX_PACKET_BYTES 65536

/* Unsent bytes in the kernel. More would only make urgent frames wait behind bulk. */
#define NOTSENT_BYTES 65536

/* "Basic " and the base64 of "serial:token". */
#define AUTHORIZATION_BYTES (6 + ((LINK_SERIAL_BYTES + SECRET_BYTES) / 3 + 1) * 4 + 1)

/* For the event pipe and every connection of the largest configuration. */
#define HEADER_POOL 64

#define LANE_NAME_BYTES 16

/* LWS_WRITE_CLOSE, the number that lws-write.h leaves out of its enum but for a comment. */
#define WRITE_CLOSE ((enum lws_write_protocol)4)

enum link_state {
    LINK_CONNECTING, /* until the upgrade is done */
    LINK_OPEN,
    LINK_FINISHING, /* the close frame is to be sent, or was sent */
    LINK_ABORTED    /* the owner has forgotten it; waits for lws to let go */
};

struct link_lane {
    struct list node; /* in link_set.free while not in use */
    struct link_set *set;
    struct trust *trust; /* owned */
    struct lws_vhost *vhost;
    struct link *connecting; /* or NULL */
    char name[LANE_NAME_BYTES];
};

struct link {
    struct list node;
    struct link_set *set;
    struct link_lane *lane;
    struct lws *wsi; /* NULL before lws made it */
    uintptr_t number;
    uint64_t turn; /* the last one that it has had */
    enum link_state state;
    struct link_callbacks callbacks;
    void *user;
    bool proxied;
    bool proxy_has_user;
    bool was_open;
    uint16_t close_code; /* ours, when FINISHING */
    bool close_sent;
    bool peer_closed;
    uint16_t peer_code;
    struct url relay;
    char authorization[AUTHORIZATION_BYTES]; /* cleansed when sent */
    void *sent_at;                           /* where lws put it together */
    size_t sent_len;
    struct error_text reason; /* set before lws reports its own */
};

struct link_set {
    struct lws_context *context;
    uv_loop_t *loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uint64_t turn;
    struct list links;
    struct list free;  /* lanes */
    struct list lanes; /* in use; for freeing */
    size_t n_links;
    size_t n_lanes;
    uintptr_t last_number;
    uint8_t buffer[LWS_PRE + BUFFER_BYTES];
};

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len);

static const struct lws_protocols protocols[] = {
    {LINK_SUBPROTOCOL, on_event, 0, RX_BYTES, 0, NULL, TX_PACKET_BYTES},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* The tunnel protocol has its own PING; zeroes turn that of lws off. */
static const lws_retry_bo_t no_policy = {0};

/* lws' lines are for a developer: whatever matters is reported by us, as a sentence. */
static void emit(int level, const char *line)
{
    (void)level;
    log_event(LOG_LEVEL_DEBUG, "libwebsockets", log_span("line", span_trim(span_of(line))));
}

static uint64_t options(void)
{
    return LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
           LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
}

static struct link *find_due(struct link_set *s)
{
    for (struct list *node = s->links.next; node != &s->links; node = node->next) {
        struct link *l = LIST_ITEM(node, struct link, node);
        if (l->turn != s->turn && l->state == LINK_OPEN) {
            return l;
        }
    }
    return NULL;
}

/* One after the other from the start each time, because on_turn may end any link. */
static void take_turn(struct link_set *s)
{
    s->turn++;
    for (struct link *l = find_due(s); l != NULL; l = find_due(s)) {
        l->turn = s->turn;
        l->callbacks.on_turn(l->user);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    take_turn(prepare->data);
}

static void on_check(uv_check_t *check)
{
    take_turn(check->data);
}

static void start_turns(struct link_set *s)
{
    /* None of the four can fail. */
    (void)uv_prepare_init(s->loop, &s->prepare);
    (void)uv_check_init(s->loop, &s->check);
    s->prepare.data = s;
    s->check.data = s;
    (void)uv_prepare_start(&s->prepare, on_prepare);
    (void)uv_check_start(&s->check, on_check);
}

int link_set_new(uv_loop_t *loop, struct link_set **set, struct error_text *e)
{
    struct link_set *s = calloc(1, sizeof(*s));
    void *loops[1] = {loop};

    if (s == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    list_init(&s->links);
    list_init(&s->lanes);
    list_init(&s->free);
    s->loop = loop;
    (void)unsetenv("http_proxy"); /* read by lws for each vhost; ours is a setting */
    lws_set_log_level(LLL_ERR | LLL_WARN, emit);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = options(),
        .foreign_loops = loops,
        .user = s,
        .gid = -1,
        .uid = -1,
        .pt_serv_buf_size = RX_BYTES,
        .max_http_header_pool = HEADER_POOL,
        .timeout_secs = LINK_OPEN_MS / 1000,
    };
    s->context = lws_create_context(&info);
    if (s->context == NULL) {
        free(s);
        return error_set(e, ERROR_INTERNAL,
                         "cannot start libwebsockets: is libwebsockets-evlib-uv installed?");
    }
    start_turns(s);
    *set = s;
    return 0;
}

void link_set_stop(struct link_set *s)
{
    uv_close((uv_handle_t *)&s->prepare, NULL);
    uv_close((uv_handle_t *)&s->check, NULL);
    lws_context_destroy(s->context);
}

static void on_swept(uv_handle_t *handle)
{
    free(handle); /* allocated by lws, which uses malloc */
}

/* All of lws' handles are closed by now but those that it has lost. */
static void sweep(uv_handle_t *handle, void *user)
{
    (void)user;
    if (handle->type == UV_POLL && !uv_is_closing(handle)) {
        uv_close(handle, on_swept);
    }
}

static void free_lanes(struct list *lanes)
{
    for (struct list *node = list_pop(lanes); node != NULL; node = list_pop(lanes)) {
        struct link_lane *lane = LIST_ITEM(node, struct link_lane, node);
        trust_free(lane->trust);
        free(lane);
    }
}

void link_set_free(struct link_set *s)
{
    if (s == NULL) {
        return;
    }
    uv_walk(s->loop, sweep, NULL);
    (void)uv_run(s->loop, UV_RUN_DEFAULT);
    /* The second call frees what the first had to leave to the loop. */
    lws_context_destroy(s->context);
    free_lanes(&s->lanes);
    free_lanes(&s->free);
    free(s);
}

size_t link_set_n_links(const struct link_set *s)
{
    return s->n_links;
}

static int open_vhost(struct link_lane *lane)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = options(),
        .protocols = protocols,
        .vhost_name = lane->name,
        .provided_client_ssl_ctx = trust_context(lane->trust),
        .gid = -1,
        .uid = -1,
    };
    lane->vhost = lws_create_vhost(lane->set->context, &info);
    return lane->vhost == NULL ? ERROR_INTERNAL : 0;
}

static int make_lane(struct link_set *s, const struct trust_settings *trust,
                     struct link_lane **made, struct error_text *e)
{
    struct link_lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    list_init(&lane->node);
    lane->set = s;
    (void)snprintf(lane->name, sizeof(lane->name), "relay-%zu", s->n_lanes);
    int rc = trust_new(trust, &lane->trust, e);
    if (rc != 0) {
        goto fail;
    }
    rc = open_vhost(lane);
    if (rc != 0) {
        (void)error_set(e, rc, "libwebsockets cannot make a vhost");
        goto fail;
    }
    s->n_lanes++;
    *made = lane;
    return 0;

fail:
    trust_free(lane->trust);
    free(lane);
    return rc;
}

int link_lane_open(struct link_set *s, const struct trust_settings *trust, struct link_lane **lane,
                   struct error_text *e)
{
    struct list *node = list_first(&s->free);
    struct link_lane *l = node == NULL ? NULL : LIST_ITEM(node, struct link_lane, node);
    int rc = l != NULL ? trust_change(l->trust, trust, e) : make_lane(s, trust, &l, e);

    if (rc == 0) {
        list_remove(&l->node);
        list_push(&s->lanes, &l->node);
        *lane = l;
    }
    return rc;
}

int link_lane_change(struct link_lane *lane, const struct trust_settings *trust,
                     struct error_text *e)
{
    return trust_change(lane->trust, trust, e);
}

void link_lane_close(struct link_lane *lane)
{
    list_remove(&lane->node);
    list_push(&lane->set->free, &lane->node);
}

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

static void stop_connecting(struct link *l)
{
    if (l->lane->connecting == l) {
        l->lane->connecting = NULL;
    }
    secret_cleanse(l->authorization, sizeof(l->authorization));
    /* lws' buffer keeps the request's bytes until something else is read into it. */
    secret_cleanse(l->sent_at, l->sent_len);
    l->sent_len = 0;
}

static void free_link(struct link *l)
{
    stop_connecting(l);
    list_remove(&l->node);
    l->set->n_links--;
    free(l);
}

/* The wsi is gone, or as good as. */
static void end_link(struct link *l, enum link_failure failure, const char *reason)
{
    const struct link_callbacks callbacks = l->callbacks;
    void *user = l->user;
    enum link_state state = l->state;
    struct error_text copy;
    struct link_end end = {
        .failure = l->peer_closed ? LINK_PEER_CLOSED : failure,
        .was_open = l->was_open,
        .close_code = l->peer_code,
        .reason = copy.text,
    };

    (void)error_set(&copy, ERROR_CLOSED, "%s", l->reason.text[0] != '\0' ? l->reason.text : reason);
    free_link(l);
    if (state != LINK_ABORTED) {
        callbacks.on_closed(user, &end);
    }
}

static void describe_status(struct link *l, unsigned status)
{
    switch (status) {
    case 401:
        (void)error_set(&l->reason, ERROR_REFUSED, "relay refused the agent token (401)");
        break;
    case 403:
        (void)error_set(&l->reason, ERROR_REFUSED,
                        "relay refused this agent: its server is disabled or removed (403)");
        break;
    default:
        (void)error_set(&l->reason, ERROR_PEER, "relay answered the upgrade with status %u",
                        status);
        break;
    }
}

static void describe_proxy(struct link *l)
{
    (void)error_set(&l->reason, ERROR_CLOSED,
                    l->proxy_has_user
                        ? "the proxy does not connect us to %s: wrong proxy_user or password, or "
                          "it may not connect there"
                        : "the proxy does not connect us to %s: it may want proxy_user and "
                          "proxy_password_file",
                    l->relay.host);
}

static void describe_tls(struct link *l)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    (void)error_set(&l->reason, ERROR_CLOSED, "TLS handshake with %s failed: %s", l->relay.host,
                    why != NULL ? why : "the connection was closed");
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* What lws 4.1.6 says in LWS_CALLBACK_CLIENT_CONNECTION_ERROR, in our words. */
static void describe(struct link *l, const char *said, unsigned status)
{
    if (l->reason.text[0] != '\0') {
        return;
    }
    if (trust_reason(l->lane->trust)[0] != '\0') {
        (void)error_set(&l->reason, ERROR_REFUSED, "%s", trust_reason(l->lane->trust));
    } else if (status != 0 && status != 101) {
        describe_status(l, status);
    } else if (starts(said, "proxy")) {
        describe_proxy(l);
    } else if (starts(said, "connect S") || starts(said, "Timed out waiting SSL")) {
        describe_tls(l);
    } else if (starts(said, "HS: ")) {
        (void)error_set(&l->reason, ERROR_PEER, "relay's answer to the upgrade is unusable: %s",
                        said + strlen("HS: "));
    } else {
        (void)error_set(&l->reason, ERROR_CLOSED, "%s closed the connection before the upgrade",
                        l->relay.host);
    }
}

static int on_failed(struct link *l, const char *in, size_t len)
{
    char said[128] = "";
    unsigned status = lws_http_client_http_response(l->wsi);

    if (in != NULL && len < sizeof(said)) {
        memcpy(said, in, len);
        said[len] = '\0';
    }
    describe(l, said, status);
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
    if (lws_add_http_header_by_name(l->wsi, (const unsigned char *)"Authorization:",
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

static int on_established(struct link *l)
{
    const int one = 1;
    const int notsent = NOTSENT_BYTES;
    int fd = lws_get_socket_fd(l->wsi);

    /* Both only make it faster; a socket that refuses them works as well. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent, sizeof(notsent));
    stop_connecting(l);
    if (l->state != LINK_CONNECTING) {
        return -1;
    }
    l->state = LINK_OPEN;
    l->was_open = true;
    l->callbacks.on_open(l->user);
    return 0;
}

static int on_receive(struct link *l, const uint8_t *bytes, size_t len)
{
    if (l->state == LINK_ABORTED) {
        return -1;
    }
    if (!lws_frame_is_binary(l->wsi)) {
        (void)error_set(&l->reason, ERROR_PEER, "%s sent a text message", l->relay.host);
        return -1;
    }
    return l->callbacks.on_bytes(l->user, bytes, len, lws_is_final_fragment(l->wsi) != 0);
}

/* The close frame, as soon as nothing is before it. */
static void send_close(struct link *l)
{
    unsigned char frame[LWS_PRE + 2];

    if (l->close_sent || l->peer_closed) {
        return;
    }
    if (lws_partial_buffered(l->wsi)) {
        link_want_writable(l);
        return;
    }
    l->close_sent = true;
    frame[LWS_PRE] = (unsigned char)(l->close_code >> 8);
    frame[LWS_PRE + 1] = (unsigned char)l->close_code;
    /* If it fails the connection is lost, which on_closed tells. */
    (void)lws_write(l->wsi, frame + LWS_PRE, 2, WRITE_CLOSE);
}

static int on_writeable(struct link *l)
{
    if (l->state == LINK_OPEN) {
        return 0; /* on_turn follows */
    }
    if (l->state != LINK_FINISHING) {
        return -1;
    }
    send_close(l);
    return 0;
}

static int on_peer_close(struct link *l, const uint8_t *payload, size_t len)
{
    l->peer_closed = true;
    if (len >= 2) {
        l->peer_code = (uint16_t)(payload[0] << 8 | payload[1]);
    }
    if (l->close_sent) {
        return -1; /* the answer to ours: lws may hang up */
    }
    if (l->state == LINK_OPEN) {
        l->state = LINK_FINISHING; /* nothing may be sent behind the answer, which lws sends */
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
    case LWS_CALLBACK_CLIENT_WRITEABLE: return on_writeable(l);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: return on_peer_close(l, in, len);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: return on_failed(l, in, len);
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        end_link(l, LINK_LOST, l->was_open ? "the connection was lost" : "the connection failed");
        return 0;
    default: return 0;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
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

static int format_authorization(struct link *l, const struct link_target *target)
{
    char pair[LINK_SERIAL_BYTES + SECRET_BYTES];
    int len = snprintf(pair, sizeof(pair), "%s:%s", target->serial, target->token);
    int rc = ERROR_LIMIT;

    if (len > 0 && (size_t)len < sizeof(pair)) {
        memcpy(l->authorization, "Basic ", 6);
        (void)EVP_EncodeBlock((unsigned char *)l->authorization + 6, (unsigned char *)pair, len);
        rc = 0;
    }
    secret_cleanse(pair, sizeof(pair));
    return rc;
}

/* Tells lws the proxy's address of this attempt; its name has been resolved by us. */
static int set_proxy(struct link_lane *lane, const struct link_target *target, const char *ip,
                     uint16_t port)
{
    char text[LINK_PROXY_SECRET_BYTES + INET6_ADDRSTRLEN + sizeof("@[]:65535")];
    const char *user = target->proxy_user != NULL ? target->proxy_user : "";
    const char *password = target->proxy_password != NULL ? target->proxy_password : "";
    bool v6 = target->address->sa_family == AF_INET6;
    int len =
        snprintf(text, sizeof(text), "%s%s%s%s%s%s%s:%u", user, *user != '\0' ? ":" : "", password,
                 *user != '\0' ? "@" : "", v6 ? "[" : "", ip, v6 ? "]" : "", (unsigned)port);
    int rc = len < 0 || (size_t)len >= sizeof(text) ? -1 : lws_set_proxy(lane->vhost, text);

    secret_cleanse(text, sizeof(text));
    return rc == 0 ? 0 : ERROR_LIMIT;
}

/* An address as lws wants it: a text, and the port. */
static int format_address(const struct sockaddr *address, char ip[INET6_ADDRSTRLEN], uint16_t *port)
{
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        *port = ntohs(v6->sin6_port);
        return uv_ip6_name(v6, ip, INET6_ADDRSTRLEN);
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    *port = ntohs(v4->sin_port);
    return uv_ip4_name(v4, ip, INET6_ADDRSTRLEN);
}

static int start_connect(struct link *l, const struct link_target *target)
{
    char ip[INET6_ADDRSTRLEN];
    char host[URL_AUTHORITY_BYTES];
    char name[URL_AUTHORITY_BYTES]; /* for the proxy's CONNECT: brackets, but no port */
    uint16_t port = 0;

    if (format_address(target->address, ip, &port) != 0 ||
        (target->proxied && set_proxy(l->lane, target, ip, port) != 0)) {
        return ERROR_LIMIT;
    }
    url_format_authority(target->relay, URL_RELAY_PORT, host);
    url_format_authority(target->relay, target->relay->port, name);
    const struct lws_client_connect_info info = {
        .context = l->set->context,
        .vhost = l->lane->vhost,
        .address = target->proxied ? name : ip,
        .port = target->proxied ? target->relay->port : port,
        .path = LINK_PATH,
        .host = host,
        .protocol = LINK_SUBPROTOCOL,
        .alpn = "http/1.1",
        .ssl_connection = LCCSCF_USE_SSL | LCCSCF_HTTP_NO_FOLLOW_REDIRECT |
                          LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK,
        .retry_and_idle_policy = &no_policy,
        .ietf_version_or_minus_one = -1,
        .userdata = (void *)l->number, /* a number that lws only carries */
    };
    l->wsi = lws_client_connect_via_info(&info);
    return l->wsi == NULL ? ERROR_CLOSED : 0;
}

int link_open(struct link_lane *lane, const struct link_target *target,
              const struct link_callbacks *callbacks, void *user, struct link **link,
              struct error_text *e)
{
    struct link *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    assert(lane->connecting == NULL);
    l->set = lane->set;
    l->lane = lane;
    l->number = ++lane->set->last_number;
    l->callbacks = *callbacks;
    l->user = user;
    l->proxied = target->proxied;
    l->proxy_has_user = target->proxy_user != NULL;
    l->relay = *target->relay;
    list_push(&lane->set->links, &l->node);
    lane->set->n_links++;
    lane->connecting = l;
    trust_begin(lane->trust);
    int rc = format_authorization(l, target);
    if (rc == 0) {
        rc = start_connect(l, target);
    }
    if (rc != 0) {
        describe(l, "", 0);
        (void)error_set(e, rc, "%s", l->reason.text);
        free_link(l);
        return rc;
    }
    *link = l;
    return 0;
}

bool link_can_send(const struct link *l)
{
    return l->state == LINK_OPEN && lws_partial_buffered(l->wsi) == 0;
}

uint8_t *link_buffer(struct link_set *s, size_t *cap)
{
    *cap = BUFFER_BYTES;
    return s->buffer + LWS_PRE;
}

int link_send(struct link *l, size_t len)
{
    int n = lws_write(l->wsi, l->set->buffer + LWS_PRE, len, LWS_WRITE_BINARY);
    return n < (int)len ? ERROR_CLOSED : 0;
}

void link_want_writable(struct link *l)
{
    if (l->wsi != NULL) {
        (void)lws_callback_on_writable(l->wsi); /* fails only for a wsi that is dying: on_closed */
    }
}

void link_finish(struct link *l, uint16_t close_code)
{
    if (l->state == LINK_OPEN) {
        l->state = LINK_FINISHING;
        l->close_code = close_code;
        send_close(l);
    }
}

void link_abort(struct link *l)
{
    l->state = LINK_ABORTED;
    stop_connecting(l);
    if (l->wsi == NULL) {
        free_link(l);
        return;
    }
    lws_set_timeout(l->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(l->set->context);
}
