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
#include "proto/websocket/websocket.h"
#include "relay/front/access.h"
#include "relay/front/session.h"
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

struct refusal {
    uint16_t status;
    const char *text; /* written by hand: no answer of the API */
    const char *why;
};

/* One answer, so that nobody learns which serials there are. */
static const struct refusal unknown_agent = {
    401,
    "HTTP/1.1 401 Unauthorized\r\n"
    "WWW-Authenticate: Basic realm=\"thinknx-relay\"\r\n"
    "Content-Length: 0\r\nConnection: close\r\n\r\n",
    "unknown serial or wrong token",
};
/* Only who has the token is told. */
static const struct refusal disabled_server = {
    403,
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "server is disabled",
};

static void refuse_agent(struct session *s, const struct refusal *refusal)
{
    log_event(LOG_LEVEL_WARN, "agent refused", log_text("address", session_address(s)),
              log_text("reason", refusal->why));
    metrics_add(&s->worker->metrics.tunnels_refused, 1);
    s->close_after = true;
    s->result.status = refusal->status;
    s->result.reason = "agent_refused";
    (void)session_write(s, refusal->text, strlen(refusal->text));
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
    if (server != NULL && !server->enabled) {
        refuse_agent(s, &disabled_server);
        return;
    }
    if (server != NULL && w->draining) {
        refuse(s, ANSWER_SERVER_OFFLINE, "the relay drains");
        return;
    }
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
    refuse_agent(s, &unknown_agent);
}
