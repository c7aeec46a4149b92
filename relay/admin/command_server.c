/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay server`: the Thinknx servers that this relay knows. */
#include "relay/admin/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "relay/admin/console.h"
#include "relay/admin/kit.h"
#include "relay/admin/options.h"
#include "relay/admin/table.h"
#include "relay/admin/verbs.h"
#include "relay/store/describe.h"
#include "relay/store/servers.h"

static const char HELP[] =
    "thinknx-relay server: the Thinknx servers that this relay knows.\n"
    "\n"
    "  server add SERIAL      makes an agent token and prints the agent's configuration, once\n"
    "      --name TEXT            for people\n"
    "      --out FOLDER           writes agent.conf, agent.token and ca.pem there instead\n"
    "      --no-building-keys     its agent may not enable keys\n"
    "      --command-rate N       commands per second, to protect the KNX bus (0: relay's "
    "default)\n"
    "      --command-burst N\n"
    "  server list            all servers\n"
    "  server show SERIAL     one server\n"
    "  server change SERIAL   [--name] [--building-keys yes|no] [--command-rate] "
    "[--command-burst]\n"
    "  server token SERIAL    makes a new agent token; the old one stops working [--out FOLDER]\n"
    "  server disable SERIAL  closes its tunnel and refuses its keys, until enabled again\n"
    "  server enable SERIAL\n"
    "  server remove SERIAL   for good, with all its keys\n"
    "\n"
    "  --config FILE   default " CONFIG_DEFAULT_PATH "\n"
    "  --json          print JSON\n"
    "\n"
    "A serial has 1 to 64 letters, digits, \".\", \"_\" and \"-\"; its case matters.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.\n";

#define RATE_MAX   1000000
#define FOLLOW_MS  500
#define RATE_UNSET UINT32_MAX

struct arguments {
    const char *config;
    const char *name;
    const char *out;
    const char *building_keys;
    uint32_t command_rate;
    uint32_t command_burst;
    bool no_building_keys;
    bool json;
    bool help;
    const char *serial; /* NULL = none given */
};

static void print_kit(const struct kit *kit, const char *conf, const char *folder)
{
    if (folder != NULL) {
        (void)printf("Server %s: agent.conf, agent.token%s are in %s. Copy that folder to the\n"
                     "machine beside the server, fill in the [server] part, and run\n"
                     "  thinknx-agent run --config agent.conf\n",
                     kit->serial, kit->ca == NULL ? "" : " and ca.pem", folder);
        return;
    }
    (void)printf("The agent of server %s needs these files, in one folder:\n"
                 "\n---- agent.token (mode 600; shown only now)\n%s\n"
                 "\n---- agent.conf\n%s",
                 kit->serial, kit->token.text, conf);
    if (kit->ca != NULL) {
        (void)printf("\n---- ca.pem\n%s", kit->ca);
    }
}

/* Hands the kit over as it was asked for. Returns the exit code. */
static int deliver_kit(const struct arguments *a, const struct kit *kit,
                       const struct kit_paths *paths)
{
    char conf[KIT_CONF_BYTES];
    struct error_text e = {""};
    int rc = kit_format_conf(kit, conf, &e);

    if (rc == 0 && a->out != NULL) {
        rc = kit_write(kit, conf, paths, &e);
    }
    if (rc == 0 && a->json) {
        rc = console_put_json(kit_describe_files(kit, conf), &e);
    } else if (rc == 0) {
        print_kit(kit, conf, a->out);
    }
    if (rc != 0) {
        (void)console_exit(rc, &e);
        (void)fprintf(stderr,
                      "The token is lost: \"thinknx-relay server token %s\" makes another.\n",
                      kit->serial);
        return 1;
    }
    return console_flush("the token is lost: \"thinknx-relay server token\" makes another");
}

/* The verbs. Each returns the exit code. */

/* A running relay looks for changes every STORE_POLL_MS. Whoever starts the agent right behind the
 * command should not meet one that does not know it yet: refused, it would wait for long. */
static void let_relay_follow(void)
{
    const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000L};
    (void)nanosleep(&pause, NULL); /* a signal makes it shorter */
}

/* Without a burst of its own, a second's worth. */
static struct bucket_rate command_rate(const struct arguments *a)
{
    struct bucket_rate rate = {0, 0};

    if (a->command_rate != RATE_UNSET && a->command_rate != 0) {
        rate.per_s = a->command_rate;
        rate.burst = a->command_burst != 0 ? a->command_burst : a->command_rate;
    }
    return rate;
}

static int add_to_database(const struct arguments *a, struct console *o, struct kit *kit,
                           struct error_text *e)
{
    const struct server_settings settings = {
        .serial = a->serial,
        .name = a->name,
        .no_keys_from_building = a->no_building_keys,
        .command_rate = command_rate(a),
    };
    int64_t id = 0;
    return servers_add(o->db, &settings, &o->actor, &id, &kit->token, e);
}

static int renew_in_database(const struct arguments *a, struct console *o, struct kit *kit,
                             struct error_text *e)
{
    return servers_renew_token(o->db, a->serial, &o->actor, &kit->token, e);
}

typedef int (*make_token)(const struct arguments *a, struct console *o, struct kit *kit,
                          struct error_text *e);

static int with_kit(const struct arguments *a, struct console *o, make_token make)
{
    struct error_text e = {""};
    struct kit_paths paths;
    struct kit kit;

    kit_init(&o->config, a->serial, &kit);
    int rc = a->out == NULL ? 0 : kit_prepare_folder(&kit, a->out, &paths, &e);
    if (rc == 0) {
        rc = make(a, o, &kit, &e);
    }
    int code = rc == 0 ? deliver_kit(a, &kit, &paths) : console_exit(rc, &e);
    kit_close(&kit);
    if (code == 0 && a->out != NULL) {
        let_relay_follow();
    }
    return code;
}

static int server_add(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    return with_kit(a, o, add_to_database);
}

static int server_token(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    return with_kit(a, o, renew_in_database);
}

static void collect_json(void *user, const struct server *server)
{
    console_list_add(user, describe_server(server));
}

static void collect_row(void *user, const struct server *server)
{
    struct table *t = user;
    table_add(t, server->serial);
    table_add(t, server->enabled ? "enabled" : "disabled");
    table_add_number(t, server->n_keys);
    table_add(t, server->may_enable_keys ? "yes" : "no");
    table_add_time(t, server->created_at_s);
    table_add(t, server->name);
}

static int list_json(struct console *o)
{
    struct error_text e = {"no memory"};
    struct console_list list;

    console_list_init(&list);
    int rc = servers_list(o->db, o->actor.now_s, collect_json, &list, &e);
    return console_list_print(&list, rc, &e);
}

static int server_list(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    static const char *const TITLES[] = {"SERIAL",        "STATE",       "KEYS",
                                         "BUILDING KEYS", "ADDED (UTC)", "NAME"};
    struct error_text e = {"no memory"};
    struct table t;

    if (a->json) {
        return list_json(o);
    }
    table_init(&t, TITLES, sizeof(TITLES) / sizeof(TITLES[0]));
    int rc = servers_list(o->db, o->actor.now_s, collect_row, &t, &e);
    if (rc == 0) {
        rc = table_print(&t, stdout);
    }
    table_close(&t);
    return rc != 0 ? console_exit(rc, &e) : console_flush(NULL);
}

static void print_server(const struct server *s)
{
    (void)printf("serial           %s\n"
                 "name             %s\n"
                 "state            %s\n"
                 "usable keys      %" PRIu64 "\n"
                 "building keys    %s\n",
                 s->serial, s->name[0] == '\0' ? "-" : s->name, s->enabled ? "enabled" : "disabled",
                 s->n_keys, s->may_enable_keys ? "yes" : "no");
    if (s->command_rate.per_s == 0) {
        (void)printf("commands         the relay's default\n");
    } else {
        (void)printf("commands         %u per second, burst %u\n", s->command_rate.per_s,
                     s->command_rate.burst);
    }
}

static int server_show(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    struct server server;
    int rc = servers_find(o->db, a->serial, o->actor.now_s, &server, &e);

    if (rc != 0) {
        return console_exit(rc, &e);
    }
    if (a->json) {
        return console_print_json(describe_server(&server));
    }
    print_server(&server);
    return console_flush(NULL);
}

/* What remains of a change: the server as it is now, or one line for people. */
static int confirm(const struct arguments *a, struct console *o, int rc, const char *done,
                   const struct error_text *e)
{
    if (rc != 0) {
        return console_exit(rc, e);
    }
    if (a->json) {
        return server_show(a, o);
    }
    (void)printf("Server %s was %s.\n", a->serial, done);
    return console_flush(NULL);
}

static int server_disable(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    int rc = servers_set_enabled(o->db, a->serial, false, &o->actor, &e);
    return confirm(a, o, rc, "disabled", &e);
}

static int server_enable(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    int rc = servers_set_enabled(o->db, a->serial, true, &o->actor, &e);
    return confirm(a, o, rc, "enabled", &e);
}

static int server_change(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    struct server_change change = {
        .name = a->name,
        .sets_rate = a->command_rate != RATE_UNSET,
        .command_rate = command_rate(a),
        .sets_building_keys = a->building_keys != NULL,
    };

    if (change.name == NULL && !change.sets_rate && !change.sets_building_keys) {
        (void)error_set(&e, ERROR_CONFIG, "server change: what is to be changed?");
        return console_usage("server", &e);
    }
    if (change.sets_building_keys) {
        change.may_enable_keys = strcmp(a->building_keys, "yes") == 0;
        if (!change.may_enable_keys && strcmp(a->building_keys, "no") != 0) {
            (void)error_set(&e, ERROR_CONFIG, "--building-keys must be yes or no");
            return console_usage("server", &e);
        }
    }
    int rc = servers_change(o->db, a->serial, &change, &o->actor, &e);
    return confirm(a, o, rc, "changed", &e);
}

static int server_remove(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    int rc = servers_remove(o->db, a->serial, &o->actor, &e);

    if (rc != 0) {
        return console_exit(rc, &e);
    }
    if (a->json) {
        return console_print_json(json_pack("{s:s, s:s}", "serial", a->serial, "state", "removed"));
    }
    (void)printf("Server %s was removed, with its keys.\n", a->serial);
    return console_flush(NULL);
}

static int check(const void *arguments, struct error_text *e)
{
    const struct arguments *a = arguments;
    bool has_rate = a->command_rate != RATE_UNSET && a->command_rate != 0;

    if (a->command_burst != 0 && !has_rate) {
        return error_set(e, ERROR_CONFIG, "--command-burst needs a --command-rate");
    }
    return a->serial == NULL ? 0 : servers_check_serial(a->serial, e);
}

static const struct verb VERBS[] = {
    {"add", "SERIAL", "name out no-building-keys command-rate command-burst", server_add},
    {"list", NULL, "", server_list},
    {"show", "SERIAL", "", server_show},
    {"change", "SERIAL", "name building-keys command-rate command-burst", server_change},
    {"token", "SERIAL", "out", server_token},
    {"disable", "SERIAL", "", server_disable},
    {"enable", "SERIAL", "", server_enable},
    {"remove", "SERIAL", "", server_remove},
};

int command_server(int argc, char **argv)
{
    struct arguments a = {.command_rate = RATE_UNSET};
    const struct option_row rows[] = {
        {"config", OPTION_TEXT, &a.config, 0, 0},
        {"name", OPTION_TEXT, &a.name, 0, 0},
        {"out", OPTION_TEXT, &a.out, 0, 0},
        {"building-keys", OPTION_TEXT, &a.building_keys, 0, 0},
        {"no-building-keys", OPTION_FLAG, &a.no_building_keys, 0, 0},
        {"command-rate", OPTION_UINT, &a.command_rate, 0, RATE_MAX},
        {"command-burst", OPTION_UINT, &a.command_burst, 1, RATE_MAX},
        {"json", OPTION_FLAG, &a.json, 0, 0},
        {"help", OPTION_FLAG, &a.help, 0, 0},
    };
    const struct verbs verbs = {
        .command = "server",
        .help = HELP,
        .verbs = VERBS,
        .n_verbs = sizeof(VERBS) / sizeof(VERBS[0]),
        .rows = rows,
        .n_rows = sizeof(rows) / sizeof(rows[0]),
        .arguments = &a,
        .config = &a.config,
        .object = &a.serial,
        .wants_help = &a.help,
        .check = check,
    };
    return verbs_run(&verbs, argc, argv);
}
