/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of each building's connection. */
#include "relay/tunnel/board.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

#include "proto/base/bucket.h"
#include "proto/base/clock.h"
#include "proto/base/map.h"
#include "proto/json/json_text.h"
#include "relay/store/directory.h"

#define TEXT_BYTES 64 /* of an address, of an agent's software */
struct entry {
    int64_t server;
    uint64_t tunnel; /* number; 0 = down */
    int64_t since_s; /* of up, or of down */
    uint64_t n_ups;
    enum board_leg leg; /* agent to server */
    int64_t leg_since_s;
    int64_t probed_s;
    uint32_t server_us;
    uint32_t rtt_us;
    char serial[DIRECTORY_SERIAL_BYTES];
    char address[TEXT_BYTES];
    char software[TEXT_BYTES];
    char down_reason[BOARD_REASON_BYTES];
    char leg_reason[BOARD_REASON_BYTES];
    uint64_t capabilities; /* of the agent */
    struct bucket notes;
    uint32_t n_left_out; /* since the last note */
    bool is_left_out[2]; /* by enum history_leg: its last row was */
};

struct board {
    pthread_mutex_t lock;
    struct store *store; /* borrowed */
    struct map entries;  /* server → struct entry, owned */
};

struct board *board_new(void)
{
    struct board *b = calloc(1, sizeof(*b));
    if (b == NULL || pthread_mutex_init(&b->lock, NULL) != 0) {
        free(b);
        return NULL;
    }
    map_init(&b->entries, BOARD_SERVERS_MAX);
    return b;
}

void board_free(struct board *b)
{
    if (b == NULL) {
        return;
    }
    size_t cursor = 0;
    void *e = NULL;
    while ((e = map_next(&b->entries, &cursor)) != NULL) {
        free(e);
    }
    map_close(&b->entries);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* Cut if it is too long: these are texts to look at. */
static void set_text(char *to, size_t cap, const char *text)
{
    struct span s = span_of(text);
    if (s.len >= cap) {
        s.len = cap - 1;
    }
    (void)span_copy(s, to, cap);
}

static struct entry *find(struct board *b, int64_t server)
{
    return map_get(&b->entries, &server, sizeof(server));
}

static struct entry *find_or_add(struct board *b, int64_t server)
{
    struct entry *e = find(b, server);
    if (e != NULL) {
        return e;
    }
    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return NULL;
    }
    e->server = server;
    if (map_put(&b->entries, &e->server, sizeof(e->server), e) < 0) {
        free(e);
        return NULL;
    }
    return e;
}

static void note(struct board *b, struct entry *e, enum history_leg leg, bool up,
                 const char *reason)
{
    const struct bucket_rate rate = {BOARD_NOTES_PER_S, BOARD_NOTES_BURST};
    struct history_row row = {
        .server_id = e->server,
        .at_ms = (int64_t)(clock_wall_us() / 1000),
        .leg = leg,
        .up = up,
        .n_left_out = e->n_left_out,
    };

    if (b->store == NULL) {
        return;
    }
    set_text(row.reason, sizeof(row.reason), reason);
    e->is_left_out[leg] =
        !bucket_take(&e->notes, rate, clock_now_us(), NULL) || store_note(b->store, &row) != 0;
    e->n_left_out = e->is_left_out[leg] ? e->n_left_out + 1 : 0;
}

/* If the leg's last row was left out, it follows now: else the history would end with what was
 * before, for as long as nothing changes. */
static void note_late(struct board *b, struct entry *e, enum history_leg leg, bool up,
                      const char *reason)
{
    if (e->is_left_out[leg]) {
        /* It is not left out any more; it is counted again if it finds no room again. */
        e->n_left_out -= e->n_left_out > 0 ? 1 : 0;
        note(b, e, leg, up, reason);
    }
}

void board_set_store(struct board *b, struct store *store)
{
    b->store = store;
}

