/* SPDX-License-Identifier: Apache-2.0 */
/* One browser's request to the agent's pages. Private to agent/pages*.c. */
#ifndef AGENT_PAGES_VISIT_H
#define AGENT_PAGES_VISIT_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "agent/answer.h"
#include "agent/pages.h"
#include "proto/base/buffer.h"
#include "proto/base/list.h"
#include "proto/http/request.h"

#define PAGES_TOKEN_BYTES 33
/* Longest body of an answer: a file of the pages, or JSON. */
#define PAGES_ANSWER_BYTES_MAX (2 * PAGES_DEVICE_BYTES_MAX)

struct pages {
    uv_loop_t *loop;
    uv_tcp_t listener;
    struct list visits;
    size_t n_visits;
    bool closing;
    bool listener_closed;
    char token[PAGES_TOKEN_BYTES]; /* against forged requests */
    void (*about)(void *user, struct answer_about *about);
    void *user;
    void (*on_closed)(void *user);
    void *closed_user;
};

struct visit {
    uv_tcp_t tcp;
    uv_timer_t deadline;
    uv_write_t write;
    struct pages *pages;
    struct list node; /* pages->visits */
    struct request request;
    struct buffer answer;
    char bytes[4096];
    int n_handles; /* open ones of tcp and deadline */
    bool is_answered;
    bool is_closing;
    bool is_asking; /* the relay has a question of ours; its reply comes in any case */

    /* A call to the server. */
    struct upstream_call *call; /* NULL = none under way */
    struct buffer body;         /* of its answer */
    bool is_truncated;          /* the answer is longer */
    uint16_t status;
    uint32_t server_us;
    uint64_t started_us;
    char type[96];
};

/* Answers, and ends the visit when that has left. */
void visit_answer_json(struct visit *v, unsigned status, json_t *value); /* takes it */
void visit_refuse(struct visit *v, unsigned status, const char *reason, const char *sentence);
/* Frees it when nothing holds it any more. */
void visit_release(struct visit *v);

/* True for a path below /api/: it is answered now or later. */
bool pages_api(struct visit *v);
/* The time of a visit with a call under way is up: answers with what is known of it. */
void pages_api_end_call(struct visit *v);

#endif
