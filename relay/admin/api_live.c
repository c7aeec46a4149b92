/* SPDX-License-Identifier: Apache-2.0 */
/* What is live, and belongs to no table: the latest requests, at once or as a stream of
 * server-sent events, the relay's limits, the API's own descriptions.
 *
 * A stream looks every API_STREAM_TICK_MS for what the workers have noted since. A browser that
 * does not take its events is not buffered for: it gets them later, or, when the workers have
 * forgotten them by then, not at all. */
#include "relay/admin/api_live.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/json/json_text.h"
#include "proto/pages/kit.h"
#include "relay/admin/admin_session.h"
#include "relay/admin/api_internal.h"
#include "relay/admin/openapi_json.h"

/* Requests looked at in one step. */
#define BATCH 128
/* Requests in an answer to GET /requests, and as a stream begins. */
#define LATEST_MAX 200
/* A line of its own keeps proxies from closing a quiet stream. */
#define HEARTBEAT_MS 15000

struct api_stream {
    struct admin_session *session;
    struct wheel_timer tick;
    uint64_t end_ms;
    uint64_t beat_ms;
    char serial[DIRECTORY_SERIAL_BYTES]; /* "" = all */
    uint64_t next[REF_WORKERS_MAX];
};

static json_t *describe_request(const struct activity_record *r)
{
    char key[24] = "";
    if (r->key != 0) {
        (void)snprintf(key, sizeof(key), "k_%" PRId64, r->key);
    }
    return json_pack("{s:f, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s?, s:I, s:I, s:I, s:b}", "at",
                     (double)r->at_us / 1e6, "id", r->id, "serial", r->serial, "key", key, "client",
                     r->client, "method", r->method, "controller", r->controller, "status",
                     (int)r->status, "reason", r->reason, "us", (json_int_t)r->total_us,
                     "server_us", (json_int_t)r->server_us, "bytes", (json_int_t)r->n_bytes, "cut",
                     r->cut ? 1 : 0);
}

static bool is_wanted(const struct activity_record *r, const char *serial)
{
    return serial[0] == '\0' || strcmp(r->serial, serial) == 0;
}

/* ---- at once ---- */

static int by_time(const void *a, const void *b)
{
    const struct activity_record *x = a;
    const struct activity_record *y = b;
    return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

/* All that is kept of the wanted ones, of all workers, oldest first; owned. What is noted after
 * that begins at `next`. */
static struct activity_record *collect(const struct relay *relay, const char *serial,
                                       uint64_t next[REF_WORKERS_MAX], size_t *n)
{
    size_t cap = (size_t)relay->n_workers * ACTIVITY_RECORDS_MAX;
    struct activity_record *all = calloc(cap, sizeof(*all));

    *n = 0;
    for (unsigned i = 0; all != NULL && i < relay->n_workers; i++) {
        next[i] = 0;
        size_t got = activity_read(relay->workers[i].activity, &next[i], all + *n, cap - *n);
        size_t kept = *n;
        for (size_t k = *n; k < *n + got; k++) {
            if (is_wanted(&all[k], serial)) {
                all[kept++] = all[k];
            }
        }
        *n = kept;
    }
    if (all != NULL) {
        qsort(all, *n, sizeof(*all), by_time);
    }
    return all;
}

static void list_requests(struct api_call *c, struct database *db)
{
    char serial[DIRECTORY_SERIAL_BYTES];
    json_t *list = json_array();
    uint64_t next[REF_WORKERS_MAX];
    size_t n = 0;

    (void)db;
    api_get_param(c, "serial", serial, sizeof(serial));
    struct activity_record *all = collect(c->worker->relay, serial, next, &n);
    for (size_t i = 0; i < n && i < LATEST_MAX; i++) {
        (void)json_array_append_new(list, describe_request(&all[n - 1 - i]));
    }
    free(all);
    api_answer(c, 200, list);
}

static json_t *describe_rate(struct bucket_rate rate)
{
    return json_pack("{s:I, s:I}", "rate", (json_int_t)rate.per_s, "burst", (json_int_t)rate.burst);
}

static void show_limits(struct api_call *c)
{
    const struct settings *s = &c->worker->settings;
    api_answer(c, 200,
               json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "key",
                         describe_rate(s->key_rate), "command", describe_rate(s->command_rate),
                         "refused", describe_rate(s->refused_rate), "connections",
                         (json_int_t)s->connections, "connections_per_address",
                         (json_int_t)s->connections_per_address, "in_flight_per_server",
                         (json_int_t)s->in_flight_per_server, "server_ms", (json_int_t)s->server_ms,
                         "server_fb_ms", (json_int_t)s->server_fb_ms, "offline_grace_ms",
                         (json_int_t)s->offline_grace_ms));
}

static void show_relay(struct api_call *c)
{
    api_answer(c, 200, observe_describe_relay(c->worker));
}

