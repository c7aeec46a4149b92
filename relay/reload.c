/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload cannot change. */
#include "relay/reload.h"

#include <string.h>

#include "proto/base/log.h"

static bool same_list(const struct conf_list *a, const struct conf_list *b)
{
    if (a->n_values != b->n_values) {
        return false;
    }
    for (size_t i = 0; i < a->n_values; i++) {
        if (strcmp(a->values[i], b->values[i]) != 0) {
            return false;
        }
    }
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

void reload_say_what_stays(const struct relay_config *now, const struct relay_config *new)
{
    const struct {
        const char *name;
        bool same;
    } rows[] = {
        {"[relay] database", strcmp(now->database, new->database) == 0},
        {"[relay] workers", now->workers == new->workers},
        {"[relay] runtime_file", same_text(now->runtime_file, new->runtime_file)},
        {"[https] listen", same_list(&now->https_listen, &new->https_listen)},
        {"[https] plain_listen", same_list(&now->plain_listen, &new->plain_listen)},
        {"[http] listen", same_list(&now->http_listen, &new->http_listen)},
        {"[admin] tls", now->admin_tls == new->admin_tls},
        {"[admin] listen", same_list(&now->admin_listen, &new->admin_listen)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!rows[i].same) {
            log_event(LOG_LEVEL_WARN, "this setting changes only with a restart",
                      log_text("setting", rows[i].name));
        }
    }
}
