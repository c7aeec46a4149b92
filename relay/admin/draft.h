/* SPDX-License-Identifier: Apache-2.0 */
/* The relay.conf that init writes: what was decided, and the rest as comments. */
#ifndef RELAY_ADMIN_DRAFT_H
#define RELAY_ADMIN_DRAFT_H

#include "relay/admin/options.h"

/* All borrowed. */
struct draft {
    const char *database;
    const char *public_url;
    const char *runtime_file; /* NULL = none */
    const char *certificate;
    const char *private_key;
    const struct option_list *listen;
    const struct option_list *http_listen;
    const struct option_list *admin_listen;
};

/* The text of the file; owned. NULL when out of memory. */
char *draft_format(const struct draft *d);

#endif
