/* SPDX-License-Identifier: Apache-2.0 */
/* The way between an exchange (on the client's worker) and a stream (on the tunnel's worker): a
 * direct call where both are on one worker, a message by value where they are not. */
#ifndef RELAY_ROUTER_H
#define RELAY_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"
#include "proto/wire/head.h"
#include "relay/ref.h"

struct worker;
struct link_message;

enum router_result {
    ROUTER_OPENED,    /* the stream is open: tunnel and number are known */
    ROUTER_HANDED_ON, /* on its way to another worker: exchange_on_opened or _on_failed follows */
    ROUTER_NO_TUNNEL, /* nothing left this worker */
    ROUTER_FULL,      /* the tunnel has as many requests in flight as it may; nothing left */
    ROUTER_FAILED     /* too large or out of memory; nothing left */
};

/* From the client's side. */
enum router_result router_request(struct worker *w, int64_t server, exchange_ref exchange,
                                  const struct head_request *head, struct span body,
                                  tunnel_ref *tunnel, uint32_t *stream);
void router_reset(struct worker *w, tunnel_ref tunnel, uint32_t stream, enum head_reset reason);
void router_consumed(struct worker *w, tunnel_ref tunnel, uint32_t stream, size_t len);

/* From the tunnel's side. */
void router_handed(struct worker *w, exchange_ref exchange);
void router_head(struct worker *w, exchange_ref exchange, const struct head_response *head,
                 bool end);
void router_data(struct worker *w, exchange_ref exchange, tunnel_ref tunnel, uint32_t stream,
                 const uint8_t *bytes, size_t len, bool end);
void router_failed(struct worker *w, exchange_ref exchange, enum head_reset reason,
                   enum head_delivered delivered);

/* A message of one of these kinds has come. */
void router_on_message(struct worker *w, const struct link_message *m);

#endif
