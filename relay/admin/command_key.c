/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay key`: the integrators' keys. A key is printed once, after it is safe in the
 * database; from then on it is called by its id. */
#include "relay/admin/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/json/json_text.h"
#include "relay/admin/console.h"
#include "relay/admin/moment.h"
#include "relay/admin/options.h"
#include "relay/admin/table.h"
#include "relay/admin/verbs.h"
#include "relay/store/describe.h"
#include "relay/store/keys.h"
#include "relay/store/servers.h"

static const char HELP[] =
    "thinknx-relay key: the keys that integrators call servers with.\n"
    "\n"
    "  key enable SERIAL   makes a key for the server and prints it, once\n"
    "      --label TEXT        whose key it is\n"
    "      --rate N            requests per second (default: the relay's key_rate)\n"
    "      --burst N           requests at once (default: twice the rate)\n"
    "      --expires WHEN      30d, 12h, 2026-12-31 or 2026-12-31T18:00:00Z (UTC)\n"
    "      --read-only         status calls only\n"
    "      --controllers LIST  only these: power,powerstatus\n"
    "      --guids LIST        only these devices\n"
    "      --groups LIST       only KNX telegrams to these groups: 1/2/3,1/4/*,2/*\n"
    "      --cidrs LIST        only from these client addresses: 10.0.0.0/8,192.0.2.7\n"
    "                          (lists are separated by commas; the options may be repeated)\n"
    "  key change ID       changes what is given of the above, at once; its text stays\n"
    "      --rate 0            the relay's key_rate again\n"
    "      --expires never     no expiry\n"
    "      --everything        lifts what limits its calls; what is given beside it holds anew\n"
    "  key list [SERIAL]   all keys, or those of one server\n"
    "  key rotate ID       makes a successor with the same rights and prints it\n"
    "      --overlap TIME      how long the old key still works (default 24h; 0: not at all)\n"
    "  key revoke ID       ends a key for good\n"
    "\n"
    "  --config FILE   default " CONFIG_DEFAULT_PATH "\n"
    "  --json          print JSON\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.\n";

#define RATE_UNSET UINT32_MAX

/* Public URL, key, and what stands around it. */
#define URL_BYTES (CONFIG_URL_BYTES + CREDENTIAL_BYTES + 16)

struct arguments {
    const char *config;
    const char *label;
    const char *expires;
    const char *overlap;
    uint32_t rate;
    uint32_t burst;
    struct option_list controllers;
    struct option_list guids;
    struct option_list groups;
    struct option_list cidrs;
    bool read_only;
    bool everything;
    bool json;
    bool help;
    const char *object; /* SERIAL or ID; NULL = none given */
};

/* "a,b" and "c" as ["a","b","c"]. */
static json_t *array_of(const struct option_list *list)
{
    json_t *array = json_array();

    for (size_t i = 0; array != NULL && i < list->n_values; i++) {
        struct span rest = span_of(list->values[i]);
        do {
            struct span item = span_trim(span_cut(&rest, ','));
            if (json_array_append_new(array, json_stringn(item.p, item.len)) != 0) {
                json_decref(array);
                array = NULL;
            }
        } while (array != NULL && rest.p != NULL);
    }
    return array;
}

static bool set_list(json_t *scope, const char *name, const struct option_list *list)
{
    return list->n_values == 0 || json_object_set_new(scope, name, array_of(list)) == 0;
}

/* The scope as JSON text (owned), or NULL for none. */
static int build_scope(const struct arguments *a, char **text, struct error_text *e)
{
    json_t *scope = json_object();
    char *made = NULL;

    if (scope != NULL &&
        (!a->read_only || json_object_set_new(scope, "read_only", json_true()) == 0) &&
        set_list(scope, "controllers", &a->controllers) && set_list(scope, "guids", &a->guids) &&
        set_list(scope, "groups", &a->groups) && set_list(scope, "cidrs", &a->cidrs)) {
        made = json_text_format(scope, JSON_COMPACT | JSON_SORT_KEYS);
    }
    bool empty = json_object_size(scope) == 0;
    json_decref(scope);
    if (made == NULL) {
        /* json_stringn refuses what is no UTF-8; memory is the rarer reason. */
        return error_set(e, ERROR_CONFIG, "the lists must be UTF-8 text");
    }
    if (empty) {
        free(made);
        made = NULL;
    }
    *text = made;
    return 0;
}

/* Prints the new key. Returns the exit code. */
static int print_made(const struct arguments *a, const struct console *o,
                      const struct key_made *made)
{
    char id[KEYS_ID_BYTES];
    char url[URL_BYTES];

    keys_format_id(made->id, id);
    (void)snprintf(url, sizeof(url), "%s/%s/api/V1/", o->config.public_url, made->key.text);
    if (a->json) {
        /* Nothing in it needs escaping. */
        (void)printf("{\n  \"id\": \"%s\",\n  \"serial\": \"%s\",\n  \"key\": \"%s\",\n"
                     "  \"url\": \"%s\"\n}\n",
                     id, made->serial, made->key.text, url);
    } else {
        (void)printf("Key %s for server %s (shown only now):\n  key  %s\n  url  %s\n", id,
                     made->serial, made->key.text, url);
    }
    return console_flush("the new key is lost; revoke it, and enable another");
}

/* The rate of a new key. */
static int take_rate(const struct arguments *a, struct bucket_rate *rate, struct error_text *e)
{
    if (a->rate == 0 || a->burst == 0) {
        return error_set(e, ERROR_CONFIG, "--%s must be a whole number from 1 to %d",
                         a->rate == 0 ? "rate" : "burst", KEYS_RATE_MAX);
    }
    rate->per_s = a->rate == RATE_UNSET ? 0 : a->rate;
    rate->burst = a->burst == RATE_UNSET ? keys_default_burst(rate->per_s) : a->burst;
    return 0;
}

static int key_enable(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    struct key_settings settings = {.label = a->label};
    struct key_made made;
    char *scope = NULL;
    int rc = take_rate(a, &settings.rate, &e);

    if (rc == 0 && a->expires != NULL &&
        moment_parse(a->expires, o->actor.now_s, false, &settings.expires_at_s) != 0) {
        rc = error_set(&e, ERROR_CONFIG,
                       "--expires must be a time like 30d, or a date like 2026-12-31");
    }
    if (rc == 0) {
        rc = build_scope(a, &scope, &e);
    }
    if (rc == 0) {
        settings.scope = span_of(scope);
        rc = keys_enable(o->db, a->object, &settings, &o->actor, &made, &e);
    }
    free(scope);
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    int code = print_made(a, o, &made);
    credential_cleanse(&made.key);
    return code;
}

static int take_change(const struct arguments *a, int64_t now_s, struct key_change *change,
                       char **scope, struct error_text *e)
{
    *change = (struct key_change){
        .label = a->label,
        .sets_rate = a->rate != RATE_UNSET,
        .sets_burst = a->burst != RATE_UNSET,
        .rate = {.per_s = a->rate, .burst = a->burst},
        .sets_expiry = a->expires != NULL,
        .clears_scope = a->everything,
    };
    if (a->expires != NULL && strcmp(a->expires, "never") != 0 &&
        moment_parse(a->expires, now_s, false, &change->expires_at_s) != 0) {
        return error_set(e, ERROR_CONFIG,
                         "--expires must be a time like 30d, a date like 2026-12-31, or never");
    }
    int rc = build_scope(a, scope, e);
    change->scope = span_of(*scope);
    return rc;
}

static void describe(void *user, const struct key *key)
{
    json_t **object = user;
    *object = describe_key(key);
}

static int print_changed(const struct arguments *a, struct console *o, int64_t id)
{
    struct error_text e = {""};
    json_t *object = NULL;

    if (a->json) {
        int rc = keys_show(o->db, id, o->actor.now_s, describe, &object, &e);
        return rc != 0 ? console_exit(rc, &e) : console_print_json(object);
    }
    (void)printf("Key k_%" PRId64 " was changed.\n", id);
    return console_flush(NULL);
}

static int key_change(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    struct key_change change;
    char *scope = NULL;
    int64_t id = 0;
    int rc = keys_parse_id(a->object, &id, &e);

    rc = rc == 0 ? take_change(a, o->actor.now_s, &change, &scope, &e) : rc;
    rc = rc == 0 ? keys_change(o->db, id, &change, &o->actor, &e) : rc;
    free(scope);
    return rc != 0 ? console_exit(rc, &e) : print_changed(a, o, id);
}

static int key_rotate(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    struct key_made made;
    int64_t overlap_s = KEYS_OVERLAP_S;
    int64_t id = 0;
    int rc = keys_parse_id(a->object, &id, &e);

    if (rc == 0 && a->overlap != NULL && clock_parse_duration_s(a->overlap, &overlap_s) != 0) {
        rc = error_set(&e, ERROR_CONFIG, "--overlap must be a time like 24h, 7d or 0");
    }
    if (rc == 0) {
        rc = keys_rotate(o->db, id, overlap_s, &o->actor, &made, &e);
    }
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    int code = print_made(a, o, &made);
    credential_cleanse(&made.key);
    return code;
}

static int key_revoke(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    int64_t id = 0;
    int rc = keys_parse_id(a->object, &id, &e);

    if (rc == 0) {
        rc = keys_revoke(o->db, id, NULL, &o->actor, &e);
    }
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    if (a->json) {
        (void)printf("{\n  \"id\": \"k_%" PRId64 "\",\n  \"state\": \"revoked\"\n}\n", id);
    } else {
        (void)printf("Key k_%" PRId64 " was revoked.\n", id);
    }
    return console_flush(NULL);
}

static void collect_json(void *user, const struct key *key)
{
    console_list_add(user, describe_key(key));
}

static void add_rate(struct table *t, const struct key *key)
{
    char text[32];

    if (key->rate.per_s == 0) {
        table_add(t, NULL);
        return;
    }
    (void)snprintf(text, sizeof(text), "%u/%u", key->rate.per_s, key->rate.burst);
    table_add(t, text);
}

static void collect_row(void *user, const struct key *key)
{
    struct table *t = user;
    char id[KEYS_ID_BYTES];

    keys_format_id(key->id, id);
    table_add(t, id);
    table_add(t, key->serial);
    table_add(t, keys_state_name(key->state));
    add_rate(t, key);
    table_add(t, key->scope.len == 0 ? "everything" : "limited");
    table_add_time(t, key->created_at_s);
    table_add_time(t, key->expires_at_s);
    table_add_time(t, key->last_used_at_s);
    table_add(t, key->label);
}

static int list_json(const struct arguments *a, struct console *o)
{
    struct error_text e = {"no memory"};
    struct console_list list;

    console_list_init(&list);
    int rc = keys_list(o->db, a->object, o->actor.now_s, collect_json, &list, &e);
    return console_list_print(&list, rc, &e);
}

static int key_list(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    static const char *const TITLES[] = {
        "ID", "SERIAL", "STATE", "RATE", "SCOPE", "CREATED (UTC)", "EXPIRES", "LAST USED", "LABEL"};
    struct error_text e = {"no memory"};
    struct table t;

    if (a->json) {
        return list_json(a, o);
    }
    table_init(&t, TITLES, sizeof(TITLES) / sizeof(TITLES[0]));
    int rc = keys_list(o->db, a->object, o->actor.now_s, collect_row, &t, &e);
    if (rc == 0) {
        rc = table_print(&t, stdout);
    }
    table_close(&t);
    return rc != 0 ? console_exit(rc, &e) : console_flush(NULL);
}

static const struct verb VERBS[] = {
    {"enable", "SERIAL", "label rate burst expires read-only controllers guids groups cidrs",
     key_enable},
    {"change", "ID", "label rate burst expires read-only everything controllers guids groups cidrs",
     key_change},
    {"list", "[SERIAL]", "", key_list},
    {"rotate", "ID", "overlap", key_rotate},
    {"revoke", "ID", "", key_revoke},
};

int command_key(int argc, char **argv)
{
    struct arguments a = {.rate = RATE_UNSET, .burst = RATE_UNSET};
    const struct option_row rows[] = {
        {"config", OPTION_TEXT, &a.config, 0, 0},
        {"label", OPTION_TEXT, &a.label, 0, 0},
        {"expires", OPTION_TEXT, &a.expires, 0, 0},
        {"overlap", OPTION_TEXT, &a.overlap, 0, 0},
        {"rate", OPTION_UINT, &a.rate, 0, KEYS_RATE_MAX},
        {"burst", OPTION_UINT, &a.burst, 0, KEYS_RATE_MAX},
        {"controllers", OPTION_LIST, &a.controllers, 0, 0},
        {"guids", OPTION_LIST, &a.guids, 0, 0},
        {"groups", OPTION_LIST, &a.groups, 0, 0},
        {"cidrs", OPTION_LIST, &a.cidrs, 0, 0},
        {"read-only", OPTION_FLAG, &a.read_only, 0, 0},
        {"everything", OPTION_FLAG, &a.everything, 0, 0},
        {"json", OPTION_FLAG, &a.json, 0, 0},
        {"help", OPTION_FLAG, &a.help, 0, 0},
    };
    const struct verbs verbs = {
        .command = "key",
        .help = HELP,
        .verbs = VERBS,
        .n_verbs = sizeof(VERBS) / sizeof(VERBS[0]),
        .rows = rows,
        .n_rows = sizeof(rows) / sizeof(rows[0]),
        .arguments = &a,
        .config = &a.config,
        .object = &a.object,
        .wants_help = &a.help,
    };
    return verbs_run(&verbs, argc, argv);
}
