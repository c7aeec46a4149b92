/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay operator`: who may log in to the pages. A password is never an argument: it comes
 * from a file, or from standard input (without an echo on a terminal). */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "proto/base/secret.h"
#include "relay/admin/commands.h"
#include "relay/admin/console.h"
#include "relay/admin/options.h"
#include "relay/admin/password.h"
#include "relay/admin/table.h"
#include "relay/admin/verbs.h"
#include "relay/store/describe.h"
#include "relay/store/operators.h"

static const char HELP[] =
    "thinknx-relay operator: who may log in to the relay's pages.\n"
    "\n"
    "  operator add NAME        asks for a password, or reads one line from standard input\n"
    "  operator password NAME   gives another password, and unlocks; ends all logins\n"
    "      --password-file FILE     reads the password from there (mode 600)\n"
    "  operator list\n"
    "  operator remove NAME     ends all logins, too\n"
    "\n"
    "  --config FILE   default " CONFIG_DEFAULT_PATH "\n"
    "  --json          print JSON\n"
    "\n"
    "A name has 1 to 32 of a-z, 0-9, \".\", \"_\" and \"-\"; a password 12 to 200 characters.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.\n";

struct arguments {
    const char *config;
    const char *password_file;
    bool json;
    bool help;
    const char *name; /* NULL = none given */
};

/* One line, without showing it where a person types it. */
static int read_line(char password[SECRET_BYTES], struct error_text *e)
{
    struct termios before;
    bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;

    if (is_terminal) {
        struct termios quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
        (void)fputs("Password: ", stderr); /* nobody left to tell */
    }
    bool got = fgets(password, SECRET_BYTES, stdin) != NULL;
    if (is_terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        (void)fputs("\n", stderr);
    }
    if (!got) {
        return error_set(e, ERROR_CONFIG, "no password was given on standard input");
    }
    password[strcspn(password, "\r\n")] = '\0';
    return 0;
}

/* Reads, checks and hashes it. */
static int take_password(const struct arguments *a, char hash[OPERATORS_PASSWORD_BYTES],
                         struct error_text *e)
{
    char password[SECRET_BYTES] = "";
    int rc = a->password_file != NULL ? secret_read_file(a->password_file, password, e)
                                      : read_line(password, e);

    rc = rc == 0 ? password_check(password, e) : rc;
    rc = rc == 0 ? password_hash(password, hash, e) : rc;
    secret_cleanse(password, sizeof(password));
    return rc;
}

static int report(const struct arguments *a, int rc, const char *done, const struct error_text *e)
{
    if (rc != 0) {
        return console_exit(rc, e);
    }
    if (a->json) {
        return console_print_json(json_pack("{s:s, s:s}", "name", a->name, "state", done));
    }
    (void)printf("Operator %s: %s.\n", a->name, done);
    return console_flush(NULL);
}

static int operator_add(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    char hash[OPERATORS_PASSWORD_BYTES];
    struct error_text e = {""};
    int rc = operators_check_name(a->name, &e);

    rc = rc == 0 ? take_password(a, hash, &e) : rc;
    rc = rc == 0 ? operators_add(o->db, a->name, hash, &o->actor, &e) : rc;
    secret_cleanse(hash, sizeof(hash));
    return report(a, rc, "added", &e);
}

static int operator_password(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    char hash[OPERATORS_PASSWORD_BYTES];
    struct error_text e = {""};
    int rc = operators_check_name(a->name, &e);

    rc = rc == 0 ? take_password(a, hash, &e) : rc;
    rc = rc == 0 ? operators_set_password(o->db, a->name, hash, &o->actor, &e) : rc;
    secret_cleanse(hash, sizeof(hash));
    return report(a, rc, "password changed", &e);
}

static int operator_remove(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    struct error_text e = {""};
    return report(a, operators_remove(o->db, a->name, &o->actor, &e), "removed", &e);
}

static void collect_json(void *user, const struct operator_account *account)
{
    console_list_add(user,
                     json_pack("{s:s, s:o, s:s, s:i, s:o}", "name", account->name, "created_at",
                               describe_time(account->created_at_s), "created_by",
                               account->created_by, "failures", (int)account->n_failures,
                               "locked_until", describe_time(account->locked_until_s)));
}

static void collect_row(void *user, const struct operator_account *account)
{
    struct table *t = user;
    table_add(t, account->name);
    table_add_time(t, account->created_at_s);
    table_add(t, account->created_by);
    table_add_time(t, account->locked_until_s);
}

static int operator_list(const void *arguments, struct console *o)
{
    const struct arguments *a = arguments;
    static const char *const TITLES[] = {"NAME", "ADDED (UTC)", "BY", "LOCKED UNTIL"};
    struct error_text e = {"no memory"};
    struct table t;

    if (a->json) {
        struct console_list list;
        console_list_init(&list);
        int failed = operators_list(o->db, collect_json, &list, &e);
        return console_list_print(&list, failed, &e);
    }
    table_init(&t, TITLES, sizeof(TITLES) / sizeof(TITLES[0]));
    int rc = operators_list(o->db, collect_row, &t, &e);
    if (rc == 0) {
        rc = table_print(&t, stdout);
    }
    table_close(&t);
    return rc != 0 ? console_exit(rc, &e) : console_flush(NULL);
}

static const struct verb VERBS[] = {
    {"add", "NAME", "password-file", operator_add},
    {"password", "NAME", "password-file", operator_password},
    {"list", NULL, "", operator_list},
    {"remove", "NAME", "", operator_remove},
};

int command_operator(int argc, char **argv)
{
    struct arguments a = {.config = NULL};
    const struct option_row rows[] = {
        {"config", OPTION_TEXT, &a.config, 0, 0},
        {"password-file", OPTION_TEXT, &a.password_file, 0, 0},
        {"json", OPTION_FLAG, &a.json, 0, 0},
        {"help", OPTION_FLAG, &a.help, 0, 0},
    };
    const struct verbs verbs = {
        .command = "operator",
        .help = HELP,
        .verbs = VERBS,
        .n_verbs = sizeof(VERBS) / sizeof(VERBS[0]),
        .rows = rows,
        .n_rows = sizeof(rows) / sizeof(rows[0]),
        .arguments = &a,
        .config = &a.config,
        .object = &a.name,
        .wants_help = &a.help,
    };
    return verbs_run(&verbs, argc, argv);
}