static void show_kit(struct api_call *c)
{
    char url[SETTINGS_URL_BYTES + 16];
    (void)snprintf(url, sizeof(url), "%s/{key}/api/V1", c->worker->settings.public_url);
    api_answer(c, 200, kit_describe(url));
}

static void show_openapi(struct api_call *c, struct database *db)
{
    (void)db;
    c->text = strndup((const char *)OPENAPI_JSON, OPENAPI_JSON_BYTES);
    c->status = 200;
}

/* ---- as a stream ---- */

static bool is_behind(const struct admin_session *s)
{
    return conn_pending(&s->conn) >= CONN_PENDING_LOW_BYTES;
}

static void send_event(struct api_stream *stream, const struct activity_record *r)
{
    json_t *object = describe_request(r);
    char *text = object != NULL ? json_text_format(object, JSON_COMPACT) : NULL;
    char *event = NULL;
    json_decref(object);
    if (text != NULL && asprintf(&event, "data: %s\n\n", text) >= 0) {
        (void)conn_write(&stream->session->conn, event, strlen(event));
        free(event);
    }
    free(text);
}

static void send_news(struct api_stream *stream)
{
    struct admin_session *s = stream->session;
    const struct relay *relay = s->worker->relay;
    struct activity_record *batch = calloc(BATCH, sizeof(*batch));

    for (unsigned i = 0; batch != NULL && i < relay->n_workers && !is_behind(s); i++) {
        size_t n = activity_read(relay->workers[i].activity, &stream->next[i], batch, BATCH);
        for (size_t k = 0; k < n; k++) {
            if (is_wanted(&batch[k], stream->serial)) {
                send_event(stream, &batch[k]);
            }
        }
    }
    free(batch);
}

static void on_tick(struct wheel_timer *t)
{
    struct api_stream *stream = LIST_ITEM(t, struct api_stream, tick);
    struct admin_session *s = stream->session;
    uint64_t now_ms = worker_now_ms(s->worker);

    if (now_ms >= stream->end_ms) {
        conn_finish(&s->conn);
        return;
    }
    if (now_ms >= stream->beat_ms) {
        stream->beat_ms = now_ms + HEARTBEAT_MS;
        (void)conn_write(&s->conn, ":\n\n", 3);
    }
    send_news(stream);
    wheel_set(&s->worker->wheel, &stream->tick, now_ms + API_STREAM_TICK_MS);
}

/* The latest ones, before what is to come. */
static void send_latest(struct api_stream *stream)
{
    struct worker *w = stream->session->worker;
    size_t n = 0;
    struct activity_record *all = collect(w->relay, stream->serial, stream->next, &n);
    size_t first = n > LATEST_MAX ? n - LATEST_MAX : 0;

    for (size_t i = first; all != NULL && i < n; i++) {
        send_event(stream, &all[i]);
    }
    free(all);
}

static void open_stream(struct api_call *c)
{
    struct admin_session *s = c->session;
    struct api_stream *stream = NULL;
    struct reply reply = {
        .status = 200, .phrase = "OK", .type = "text/event-stream", .is_stream = true};

    if (s == NULL) {
        return;
    }
    if (s->worker->n_api_streams >= API_STREAMS_MAX ||
        (stream = calloc(1, sizeof(*stream))) == NULL) {
        api_refuse(c, 503, "overloaded", "too many live logs are open");
        return;
    }
    struct buffer head;
    buffer_init(&head, ADMIN_PIECE_BYTES);
    (void)reply_format_head(&reply, &head); /* out of memory: an empty head, a broken answer */
    (void)conn_write(&s->conn, buffer_bytes(&head), head.len);
    buffer_close(&head);
    s->worker->n_api_streams++;
    s->stream = stream;
    s->is_answered = true;
    stream->session = s;
    api_get_param(c, "serial", stream->serial, sizeof(stream->serial));
    wheel_timer_init(&stream->tick, on_tick);
    stream->end_ms = worker_now_ms(s->worker) + API_STREAM_LIFE_MS;
    wheel_cancel(&s->deadline);
    send_latest(stream);
    wheel_set(&s->worker->wheel, &stream->tick, worker_now_ms(s->worker) + API_STREAM_TICK_MS);
}

void api_stream_close(struct admin_session *s)
{
    if (s->stream == NULL) {
        return;
    }
    wheel_cancel(&s->stream->tick);
    s->worker->n_api_streams--;
    free(s->stream);
    s->stream = NULL;
}

const struct api_route API_LIVE_ROUTES[] = {
    {"GET", "/requests", API_READ, list_requests, NULL},
    {"GET", "/requests/live", API_READ, NULL, open_stream},
    {"GET", "/relay", API_READ, NULL, show_relay},
    {"GET", "/limits", API_READ, NULL, show_limits},
    {"GET", "/kit.json", API_READ, NULL, show_kit},
    {"GET", "/openapi.json", API_READ, show_openapi, NULL},
    {NULL, NULL, API_OPEN, NULL, NULL},
};
