/* SPDX-License-Identifier: Apache-2.0 */
/* The latest requests of one worker. */
#include "relay/front/activity.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/map.h"

struct server_minutes {
    int64_t server;
    int64_t minute;                    /* of the newest count */
    uint32_t counts[ACTIVITY_MINUTES]; /* by minute modulo ACTIVITY_MINUTES */
    uint64_t classes[ACTIVITY_CLASSES];
};

struct activity {
    pthread_mutex_t lock;
    uint64_t n_records; /* ever */
    struct map servers; /* id → struct server_minutes, owned */
    uint64_t other_classes[ACTIVITY_CLASSES];
    struct activity_record records[ACTIVITY_RECORDS_MAX];
};

struct activity *activity_new(void)
{
    struct activity *a = calloc(1, sizeof(*a));

    if (a == NULL || pthread_mutex_init(&a->lock, NULL) != 0) {
        free(a);
        return NULL;
    }
    map_init_numbers(&a->servers, ACTIVITY_SERVERS_MAX);
    return a;
}

void activity_free(struct activity *a)
{
    size_t cursor = 0;
    void *s = NULL;

    if (a == NULL) {
        return;
    }
    while ((s = map_next(&a->servers, &cursor)) != NULL) {
        free(s);
    }
    map_close(&a->servers);
    (void)pthread_mutex_destroy(&a->lock); /* nobody waits */
    free(a);
}

static struct server_minutes *find_or_add(struct activity *a, int64_t server)
{
    struct server_minutes *s = map_get(&a->servers, &server, sizeof(server));

    if (s != NULL) {
        return s;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->server = server;
    if (map_put(&a->servers, &s->server, sizeof(s->server), s) < 0) {
        free(s);
        return NULL;
    }
    return s;
}

/* Empties the minutes that have begun since the newest count. */
static void advance(struct server_minutes *s, int64_t minute)
{
    if (minute - s->minute >= ACTIVITY_MINUTES) {
        memset(s->counts, 0, sizeof(s->counts));
    } else {
        for (int64_t m = s->minute + 1; m <= minute; m++) {
            s->counts[m % ACTIVITY_MINUTES] = 0;
        }
    }
    s->minute = minute > s->minute ? minute : s->minute;
}

static void count_class(uint64_t classes[ACTIVITY_CLASSES], unsigned status)
{
    unsigned class = status / 100;
    if (class >= 2 && class < 2 + ACTIVITY_CLASSES) {
        classes[class - 2]++;
    }
}

static struct activity_record *place(struct activity *a)
{
    return &a->records[a->n_records % ACTIVITY_RECORDS_MAX];
}

struct activity_record *activity_begin(struct activity *a)
{
    (void)pthread_mutex_lock(&a->lock);
    return place(a);
}

void activity_end(struct activity *a, bool has_series)
{
    const struct activity_record *record = place(a);
    a->n_records++;
    struct server_minutes *s = record->server != 0 ? find_or_add(a, record->server) : NULL;
    if (s != NULL) {
        advance(s, (int64_t)(record->at_us / 60000000U));
        s->counts[s->minute % ACTIVITY_MINUTES]++;
    }
    if (record->server != 0 && record->key != 0) {
        count_class(s != NULL && has_series ? s->classes : a->other_classes, record->status);
    }
    (void)pthread_mutex_unlock(&a->lock);
}

void activity_note(struct activity *a, const struct activity_record *record, bool has_series)
{
    *activity_begin(a) = *record;
    activity_end(a, has_series);
}

void activity_forget(struct activity *a, int64_t server)
{
    (void)pthread_mutex_lock(&a->lock);
    free(map_remove(&a->servers, &server, sizeof(server)));
    (void)pthread_mutex_unlock(&a->lock);
}

size_t activity_read(struct activity *a, uint64_t *next, struct activity_record *records,
                     size_t cap)
{
    size_t n = 0;

    (void)pthread_mutex_lock(&a->lock);
    uint64_t oldest = a->n_records > ACTIVITY_RECORDS_MAX ? a->n_records - ACTIVITY_RECORDS_MAX : 0;
    uint64_t at = *next > oldest ? *next : oldest;
    for (; n < cap && at < a->n_records; at++) {
        records[n++] = a->records[at % ACTIVITY_RECORDS_MAX];
    }
    (void)pthread_mutex_unlock(&a->lock);
    *next = at;
    return n;
}

void activity_count(struct activity *a, int64_t server, int64_t now_s,
                    uint32_t counts[ACTIVITY_MINUTES])
{
    int64_t minute = now_s / 60;

    (void)pthread_mutex_lock(&a->lock);
    struct server_minutes *s = map_get(&a->servers, &server, sizeof(server));
    if (s != NULL) {
        advance(s, minute);
        for (int64_t i = 0; i < ACTIVITY_MINUTES; i++) {
            counts[i] += s->counts[(minute - ACTIVITY_MINUTES + 1 + i) % ACTIVITY_MINUTES];
        }
    }
    (void)pthread_mutex_unlock(&a->lock);
}

void activity_add_classes(struct activity *a, int64_t server, uint64_t classes[ACTIVITY_CLASSES])
{
    (void)pthread_mutex_lock(&a->lock);
    const struct server_minutes *s =
        server != 0 ? map_get(&a->servers, &server, sizeof(server)) : NULL;
    const uint64_t *from = server == 0 ? a->other_classes : s != NULL ? s->classes : NULL;
    for (size_t i = 0; from != NULL && i < ACTIVITY_CLASSES; i++) {
        classes[i] += from[i];
    }
    (void)pthread_mutex_unlock(&a->lock);
}
