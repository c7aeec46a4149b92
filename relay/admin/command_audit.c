/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay audit`: who did what. */
#include "relay/admin/commands.h"

#include <jansson.h>
#include <stdio.h>

#include "proto/base/clock.h"
#include "relay/admin/console.h"
#include "relay/admin/moment.h"
#include "relay/admin/options.h"
#include "relay/admin/table.h"
#include "relay/store/audit.h"
#include "relay/store/describe.h"

static const char HELP[] =
    "thinknx-relay audit: who did what, newest first.\n"
    "\n"
    "  --since WHEN    from then on: 24h, 7d (ago), 2026-01-31 or 2026-01-31T18:00:00Z (UTC)\n"
    "  --until WHEN    before then\n"
    "  --who TEXT      actors that begin so: operator:alice, agent:TNX-0001\n"
    "  --what TEXT     acts that begin so: key, key.revoke, server\n"
    "  --object TEXT   objects with this in them: TNX-0001, k_12\n"
    "  --refused       only what was refused\n"
    "  --last N        at most so many (default 100; 0: all)\n"
    "  --config FILE   default " CONFIG_DEFAULT_PATH "\n"
    "  --json          print JSON\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.\n";

#define LAST_DEFAULT 100

struct arguments {
    const char *config;
    const char *since;
    const char *until;
    struct audit_filter filter;
    uint32_t last;
    bool json;
    bool help;
};

static int parse_when(const char *option, const char *text, int64_t now_s, int64_t *when_s,
                      struct error_text *e)
{
    if (moment_parse(text, now_s, true, when_s) != 0) {
        return error_set(e, ERROR_CONFIG, "--%s must be a time like 7d, or a date like 2026-01-31",
                         option);
    }
    return 0;
}

static int read_arguments(int argc, char **argv, struct arguments *a, struct error_text *e)
{
    const struct option_row rows[] = {
        {"config", OPTION_TEXT, &a->config, 0, 0},
        {"since", OPTION_TEXT, &a->since, 0, 0},
        {"until", OPTION_TEXT, &a->until, 0, 0},
        {"who", OPTION_TEXT, &a->filter.who, 0, 0},
        {"what", OPTION_TEXT, &a->filter.what, 0, 0},
        {"object", OPTION_TEXT, &a->filter.object, 0, 0},
        {"refused", OPTION_FLAG, &a->filter.refused_only, 0, 0},
        {"last", OPTION_UINT, &a->last, 0, UINT32_MAX},
        {"json", OPTION_FLAG, &a->json, 0, 0},
        {"help", OPTION_FLAG, &a->help, 0, 0},
    };
    struct option_words words;
    int64_t now_s = clock_wall_s();
    int rc = options_parse(argc, argv, rows, sizeof(rows) / sizeof(rows[0]), &words, e);

    if (rc != 0 || a->help) {
        return rc;
    }
    if (words.n_words > 0) {
        return error_set(e, ERROR_CONFIG, "audit takes no argument %.32s", words.words[0]);
    }
    if (a->since != NULL) {
        rc = parse_when("since", a->since, now_s, &a->filter.since_s, e);
    }
    if (rc == 0 && a->until != NULL) {
        rc = parse_when("until", a->until, now_s, &a->filter.until_s, e);
    }
    a->filter.n_max = a->last;
    return rc;
}

static void collect_json(void *user, const struct audit_row *row)
{
    console_list_add(user, describe_audit(row));
}

static void collect_row(void *user, const struct audit_row *row)
{
    struct table *t = user;
    table_add_time(t, row->at_s);
    table_add(t, row->who);
    table_add(t, row->what);
    table_add(t, row->refused ? "refused" : "done");
    table_add(t, row->object);
    table_add(t, row->detail);
}

static int print_json(const struct arguments *a, struct console *o)
{
    struct error_text e = {"no memory"};
    struct console_list list;

    console_list_init(&list);
    int rc = audit_list(o->db, &a->filter, collect_json, &list, &e);
    return console_list_print(&list, rc, &e);
}

static int print_table(const struct arguments *a, struct console *o)
{
    static const char *const TITLES[] = {"TIME (UTC)", "WHO", "WHAT", "RESULT", "OBJECT", "DETAIL"};
    struct error_text e = {"no memory"};
    struct table t;

    table_init(&t, TITLES, sizeof(TITLES) / sizeof(TITLES[0]));
    int rc = audit_list(o->db, &a->filter, collect_row, &t, &e);
    if (rc == 0) {
        rc = table_print(&t, stdout);
    }
    table_close(&t);
    return rc != 0 ? console_exit(rc, &e) : console_flush(NULL);
}

int command_audit(int argc, char **argv)
{
    struct arguments a = {.last = LAST_DEFAULT};
    struct error_text e = {""};
    struct console o;

    if (read_arguments(argc, argv, &a, &e) != 0) {
        return console_usage("audit", &e);
    }
    if (a.help) {
        (void)fputs(HELP, stdout); /* console_flush looks at stdout */
        return console_flush(NULL);
    }
    int rc = console_open(a.config, &o, &e);
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    int code = a.json ? print_json(&a, &o) : print_table(&a, &o);
    console_close(&o);
    return code;
}
