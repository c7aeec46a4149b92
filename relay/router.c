/* SPDX-License-Identifier: Apache-2.0 */
/* The way between an exchange and a stream. Each function has two halves: called for something on
 * this worker it goes straight there, else it posts a message, and router_on_message on the other
 * worker does the same call. */
#include "relay/router.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/base/log.h"
#include "relay/front/exchange.h"
#include "relay/link.h"
#include "relay/tunnel/tunnel.h"
#include "relay/worker.h"

static bool is_mine(const struct worker *w, uint64_t ref)
{
    return ref_worker(ref) == w->index;
}

/* A message that cannot be allocated is lost; the deadlines on both sides clean up after it. */
static struct link_message *new_message(enum link_kind kind, size_t len)
{
    struct link_message *m = link_message_new(kind, len);
    if (m == NULL) {
        log_event(LOG_LEVEL_ERROR, "out of memory, message between workers lost",
                  log_uint("kind", (uint64_t)kind));
    }
    return m;
}

static void post(struct worker *w, uint64_t ref, struct link_message *m)
{
    if (m != NULL) {
        link_post(&w->relay->workers[ref_worker(ref)].link, m);
    }
}

/* ---- requests ---- */

static enum router_result open_here(struct worker *w, tunnel_ref ref, exchange_ref exchange,
                                    const struct head_request *head, struct span body,
                                    uint32_t *stream)
{
    struct tunnel *t = tunnel_find(w, ref);
    int err = t != NULL ? tunnel_request(t, exchange, head, body, stream) : ERROR_STATE;
    switch (err) {
    case 0: return ROUTER_OPENED;
    case ERROR_STATE: return ROUTER_NO_TUNNEL;
    case ERROR_LIMIT: return ROUTER_FULL;
    default: return ROUTER_FAILED;
    }
}

/* Payload of LINK_REQUEST: the packed head, behind it the body; `number` is the head's length. */
static enum router_result hand_on(struct worker *w, tunnel_ref ref, exchange_ref exchange,
                                  const struct head_request *head, struct span body)
{
    struct buffer packed;
    buffer_init(&packed, FRAME_PAYLOAD_MAX);
    struct link_message *m = NULL;
    if (head_pack_request(&packed, head) == 0) {
        m = new_message(LINK_REQUEST, packed.len + body.len);
    }
    if (m != NULL) {
        memcpy(m->bytes, buffer_bytes(&packed), packed.len);
        if (body.len > 0) {
            memcpy(m->bytes + packed.len, body.p, body.len);
        }
        m->number = packed.len;
        m->exchange = exchange;
        m->tunnel = ref;
        post(w, ref, m);
        metrics_add(&w->metrics.handed_on, 1);
    }
    buffer_close(&packed);
    return m != NULL ? ROUTER_HANDED_ON : ROUTER_FAILED;
}

enum router_result router_request(struct worker *w, int64_t server, exchange_ref exchange,
                                  const struct head_request *head, struct span body,
                                  tunnel_ref *tunnel, uint32_t *stream)
{
    tunnel_ref ref = registry_owner(&w->registry, server);
    if (ref == 0) {
        return ROUTER_NO_TUNNEL;
    }
    *tunnel = ref;
    if (!is_mine(w, ref)) {
        return hand_on(w, ref, exchange, head, body);
    }
    return open_here(w, ref, exchange, head, body, stream);
}

static void post_opened(struct worker *w, exchange_ref exchange, tunnel_ref tunnel, uint32_t stream)
{
    struct link_message *m = new_message(LINK_OPENED, 0);
    if (m != NULL) {
        m->exchange = exchange;
        m->tunnel = tunnel;
        m->stream = stream;
        post(w, exchange, m);
    }
}

static void take_request(struct worker *w, const struct link_message *m)
{
    static _Thread_local struct head_field fields[HEAD_FIELDS_MAX];
    struct head_request head;
    uint32_t stream = 0;
    enum router_result result = ROUTER_FAILED;
    if (head_unpack_request(m->bytes, (size_t)m->number, &head, fields) == 0) {
        struct span body = {(const char *)m->bytes + m->number, m->len - (size_t)m->number};
        result = open_here(w, m->tunnel, m->exchange, &head, body, &stream);
    }
    switch (result) {
    case ROUTER_OPENED: post_opened(w, m->exchange, m->tunnel, stream); return;
    case ROUTER_FULL:
        router_failed(w, m->exchange, HEAD_RESET_OVERLOADED, HEAD_DELIVERED_NO);
        return;
    case ROUTER_NO_TUNNEL:
        router_failed(w, m->exchange, HEAD_RESET_TUNNEL_LOST, HEAD_DELIVERED_NO);
        return;
    case ROUTER_HANDED_ON:
    case ROUTER_FAILED:
    default: router_failed(w, m->exchange, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO); return;
    }
}

