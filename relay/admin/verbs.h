/* SPDX-License-Identifier: Apache-2.0 */
/* A command that has verbs ("key enable", "key list"): from its words to the verb's function. */
#ifndef RELAY_ADMIN_VERBS_H
#define RELAY_ADMIN_VERBS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "relay/admin/console.h"
#include "relay/admin/options.h"

struct verb {
    const char *name;
    const char *object;  /* what its argument is called; "[NAME]": may be left out; NULL = none */
    const char *options; /* besides those that all have, separated by blanks */
    /* With the configuration read and the database open. Returns the exit code. */
    int (*run)(const void *arguments, struct console *o);
};

struct verbs {
    const char *command; /* "key" */
    const char *help;    /* its text */
    const struct verb *verbs;
    size_t n_verbs;
    const struct option_row *rows; /* all options of all verbs; they write into `arguments` */
    size_t n_rows;
    void *arguments; /* borrowed; as are the members of it that follow */
    const char **config;
    const char **object; /* set to the verb's argument, NULL without one */
    const bool *wants_help;
    /* What no row alone can tell; may be NULL. 0, or ERROR_CONFIG. */
    int (*check)(const void *arguments, struct error_text *e);
};

/* Reads argv[1] and what follows, and does it. Returns the exit code. */
int verbs_run(const struct verbs *v, int argc, char **argv);

#endif
