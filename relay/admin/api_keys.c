/* SPDX-License-Identifier: Apache-2.0 */
/* The API's keys and audit trail: what `thinknx-relay key` and `audit` do. All of it runs on the
 * store thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/secret.h"
#include "relay/admin/api_internal.h"
#include "proto/json/json_text.h"
#include "relay/admin/moment.h"
#include "relay/store/describe.h"
#include "relay/store/keys.h"
#include "relay/worker.h"

/* Longest overlap of a rotation: a year. */
#define OVERLAP_S_MAX (366U * 24 * 3600)
/* Rows of the audit in one answer, and how many unless another number is asked for. */
#define AUDIT_ROWS_MAX     1000
#define AUDIT_ROWS_DEFAULT 200

static void collect_key(void *user, const struct key *key)
{
    (void)json_array_append_new(user, describe_key(key)); /* the text tells */
}

static void answer_keys(struct api_call *c, struct database *db, const char *serial)
{
    struct error_text e = {""};
    json_t *list = json_array();
    int rc = keys_list(db, serial, c->actor.now_s, collect_key, list, &e);

    if (rc == 0) {
        api_answer(c, 200, list);
    } else {
        json_decref(list);
        api_fail(c, rc, &e);
    }
}

static void list_keys(struct api_call *c, struct database *db)
{
    answer_keys(c, db, NULL);
}

static void list_keys_of_server(struct api_call *c, struct database *db)
{
    answer_keys(c, db, c->object);
}

/* The key as text of its own, which is cleansed: jansson would leave copies. Nothing in it needs
 * escaping. */
static void answer_made(struct api_call *c, const struct key_made *made)
{
    char url[SETTINGS_URL_BYTES] = "";
    char id[KEYS_ID_BYTES];
    struct relay *relay = c->worker->relay;

    pthread_mutex_lock(&relay->reload_lock);
    memcpy(url, relay->settings.public_url, sizeof(url));
    pthread_mutex_unlock(&relay->reload_lock);
    keys_format_id(made->id, id);
    if (asprintf(&c->text,
                 "{\"id\":\"%s\",\"serial\":\"%s\",\"key\":\"%s\",\"url\":\"%s/%s/api/V1/\"}", id,
                 made->serial, made->key.text, url, made->key.text) < 0) {
        c->text = NULL;
        api_refuse(c, 500, "internal", "out of memory; revoke the key, and enable another");
        return;
    }
    c->status = 201;
}

/* The scope as the command line and the agents give it; "" = everything. Owned. */
static int get_scope(const struct api_call *c, char **text, struct error_text *e)
{
    const json_t *scope = json_object_get(c->body, "scope");

    *text = NULL;
    if (scope == NULL || json_is_null(scope) || json_object_size(scope) == 0) {
        return scope == NULL || json_is_null(scope) || json_is_object(scope)
                   ? 0
                   : error_set(e, ERROR_CONFIG, "\"scope\" must be an object");
    }
    *text = json_text_format(scope, JSON_COMPACT | JSON_SORT_KEYS);
    return *text == NULL ? error_set(e, ERROR_NOMEM, "no memory") : 0;
}

static int get_settings(const struct api_call *c, struct key_settings *settings,
                        struct error_text *e)
{
    const char *expires = NULL;
    int rc = api_get_text(c, "label", &settings->label, e);

    rc = rc == 0 ? api_get_uint(c, "rate", KEYS_RATE_MAX, &settings->rate.per_s, e) : rc;
    rc = rc == 0 ? api_get_uint(c, "burst", KEYS_RATE_MAX, &settings->rate.burst, e) : rc;
    rc = rc == 0 ? api_get_text(c, "expires", &expires, e) : rc;
    if (rc == 0 && settings->rate.per_s != 0 && settings->rate.burst == 0) {
        settings->rate.burst = keys_default_burst(settings->rate.per_s);
    }
    if (rc == 0 && expires != NULL && expires[0] != '\0' &&
        moment_parse(expires, c->actor.now_s, false, &settings->expires_at_s) != 0) {
        return error_set(e, ERROR_CONFIG,
                         "\"expires\" must be a time like 30d, or a date like 2026-12-31");
    }
    return rc;
}

static void enable_key(struct api_call *c, struct database *db)
{
    static const char *const MEMBERS[] = {"label", "rate", "burst", "expires", "scope", NULL};
    struct key_settings settings = {.label = NULL};
    struct error_text e = {""};
    struct key_made made;
    char *scope = NULL;
    int rc = api_check_members(c, MEMBERS, &e);

    rc = rc == 0 ? get_settings(c, &settings, &e) : rc;
    rc = rc == 0 ? get_scope(c, &scope, &e) : rc;
    if (rc == 0) {
        settings.scope = span_of(scope);
        rc = keys_enable(db, c->object, &settings, &c->actor, &made, &e);
    }
    free(scope);
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    answer_made(c, &made);
    credential_cleanse(&made.key);
}

static bool is_given(const struct api_call *c, const char *name)
{
    return json_object_get(c->body, name) != NULL;
}

