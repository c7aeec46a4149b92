/* SPDX-License-Identifier: Apache-2.0 */
/* The agent as a whole: its parts put together, started, reloaded and ended. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

/* Runs until SIGTERM or SIGINT, then finishes what is in flight; a second signal cuts it. SIGHUP
 * reads the configuration again. Returns the exit code: 0 ended in order, 1 could not start, 2 the
 * configuration is wrong (a sentence on stderr). */
int agent_run(const char *config_path);

#endif
