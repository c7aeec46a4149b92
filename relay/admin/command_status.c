/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay status`: every building, which leg of its connection is broken, since when. The
 * running relay knows the connections, the database knows the buildings that never connected. */
#include "relay/admin/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "relay/admin/admin_client.h"
#include "relay/admin/console.h"
#include "relay/admin/options.h"
#include "relay/admin/table.h"
#include "relay/store/describe.h"
#include "relay/store/servers.h"

/* Between two looks of --watch. */
#define WATCH_S 2

/* "106751991167300 d", with NUL. */
#define SPAN_BYTES 32

static const char HELP[] =
    "thinknx-relay status [SERIAL]: which buildings are connected, which leg is broken.\n"
    "\n"
    "  --watch         again every 2 seconds, until Ctrl-C\n"
    "  --config FILE   default " CONFIG_DEFAULT_PATH "\n"
    "  --json          print JSON: \"relay\", and \"servers\"\n"
    "\n"
    "CLIENT-RELAY is what the relay sees of its callers and of its certificate, with the round\n"
    "trip to them; RELAY-AGENT is the tunnel, AGENT-SERVER what the last end-to-end call through\n"
    "it found.\n"
    "Exit codes: 0 all that are enabled are online, 1 some are not or the relay does not run,\n"
    "2 wrong usage or configuration.\n";

struct arguments {
    const char *config;
    const char *serial;
    bool watch;
    bool json;
    bool help;
};

/* What the database has is put over what the relay told. */
struct listing {
    json_t *live; /* array, borrowed */
    struct console_list merged;
    const char *serial;
    size_t n_offline;
};

static int read_arguments(int argc, char **argv, struct arguments *a, struct error_text *e)
{
    const struct option_row rows[] = {
        {"config", OPTION_TEXT, &a->config, 0, 0},
        {"watch", OPTION_FLAG, &a->watch, 0, 0},
        {"json", OPTION_FLAG, &a->json, 0, 0},
        {"help", OPTION_FLAG, &a->help, 0, 0},
    };
    struct option_words words;
    int rc = options_parse(argc, argv, rows, sizeof(rows) / sizeof(rows[0]), &words, e);
    if (rc != 0 || a->help) {
        return rc;
    }
    if (words.n_words > 1) {
        return error_set(e, ERROR_CONFIG, "status: one SERIAL at most");
    }
    a->serial = words.n_words == 1 ? words.words[0] : NULL;
    return 0;
}

static json_t *find_live(json_t *live, const char *serial)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(live, i, item)
    {
        const char *text = json_string_value(json_object_get(item, "serial"));
        if (text != NULL && strcmp(text, serial) == 0) {
            return item;
        }
    }
    return NULL;
}

/* json_object_update_missing of jansson 2.14 does not look at its own failures. */
static int add_missing(json_t *item, json_t *more)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(more, name, value)
    {
        if (json_object_get(item, name) == NULL && json_object_set(item, name, value) != 0) {
            return ERROR_NOMEM;
        }
    }
    return 0;
}

/* `live` NULL: the relay knows nothing of it. NULL is "no memory". */
static json_t *describe(const struct server *server, json_t *live)
{
    json_t *item = json_pack("{s:s, s:o, s:b}", "serial", server->serial, "name",
                             describe_text(server->name), "enabled", (int)server->enabled);
    json_t *more = live != NULL ? json_incref(live)
                                : json_pack("{s:b, s:b, s:s}", "online", 0, "tunnel_up", 0,
                                            "tunnel_reason", "not seen since the start");
    if (item == NULL || more == NULL || add_missing(item, more) != 0) {
        json_decref(item);
        item = NULL;
    }
    json_decref(more);
    return item;
}

static void on_server(void *user, const struct server *server)
{
    struct listing *l = user;
    if (l->serial != NULL && strcmp(l->serial, server->serial) != 0) {
        return;
    }
    json_t *live = find_live(l->live, server->serial);
    if (server->enabled && !json_is_true(json_object_get(live, "online"))) {
        l->n_offline++;
    }
    console_list_add(&l->merged, describe(server, live));
}

static const char *text_of(const json_t *item, const char *name)
{
    const char *text = json_string_value(json_object_get(item, name));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static int64_t number_of(const json_t *item, const char *name)
{
    return json_integer_value(json_object_get(item, name));
}

/* "3 s", "12 min", "5 h", "9 d". */
static void format_span(int64_t span_s, char text[SPAN_BYTES])
{
    if (span_s < 120) {
        (void)snprintf(text, SPAN_BYTES, "%" PRId64 " s", span_s);
    } else if (span_s < 7200) {
        (void)snprintf(text, SPAN_BYTES, "%" PRId64 " min", span_s / 60);
    } else if (span_s < 172800) {
        (void)snprintf(text, SPAN_BYTES, "%" PRId64 " h", span_s / 3600);
    } else {
        (void)snprintf(text, SPAN_BYTES, "%" PRId64 " d", span_s / 86400);
    }
}

static void add_age(struct table *t, int64_t since_s)
{
    char text[SPAN_BYTES];
    format_span(clock_wall_s() - since_s, text);
    table_add(t, since_s != 0 ? text : NULL);
}

static void add_ms(struct table *t, int64_t us)
{
    char text[32];
    (void)snprintf(text, sizeof(text), us < 1000 ? "%.2f ms" : "%.1f ms", (double)us / 1000);
    table_add(t, us > 0 ? text : NULL);
}

static void add_row(struct table *t, const json_t *item)
{
    bool up = json_is_true(json_object_get(item, "tunnel_up"));
    bool enabled = json_is_true(json_object_get(item, "enabled"));
    const char *reason = up ? text_of(item, "server_reason") : text_of(item, "tunnel_reason");
    table_add(t, text_of(item, "serial"));
    table_add(t, !enabled                                        ? "disabled"
                 : json_is_true(json_object_get(item, "online")) ? "online"
                                                                 : "OFFLINE");
    table_add(t, up ? "ok" : "broken");
    add_age(t, number_of(item, "tunnel_since"));
    add_ms(t, number_of(item, "agent_rtt_us"));
    table_add(t, up ? text_of(item, "server_leg") : NULL);
    add_age(t, up ? number_of(item, "server_since") : 0);
    add_ms(t, up ? number_of(item, "server_us") : 0);
    table_add(t, text_of(item, "address"));
    table_add(t, reason);
}

/* How far away the callers are. */
static void print_distance(const json_t *relay)
{
    char text[SPAN_BYTES];
    int64_t n = number_of(relay, "client_rtt_samples");
    int64_t last_s = number_of(relay, "last_call");
    format_span(clock_wall_s() - last_s, text);
    (void)printf("\n             round trip ");
    if (n > 0) {
        (void)printf("%.2f ms (median of %" PRId64 " within 5 min, latest %.2f ms)",
                     (double)number_of(relay, "client_rtt_us") / 1000, n,
                     (double)number_of(relay, "client_rtt_latest_us") / 1000);
    } else {
        (void)fputs("not known: no call within 5 min", stdout);
    }
    (void)printf(", last call %s%s", last_s != 0 ? text : "none yet", last_s != 0 ? " ago" : "");
}

/* The leg before the buildings': what can be wrong with it that the relay knows of. */
static void print_relay(const json_t *relay)
{
    char text[SPAN_BYTES];
    int64_t now_s = clock_wall_s();
    int64_t end_s = number_of(relay, "certificate_expires");
    const char *leg = text_of(relay, "client_leg");
    format_span(now_s - number_of(relay, "client_since"), text);
    (void)printf("CLIENT-RELAY %s for %s: %" PRId64 " connections, %" PRId64
                 " TLS handshakes, %" PRId64 " failed",
                 leg != NULL ? leg : "?", text, number_of(relay, "sessions"),
                 number_of(relay, "tls_handshakes"), number_of(relay, "tls_failures"));
    if (end_s != 0) {
        bool ended = end_s <= now_s;
        format_span(end_s - now_s, text);
        (void)printf(", certificate %s%s", ended ? "has ended" : "ends in ", ended ? "" : text);
    }
    print_distance(relay);
    (void)fputs("\n\n", stdout);
}

static int print_table(const json_t *list, struct error_text *e)
{
    static const char *const TITLES[] = {"SERIAL",  "STATE",        "RELAY-AGENT", "SINCE",
                                         "RTT",     "AGENT-SERVER", "SINCE",       "ANSWER",
                                         "ADDRESS", "REASON"};
    struct table t;
    size_t i = 0;
    const json_t *item = NULL;
    table_init(&t, TITLES, sizeof(TITLES) / sizeof(TITLES[0]));
    json_array_foreach(list, i, item)
    {
        add_row(&t, item);
    }
    int rc = table_print(&t, stdout);
    table_close(&t);
    return rc == 0 ? 0 : error_set(e, rc, "no memory");
}

static int print(const struct arguments *a, json_t *relay, json_t *servers, struct error_text *e)
{
    if (a->json) {
        return console_put_json(json_pack("{s:O?, s:O}", "relay", relay, "servers", servers), e);
    }
    if (a->serial == NULL) {
        print_relay(relay);
    }
    return print_table(servers, e);
}

/* One look. `*all_online` says whether all that should be are. */
static int look(struct console *o, const struct arguments *a, bool *all_online,
                struct error_text *e)
{
    json_t *answer = NULL;
    int rc = admin_client_get(&o->config, "/status", &answer, e);
    if (rc != 0) {
        return rc;
    }
    struct listing l = {.live = json_object_get(answer, "servers"), .serial = a->serial};
    console_list_init(&l.merged);
    rc = servers_list(o->db, clock_wall_s(), on_server, &l, e);
    if (rc == 0 && l.merged.items == NULL) {
        rc = error_set(e, ERROR_NOMEM, "no memory");
    } else if (rc == 0 && a->serial != NULL && json_array_size(l.merged.items) == 0) {
        rc = error_set(e, ERROR_NOT_FOUND, "there is no server %s", a->serial);
    }
    if (rc == 0) {
        *all_online = l.n_offline == 0;
        rc = print(a, json_object_get(answer, "relay"), l.merged.items, e);
    }
    json_decref(l.merged.items);
    json_decref(answer);
    return rc;
}

static int watch(struct console *o, const struct arguments *a, struct error_text *e)
{
    for (;;) {
        bool all_online = false;
        char now[CLOCK_ISO_BYTES];
        (void)fputs("\033[H\033[2J", stdout); /* a terminal is cleared */
        clock_format(clock_wall_s(), now);
        (void)printf("%s\n\n", now);
        int rc = look(o, a, &all_online, e);
        if (rc == ERROR_CONFIG) {
            return rc;
        }
        if (rc != 0) { /* a relay that is down is looked for again: that is what one watches for */
            (void)printf("%s\n", e->text);
        }
        if (console_flush(NULL) != 0) {
            return ERROR_IO;
        }
        (void)sleep(WATCH_S);
    }
}

int command_status(int argc, char **argv)
{
    struct arguments a = {.config = NULL};
    struct error_text e = {""};
    struct console o;
    bool all_online = false;
    if (read_arguments(argc, argv, &a, &e) != 0) {
        return console_usage("status", &e);
    }
    if (a.help) {
        (void)fputs(HELP, stdout); /* console_flush looks at stdout */
        return console_flush(NULL);
    }
    int rc = console_open(a.config, &o, &e);
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    rc = a.watch ? watch(&o, &a, &e) : look(&o, &a, &all_online, &e);
    console_close(&o);
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    int code = console_flush(NULL);
    return code != 0 || all_online ? code : 1;
}
