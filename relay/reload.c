/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload cannot change. */
#include "relay/reload.h"

#include <stdint.h>
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

/* Each stays the owner of what it has then. */
static void swap(void *a, void *b, size_t bytes)
{
    uint8_t *p = a;
    uint8_t *q = b;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = p[i];
        p[i] = q[i];
        q[i] = byte;
    }
}

#define VALUES(field) &now->field, &new->field, sizeof(now->field)

void reload_keep_what_stays(struct relay_config *now, struct relay_config *new)
{
    const struct {
        const char *name;
        bool same;
        void *runs;
        void *read;
        size_t bytes;
    } rows[] = {
        {"[relay] database", strcmp(now->database, new->database) == 0, VALUES(database)},
        {"[relay] workers", now->workers == new->workers, VALUES(workers)},
        {"[relay] runtime_file", same_text(now->runtime_file, new->runtime_file),
         VALUES(runtime_file)},
        {"[https] listen", same_list(&now->https_listen, &new->https_listen), VALUES(https_listen)},
        {"[https] plain_listen", same_list(&now->plain_listen, &new->plain_listen),
         VALUES(plain_listen)},
        {"[http] listen", same_list(&now->http_listen, &new->http_listen), VALUES(http_listen)},
        {"[admin] tls", now->admin_tls == new->admin_tls, VALUES(admin_tls)},
        {"[admin] listen", same_list(&now->admin_listen, &new->admin_listen), VALUES(admin_listen)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!rows[i].same) {
            log_event(LOG_LEVEL_WARN, "this setting changes only with a restart",
                      log_text("setting", rows[i].name));
            swap(rows[i].runs, rows[i].read, rows[i].bytes);
        }
    }
}
