/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing the running relay by a new process (SIGUSR2), for a restart or an upgrade of the
 * program that loses no request: the new process is started beside the old one, listens on the same
 * addresses, and when it is ready asks the old one to drain. If it does not get that far the old
 * one goes on serving. */
#ifndef RELAY_REPLACE_H
#define RELAY_REPLACE_H

#include <stdbool.h>
#include <uv.h>

#include "proto/base/error.h"

/* Longest path of the program. */
#define REPLACE_PATH_BYTES 4096

struct replace {
    uv_process_t child;
    bool running; /* a child was started and has not ended */
    char program[REPLACE_PATH_BYTES];
};

/* Remembers which program this is, by its path and not by its inode, so that an upgraded one is
 * found. Called early: later /proc/self may not be readable. */
void replace_init(struct replace *r);

/* Starts `program serve --config config_path` on the loop. 0; ERROR_STATE (one is being started);
 * ERROR_IO with a sentence. */
int replace_start(struct replace *r, uv_loop_t *loop, const char *config_path,
                  struct error_text *e);

/* In the new process: is there an old one? */
bool replace_expected(void);

/* In the new process, when it serves: tells systemd who it is, and the old process to drain. Does
 * nothing if there is no old one. */
void replace_finish(void);

#endif
