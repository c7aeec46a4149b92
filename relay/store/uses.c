/* SPDX-License-Identifier: Apache-2.0 */
/* Last-used times on their way into the database. */
#include "relay/store/uses.h"

#include "relay/store/directory_write.h"
#include "relay/store/keys.h"

struct uses {
    struct database *db;
    int rc;
    struct error_text *e;
};

static void note_use(void *user, int64_t key_id, int64_t used_s)
{
    struct uses *u = user;
    if (u->rc == 0) {
        u->rc = keys_note_use(u->db, key_id, used_s, u->e);
    }
}

int uses_write(struct database *db, struct directory *directory, size_t n_max, bool *more,
               struct error_text *e)
{
    struct uses u = {.db = db, .e = e};

    u.rc = database_begin(db, e);
    if (u.rc != 0) {
        return u.rc;
    }
    bool left = directory_visit_used(directory, n_max, note_use, &u);
    u.rc = database_end(db, u.rc, e);
    if (u.rc == 0) {
        *more = left;
    }
    return u.rc;
}
