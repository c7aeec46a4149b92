/* SPDX-License-Identifier: Apache-2.0 */
/* The API's servers: what `thinknx-relay server` does, with what is known of their tunnels. All of
 * it runs on the store thread. */
#include <stdlib.h>
#include <string.h>

#include "relay/admin/api_internal.h"
#include "relay/admin/kit.h"
#include "relay/store/describe.h"
#include "relay/store/history.h"
#include "relay/store/servers.h"
#include "relay/worker.h"

#define RATE_MAX 1000000

static json_t *describe_calls(const struct relay *relay, int64_t server, int64_t now_s)
{
    uint32_t counts[ACTIVITY_MINUTES] = {0};
    json_t *list = json_array();

    for (unsigned i = 0; i < relay->n_workers; i++) {
        activity_count(relay->workers[i].activity, server, now_s, counts);
    }
    for (size_t i = 0; i < ACTIVITY_MINUTES; i++) {
        (void)json_array_append_new(list, json_integer(counts[i]));
    }
    return list;
}

struct listing {
    const struct api_call *call;
    json_t *tunnels; /* by serial */
    json_t *list;
};

/* The row, its tunnel, and its requests per minute of the last hour. */
static json_t *describe_whole(const struct api_call *c, const struct server *server, json_t *tunnel)
{
    json_t *object = describe_server(server);

    (void)json_object_set_new(object, "tunnel", tunnel);
    (void)json_object_set_new(object, "calls",
                              describe_calls(c->worker->relay, server->id, c->actor.now_s));
    return object;
}

static void collect(void *user, const struct server *server)
{
    struct listing *l = user;
    json_t *tunnel = json_incref(json_object_get(l->tunnels, server->serial));

    (void)json_array_append_new(
        l->list, describe_whole(l->call, server, tunnel != NULL ? tunnel : json_null()));
}

static void list_servers(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    struct listing l = {c, board_describe_all(c->worker->relay->board), json_array()};

    int rc = servers_list(db, c->actor.now_s, collect, &l, &e);
    json_decref(l.tunnels);
    if (rc == 0) {
        api_answer(c, 200, l.list);
    } else {
        json_decref(l.list);
        api_fail(c, rc, &e);
    }
}

/* The server as it is now, or why there is none. */
static void answer_server(struct api_call *c, struct database *db, int rc, struct error_text *e)
{
    struct server server;

    if (rc == 0) {
        rc = servers_find(db, c->object, c->actor.now_s, &server, e);
    }
    if (rc != 0) {
        api_fail(c, rc, e);
        return;
    }
    json_t *tunnel = board_describe(c->worker->relay->board, span_of(c->object));
    api_answer(c, 200, describe_whole(c, &server, tunnel));
}

static void show_server(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    answer_server(c, db, 0, &e);
}

/* A burst of its own, or a second's worth. */
static int get_rate(const struct api_call *c, struct bucket_rate *rate, struct error_text *e)
{
    int rc = api_get_uint(c, "command_rate", RATE_MAX, &rate->per_s, e);

    if (rc == 0) {
        rc = api_get_uint(c, "command_burst", RATE_MAX, &rate->burst, e);
    }
    if (rate->per_s == 0) {
        rate->burst = 0;
    } else if (rate->burst == 0) {
        rate->burst = rate->per_s;
    }
    return rc;
}

/* Files for the agent, with the token: shown this once. */
static void answer_kit(struct api_call *c, unsigned status, struct kit *kit, struct error_text *e)
{
    char conf[KIT_CONF_BYTES];
    int rc = kit_format_conf(kit, conf, e);

    if (rc != 0) {
        api_fail(c, rc, e);
        return;
    }
    api_answer(c, status, kit_describe_files(kit, conf));
}

static void add_server(struct api_call *c, struct database *db)
{
    static const char *const MEMBERS[] = {"serial",       "name",          "may_enable_keys",
                                          "command_rate", "command_burst", NULL};
    struct server_settings settings = {.serial = ""};
    struct error_text e = {""};
    struct relay_config config;
    bool may_enable = true;
    struct kit kit;
    int64_t id = 0;
    int rc = api_check_members(c, MEMBERS, &e);

    rc = rc == 0 ? api_get_text(c, "serial", &settings.serial, &e) : rc;
    rc = rc == 0 ? api_get_text(c, "name", &settings.name, &e) : rc;
    rc = rc == 0 ? api_get_bool(c, "may_enable_keys", &may_enable, &e) : rc;
    rc = rc == 0 ? get_rate(c, &settings.command_rate, &e) : rc;
    rc = rc == 0 ? servers_check_serial(settings.serial, &e) : rc;
    rc = rc == 0 ? relay_config_read(c->worker->relay->config_path, &config, &e) : rc;
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    settings.no_keys_from_building = !may_enable;
    kit_init(&config, settings.serial, &kit);
    rc = servers_add(db, &settings, &c->actor, &id, &kit.token, &e);
    if (rc == 0) {
        answer_kit(c, 201, &kit, &e);
    } else {
        api_fail(c, rc, &e);
    }
    kit_close(&kit);
    relay_config_free(&config);
}

