/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay serve`: configuration, database, certificates, listeners and workers put together,
 * and the main thread that takes the signals. */
#ifndef RELAY_SERVE_H
#define RELAY_SERVE_H

/* serve --config FILE. Returns the exit code. */
int serve_main(int argc, char **argv);

/* check --config FILE: as far as serve would get without listening. */
int serve_check(int argc, char **argv);

#endif
