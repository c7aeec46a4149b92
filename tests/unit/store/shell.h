/* SPDX-License-Identifier: Apache-2.0 */
/* A command line to try the relay's commands at: runs them in this process over a set-up of its
 * own, and keeps what they print. Every function fails the test where it cannot do its work. */
#ifndef TESTS_UNIT_STORE_SHELL_H
#define TESTS_UNIT_STORE_SHELL_H

#include "tests/unit/store/scratch.h"

#include <jansson.h>

struct shell {
    char folder[64];
    char dir[96]; /* where init made everything */
    char conf[128];
    char out[8192]; /* of the last command */
    char err[2048];
};

/* A fresh set-up made by `init` for relay.example and 10.1.2.3. */
void shell_init(struct shell *f);
void shell_close(struct shell *f);

/* Runs "server list --json" (words separated by blanks). Returns the exit code. */
int shell_run(struct shell *f, const char *line);

/* The same with --config; it must succeed and say nothing on stderr. */
void shell_must(struct shell *f, const char *line);

/* The same; it must end with `code`, print nothing, and have the sentence on stderr. */
void shell_must_fail(struct shell *f, const char *line, int code, const char *sentence);

/* The output as JSON; owned by the caller. */
json_t *shell_json(const struct shell *f);

/* A text member of an object. */
const char *shell_member(const json_t *json, const char *name);

/* The path of a file in the set-up's folder, and the file's mode. */
void shell_path(const struct shell *f, const char *name, char path[160]);
unsigned shell_mode(const struct shell *f, const char *name);

#endif
