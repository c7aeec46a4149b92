/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the exchange: what exchange.c (the request's way) and exchange_answer.c (the answer's)
 * share. */
#ifndef RELAY_FRONT_EXCHANGE_INTERNAL_H
#define RELAY_FRONT_EXCHANGE_INTERNAL_H

#include <stdint.h>

#include "relay/front/exchange.h"

/* NULL if it is over. */
struct exchange *exchange_find(const struct worker *w, exchange_ref ref);

uint64_t exchange_now_ms(const struct exchange *x);

/* Takes it out of everything and frees it. Its session has no exchange afterwards. */
void exchange_release(struct exchange *x);

/* The tunnel's stream is of no use any more. */
void exchange_reset_stream(struct exchange *x, enum head_reset reason);

void exchange_remember_for_log(struct exchange *x);

/* Ends without the building's answer: the relay's own one goes out. */
void exchange_fail(struct exchange *x, enum answer_reason reason, enum head_delivered delivered);

/* The relay's answer for what the tunnel says of a stream that failed. */
enum answer_reason exchange_reason_of(enum head_reset reason);

/* Sends it to the server's tunnel, or parks it. */
void exchange_dispatch(struct exchange *x);

#endif
