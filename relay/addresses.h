/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners of the configuration: resolved, bound once for each worker, and written down for
 * who needs to know the ports. */
#ifndef RELAY_ADDRESSES_H
#define RELAY_ADDRESSES_H

#include "proto/base/error.h"
#include "relay/config.h"

struct relay;

/* Binds every configured address and starts the listeners of all workers (the admin ones on worker
 * 0 alone). Workers are set up and do not run yet. ERROR_IO with a sentence that names the
 * address, ERROR_NOMEM. */
int addresses_open(struct relay *relay, const struct relay_config *c, struct error_text *e);

/* Logs the bound addresses, and writes them as JSON into config.runtime_file if there is one (by
 * rename, so that a reader never sees half of it). */
int addresses_announce(const struct relay *relay, const struct relay_config *c,
                       struct error_text *e);

#endif
