/* SPDX-License-Identifier: Apache-2.0 */
/* The person at the command line. */
#include "relay/admin/console.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/secret.h"
#include "proto/json/json_text.h"

/* Names of users have no more; the rest of a longer one is cut. */
#define NAME_CHARS_MAX 32

static bool is_name(const char *text)
{
    static const char ALLOWED[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-$@";
    return text != NULL && text[0] != '\0' && strspn(text, ALLOWED) == strlen(text);
}

void console_name(char who[AUDIT_WHO_BYTES])
{
    uid_t uid = getuid();
    const struct passwd *user = getpwuid(uid);
    const char *caller = uid == 0 ? getenv("SUDO_USER") : NULL;

    if (user == NULL) {
        (void)snprintf(who, AUDIT_WHO_BYTES, "operator:%" PRIuMAX, (uintmax_t)uid);
    } else if (is_name(caller) && strcmp(caller, user->pw_name) != 0) {
        (void)snprintf(who, AUDIT_WHO_BYTES, "operator:%.*s(%.*s)", NAME_CHARS_MAX, user->pw_name,
                       NAME_CHARS_MAX, caller);
    } else {
        (void)snprintf(who, AUDIT_WHO_BYTES, "operator:%.*s", NAME_CHARS_MAX, user->pw_name);
    }
}

int console_open(const char *path, struct console *o, struct error_text *e)
{
    *o = (struct console){.db = NULL};
    int rc = relay_config_read(path == NULL ? CONFIG_DEFAULT_PATH : path, &o->config, e);
    if (rc != 0) {
        return rc == ERROR_IO ? ERROR_CONFIG : rc;
    }
    rc = database_open(o->config.database, false, &o->db, e);
    if (rc != 0) {
        relay_config_free(&o->config);
        /* An unusable file is no mistake in the configuration. */
        return rc == ERROR_CONFIG ? ERROR_IO : rc;
    }
    console_name(o->who);
    o->actor = (struct audit_actor){.who = o->who, .now_s = clock_wall_s()};
    return 0;
}

void console_close(struct console *o)
{
    database_close(o->db);
    relay_config_free(&o->config);
    o->db = NULL;
}

int console_exit(int rc, const struct error_text *e)
{
    if (rc == 0) {
        return 0;
    }
    (void)fprintf(stderr, "thinknx-relay: %s\n", e->text); /* nobody left to tell */
    return rc == ERROR_CONFIG ? 2 : 1;
}

int console_usage(const char *command, const struct error_text *e)
{
    (void)fprintf(stderr, "thinknx-relay: %s\nTry \"thinknx-relay %s --help\".\n", e->text,
                  command);
    return 2;
}

int console_put_json(json_t *value, struct error_text *e)
{
    char *text = json_text_format(value, JSON_INDENT(2));
    json_decref(value);
    if (text == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    (void)puts(text); /* console_flush looks at stdout */
    secret_cleanse(text, strlen(text));
    free(text);
    return 0;
}

int console_print_json(json_t *value)
{
    struct error_text e;
    int rc = console_put_json(value, &e);
    return rc != 0 ? console_exit(rc, &e) : console_flush(NULL);
}

void console_list_init(struct console_list *l)
{
    l->items = json_array();
}

void console_list_add(struct console_list *l, json_t *item)
{
    if (l->items != NULL && json_array_append_new(l->items, item) != 0) {
        json_decref(l->items);
        l->items = NULL;
    } else if (l->items == NULL) {
        json_decref(item);
    }
}

int console_list_print(struct console_list *l, int rc, const struct error_text *e)
{
    json_t *items = l->items;
    l->items = NULL;
    if (rc != 0) {
        json_decref(items);
        return console_exit(rc, e);
    }
    return console_print_json(items);
}

int console_flush(const char *lost)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return 0;
    }
    (void)fprintf(stderr, "thinknx-relay: cannot write the output%s%s\n", lost == NULL ? "" : ": ",
                  lost == NULL ? "" : lost);
    return 1;
}
