/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay server`: the Thinknx servers that this relay knows. */
#include "relay/admin/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/secret.h"
#include "relay/admin/certificate.h"
#include "relay/admin/file.h"
#include "relay/admin/console.h"
#include "relay/admin/options.h"
#include "relay/admin/table.h"
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

/* Largest agent.conf printed here. */
#define AGENT_CONF_BYTES 4096

#define RATE_MAX   1000000
#define RATE_UNSET UINT32_MAX

/* "wss://" instead of "https://", and a port if there was none. */
#define AGENT_URL_BYTES (CONFIG_URL_BYTES + 8)

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
    const char *verb;
    const char *serial; /* NULL = none given */
};

/* What the installer of an agent needs. */
struct kit {
    const char *serial;
    struct credential token;
    char url[AGENT_URL_BYTES];
    char *ca;                                        /* PEM, owned; NULL = a public one */
    char fingerprint[CERTIFICATE_FINGERPRINT_BYTES]; /* of the CA */
};

/* The kit of an agent */

static void find_ca(const struct relay_config *c, struct kit *kit)
{
    char folder[FILE_PATH_BYTES];
    char path[FILE_PATH_BYTES];
    struct error_text ignored;

    if (c->certificates.n_values == 0 || file_folder(c->path, folder, &ignored) != 0 ||
        file_join(folder, "ca.pem", path, &ignored) != 0) {
        return;
    }
    /* Fails where the certificate is not from our own CA: then the agent needs none. */
    (void)certificate_find_ca(path, c->certificates.values[0], &kit->ca, kit->fingerprint);
}

static void kit_init(const struct relay_config *c, const char *serial, struct kit *kit)
{
    const char *authority = c->public_url + sizeof("https://") - 1;
    const char *colon = strrchr(authority, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL;

    *kit = (struct kit){.serial = serial};
    (void)snprintf(kit->url, sizeof(kit->url), "wss://%s%s", authority, has_port ? "" : ":443");
    find_ca(c, kit);
}

static void kit_close(struct kit *kit)
{
    credential_cleanse(&kit->token);
    free(kit->ca);
}

static int format_agent_conf(const struct kit *kit, char text[AGENT_CONF_BYTES],
                             struct error_text *e)
{
    int n = snprintf(
        text, AGENT_CONF_BYTES,
        "# Configuration of thinknx-agent for server %s.\n"
        "[relay]\n"
        "url = %s\n"
        "serial = %s\n"
        "token_file = agent.token\n"
        "%s%s%s%s"
        "\n"
        "[server]\n"
        "# Address and credentials of the Thinknx server, as seen from here.\n"
        "url = http://127.0.0.1:5051\n"
        "auth = none              ; digest, basic or query want user and password\n"
        "#user = service\n"
        "#password_file = password\n",
        kit->serial, kit->url, kit->serial, kit->ca == NULL ? "" : "ca_file = ca.pem\n",
        kit->ca == NULL ? "" : "# SHA-256 of ca.pem: ", kit->ca == NULL ? "" : kit->fingerprint,
        kit->ca == NULL ? "" : "\n");
    return n < 0 || n >= AGENT_CONF_BYTES ? error_set(e, ERROR_INTERNAL, "agent.conf is too long")
                                          : 0;
}

struct kit_paths {
    char conf[FILE_PATH_BYTES];
    char token[FILE_PATH_BYTES];
    char ca[FILE_PATH_BYTES];
};

/* Before anything is changed: so that a token is not made and then cannot be kept. */
static int prepare_folder(const char *folder, bool has_ca, struct kit_paths *paths,
                          struct error_text *e)
{
    int rc = file_make_folder(folder, e);
    if (rc == 0) {
        rc = file_join(folder, "agent.conf", paths->conf, e);
    }
    if (rc == 0) {
        rc = file_join(folder, "agent.token", paths->token, e);
    }
    if (rc == 0) {
        rc = file_join(folder, "ca.pem", paths->ca, e);
    }
    if (rc == 0) {
        rc = file_check_absent(paths->conf, e);
    }
    if (rc == 0) {
        rc = file_check_absent(paths->token, e);
    }
    if (rc == 0 && has_ca) {
        rc = file_check_absent(paths->ca, e);
    }
    return rc;
}

static int write_kit(const struct kit *kit, const char *conf, const struct kit_paths *paths,
                     struct error_text *e)
{
    int rc = secret_write_file(paths->token, kit->token.text, e);
    if (rc == 0) {
        rc = file_create(paths->conf, 0640, conf, e);
    }
    if (rc == 0 && kit->ca != NULL) {
        rc = file_create(paths->ca, 0644, kit->ca, e);
    }
    return rc;
}

static int print_kit_json(const struct kit *kit, const char *conf, struct error_text *e)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s*}", "serial", kit->serial, "token",
                  kit->token.text, "relay_url", kit->url, "agent_conf", conf, "ca_sha256",
                  kit->ca == NULL ? NULL : kit->fingerprint, "ca_pem", kit->ca);
    if (object == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    (void)json_dumpf(object, stdout, JSON_INDENT(2)); /* console_flush looks at stdout */
    (void)putchar('\n');
    json_decref(object);
    return 0;
}

static void print_kit(const struct kit *kit, const char *conf, const char *folder)
{
    if (folder != NULL) {
        (void)printf("Server %s: agent.conf, agent.token%s are in %s. Copy that folder to the\n"
                     "machine beside the server, fill in the [server] part, and run\n"
                     "  thinknx-agent run --config agent.conf\n",
                     kit->serial, kit->ca == NULL ? "" : " and ca.pem", folder);
        return;
    }
    (void)printf("Server %s was added. Its agent needs these files, in one folder:\n"
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
    char conf[AGENT_CONF_BYTES];
    struct error_text e = {""};
    int rc = format_agent_conf(kit, conf, &e);

    if (rc == 0 && a->out != NULL) {
        rc = write_kit(kit, conf, paths, &e);
    }
    if (rc == 0 && a->json) {
        rc = print_kit_json(kit, conf, &e);
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
    int rc = a->out == NULL ? 0 : prepare_folder(a->out, kit.ca != NULL, &paths, &e);
    if (rc == 0) {
        rc = make(a, o, &kit, &e);
    }
    int code = rc == 0 ? deliver_kit(a, &kit, &paths) : console_exit(rc, &e);
    kit_close(&kit);
    return code;
}

static int server_add(const struct arguments *a, struct console *o)
{
    return with_kit(a, o, add_to_database);
}

static int server_token(const struct arguments *a, struct console *o)
{
    return with_kit(a, o, renew_in_database);
}

static void collect_json(void *user, const struct server *server)
{
    /* A lost item shows as a list that is too short, never as a wrong one; memory is out anyway. */
    (void)json_array_append_new(user, describe_server(server));
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

static int print_json(json_t *value)
{
    (void)json_dumpf(value, stdout, JSON_INDENT(2)); /* console_flush looks at stdout */
    (void)putchar('\n');
    json_decref(value);
    return console_flush(NULL);
}

static int list_json(struct console *o)
{
    struct error_text e = {"no memory"};
    json_t *list = json_array();
    int rc =
        list == NULL ? ERROR_NOMEM : servers_list(o->db, o->actor.now_s, collect_json, list, &e);

    if (rc != 0) {
        json_decref(list);
        return console_exit(rc, &e);
    }
    return print_json(list);
}

static int server_list(const struct arguments *a, struct console *o)
{
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

static int server_show(const struct arguments *a, struct console *o)
{
    struct error_text e = {""};
    struct server server;
    int rc = servers_find(o->db, a->serial, o->actor.now_s, &server, &e);

    if (rc != 0) {
        return console_exit(rc, &e);
    }
    if (a->json) {
        json_t *object = describe_server(&server);
        (void)error_set(&e, ERROR_NOMEM, "no memory");
        return object == NULL ? console_exit(ERROR_NOMEM, &e) : print_json(object);
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

static int server_disable(const struct arguments *a, struct console *o)
{
    struct error_text e = {""};
    int rc = servers_set_enabled(o->db, a->serial, false, &o->actor, &e);
    return confirm(a, o, rc, "disabled", &e);
}

static int server_enable(const struct arguments *a, struct console *o)
{
    struct error_text e = {""};
    int rc = servers_set_enabled(o->db, a->serial, true, &o->actor, &e);
    return confirm(a, o, rc, "enabled", &e);
}

static int server_change(const struct arguments *a, struct console *o)
{
    struct error_text e = {""};
    struct server_change change = {
        .name = a->name,
        .sets_rate = a->command_rate != RATE_UNSET,
        .command_rate = command_rate(a),
        .sets_building_keys = a->building_keys != NULL,
    };

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

static int server_remove(const struct arguments *a, struct console *o)
{
    struct error_text e = {""};
    int rc = servers_remove(o->db, a->serial, &o->actor, &e);

    if (rc != 0) {
        return console_exit(rc, &e);
    }
    if (a->json) {
        json_t *object = json_pack("{s:s, s:s}", "serial", a->serial, "state", "removed");
        (void)error_set(&e, ERROR_NOMEM, "no memory");
        return object == NULL ? console_exit(ERROR_NOMEM, &e) : print_json(object);
    }
    (void)printf("Server %s was removed, with its keys.\n", a->serial);
    return console_flush(NULL);
}

static const struct verb {
    const char *name;
    bool takes_serial;
    int (*run)(const struct arguments *a, struct console *o);
} VERBS[] = {
    {"add", true, server_add},       {"list", false, server_list},
    {"show", true, server_show},     {"change", true, server_change},
    {"token", true, server_token},   {"disable", true, server_disable},
    {"enable", true, server_enable}, {"remove", true, server_remove},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof(VERBS) / sizeof(VERBS[0]); i++) {
        if (strcmp(VERBS[i].name, name) == 0) {
            return &VERBS[i];
        }
    }
    return NULL;
}

static int read_words(const struct option_words *words, struct arguments *a,
                      const struct verb **verb, struct error_text *e)
{
    if (words->n_words == 0) {
        return error_set(e, ERROR_CONFIG, "server: what is to be done?");
    }
    *verb = find_verb(words->words[0]);
    if (*verb == NULL) {
        return error_set(e, ERROR_CONFIG, "server: no such command as %.32s", words->words[0]);
    }
    size_t n_wanted = (*verb)->takes_serial ? 2 : 1;
    if (words->n_words < n_wanted) {
        return error_set(e, ERROR_CONFIG, "server %s: which SERIAL?", (*verb)->name);
    }
    if (words->n_words > n_wanted) {
        return error_set(e, ERROR_CONFIG, "server %s: too many arguments", (*verb)->name);
    }
    a->serial = (*verb)->takes_serial ? words->words[1] : NULL;
    return a->serial == NULL ? 0 : servers_check_serial(a->serial, e);
}

static int read_arguments(int argc, char **argv, struct arguments *a, const struct verb **verb,
                          struct error_text *e)
{
    const struct option_row rows[] = {
        {"config", OPTION_TEXT, &a->config, 0, 0},
        {"name", OPTION_TEXT, &a->name, 0, 0},
        {"out", OPTION_TEXT, &a->out, 0, 0},
        {"building-keys", OPTION_TEXT, &a->building_keys, 0, 0},
        {"no-building-keys", OPTION_FLAG, &a->no_building_keys, 0, 0},
        {"command-rate", OPTION_UINT, &a->command_rate, 0, RATE_MAX},
        {"command-burst", OPTION_UINT, &a->command_burst, 1, RATE_MAX},
        {"json", OPTION_FLAG, &a->json, 0, 0},
        {"help", OPTION_FLAG, &a->help, 0, 0},
    };
    struct option_words words;
    int rc = options_parse(argc, argv, rows, sizeof(rows) / sizeof(rows[0]), &words, e);

    if (rc != 0 || a->help) {
        return rc;
    }
    return read_words(&words, a, verb, e);
}

int command_server(int argc, char **argv)
{
    struct arguments a = {.command_rate = RATE_UNSET};
    const struct verb *verb = NULL;
    struct error_text e = {""};
    struct console o;

    if (read_arguments(argc, argv, &a, &verb, &e) != 0) {
        return console_usage("server", &e);
    }
    if (a.help) {
        (void)fputs(HELP, stdout); /* console_flush looks at stdout */
        return console_flush(NULL);
    }
    int rc = console_open(a.config, &o, &e);
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    int code = verb->run(&a, &o);
    console_close(&o);
    return code;
}
