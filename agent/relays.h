/* SPDX-License-Identifier: Apache-2.0 */
/* The relays of the configuration, each with its dialer. */
#ifndef AGENT_RELAYS_H
#define AGENT_RELAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "agent/edition.h"
#include "agent/tunnel/dialer.h"
#include "proto/base/error.h"
#include "proto/base/list.h"

struct relays_owner {
    uv_loop_t *loop;
    struct link_set *links;
    const struct tunnel_streams *streams; /* borrowed */
    void *streams_user;
    /* A tunnel is open. */
    void (*on_up)(void *user);
    /* Once relays_drain or relays_cut has closed the last one; from the loop. */
    void (*on_empty)(void *user);
    void *user;
};

struct relays {
    struct relays_owner owner;
    struct list items;
    bool ending;
};

void relays_init(struct relays *r, const struct relays_owner *owner);

/* Makes them what `ed` says: new ones are dialled, those that are gone drain, those that stay keep
 * their tunnel and take the new settings. Serial and URL make a relay; with another serial all are
 * new. 0, or the first error: that relay is missing or keeps its old settings, the others are as
 * they should be. */
int relays_load(struct relays *r, struct edition *ed, struct error_text *e);

/* No more dialling; requests in flight finish. */
void relays_drain(struct relays *r);
/* Cuts all. */
void relays_cut(struct relays *r);

bool relays_empty(const struct relays *r);

/* Visits all, those that drain too. */
void relays_visit(const struct relays *r, void (*visit)(void *user, const struct dialer_status *s),
                  void *user);

/* The first that is open and, unless `name` is NULL, has that name. NULL = none. */
struct dialer *relays_find_open(const struct relays *r, const char *name);

#endif
