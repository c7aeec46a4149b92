/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that administer a relay, whether it runs or not: they work on its database, and a
 * running relay sees the change within half a second.
 *
 * argv[0] is the command's own word ("server", "key" …), what follows are its arguments. Each
 * returns the exit code: 0 done, 1 failed, 2 usage or configuration; then one sentence stands on
 * stderr. Results go to stdout: text for people, or one JSON value with --json. */
#ifndef RELAY_ADMIN_COMMANDS_H
#define RELAY_ADMIN_COMMANDS_H

/* init [--dir DIR] [--host NAME…] …: a working set-up in an empty place. */
int command_init(int argc, char **argv);

/* server add|list|show|change|token|disable|enable|remove … */
int command_server(int argc, char **argv);

/* key enable|list|rotate|revoke … */
int command_key(int argc, char **argv);

/* audit [filters]: who did what. */
int command_audit(int argc, char **argv);

/* status [SERIAL]: which buildings are connected, which leg is broken. 1 if some are offline. */
int command_status(int argc, char **argv);

/* operator add|list|password|remove …: who may log in to the pages. */
int command_operator(int argc, char **argv);

/* backup FILE */
int command_backup(int argc, char **argv);

#endif
