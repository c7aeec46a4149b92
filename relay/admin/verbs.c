/* SPDX-License-Identifier: Apache-2.0 */
/* From a command's words to its verb. */
#include "relay/admin/verbs.h"

#include <stdio.h>
#include <string.h>

static const struct verb *find_verb(const struct verbs *v, const char *name)
{
    for (size_t i = 0; i < v->n_verbs; i++) {
        if (strcmp(v->verbs[i].name, name) == 0) {
            return &v->verbs[i];
        }
    }
    return NULL;
}

static int read_words(const struct verbs *v, const struct option_words *words,
                      const struct verb **verb, struct error_text *e)
{
    if (words->n_words == 0) {
        return error_set(e, ERROR_CONFIG, "%s: what is to be done?", v->command);
    }
    const struct verb *found = find_verb(v, words->words[0]);
    if (found == NULL) {
        return error_set(e, ERROR_CONFIG, "%s: no such command as %.32s", v->command,
                         words->words[0]);
    }
    if (words->n_words < 2 && found->object != NULL && found->object[0] != '[') {
        return error_set(e, ERROR_CONFIG, "%s %s: which %s?", v->command, found->name,
                         found->object);
    }
    if (words->n_words > (found->object != NULL ? 2U : 1U)) {
        return error_set(e, ERROR_CONFIG, "%s %s: too many arguments", v->command, found->name);
    }
    *v->object = words->n_words == 2 ? words->words[1] : NULL;
    *verb = found;
    return 0;
}

/* `*verb` stays NULL if help is wanted. */
static int read_arguments(const struct verbs *v, int argc, char **argv, const struct verb **verb,
                          struct error_text *e)
{
    struct option_words words;
    int rc = options_parse(argc, argv, v->rows, v->n_rows, &words, e);

    if (rc != 0 || *v->wants_help) {
        return rc;
    }
    rc = read_words(v, &words, verb, e);
    if (rc != 0 || *verb == NULL) {
        return rc;
    }
    rc = options_allow(v->rows, v->n_rows, &words, (*verb)->name, (*verb)->options, e);
    return rc == 0 && v->check != NULL ? v->check(v->arguments, e) : rc;
}

int verbs_run(const struct verbs *v, int argc, char **argv)
{
    const struct verb *verb = NULL;
    struct error_text e = {""};
    struct console o;

    if (read_arguments(v, argc, argv, &verb, &e) != 0) {
        return console_usage(v->command, &e);
    }
    if (verb == NULL) {
        (void)fputs(v->help, stdout); /* console_flush looks at stdout */
        return console_flush(NULL);
    }
    int rc = console_open(*v->config, &o, &e);
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    int code = verb->run(v->arguments, &o);
    console_close(&o);
    return code;
}
