/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload cannot change. */
#ifndef RELAY_RELOAD_H
#define RELAY_RELOAD_H

#include "relay/config.h"

/* Logs the name of each setting that differs, and that only a restart changes; `new` gets what runs
 * of it, so that the next reload is compared with that. The manual page thinknx-relay.conf(5) marks
 * the same ones with an asterisk. */
void reload_keep_what_stays(struct relay_config *now, struct relay_config *new);

#endif
