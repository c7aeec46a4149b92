/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a building, from the building. */
#include "relay/store/control.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/secret.h"
#include "proto/json/json_text.h"
#include "relay/store/describe.h"
#include "relay/store/keys.h"

/* "agent:" and a serial. */
#define WHO_BYTES (DIRECTORY_SERIAL_BYTES + 6)

#define HOUR_S 3600

/* Longest life that may be asked for: ten years. */
#define LIFE_S_MAX (10 * 366 * 24 * 3600)

struct call {
    struct database *db;
    const struct directory_server *server;
    const char *public_url;
    struct audit_actor by;
    struct buffer *answer;
};

static enum control_status refuse(const struct call *c, enum control_status status,
                                  const char *sentence)
{
    char *text = NULL;
    json_t *object = json_pack("{s:s}", "error", sentence);

    if (object != NULL) {
        text = json_text_format(object, JSON_COMPACT);
        json_decref(object);
    }
    if (text != NULL) {
        (void)buffer_append(c->answer, text, strlen(text)); /* the status says it too */
        free(text);
    }
    return status;
}

/* One of our codes as a status. */
static enum control_status refuse_code(const struct call *c, int code, const struct error_text *e)
{
    switch (code) {
    case ERROR_NOT_FOUND: return refuse(c, CONTROL_REFUSED, e->text);
    case ERROR_CONFIG: return refuse(c, CONTROL_BAD_BODY, e->text);
    default:
        /* Paths and the like are the operator's business; the store logs them. */
        return refuse(c, CONTROL_FAILED, "the relay's database does not take it now");
    }
}

/* Takes the members of a key that are no scope out of the object; what is left is the scope. */
static int take_settings(json_t *object, int64_t now_s, struct key_settings *settings,
                         struct error_text *e)
{
    const json_t *label = json_object_get(object, "label");
    const json_t *life = json_object_get(object, "expires_s");

    if (label != NULL) {
        if (!json_is_string(label) ||
            strlen(json_string_value(label)) != json_string_length(label)) {
            return error_set(e, ERROR_CONFIG, "\"label\" must be a text");
        }
        settings->label = json_string_value(label);
    }
    if (life != NULL) {
        json_int_t s = json_integer_value(life);
        if (s <= 0 || s > LIFE_S_MAX) {
            return error_set(e, ERROR_CONFIG, "\"expires_s\" must be seconds, at most ten years");
        }
        settings->expires_at_s = now_s + s;
    }
    return 0;
}

static int append_made(const struct call *c, const struct key_made *made)
{
    char text[512];
    char id[KEYS_ID_BYTES];
    bool has_url = c->public_url != NULL;

    keys_format_id(made->id, id);
    /* All of it is free of quotes: no need for jansson, which would leave copies of the key. */
    int n = snprintf(
        text, sizeof(text), "{\"id\":\"%s\",\"serial\":\"%s\",\"key\":\"%s\",\"url\":%s%s%s%s%s}",
        id, made->serial, made->key.text, has_url ? "\"" : "null", has_url ? c->public_url : "",
        has_url ? "/" : "", has_url ? made->key.text : "", has_url ? "/api/V1/\"" : "");
    int rc = n < 0 || (size_t)n >= sizeof(text) ? ERROR_LIMIT
                                                : buffer_append(c->answer, text, (size_t)n);
    secret_cleanse(text, sizeof(text));
    return rc;
}

/* A refusal that the audit is to know of. */
static enum control_status refuse_enable(const struct call *c, const char *sentence)
{
    const struct audit_act act = {&c->by, "key.enable", c->server->serial};
    struct error_text e;

    int rc = error_set(&e, ERROR_REFUSED, "%s", sentence);
    (void)audit_end(c->db, &act, NULL, rc, &e); /* returns what it is told */
    return refuse(c, CONTROL_REFUSED, sentence);
}

static enum control_status enable_key(const struct call *c, const struct key_settings *settings)
{
    struct error_text e = {""};
    struct key_made made;
    int64_t n = 0;

    int rc = keys_count_since(c->db, c->server->id, c->by.now_s - HOUR_S, &n, &e);
    if (rc == 0 && n >= CONTROL_KEYS_PER_HOUR) {
        return refuse_enable(c, "too many new keys in an hour");
    }
    if (rc == 0) {
        rc = keys_enable(c->db, c->server->serial, settings, &c->by, &made, &e);
    }
    if (rc != 0) {
        return refuse_code(c, rc, &e);
    }
    rc = append_made(c, &made);
    credential_cleanse(&made.key);
    return rc == 0 ? CONTROL_DONE : CONTROL_FAILED;
}

static enum control_status call_enable(const struct call *c, json_t *object)
{
    struct key_settings settings = {.label = NULL};
    struct error_text e = {""};
    char *scope = NULL;