static void renew_token(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    struct relay_config config;
    struct kit kit;
    int rc = relay_config_read(c->worker->relay->config_path, &config, &e);

    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    kit_init(&config, c->object, &kit);
    rc = servers_renew_token(db, c->object, &c->actor, &kit.token, &e);
    if (rc == 0) {
        answer_kit(c, 200, &kit, &e);
    } else {
        api_fail(c, rc, &e);
    }
    kit_close(&kit);
    relay_config_free(&config);
}

static void change_server(struct api_call *c, struct database *db)
{
    static const char *const MEMBERS[] = {"name", "may_enable_keys", "command_rate",
                                          "command_burst", NULL};
    struct server_change change = {
        .sets_building_keys = json_object_get(c->body, "may_enable_keys") != NULL,
        .sets_rate = json_object_get(c->body, "command_rate") != NULL,
    };
    struct error_text e = {""};
    int rc = api_check_members(c, MEMBERS, &e);

    rc = rc == 0 ? api_get_text(c, "name", &change.name, &e) : rc;
    rc = rc == 0 ? api_get_bool(c, "may_enable_keys", &change.may_enable_keys, &e) : rc;
    rc = rc == 0 ? get_rate(c, &change.command_rate, &e) : rc;
    rc = rc == 0 ? servers_change(db, c->object, &change, &c->actor, &e) : rc;
    answer_server(c, db, rc, &e);
}

static void enable_server(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    answer_server(c, db, servers_set_enabled(db, c->object, true, &c->actor, &e), &e);
}

static void disable_server(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    answer_server(c, db, servers_set_enabled(db, c->object, false, &c->actor, &e), &e);
}

static void remove_server(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    int rc = servers_remove(db, c->object, &c->actor, &e);

    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    api_answer(c, 200, json_pack("{s:s, s:s}", "serial", c->object, "state", "removed"));
}

static void collect_row(void *user, const struct history_row *row)
{
    static const char *const LEGS[] = {"tunnel", "server", "relay"};
    size_t leg = (size_t)row->leg < sizeof(LEGS) / sizeof(LEGS[0]) ? (size_t)row->leg : 0;

    (void)json_array_append_new(user, json_pack("{s:I, s:s, s:b, s:s, s:I}", "at",
                                                (json_int_t)(row->at_ms / 1000), "leg", LEGS[leg],
                                                "up", row->up ? 1 : 0, "reason", row->reason,
                                                "left_out", (json_int_t)row->n_left_out));
}

static void show_history(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    json_t *list = json_array();
    int64_t id = 0;
    int rc = servers_find_id(db, c->object, &id, &e);

    rc = rc == 0 ? history_list(db, id, collect_row, list, &e) : rc;
    if (rc != 0) {
        json_decref(list);
        api_fail(c, rc, &e);
        return;
    }
    api_answer(c, 200, list);
}

const struct api_route API_SERVER_ROUTES[] = {
    {"GET", "/servers", API_READ, list_servers, NULL},
    {"POST", "/servers", API_CHANGE, add_server, NULL},
    {"GET", "/servers/*", API_READ, show_server, NULL},
    {"POST", "/servers/*", API_CHANGE, change_server, NULL},
    {"POST", "/servers/*/token", API_CHANGE, renew_token, NULL},
    {"POST", "/servers/*/enable", API_CHANGE, enable_server, NULL},
    {"POST", "/servers/*/disable", API_CHANGE, disable_server, NULL},
    {"POST", "/servers/*/remove", API_CHANGE, remove_server, NULL},
    {"GET", "/servers/*/history", API_READ, show_history, NULL},
    {"GET", "/servers/*/devices", API_READ, api_show_devices, api_ask_for_devices},
    {"POST", "/servers/*/devices", API_CHANGE, api_import_devices, NULL},
    {NULL, NULL, API_OPEN, NULL, NULL},
};
