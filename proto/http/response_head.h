/* SPDX-License-Identifier: Apache-2.0 */
/* Private to proto/http: the judgement of a complete answer head. */
#ifndef PROTO_HTTP_RESPONSE_HEAD_H
#define PROTO_HTTP_RESPONSE_HEAD_H

#include "proto/http/response.h"

/* Marks the answer as failed; returns `code`. */
int response_refuse(struct response *r, int code, const char *why);

/* Parses `head`, a complete head whose lines have been checked, into r->status and the fields
 * (spans into `head`), and settles how the body ends: the new state is one of EMPTY, SIZED,
 * CHUNKED and UNTIL_CLOSE; that of an interim answer is HEAD. 0 or the code of the refusal. */
int response_judge_head(struct response *r, struct span head);

#endif