    if (!c->server->may_enable_keys) {
        return refuse_enable(c, "the operator lets this building make no keys");
    }
    json_t *rest = json_copy(object);
    int rc = take_settings(object, c->by.now_s, &settings, &e);
    if (rc != 0 || rest == NULL) {
        json_decref(rest);
        return refuse_code(c, rc, &e);
    }
    (void)json_object_del(rest, "label"); /* fails where there is none */
    (void)json_object_del(rest, "expires_s");
    if (json_object_size(rest) > 0) {
        scope = json_text_format(rest, JSON_COMPACT | JSON_SORT_KEYS);
        settings.scope = span_of(scope);
    }
    bool complete = json_object_size(rest) == 0 || scope != NULL;
    json_decref(rest);
    enum control_status status =
        complete ? enable_key(c, &settings) : refuse(c, CONTROL_FAILED, "no memory");
    free(scope);
    return status;
}

static void collect_key(void *user, const struct key *key)
{
    json_t *list = user;
    /* What cannot be added for want of memory is missing, no worse. */
    (void)json_array_append_new(list, describe_key(key));
    if (json_array_size(list) > CONTROL_LIST_MAX) {
        (void)json_array_remove(list, 0);
    }
}

static enum control_status append_list(const struct call *c, json_t *list)
{
    /* The oldest go first if the answer is too long. */
    while (json_array_size(list) > 0 &&
           json_dumpb(list, NULL, 0, JSON_COMPACT) > CONTROL_ANSWER_BYTES) {
        (void)json_array_remove(list, 0);
    }
    char *text = json_text_format(list, JSON_COMPACT);
    if (text == NULL) {
        return CONTROL_FAILED;
    }
    int rc = buffer_append(c->answer, text, strlen(text));
    free(text);
    return rc == 0 ? CONTROL_DONE : CONTROL_FAILED;
}

static enum control_status call_list(const struct call *c)
{
    struct error_text e = {""};
    json_t *list = json_array();

    if (list == NULL) {
        return CONTROL_FAILED;
    }
    int rc = keys_list(c->db, c->server->serial, c->by.now_s, collect_key, list, &e);
    enum control_status status = rc == 0 ? append_list(c, list) : refuse_code(c, rc, &e);
    json_decref(list);
    return status;
}

static enum control_status call_revoke(const struct call *c, const json_t *object)
{
    const char *text = json_string_value(json_object_get(object, "id"));
    struct error_text e = {""};
    int64_t id = 0;

    int rc = keys_parse_id(text == NULL ? "" : text, &id, &e);
    if (rc == 0) {
        rc = keys_revoke(c->db, id, c->server->serial, &c->by, &e);
    }
    if (rc != 0) {
        return refuse_code(c, rc, &e);
    }
    return buffer_append(c->answer, "{}", 2) == 0 ? CONTROL_DONE : CONTROL_FAILED;
}

/* True if this building has acted so often that even refusing it would be too much. */
static bool acts_too_often(const struct call *c)
{
    struct error_text ignored;
    int64_t n = 0;

    /* A database that cannot be read refuses the act itself soon enough. */
    return audit_count(c->db, c->by.who, c->by.now_s - HOUR_S, &n, &ignored) == 0 &&
           n >= CONTROL_ACTS_PER_HOUR;
}

static enum control_status dispatch(const struct call *c, uint16_t op, json_t *object)
{
    if (op != CONTROL_KEY_LIST && acts_too_often(c)) {
        return refuse(c, CONTROL_REFUSED, "too many calls in an hour");
    }
    switch (op) {
    case CONTROL_KEY_ENABLE: return call_enable(c, object);
    case CONTROL_KEY_LIST: return call_list(c);
    case CONTROL_KEY_REVOKE: return call_revoke(c, object);
    default: return refuse(c, CONTROL_UNKNOWN, "this relay does not know that call");
    }
}

enum control_status control_call(struct database *db, const struct directory_server *server,
                                 const char *public_url, uint16_t op, struct span body,
                                 struct control_time now, struct buffer *answer)
{
    const struct bucket_rate rate = {CONTROL_CALLS_PER_S, CONTROL_CALLS_BURST};
    char who[WHO_BYTES] = "";
    struct call c = {db, server, public_url, {who, now.wall_s}, answer};

    if (server == NULL || !server->enabled) {
        /* Its tunnel is being closed. */
        return refuse(&c, CONTROL_REFUSED, "the server was disabled or removed");
    }
    /* A server's own requests bucket has no other use. */
    if (!bucket_take(&server->live->requests, rate, now.monotonic_us, NULL)) {
        return refuse(&c, CONTROL_REFUSED, "too many calls in a second");
    }
    (void)snprintf(who, sizeof(who), "agent:%s", server->serial);
    json_t *object = body.len == 0
                         ? json_object()
                         : json_text_parse(body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return refuse(&c, CONTROL_BAD_BODY, "the body is no JSON object");
    }
    enum control_status status = dispatch(&c, op, object);
    json_decref(object);
    return status;
}
