/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners' certificates. Each worker has contexts of its own, so that none is shared between
 * threads; the shared ticket keys make them take each other's sessions. */
#include "relay/certificates.h"

#include <sys/stat.h>

#include "proto/base/map.h"
#include "relay/config.h"
#include "relay/worker.h"

/* Changes when any of the files is replaced or written. */
uint64_t certificates_stamp(const struct relay_config *c)
{
    uint64_t stamp = 0;
    for (size_t i = 0; i < c->certificates.n_values; i++) {
        const char *const files[] = {c->certificates.values[i], c->private_keys.values[i]};
        for (size_t k = 0; k < 2; k++) {
            struct stat st;
            if (stat(files[k], &st) == 0) {
                uint64_t parts[] = {(uint64_t)st.st_ino, (uint64_t)st.st_mtim.tv_sec,
                                    (uint64_t)st.st_mtim.tv_nsec, (uint64_t)st.st_size, stamp};
                stamp = map_hash(parts, sizeof(parts));
            }
        }
    }
    return stamp;
}

static int load_one(const struct relay_config *c, struct tickets *tickets, struct tls_server **tls,
                    struct error_text *e)
{
    struct tls_pair pairs[CONF_VALUES_MAX];
    for (size_t i = 0; i < c->certificates.n_values; i++) {
        pairs[i] = (struct tls_pair){c->certificates.values[i], c->private_keys.values[i]};
    }
    return tls_server_new(pairs, c->certificates.n_values, tickets, tls, e);
}

/* A context for every worker, or for none. */
int certificates_load(const struct relay_config *c, struct tickets *tickets, unsigned n_workers,
                      struct tls_server *tls[REF_WORKERS_MAX], struct error_text *e)
{
    unsigned n = c->certificates.n_values > 0 ? n_workers : 0;
    for (unsigned i = 0; i < n; i++) {
        int err = load_one(c, tickets, &tls[i], e);
        if (err < 0) {
            while (i > 0) {
                tls_server_free(tls[--i]);
            }
            return err;
        }
    }
    return 0;
}

int certificates_hand_over(struct relay *relay, struct tls_server *tls[REF_WORKERS_MAX])
{
    pthread_mutex_lock(&relay->reload_lock);
    for (unsigned i = 0; i < relay->n_workers; i++) {
        tls_server_free(relay->workers[i].next_tls);
        relay->workers[i].next_tls = tls[i];
    }
    pthread_mutex_unlock(&relay->reload_lock);
    return worker_broadcast(relay, link_message_new(LINK_RELOAD, 0));
}