/* As JSON Merge Patch (RFC 7396) has it: what is not given stays, null is the default. */
static int get_change(const struct api_call *c, struct key_change *change, struct error_text *e)
{
    const json_t *label = json_object_get(c->body, "label");
    struct key_settings settings = {.label = json_is_null(label) ? "" : NULL};
    int rc = get_settings(c, &settings, e);

    *change = (struct key_change){
        .label = settings.label,
        .sets_rate = is_given(c, "rate"),
        .sets_burst = is_given(c, "burst"),
        .rate = settings.rate,
        .sets_expiry = is_given(c, "expires"),
        .expires_at_s = settings.expires_at_s,
        .clears_scope = json_is_null(json_object_get(c->body, "scope")),
    };
    return rc;
}

static void describe_one(void *user, const struct key *key)
{
    json_t **object = user;
    *object = describe_key(key);
}

static void change_key(struct api_call *c, struct database *db)
{
    static const char *const MEMBERS[] = {"label", "rate", "burst", "expires", "scope", NULL};
    struct error_text e = {""};
    struct key_change change;
    json_t *object = NULL;
    char *scope = NULL;
    int64_t id = 0;
    int rc = api_check_members(c, MEMBERS, &e);

    rc = rc == 0 ? keys_parse_id(c->object, &id, &e) : rc;
    rc = rc == 0 ? get_change(c, &change, &e) : rc;
    rc = rc == 0 ? get_scope(c, &scope, &e) : rc;
    if (rc == 0) {
        change.scope = span_of(scope);
        rc = keys_change(db, id, &change, &c->actor, &e);
    }
    free(scope);
    rc = rc == 0 ? keys_show(db, id, c->actor.now_s, describe_one, &object, &e) : rc;
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    api_answer(c, 200, object);
}

static void rotate_key(struct api_call *c, struct database *db)
{
    static const char *const MEMBERS[] = {"overlap_s", NULL};
    struct error_text e = {""};
    uint32_t overlap_s = KEYS_OVERLAP_S;
    struct key_made made;
    int64_t id = 0;
    int rc = api_check_members(c, MEMBERS, &e);

    rc = rc == 0 ? api_get_uint(c, "overlap_s", OVERLAP_S_MAX, &overlap_s, &e) : rc;
    rc = rc == 0 ? keys_parse_id(c->object, &id, &e) : rc;
    rc = rc == 0 ? keys_rotate(db, id, overlap_s, &c->actor, &made, &e) : rc;
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    answer_made(c, &made);
    credential_cleanse(&made.key);
}

static void revoke_key(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    int64_t id = 0;
    int rc = keys_parse_id(c->object, &id, &e);

    rc = rc == 0 ? keys_revoke(db, id, NULL, &c->actor, &e) : rc;
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    api_answer(c, 200, json_pack("{s:s, s:s}", "id", c->object, "state", "revoked"));
}

static void collect_row(void *user, const struct audit_row *row)
{
    (void)json_array_append_new(user, describe_audit(row)); /* the text tells */
}

/* A number between 1 and AUDIT_ROWS_MAX. */
static int get_last(const struct api_call *c, uint32_t *n, struct error_text *e)
{
    char text[16];
    uint64_t value = 0;

    api_get_param(c, "last", text, sizeof(text));
    *n = AUDIT_ROWS_DEFAULT;
    if (text[0] == '\0') {
        return 0;
    }
    if (span_parse_u64(span_of(text), AUDIT_ROWS_MAX, &value) != 0 || value == 0) {
        return error_set(e, ERROR_CONFIG, "last: a number from 1 to %d", AUDIT_ROWS_MAX);
    }
    *n = (uint32_t)value;
    return 0;
}

static void list_audit(struct api_call *c, struct database *db)
{
    char who[AUDIT_WHO_BYTES];
    char what[AUDIT_WHAT_BYTES];
    char object[AUDIT_OBJECT_BYTES];
    char refused[8];
    struct audit_filter filter = {.who = who, .what = what, .object = object};
    struct error_text e = {""};
    json_t *list = json_array();

    api_get_param(c, "who", who, sizeof(who));
    api_get_param(c, "what", what, sizeof(what));
    api_get_param(c, "object", object, sizeof(object));
    api_get_param(c, "refused", refused, sizeof(refused));
    filter.refused_only = strcmp(refused, "1") == 0;
    int rc = get_last(c, &filter.n_max, &e);
    rc = rc == 0 ? audit_list(db, &filter, collect_row, list, &e) : rc;
    if (rc == 0) {
        api_answer(c, 200, list);
    } else {
        json_decref(list);
        api_fail(c, rc, &e);
    }
}

const struct api_route API_KEY_ROUTES[] = {
    {"GET", "/keys", API_READ, list_keys, NULL},
    {"GET", "/servers/*/keys", API_READ, list_keys_of_server, NULL},
    {"POST", "/servers/*/keys", API_CHANGE, enable_key, NULL},
    {"POST", "/keys/*", API_CHANGE, change_key, NULL},
    {"POST", "/keys/*/rotate", API_CHANGE, rotate_key, NULL},
    {"POST", "/keys/*/revoke", API_CHANGE, revoke_key, NULL},
    {"GET", "/audit", API_READ, list_audit, NULL},
    {NULL, NULL, API_OPEN, NULL, NULL},
};
