/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends on a session's connection. A PROXY header is kept in session.rest until it is complete:
 * nothing else can be in there so early. */
#include "relay/front/sender.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/decimal.h"
#include "proto/base/log.h"
#include "relay/front/forwarded.h"
#include "relay/front/session.h"
#include "relay/worker.h"

static void set_client(struct session *s, const union proxy_address *client)
{
    s->address = *client;
    s->address_text[0] = '\0';
    s->peer = peers_address(&client->any);
}

bool sender_init(struct session *s, const struct sockaddr *address, const struct peer_address *peer)
{
    enum proxy_mode mode = s->worker->settings.proxy.mode;
    s->is_counted = peer != NULL;
    s->is_forwarded = peer == NULL && mode == PROXY_FORWARDED;
    if (peer != NULL) {
        s->counted = *peer;
    }
    proxy_address_set(&s->sender, address);
    set_client(s, &s->sender);
    return peer == NULL && mode == PROXY_PROTOCOL;
}

/* False if the client has too many connections already. */
static bool count_for_client(struct session *s)
{
    struct worker *w = s->worker;
    s->counted = peers_address(&s->sender.any);
    s->is_counted =
        peers_connect(w->relay->peers, &s->counted, w->settings.connections_per_address);
    if (!s->is_counted) {
        metrics_add(&w->metrics.connections_dropped, 1);
    }
    return s->is_counted;
}

static void log_bad_header(struct session *s)
{
    log_event(LOG_LEVEL_WARN, "connection closed", log_text("proxy", session_address(s)),
              log_text("reason", "a trusted proxy sent no valid PROXY header"));
}

enum proxy_state sender_read_header(struct session *s, const uint8_t *bytes, size_t len,
                                    size_t *used)
{
    size_t before = s->rest.len;
    size_t room = PROXY_HEADER_BYTES_MAX - before;
    struct proxy_header h;
    if (buffer_append(&s->rest, bytes, len < room ? len : room) < 0) {
        return PROXY_BAD;
    }
    enum proxy_state state = proxy_parse_header(buffer_bytes(&s->rest), s->rest.len, &h);
    if (state == PROXY_BAD) {
        log_bad_header(s);
    }
    if (state != PROXY_COMPLETE) {
        return state;
    }
    buffer_close(&s->rest);
    *used = h.len - before;
    if (h.speaker != PROXY_OF_ITSELF) {
        s->sender = h.client;
    }
    set_client(s, &s->sender);
    return h.speaker != PROXY_OF_CLIENT || count_for_client(s) ? PROXY_COMPLETE : PROXY_BAD;
}

void sender_begin_request(struct session *s)
{
    if (s->is_forwarded) {
        set_client(s, &s->sender);
    }
}

void sender_find_client(struct session *s)
{
    if (s->is_forwarded) {
        union proxy_address client;
        forwarded_find_client(&s->worker->settings.proxy, s->request, &s->sender, &client);
        set_client(s, &client);
    }
}

void sender_forget(struct session *s)
{
    if (s->is_counted) {
        peers_disconnect(s->worker->relay->peers, &s->counted);
    }
}

/* Behind a proxy that names the client in fields each request has another: inet_ntop and snprintf
 * would be a tenth of what its line of the access log costs. */
static void format_v4(const struct sockaddr_in *a, char *text)
{
    uint8_t bytes[4];
    memcpy(bytes, &a->sin_addr, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        text += decimal_format(bytes[i], text);
        *text++ = i + 1 < sizeof(bytes) ? '.' : ':';
    }
    text += decimal_format(ntohs(a->sin_port), text);
    *text = '\0';
}

static void format_address(const union proxy_address *a, char text[SESSION_ADDRESS_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (a->any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
        (void)snprintf(text, SESSION_ADDRESS_BYTES, "[%s]:%u", host, ntohs(a->v6.sin6_port));
    } else if (a->any.sa_family == AF_INET) {
        format_v4(&a->v4, text);
    } else {
        (void)snprintf(text, SESSION_ADDRESS_BYTES, "unknown");
    }
}

const char *session_address(struct session *s)
{
    if (s->address_text[0] == '\0') {
        format_address(&s->address, s->address_text);
    }
    return s->address_text;
}