void router_reset(struct worker *w, tunnel_ref tunnel, uint32_t stream, enum head_reset reason)
{
    if (is_mine(w, tunnel)) {
        struct tunnel *t = tunnel_find(w, tunnel);
        if (t != NULL) {
            tunnel_reset(t, stream, reason);
        }
        return;
    }
    struct link_message *m = new_message(LINK_RESET, 0);
    if (m != NULL) {
        m->tunnel = tunnel;
        m->stream = stream;
        m->reason = (uint16_t)reason;
        post(w, tunnel, m);
    }
}

void router_consumed(struct worker *w, tunnel_ref tunnel, uint32_t stream, size_t len)
{
    if (is_mine(w, tunnel)) {
        struct tunnel *t = tunnel_find(w, tunnel);
        if (t != NULL) {
            tunnel_consumed(t, stream, len);
        }
        return;
    }
    struct link_message *m = new_message(LINK_CONSUMED, 0);
    if (m != NULL) {
        m->tunnel = tunnel;
        m->stream = stream;
        m->number = len;
        post(w, tunnel, m);
    }
}

/* ---- answers ---- */

void router_handed(struct worker *w, exchange_ref exchange)
{
    if (is_mine(w, exchange)) {
        exchange_on_handed(w, exchange);
        return;
    }
    struct link_message *m = new_message(LINK_HANDED, 0);
    if (m != NULL) {
        m->exchange = exchange;
        post(w, exchange, m);
    }
}

void router_head(struct worker *w, exchange_ref exchange, const struct head_response *head,
                 bool end)
{
    if (is_mine(w, exchange)) {
        exchange_on_head(w, exchange, head, end);
        return;
    }
    struct buffer packed;
    buffer_init(&packed, FRAME_PAYLOAD_MAX);
    struct link_message *m = NULL;
    if (head_pack_response(&packed, head) == 0) {
        m = new_message(LINK_HEAD, packed.len);
    }
    if (m != NULL) {
        memcpy(m->bytes, buffer_bytes(&packed), packed.len);
        m->exchange = exchange;
        m->end = end;
        post(w, exchange, m);
    }
    buffer_close(&packed);
}

void router_data(struct worker *w, exchange_ref exchange, tunnel_ref tunnel, uint32_t stream,
                 const uint8_t *bytes, size_t len, bool end)
{
    if (is_mine(w, exchange)) {
        exchange_on_data(w, exchange, tunnel, stream, bytes, len, end);
        return;
    }
    struct link_message *m = new_message(LINK_DATA, len);
    if (m != NULL) {
        if (len > 0) {
            memcpy(m->bytes, bytes, len);
        }
        m->exchange = exchange;
        m->tunnel = tunnel;
        m->stream = stream;
        m->end = end;
        post(w, exchange, m);
    }
}

void router_failed(struct worker *w, exchange_ref exchange, enum head_reset reason,
                   enum head_delivered delivered)
{
    if (is_mine(w, exchange)) {
        exchange_on_failed(w, exchange, reason, delivered);
        return;
    }
    struct link_message *m = new_message(LINK_FAILED, 0);
    if (m != NULL) {
        m->exchange = exchange;
        m->reason = (uint16_t)reason;
        m->delivered = (uint8_t)delivered;
        post(w, exchange, m);
    }
}

static void take_head(struct worker *w, const struct link_message *m)
{
    static _Thread_local struct head_field fields[HEAD_FIELDS_MAX];
    struct head_response head;
    if (head_unpack_response(m->bytes, m->len, &head, fields) == 0) {
        exchange_on_head(w, m->exchange, &head, m->end);
    }
}

void router_on_message(struct worker *w, const struct link_message *m)
{
    switch (m->kind) {
    case LINK_REQUEST: take_request(w, m); return;
    case LINK_RESET: router_reset(w, m->tunnel, m->stream, m->reason); return;
    case LINK_CONSUMED: router_consumed(w, m->tunnel, m->stream, (size_t)m->number); return;
    case LINK_OPENED: exchange_on_opened(w, m->exchange, m->tunnel, m->stream); return;
    case LINK_HANDED: exchange_on_handed(w, m->exchange); return;
    case LINK_HEAD: take_head(w, m); return;
    case LINK_DATA:
        exchange_on_data(w, m->exchange, m->tunnel, m->stream, m->bytes, m->len, m->end);
        return;
    case LINK_FAILED: exchange_on_failed(w, m->exchange, m->reason, m->delivered); return;
    case LINK_TUNNEL_UP:
    case LINK_TUNNEL_DOWN:
    case LINK_SERVER:
    case LINK_CONTROL:
    case LINK_ADMIN:
    case LINK_RELOAD:
    case LINK_DRAIN:
    case LINK_STOP:
    default: return;
    }
}
