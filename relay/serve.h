/* SPDX-License-Identifier: Apache-2.0 */
/* The relay as a process: configuration, database, certificates, listeners and workers put
 * together, and the main thread that takes the signals. */
#ifndef RELAY_SERVE_H
#define RELAY_SERVE_H

struct relay_config;

/* Serves until a signal ends it. Takes what `c` owns; `config_path` is read again by a reload.
 * Returns the exit code. */
int serve_with(const char *config_path, struct relay_config *c);

/* serve --config FILE. Returns the exit code. */
int command_serve(int argc, char **argv);

/* check --config FILE: as far as serve would get without listening. */
int command_check(int argc, char **argv);

#endif
