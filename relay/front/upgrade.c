/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's websocket handshake. */
#include "relay/front/upgrade.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/secret.h"
#include "proto/http/field.h"
#include "relay/front/access.h"
#include "relay/front/session.h"
#include "relay/tunnel/websocket.h"
#include "relay/worker.h"

/* Longest base64 of "serial:token", and what it decodes to. */
#define CREDENTIALS_BYTES_MAX 256

bool upgrade_is_wanted(const struct session *s)
{
    const struct request *r = s->request;
    return r->wants_websocket && r->method == REQUEST_GET && r->minor == 1 &&
           span_equal(r->path, span_of(UPGRADE_PATH));
}

static void refuse(struct session *s, enum answer_reason reason, const char *why)
{
    struct answer_details d = {.delivered = HEAD_DELIVERED_NO, .why = why};
    metrics_add(&s->worker->metrics.tunnels_refused, 1);
    s->close_after = true;
    session_answer(s, reason, &d);
}

/* The text is written by hand: 401 has a challenge, and is no answer of the API. */
static void refuse_credentials(struct session *s)
{
    static const char text[] = "HTTP/1.1 401 Unauthorized\r\n"
                               "WWW-Authenticate: Basic realm=\"thinknx-relay\"\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n";
    char address[SESSION_ADDRESS_BYTES];
    session_format_address(s, address);
    log_event(LOG_LEVEL_WARN, "agent refused", log_text("address", address),
              log_text("reason", "unknown serial, wrong token, or disabled server"));
    metrics_add(&s->worker->metrics.tunnels_refused, 1);
    s->close_after = true;
    s->result.status = 401;
    s->result.reason = "agent_refused";
    (void)session_write(s, text, sizeof(text) - 1);
    session_done(s);
}

/* Decodes "Basic base64(serial:token)" (RFC 7617) and looks the server up. */
static const struct directory_server *authenticate(struct session *s)
{
    struct span field = request_field(s->request, "Authorization");
    struct span scheme = span_cut(&field, ' ');
    uint8_t text[CREDENTIALS_BYTES_MAX];
    const struct directory_server *server = NULL;
    if (!span_equal_nocase(scheme, span_of("Basic")) || field.len == 0 || field.len % 4 != 0 ||
        field.len / 4 * 3 > sizeof(text)) {
        return NULL;
    }
    int len = EVP_DecodeBlock(text, (const uint8_t *)field.p, (int)field.len);
    if (len > 0) {
        size_t padding =
            (size_t)(field.p[field.len - 1] == '=') + (size_t)(field.p[field.len - 2] == '=');
        struct span token = {(const char *)text, (size_t)len - padding};
        struct span serial = span_cut(&token, ':');
        if (token.p != NULL) {
            server = directory_find_agent(s->worker->reader, serial, token);
        }
    }
    secret_cleanse(text, sizeof(text));
    return server;
}

static bool offers_subprotocol(const struct request *r)
{
    struct span list = request_field(r, "Sec-WebSocket-Protocol");
    while (list.p != NULL) {
        if (span_equal(span_trim(span_cut(&list, ',')), span_of(UPGRADE_SUBPROTOCOL))) {
            return true;
        }
    }
    return false;
}

static void accept_agent(struct session *s, const struct directory_server *server,
                         const char *accept)
{
    char text[256];
    int len = snprintf(text, sizeof(text),
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                       "Sec-WebSocket-Protocol: %s\r\n\r\n",
                       accept, UPGRADE_SUBPROTOCOL);
    s->server = server->id;
    memcpy(s->serial, server->serial, sizeof(s->serial));
    s->result.status = 101;
    s->result.reason = "tunnel";
    if (len < 0 || (size_t)len >= sizeof(text) || session_write(s, text, (size_t)len) < 0) {
        session_lost(s);
        return;
    }
    access_log(s);
    session_upgrade(s);
}

void upgrade_answer(struct session *s)
{
    struct worker *w = s->worker;
    const struct request *r = s->request;
    char accept[WEBSOCKET_ACCEPT_BYTES];
    struct span key = request_field(r, "Sec-WebSocket-Key");
    if (!span_equal(request_field(r, "Sec-WebSocket-Version"), span_of("13"))) {
        refuse(s, ANSWER_UPGRADE_REQUIRED, NULL);
        return;
    }
    if (key.p == NULL || websocket_accept(key.p, key.len, accept) < 0 || !offers_subprotocol(r)) {
        refuse(s, ANSWER_BAD_REQUEST, "websocket handshake without key or subprotocol");
        return;
    }
    const struct directory_server *server = authenticate(s);
    if (server != NULL) {
        accept_agent(s, server, accept);
        return;
    }
    struct bucket_state state;
    struct bucket_rate rate = w->settings.refused_rate;
    if (!peers_refuse(w->relay->peers, &s->peer, rate, clock_now_us(), &state)) {
        uint32_t wait_s = 1 + (uint32_t)(state.retry_after_us / 1000000);
        struct answer_details d = {.delivered = HEAD_DELIVERED_NO,
                                   .policy = ANSWER_POLICY_REFUSED,
                                   .rate = rate,
                                   .retry_after_s = wait_s,
                                   .reset_s = wait_s};
        s->close_after = true;
        session_answer(s, ANSWER_RATE_LIMITED, &d);
        return;
    }
    refuse_credentials(s);
}
