/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a key in place. What is new is worked out from the row inside the transaction, so that
 * two operators who change different things at once lose nothing of each other's; the audit's row
 * says of each thing what it was and what it is now. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/json/json_text.h"
#include "relay/store/keys_row.h"
#include "relay/store/value.h"

/* Of a member of a scope as it stands in the audit; longer ones are cut. All members of a scope,
 * both labels and the rest fit into AUDIT_DETAIL_BYTES. */
#define SHOWN_BYTES 144
/* The scope's text is judged by its length in scope_parse; this only keeps a request's from being
 * looked at for long. */
#define PATCH_BYTES_MAX 65536

static const char UPDATE[] =
    "UPDATE keys SET label = ?2, rate = ?3, burst = ?4, scope = ?5, expires_at = ?6 WHERE id = ?1";

/* The key as it is, or as it will be. */
struct version {
    struct key key;
    json_t *scope; /* owned; an object, empty = everything */
};

struct detail {
    char text[AUDIT_DETAIL_BYTES];
    size_t len;
};

static void take_row(void *user, const struct key *key)
{
    struct version *v = user;
    v->key = *key;
    v->key.scope = (struct span){NULL, 0}; /* was borrowed */
    v->scope = key->scope.len == 0 ? json_object()
                                   : json_text_parse(key->scope.p, key->scope.len, 0, NULL);
}

static int find(struct database *db, int64_t id, int64_t now_s, struct version *v,
                struct error_text *e)
{
    int rc = keys_show(db, id, now_s, take_row, v, e);

    rc = rc == 0 ? keys_check_active(&v->key, e) : rc;
    if (rc == 0 && !json_is_object(v->scope)) {
        return error_set(e, ERROR_STATE, "its scope cannot be read: enable a new key");
    }
    return rc;
}

/* ---- what it will be ---- */

static int merge_scope(json_t *scope, const struct key_change *change, struct error_text *e)
{
    json_t *patch = NULL;
    const char *name = NULL;
    json_t *value = NULL;

    if (change->clears_scope) {
        (void)json_object_clear(scope); /* it is one */
    }
    if (change->scope.len == 0) {
        return 0;
    }
    if (change->scope.len <= PATCH_BYTES_MAX) {
        patch = json_text_parse(change->scope.p, change->scope.len, JSON_REJECT_DUPLICATES, NULL);
    }
    if (!json_is_object(patch)) {
        json_decref(patch);
        return error_set(e, ERROR_CONFIG, "scope: no JSON object, or a very long one");
    }
    int rc = 0;
    json_object_foreach(patch, name, value)
    {
        /* Fails for a name that is not there. */
        (void)json_object_del(scope, name);
        if (rc == 0 && !json_is_null(value) && json_object_set(scope, name, value) != 0) {
            rc = error_set(e, ERROR_NOMEM, "no memory");
        }
    }
    json_decref(patch);
    if (json_is_false(json_object_get(scope, "read_only"))) {
        (void)json_object_del(scope, "read_only"); /* is there */
    }
    return rc;
}

static void merge_rate(struct bucket_rate *rate, const struct key_change *change)
{
    if (change->sets_rate) {
        *rate = (struct bucket_rate){.per_s = change->rate.per_s};
    }
    if (change->sets_burst) {
        rate->burst = change->rate.burst;
    }
    if (rate->per_s != 0 && rate->burst == 0) {
        rate->burst = keys_default_burst(rate->per_s);
    }
}

static int merge(const struct version *was, const struct key_change *change, int64_t now_s,
                 struct version *is, struct error_text *e)
{
    int rc = 0;

