/* SPDX-License-Identifier: Apache-2.0 */
/* Dialers by the configuration. A relay that is not wanted any more stays on the list until its
 * dialer is closed; one with the same URL may be beside it by then. */
#include "agent/relays.h"

#include <stdlib.h>
#include <string.h>

struct relay {
    struct list node;
    struct relays *relays;
    struct dialer *dialer;
    struct edition *edition; /* a user of it: the dialer borrows */
    bool leaving;
};

void relays_init(struct relays *r, const struct relays_owner *owner)
{
    *r = (struct relays){.owner = *owner};
    list_init(&r->items);
}

static void on_up(void *user)
{
    const struct relay *relay = user;
    relay->relays->owner.on_up(relay->relays->owner.user);
}

static void on_closed(void *user)
{
    struct relay *relay = user;
    struct relays *r = relay->relays;

    list_remove(&relay->node);
    edition_unref(relay->edition);
    free(relay);
    if (r->ending && list_empty(&r->items)) {
        r->owner.on_empty(r->owner.user);
    }
}

static int add(struct relays *r, struct edition *ed, size_t i, struct error_text *e)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    const struct dialer_owner owner = {
        .loop = r->owner.loop,
        .links = r->owner.links,
        .streams = r->owner.streams,
        .streams_user = r->owner.streams_user,
        .on_up = on_up,
        .on_closed = on_closed,
        .user = relay,
    };
    const struct dialer_settings settings = config_dialer(edition_config(ed), i);

    if (relay == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    int rc = dialer_new(&owner, &settings, &relay->dialer, e);
    if (rc != 0) {
        free(relay);
        return rc;
    }
    relay->relays = r;
    relay->edition = edition_ref(ed);
    list_push(&r->items, &relay->node);
    return 0;
}

static int change(struct relay *relay, struct edition *to, size_t i, struct error_text *e)
{
    const struct dialer_settings settings = config_dialer(edition_config(to), i);
    int rc = dialer_change(relay->dialer, &settings, e);

    if (rc == 0) {
        struct edition *before = relay->edition;
        relay->edition = edition_ref(to);
        edition_unref(before);
    }
    return rc;
}

/* Which relay of the file it is, or n_values. */
static size_t index_in(const struct relay *relay, const struct config *c)
{
    const struct config *now = edition_config(relay->edition);
    const struct url *url = dialer_relay(relay->dialer);
    size_t i = 0;

    if (strcmp(now->serial, c->serial) != 0) {
        return c->relay_urls.n_values;
    }
    while (i < c->relay_urls.n_values && !url_equal(url, &c->relays[i])) {
        i++;
    }
    return i;
}

static struct relay *item(struct list *node)
{
    return LIST_ITEM(node, struct relay, node);
}

int relays_load(struct relays *r, struct edition *ed, struct error_text *e)
{
    const struct config *c = edition_config(ed);
    bool known[CONF_VALUES_MAX] = {false};
    int rc = 0;

    for (struct list *node = r->items.next; node != &r->items; node = node->next) {
        size_t i = item(node)->leaving ? c->relay_urls.n_values : index_in(item(node), c);
        if (i < c->relay_urls.n_values) {
            known[i] = true;
            rc = rc != 0 ? rc : change(item(node), ed, i, e);
        } else {
            item(node)->leaving = true;
            dialer_drain(item(node)->dialer);
        }
    }
    for (size_t i = 0; i < c->relay_urls.n_values; i++) {
        struct error_text why;
        int added = known[i] ? 0 : add(r, ed, i, &why);
        if (added != 0 && rc == 0) {
            rc = error_set(e, added, "%s", why.text);
        }
    }
    return rc;
}

void relays_drain(struct relays *r)
{
    r->ending = true;
    for (struct list *node = r->items.next; node != &r->items; node = node->next) {
        dialer_drain(item(node)->dialer);
    }
}

void relays_cut(struct relays *r)
{
    r->ending = true;
    for (struct list *node = r->items.next; node != &r->items; node = node->next) {
        dialer_close(item(node)->dialer);
    }
}

bool relays_empty(const struct relays *r)
{
    return list_empty(&r->items);
}

void relays_visit(const struct relays *r, void (*visit)(void *user, const struct dialer_status *s),
                  void *user)
{
    for (struct list *node = r->items.next; node != &r->items; node = node->next) {
        struct dialer_status s;
        dialer_read_status(item(node)->dialer, &s);
        visit(user, &s);
    }
}

struct dialer *relays_find_open(const struct relays *r, const char *name)
{
    for (struct list *node = r->items.next; node != &r->items; node = node->next) {
        struct dialer_status s;
        dialer_read_status(item(node)->dialer, &s);
        if (s.state == DIALER_OPEN && (name == NULL || strcmp(name, s.relay) == 0)) {
            return item(node)->dialer;
        }
    }
    return NULL;
}
