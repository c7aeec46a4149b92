/* SPDX-License-Identifier: Apache-2.0 */
/* Counting the users of a configuration. */
#include "agent/edition.h"

#include <stdlib.h>

struct edition {
    struct config *config; /* owned */
    size_t n_users;
};

struct edition *edition_new(struct config *config)
{
    struct edition *ed = calloc(1, sizeof(*ed));
    if (ed != NULL) {
        ed->config = config;
        ed->n_users = 1;
    }
    return ed;
}

struct edition *edition_ref(struct edition *ed)
{
    ed->n_users++;
    return ed;
}

void edition_unref(struct edition *ed)
{
    if (ed != NULL && --ed->n_users == 0) {
        config_free(ed->config);
        free(ed);
    }
}

const struct config *edition_config(const struct edition *ed)
{
    return ed->config;
}
