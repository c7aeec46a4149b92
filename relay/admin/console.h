/* SPDX-License-Identifier: Apache-2.0 */
/* The person at the command line: who it is, with which configuration and database. */
#ifndef RELAY_ADMIN_CONSOLE_H
#define RELAY_ADMIN_CONSOLE_H

#include <jansson.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "relay/config.h"
#include "relay/store/audit.h"
#include "relay/store/database.h"

struct console {
    struct relay_config config;
    struct database *db;       /* owned */
    char who[AUDIT_WHO_BYTES]; /* "operator:alice" */
    struct audit_actor actor;  /* borrows `who` */
};

/* "operator:" and the name of the user; with sudo the one who called it is added. */
void console_name(char who[AUDIT_WHO_BYTES]);

/* Reads the configuration and opens the database. `path` NULL is the default one. 0, ERROR_CONFIG
 * (also for a configuration file that cannot be read), ERROR_IO, ERROR_NOT_FOUND, ERROR_NOMEM. */
int console_open(const char *path, struct console *o, struct error_text *e);
void console_close(struct console *o);

/* Writes the sentence to stderr if `rc` is not 0, and returns the exit code. */
int console_exit(int rc, const struct error_text *e);

/* The same for a wrong use of the command: the sentence, and where to find help. Returns 2. */
int console_usage(const char *command, const struct error_text *e);

/* Prints the value (takes it; NULL is "no memory") whole or not at all: 0 or ERROR_NOMEM, and `*e`
 * says so. console_flush tells whether it has reached anybody. */
int console_put_json(json_t *value, struct error_text *e);

/* The same and flushes. Returns the exit code. */
int console_print_json(json_t *value);

/* A list that is put together item by item. One that lost an item is not printed. */
struct console_list {
    json_t *items; /* owned; NULL = no memory */
};

void console_list_init(struct console_list *l);
/* Takes the item; NULL is "no memory". */
void console_list_add(struct console_list *l, json_t *item);
/* As console_print_json if `rc` is 0, else as console_exit. The list is freed in either case. */
int console_list_print(struct console_list *l, int rc, const struct error_text *e);

/* 0, or 1 with a sentence if something could not be written to stdout (a full disk, a closed
 * pipe). To be called when all is printed. `lost` says what that means, may be NULL. */
int console_flush(const char *lost);

#endif