    is->key = was->key;
    is->scope = json_deep_copy(was->scope);
    if (is->scope == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    merge_rate(&is->key.rate, change);
    if (is->key.rate.per_s == 0 && is->key.rate.burst != 0) {
        return error_set(e, ERROR_CONFIG, "a burst needs a rate");
    }
    if (change->sets_expiry) {
        is->key.expires_at_s = change->expires_at_s;
        if (change->expires_at_s != 0 && change->expires_at_s <= now_s) {
            return error_set(e, ERROR_CONFIG, "a key cannot expire in the past: revoke it");
        }
    }
    if (change->label != NULL) {
        rc = keys_check_label(change->label, e);
        if (rc == 0) {
            (void)span_copy(span_of(change->label), is->key.label, sizeof(is->key.label));
        }
    }
    return rc != 0 ? rc : merge_scope(is->scope, change, e);
}

/* ---- what the audit says of it ---- */

static void add(struct detail *d, const char *name, const char *was, const char *is)
{
    int n = snprintf(d->text + d->len, sizeof(d->text) - d->len, "%s%s %s to %s",
                     d->len > 0 ? ", " : "", name, was, is);
    if (n > 0) { /* else nothing was added */
        d->len += (size_t)n;
    }
    if (d->len >= sizeof(d->text)) { /* cut */
        d->len = sizeof(d->text) - 1;
    }
}

static void add_label(struct detail *d, const char *was, const char *is)
{
    char texts[2][DIRECTORY_LABEL_BYTES + 2];

    if (strcmp(was, is) != 0) {
        (void)snprintf(texts[0], sizeof(texts[0]), "\"%s\"", was);
        (void)snprintf(texts[1], sizeof(texts[1]), "\"%s\"", is);
        add(d, "label", texts[0], texts[1]);
    }
}

static void format_rate(struct bucket_rate rate, char text[32])
{
    if (rate.per_s == 0) {
        (void)snprintf(text, 32, "default");
    } else {
        (void)snprintf(text, 32, "%u/%u", rate.per_s, rate.burst);
    }
}

static void add_rate(struct detail *d, struct bucket_rate was, struct bucket_rate is)
{
    char texts[2][32];

    if (was.per_s != is.per_s || was.burst != is.burst) {
        format_rate(was, texts[0]);
        format_rate(is, texts[1]);
        add(d, "rate", texts[0], texts[1]);
    }
}

static void format_expiry(int64_t at_s, char text[CLOCK_ISO_BYTES])
{
    if (at_s == 0) {
        (void)snprintf(text, CLOCK_ISO_BYTES, "never");
    } else {
        clock_format(at_s, text);
    }
}

static void add_expiry(struct detail *d, int64_t was_s, int64_t is_s)
{
    char texts[2][CLOCK_ISO_BYTES];

    if (was_s != is_s) {
        format_expiry(was_s, texts[0]);
        format_expiry(is_s, texts[1]);
        add(d, "expires", texts[0], texts[1]);
    }
}

/* "none" where there is no such limit. */
static void format_member(const json_t *value, char text[SHOWN_BYTES])
{
    char *whole = value == NULL ? NULL : json_text_format(value, JSON_ENCODE_ANY | JSON_COMPACT);
    int n = snprintf(text, SHOWN_BYTES, "%s", whole != NULL ? whole : "none");

    if (n >= SHOWN_BYTES) {
        char count[32];
        int len = snprintf(count, sizeof(count), "... (%zu in all)", json_array_size(value));
        (void)snprintf(text + SHOWN_BYTES - 1 - len, (size_t)len + 1, "%s", count);
    }
    free(whole);
}

static void add_scope(struct detail *d, const json_t *was, const json_t *is)
{
    static const char *const MEMBERS[] = {"read_only", "controllers", "guids", "groups", "cidrs"};
    char texts[2][SHOWN_BYTES];

    for (size_t i = 0; i < sizeof(MEMBERS) / sizeof(MEMBERS[0]); i++) {
        json_t *before = json_object_get(was, MEMBERS[i]);
        json_t *after = json_object_get(is, MEMBERS[i]);
        if (before != after && (before == NULL || !json_equal(before, after))) {
            format_member(before, texts[0]);
            format_member(after, texts[1]);
            add(d, MEMBERS[i], texts[0], texts[1]);
        }
    }
}

static void describe_change(const struct version *was, const struct version *is, struct detail *d)
{
    add_label(d, was->key.label, is->key.label);
    add_rate(d, was->key.rate, is->key.rate);
    add_expiry(d, was->key.expires_at_s, is->key.expires_at_s);
    add_scope(d, was->scope, is->scope);
    if (d->len == 0) {
        (void)snprintf(d->text, sizeof(d->text), "nothing: it was so already");
    }
}

/* ---- the row ---- */

static int update(struct database *db, const struct version *is, struct span scope,
                  struct error_text *e)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, UPDATE, &statement, e);

    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, is->key.id);
    value_bind_text(statement, 2, span_of(is->key.label));
    value_bind_int(statement, 3, is->key.rate.per_s);
    value_bind_int(statement, 4, is->key.rate.burst);
    value_bind_text(statement, 5, scope);
    value_bind_int(statement, 6, is->key.expires_at_s);
    return database_run(db, statement, e);
}

static int write_version(struct database *db, const struct version *is, struct error_text *e)
{
    char *scope = NULL;
    int rc = 0;

    if (json_object_size(is->scope) > 0) {
        scope = json_text_format(is->scope, JSON_COMPACT | JSON_SORT_KEYS);
        rc = scope == NULL ? error_set(e, ERROR_NOMEM, "no memory")
                           : keys_check_scope(span_of(scope), e);
    }
    rc = rc == 0 ? update(db, is, span_of(scope), e) : rc;
    free(scope);
    return rc;
}

static bool changes_nothing(const struct key_change *change)
{
    return change->label == NULL && !change->sets_rate && !change->sets_burst &&
           !change->sets_expiry && !change->clears_scope && change->scope.len == 0;
}

int keys_change(struct database *db, int64_t id, const struct key_change *change,
                const struct audit_actor *by, struct error_text *e)
{
    char object[AUDIT_OBJECT_BYTES];
    const struct audit_act act = {by, "key.change", object};
    struct version was = {.scope = NULL};
    struct version is = {.scope = NULL};
    struct detail detail = {.len = 0};
    int rc = audit_begin(db, e);

    if (rc != 0) {
        return rc;
    }
    rc = changes_nothing(change) ? error_set(e, ERROR_CONFIG, "nothing is to be changed") : 0;
    rc = rc == 0 ? find(db, id, by->now_s, &was, e) : rc;
    rc = rc == 0 ? merge(&was, change, by->now_s, &is, e) : rc;
    rc = rc == 0 ? write_version(db, &is, e) : rc;
    if (rc == 0) {
        describe_change(&was, &is, &detail);
    }
    keys_name_object(id, was.key.serial, object);
    rc = audit_end(db, &act, detail.text, rc, e);
    json_decref(was.scope);
    json_decref(is.scope);
    return rc;
}