void board_recall(struct board *b, const char *serial, const struct history_row *row)
{
    pthread_mutex_lock(&b->lock);
    struct entry *e = find_or_add(b, row->server_id);
    if (e != NULL && e->n_ups == 0) {
        e->since_s = row->up ? clock_wall_s() : row->at_ms / 1000;
        e->leg_since_s = e->since_s;
        set_text(e->serial, sizeof(e->serial), serial);
        set_text(e->down_reason, sizeof(e->down_reason), row->up ? "relay_restart" : row->reason);
    }
    pthread_mutex_unlock(&b->lock);
}

void board_tunnel_up(struct board *b, int64_t server, const char *serial, uint64_t tunnel,
                     const char *address, const struct mux_peer *peer)
{
    pthread_mutex_lock(&b->lock);
    struct entry *e = find_or_add(b, server);
    if (e != NULL && e->tunnel < tunnel) {
        e->tunnel = tunnel;
        e->since_s = clock_wall_s();
        e->n_ups++;
        e->leg = BOARD_LEG_UNKNOWN;
        e->leg_since_s = e->since_s;
        e->rtt_us = 0;
        set_text(e->serial, sizeof(e->serial), serial);
        set_text(e->address, sizeof(e->address), address);
        set_text(e->software, sizeof(e->software), peer->software);
        e->capabilities = peer->capabilities;
        e->leg_reason[0] = '\0';
        note(b, e, HISTORY_TUNNEL, true, "");
    }
    pthread_mutex_unlock(&b->lock);
}

void board_tunnel_down(struct board *b, int64_t server, uint64_t tunnel, const char *reason)
{
    pthread_mutex_lock(&b->lock);
    struct entry *e = find(b, server);
    if (e != NULL && e->tunnel == tunnel) {
        e->tunnel = 0;
        e->since_s = clock_wall_s();
        e->leg = BOARD_LEG_UNKNOWN;
        e->leg_since_s = e->since_s;
        set_text(e->down_reason, sizeof(e->down_reason), reason);
        note(b, e, HISTORY_TUNNEL, false, reason);
    }
    pthread_mutex_unlock(&b->lock);
}

void board_probe(struct board *b, int64_t server, uint64_t tunnel, bool answered,
                 uint32_t server_us, uint32_t rtt_us, const char *reason)
{
    pthread_mutex_lock(&b->lock);
    struct entry *e = find(b, server);
    if (e != NULL && e->tunnel == tunnel) {
        enum board_leg leg = answered ? BOARD_LEG_OK : BOARD_LEG_BROKEN;
        e->probed_s = clock_wall_s();
        note_late(b, e, HISTORY_TUNNEL, true, "");
        if (e->leg != leg) {
            e->leg = leg;
            e->leg_since_s = e->probed_s;
            note(b, e, HISTORY_SERVER, answered, answered ? "" : reason);
        } else {
            note_late(b, e, HISTORY_SERVER, answered, answered ? "" : reason);
        }
        e->rtt_us = rtt_us;
        e->server_us = answered ? server_us : e->server_us;
        set_text(e->leg_reason, sizeof(e->leg_reason), answered ? "" : reason);
    }
    pthread_mutex_unlock(&b->lock);
}

void board_forget(struct board *b, int64_t server)
{
    pthread_mutex_lock(&b->lock);
    free(map_remove(&b->entries, &server, sizeof(server)));
    pthread_mutex_unlock(&b->lock);
}

static bool is_online(const struct entry *e)
{
    return e->tunnel != 0 && e->leg == BOARD_LEG_OK;
}

bool board_is_online(struct board *b, struct span serial)
{
    bool online = false;
    size_t cursor = 0;
    const struct entry *e = NULL;
    pthread_mutex_lock(&b->lock);
    while (!online && (e = map_next(&b->entries, &cursor)) != NULL) {
        online = span_equal(span_of(e->serial), serial) && is_online(e);
    }
    pthread_mutex_unlock(&b->lock);
    return online;
}

