/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay backup`: a copy of the database, taken while the relay runs. */
#include "relay/admin/commands.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

#include "relay/admin/console.h"
#include "relay/admin/options.h"
#include "relay/store/audit.h"

static const char HELP[] =
    "thinknx-relay backup FILE: copies the database into a new file (mode 0600), consistent and\n"
    "checked, while the relay goes on serving. To restore: stop the relay, put the copy in the\n"
    "database's place, remove what is left of DATABASE-wal and DATABASE-shm, start it.\n"
    "\n"
    "  --config FILE   default " CONFIG_DEFAULT_PATH "\n"
    "  --json          print JSON\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.\n";

struct arguments {
    const char *config;
    bool json;
    bool help;
    const char *file;
};

static int read_arguments(int argc, char **argv, struct arguments *a, struct error_text *e)
{
    const struct option_row rows[] = {
        {"config", OPTION_TEXT, &a->config, 0, 0},
        {"json", OPTION_FLAG, &a->json, 0, 0},
        {"help", OPTION_FLAG, &a->help, 0, 0},
    };
    struct option_words words;
    int rc = options_parse(argc, argv, rows, sizeof(rows) / sizeof(rows[0]), &words, e);

    if (rc != 0 || a->help) {
        return rc;
    }
    if (words.n_words != 1) {
        return error_set(e, ERROR_CONFIG, "backup: which FILE is it to go to?");
    }
    a->file = words.words[0];
    return 0;
}

static int print_done(const struct arguments *a)
{
    struct stat st = {.st_size = 0};
    (void)stat(a->file, &st); /* it was written a moment ago; 0 bytes would be told */

    if (a->json) {
        return console_print_json(
            json_pack("{s:s, s:I}", "file", a->file, "bytes", (json_int_t)st.st_size));
    }
    (void)printf("Backed up to %s (%lld bytes, checked).\n", a->file, (long long)st.st_size);
    return console_flush(NULL);
}

/* A copy of all the hashes is worth a row in the trail. A database that takes no row can still be
 * copied: that may be what is left to do with it. */
static int back_up(const struct arguments *a, struct console *o, struct error_text *e)
{
    const struct audit_act act = {&o->actor, "backup", a->file};
    int done = database_back_up(o->db, a->file, e);
    struct error_text why = *e;
    int rc = audit_begin(o->db, &why);

    if (rc == 0) {
        rc = audit_end(o->db, &act, NULL, done, &why);
    }
    if (done == 0 && rc != 0) {
        (void)fprintf(stderr, "thinknx-relay: this backup is not in the audit trail: %s\n",
                      why.text);
    }
    return done;
}

int command_backup(int argc, char **argv)
{
    struct arguments a = {.config = NULL};
    struct error_text e = {""};
    struct console o;

    if (read_arguments(argc, argv, &a, &e) != 0) {
        return console_usage("backup", &e);
    }
    if (a.help) {
        (void)fputs(HELP, stdout); /* console_flush looks at stdout */
        return console_flush(NULL);
    }
    int rc = console_open(a.config, &o, &e);
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    rc = back_up(&a, &o, &e);
    console_close(&o);
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    return print_done(&a);
}
