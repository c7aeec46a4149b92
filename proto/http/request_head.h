/* SPDX-License-Identifier: Apache-2.0 */
/* Private to proto/http: the judgement of a complete request head. */
#ifndef PROTO_HTTP_REQUEST_HEAD_H
#define PROTO_HTTP_REQUEST_HEAD_H

#include "proto/http/request.h"

/* Refuses; the state is then REQUEST_REFUSED, and is returned. */
enum request_state request_refuse(struct request *r, enum request_refusal refusal, const char *why);

/* Judges the request line alone, so that a malformed one is answered while the rest of the head may
 * never come. What it finds is found again by request_judge_head. */
enum request_state request_judge_line(struct request *r);

/* Parses and judges r->head, which is complete. The new state is REQUEST_BODY, REQUEST_COMPLETE
 * or REQUEST_REFUSED. */
enum request_state request_judge_head(struct request *r);

#endif