struct board_state board_read(struct board *b, int64_t server)
{
    struct board_state state = {.is_up = false};
    pthread_mutex_lock(&b->lock);
    const struct entry *e = find(b, server);
    if (e != NULL) {
        state = (struct board_state){e->tunnel != 0, is_online(e), e->rtt_us, e->server_us};
    }
    pthread_mutex_unlock(&b->lock);
    return state;
}

bool board_gives_devices(struct board *b, int64_t server)
{
    pthread_mutex_lock(&b->lock);
    const struct entry *e = find(b, server);
    bool gives = e != NULL && e->tunnel != 0 && (e->capabilities & HEAD_CAPABILITY_DEVICES) != 0;
    pthread_mutex_unlock(&b->lock);
    return gives;
}

struct board_counts board_count(struct board *b)
{
    struct board_counts counts = {0, 0};
    size_t cursor = 0;
    const struct entry *e = NULL;
    pthread_mutex_lock(&b->lock);
    while ((e = map_next(&b->entries, &cursor)) != NULL) {
        counts.n_up += e->tunnel != 0 ? 1 : 0;
        counts.n_online += is_online(e) ? 1 : 0;
    }
    pthread_mutex_unlock(&b->lock);
    return counts;
}

static const char *leg_name(enum board_leg leg)
{
    switch (leg) {
    case BOARD_LEG_OK: return "ok";
    case BOARD_LEG_BROKEN: return "broken";
    case BOARD_LEG_UNKNOWN:
    default: return "unknown";
    }
}

static json_t *describe(const struct entry *e)
{
    bool up = e->tunnel != 0;
    return json_pack("{s:s, s:b, s:b, s:I, s:s, s:s, s:s, s:I, s:s, s:I, s:s, s:I, s:I, s:I}",
                     "serial", e->serial, "online", is_online(e), "tunnel_up", up, "tunnel_since",
                     (json_int_t)e->since_s, "tunnel_reason", up ? "" : e->down_reason, "address",
                     e->address, "agent", e->software, "connections", (json_int_t)e->n_ups,
                     "server_leg", leg_name(e->leg), "server_since", (json_int_t)e->leg_since_s,
                     "server_reason", e->leg_reason, "probed", (json_int_t)e->probed_s,
                     "agent_rtt_us", (json_int_t)e->rtt_us, "server_us", (json_int_t)e->server_us);
}

static const struct entry *find_serial(const struct board *b, struct span serial)
{
    size_t cursor = 0;
    const struct entry *e = NULL;
    while ((e = map_next(&b->entries, &cursor)) != NULL) {
        if (span_equal(span_of(e->serial), serial)) {
            break;
        }
    }
    return e;
}

json_t *board_describe(struct board *b, struct span serial)
{
    pthread_mutex_lock(&b->lock);
    const struct entry *e = find_serial(b, serial);
    json_t *object = e != NULL ? describe(e) : json_null();
    pthread_mutex_unlock(&b->lock);
    return object;
}

json_t *board_describe_all(struct board *b)
{
    json_t *all = json_object();
    size_t cursor = 0;
    const struct entry *e = NULL;
    pthread_mutex_lock(&b->lock);
    while (all != NULL && (e = map_next(&b->entries, &cursor)) != NULL) {
        (void)json_object_set_new(all, e->serial, describe(e)); /* the text tells */
    }
    pthread_mutex_unlock(&b->lock);
    return all;
}

char *board_format_json(struct board *b, json_t *relay)
{
    json_t *list = json_array();
    size_t cursor = 0;
    const struct entry *e = NULL;
    pthread_mutex_lock(&b->lock);
    while ((e = map_next(&b->entries, &cursor)) != NULL) {
        (void)json_array_append_new(list, describe(e));
    }
    pthread_mutex_unlock(&b->lock);
    json_t *root =
        json_pack("{s:s, s:o, s:o}", "version", TNX_VERSION, "relay", relay, "servers", list);
    char *text = root != NULL ? json_text_format(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    return text;
}
