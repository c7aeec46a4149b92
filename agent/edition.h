/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration that several borrow from: it lives until the last of them has let go, which after
 * a reload is when the tunnels made with it have drained. */
#ifndef AGENT_EDITION_H
#define AGENT_EDITION_H

#include "agent/config.h"

struct edition;

/* Takes `config`; the caller is the first user. NULL when out of memory (`config` stays the
 * caller's). */
struct edition *edition_new(struct config *config);
struct edition *edition_ref(struct edition *ed);
/* The last one frees. Accepts NULL. */
void edition_unref(struct edition *ed);

/* Returns borrowed until edition_unref. */
const struct config *edition_config(const struct edition *ed);

#endif
