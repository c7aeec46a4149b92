/* SPDX-License-Identifier: Apache-2.0 */
/* The admin API: the operations of the command line, and the live state of the tunnels, as JSON
 * over the admin listener. relay/admin/openapi.json describes it, and a test holds that against the
 * real answers.
 *
 * Each request is one call. On the worker it is checked (origin, content) and routed; on the store
 * thread it is known who asks (login, token against forged requests), and the operation's `run`
 * does its work with the database; back on the worker `finish`, where there is one, does what needs
 * a tunnel or a stream. Only GET and POST: what changes something is a POST with a JSON object and
 * the header X-Csrf-Token, whose value GET /api/v1/session tells. */
#ifndef RELAY_ADMIN_API_H
#define RELAY_ADMIN_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/list.h"
#include "proto/http/request.h"
#include "proto/pages/reply.h"
#include "relay/store/audit.h"
#include "relay/store/credential.h"
#include "relay/store/database.h"
#include "relay/store/operators.h"

/* Longest path parameter (a serial, a key's id) and query, with NUL. */
#define API_OBJECT_BYTES 65
#define API_QUERY_BYTES  1024
/* Text of a client's address, with NUL. */
#define API_CLIENT_BYTES 72
/* Operations under way at once; more are answered 503. */
#define API_CALLS_MAX 64

struct admin_session;
struct worker;
struct api_call;
struct call;

/* Where an operation may be done by whom. */
enum api_access {
    API_OPEN,   /* by everybody: the login itself */
    API_READ,   /* by an operator */
    API_CHANGE, /* by an operator, with the token against forged requests */
};

struct api_route {
    const char *method; /* "GET" or "POST" */
    const char *path;   /* behind /api/v1; "*" is the object */
    enum api_access access;
    /* On the store thread. NULL: there is nothing to do there. */
    void (*run)(struct api_call *c, struct database *db);
    /* On the worker, if `run` left the status at 0. The session may be gone (c->session NULL). When
     * it does not answer, it has set c->is_waiting. NULL: what `run` left is the answer. */
    void (*finish)(struct api_call *c);
};

struct api_call {
    struct list node; /* worker->api_calls */
    uint64_t number;
    struct worker *worker;
    struct admin_session *session; /* worker's thread only; NULL = gone */
    const struct api_route *route;
    bool needs_login;
    bool is_tls;
    bool is_waiting; /* for a tunnel or a check of a password */
    char object[API_OBJECT_BYTES];
    char query[API_QUERY_BYTES];
    json_t *body;                  /* owned; an object, or NULL without one */
    char cookie[CREDENTIAL_BYTES]; /* as the browser sent them; "" = none; cleansed */
    char csrf[CREDENTIAL_BYTES];
    char client[API_CLIENT_BYTES]; /* address of who asks */

    /* What the store thread finds out. */
    char who[AUDIT_WHO_BYTES]; /* "operator:NAME" */
    struct audit_actor actor;  /* borrows `who` */
    struct operator_login login;

    /* The answer. */
    unsigned status; /* 0 = not yet known */
    json_t *answer;  /* owned */
    char *text;      /* owned, cleansed: an answer that is JSON text already; comes first */
    char set_cookie[REPLY_COOKIE_BYTES];

    /* Of operations in several steps. */
    int64_t server;    /* api_call.c */
    struct call *call; /* api_call.c: in the tunnel */
    bool is_fetching;  /* api_devices.c: worker's thread only; counted until api_end */
    struct operator_account account; /* api_login.c; cleansed */
    void *work;                      /* api_login.c: owned while the pool has it */
    bool password_is_right;
};

/* True for a path below /api/. */
bool api_owns(const struct request *r);

/* Takes the session's complete request: it is answered now or later. */
void api_begin(struct admin_session *s);

/* The session is closed: its call goes on without it, or is cancelled. */
void api_let_go(struct admin_session *s);

/* The worker hears that the store thread is done with a call. */
void api_on_ran(struct worker *w, uint64_t number);

/* Frees calls whose end nobody heard of. The store thread has ended. */
void api_free_rest(struct worker *w);

/* For the operations. */

/* Sets the answer; takes `value` (NULL: out of memory). */
void api_answer(struct api_call *c, unsigned status, json_t *value);
/* The answer to one of our error codes, with its sentence. */
void api_fail(struct api_call *c, int code, const struct error_text *e);
/* Another refusal: status, machine word, sentence. */
void api_refuse(struct api_call *c, unsigned status, const char *reason, const char *sentence);
/* To the store thread with `run` (once more); ERROR_LIMIT: answered 503. */
int api_run(struct api_call *c, void (*run)(void *user, struct database *db));
/* The answer leaves, the call is gone. */
void api_end(struct api_call *c);

/* Members of the body: 0 and untouched if there is none; ERROR_CONFIG with a sentence that names it
 * if it is of another type or out of range. */
int api_get_text(const struct api_call *c, const char *name, const char **text,
                 struct error_text *e);
int api_get_uint(const struct api_call *c, const char *name, uint32_t max, uint32_t *value,
                 struct error_text *e);
int api_get_bool(const struct api_call *c, const char *name, bool *value, struct error_text *e);
/* ERROR_CONFIG if the body has a member that is not in the list (NULL at its end). */
int api_check_members(const struct api_call *c, const char *const *names, struct error_text *e);

/* The query's parameter, decoded; "" if there is none or it does not fit. */
void api_get_param(const struct api_call *c, const char *name, char *text, size_t cap);

/* The operations, by area; each table ends with a zeroed row. */
extern const struct api_route API_SERVER_ROUTES[];
extern const struct api_route API_KEY_ROUTES[];
extern const struct api_route API_LOGIN_ROUTES[];
extern const struct api_route API_LIVE_ROUTES[];
extern const struct api_route API_CALL_ROUTES[];

#endif
