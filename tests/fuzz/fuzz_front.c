/* SPDX-License-Identifier: Apache-2.0 */
/* The relay from the client's first byte to the agent's last: sessions, admission, exchanges and a
 * tunnel of one worker, on socket pairs and without TLS.
 *
 * First byte: bit 0 no tunnel is there, bit 1 the second client came to the listener that only
 * redirects. Then steps: one byte of what happens, one of how much, and that many bytes of the
 * input if they are sent. Whatever a client and an agent send:
 *
 * - what a client receives are whole answers, never more than it sent requests, in their order (an
 *   answer repeats its request's id), and behind a last one nothing;
 * - a request that was read is answered, once its building has answered;
 * - no more requests reach the building than clients sent with its key;
 * - when all have gone nothing is left. */
#include <stdlib.h>
#include <string.h>

#include "proto/http/request.h"
#include "proto/http/response.h"
#include "tests/fuzz/front/building.h"

#define CLIENTS 2
/* Requests of one client that are checked. */
#define ASKED_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a client has asked for, by a parser of its own over all it sent. */
struct asked {
    bool is_head;
    bool is_upgrade;
    bool with_key;
    char id[REQUEST_ID_BYTES_MAX + 1];
};

struct account {
    struct asked asked[ASKED_MAX];
    size_t n_asked;   /* complete or refused */
    bool last_is_cut; /* the one behind them has a complete head: it may be refused */
};

struct run {
    struct world_peer clients[CLIENTS];
    struct building building;
    struct account account;
    size_t n_with_key;
    bool half_closed[CLIENTS];
};

static void note(struct account *a, const struct request *r)
{
    struct asked *q = &a->asked[a->n_asked++];
    bool head_known = r->state == REQUEST_BODY || r->state == REQUEST_COMPLETE;
    memset(q, 0, sizeof(*q));
    if (head_known) {
        q->is_head = r->method == REQUEST_HEAD;
        q->is_upgrade = r->wants_websocket;
        q->with_key = span_starts(r->path, span_of("/" WORLD_KEY "/"));
        (void)span_copy(r->id, q->id, sizeof(q->id));
    }
}

static void ask(struct account *a, const struct buffer *sent)
{
    static struct request r;
    size_t at = 0;
    a->n_asked = 0;
    a->last_is_cut = false;
    request_init(&r);
    while (at < sent->len && a->n_asked < ASKED_MAX - 1) {
        size_t used = 0;
        (void)request_feed(&r, buffer_bytes(sent) + at, sent->len - at, &used);
        at += used;
        if (r.state == REQUEST_REFUSED) {
            note(a, &r);
            break;
        }
        if (r.state == REQUEST_COMPLETE) {
            note(a, &r);
            if (!r.keep_alive) {
                break;
            }
            request_reset(&r);
        }
    }
    /* Its head alone may have been judged. */
    if (r.state == REQUEST_BODY) {
        a->last_is_cut = true;
        note(a, &r);
    }
    request_close(&r);
}

static void check_id(const struct response *answer, const struct asked *q)
{
    bool found = false;
    for (size_t i = 0; i < answer->n_fields; i++) {
        if (span_equal_nocase(answer->fields[i].name, span_of("X-Request-Id"))) {
            world_require(!found);
            found = true;
            world_require(q->id[0] == '\0' || span_equal(answer->fields[i].value, span_of(q->id)));
        }
    }
    world_require(found || answer->status == 401);
}

/* Number of whole answers. `*closing`: the last said so. */
static size_t check_answers(const struct account *a, const struct world_peer *p, bool *closing)
{
    static struct response answer;
    struct span rest = {(const char *)buffer_bytes(&p->received), p->received.len};
    size_t n = 0;
    bool more = rest.len > 0;
    *closing = false;
    response_init(&answer);
    while (more) {
        world_require(n < a->n_asked && !*closing);
        response_begin(&answer, a->asked[n].is_head);
        enum response_event event = RESPONSE_EVENT_DATA;
        while (event == RESPONSE_EVENT_HEAD || event == RESPONSE_EVENT_DATA) {
            world_require(response_next(&answer, &rest, &event) == 0);
            if (event == RESPONSE_EVENT_HEAD) {
                check_id(&answer, &a->asked[n]);
                *closing = !answer.keep_alive;
            }
        }
        n += event == RESPONSE_EVENT_END ? 1 : 0;
        more = rest.len > 0 && event == RESPONSE_EVENT_END;
    }
    response_close(&answer);
    return n;
}

static void check_client(struct run *r, int i)
{
    struct world_peer *p = &r->clients[i];
    struct account *a = &r->account;
    bool closing = false;
    world_receive(p);
    ask(a, &p->sent);
    for (size_t k = 0; k < a->n_asked; k++) {
        r->n_with_key += a->asked[k].with_key ? 1 : 0;
        if (a->asked[k].is_upgrade) {
            return; /* maybe a tunnel */
        }
    }
    size_t n = check_answers(a, p, &closing);
    bool whole = r->building.mux != NULL && !r->building.lies && !r->half_closed[i];
    if (whole && a->n_asked < ASKED_MAX - 1 && !p->ended && !closing) {
        world_require(n + (a->last_is_cut ? 1 : 0) >= a->n_asked);
    }
}

static void step(struct run *r, uint8_t what, uint8_t n, const uint8_t *bytes, size_t len)
{
    switch (what % 8) {
    case 0:
    case 1:
    case 2: world_send(&r->clients[what % 8 == 2 ? 1 : 0], bytes, len); break;
    case 3: building_lie(&r->building, bytes, len, false); break;
    case 4: building_lie(&r->building, bytes, len, true); break;
    case 5: building_act(&r->building, n); break;
    case 6: building_move(&r->building); break;
    default:
        if (n < 16) {
            r->half_closed[n % CLIENTS] = true;
            world_half_close(&r->clients[n % CLIENTS]);
        } else {
            world_receive(&r->clients[n % CLIENTS]);
        }
        break;
    }
    world_turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run r;
    if (size < 1) {
        return 0;
    }
    memset(&r, 0, sizeof(r));
    (void)world_open();
    if ((data[0] & 1) == 0) {
        building_open(&r.building);
    }
    for (int i = 0; i < CLIENTS; i++) {
        world_connect(&r.clients[i], i == 1 && (data[0] & 2) != 0);
    }
    for (size_t at = 1; at + 1 < size;) {
        uint8_t what = data[at];
        uint8_t n = data[at + 1];
        at += 2;
        size_t len = what % 8 > 4 ? 0 : n < size - at ? n : size - at;
        step(&r, what, n, data + at, len);
        at += len;
    }
    /* Clients take what waits for them, the building answers the rest. */
    for (int round = 0; round < 4; round++) {
        building_answer_all(&r.building);
        for (int i = 0; i < CLIENTS; i++) {
            world_receive(&r.clients[i]);
        }
        world_turn();
    }
    for (int i = 0; i < CLIENTS; i++) {
        check_client(&r, i);
    }
    world_require(r.building.n_requests <= r.n_with_key);
    building_close(&r.building);
    for (int i = 0; i < CLIENTS; i++) {
        world_close(&r.clients[i]);
    }
    world_settle();
    return 0;
}
