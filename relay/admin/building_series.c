/* SPDX-License-Identifier: Apache-2.0 */
/* Series of single buildings: family by family, as the format demands, over one picture that is
 * taken first. A disabled building is not expected to be up, so it has no gauges. */
#include "relay/admin/building_series.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/error.h"
#include "relay/metrics.h"
#include "relay/worker.h"

struct picture {
    struct roster_row rows[ROSTER_MAX];
    struct board_state states[ROSTER_MAX];
    uint64_t classes[ROSTER_MAX][ACTIVITY_CLASSES];
    size_t n;
    /* All others together. */
    uint64_t n_others; /* enabled */
    uint64_t n_others_up;
    uint64_t n_others_online;
    uint64_t other_classes[ACTIVITY_CLASSES];
};

/* What is left of a total when the rows' share is gone; a building may come and go meanwhile. */
static uint64_t rest_of(uint64_t total, uint64_t share)
{
    return total > share ? total - share : 0;
}

static void add_classes(const struct relay *relay, int64_t server,
                        uint64_t classes[ACTIVITY_CLASSES])
{
    for (unsigned i = 0; i < relay->n_workers; i++) {
        activity_add_classes(relay->workers[i].activity, server, classes);
    }
}

static void take_picture(const struct relay *relay, struct picture *p)
{
    uint64_t n_enabled = 0;
    uint64_t n_up = 0;
    uint64_t n_online = 0;
    p->n = roster_read(relay->roster, p->rows);
    for (size_t i = 0; i < p->n; i++) {
        p->states[i] = board_read(relay->board, p->rows[i].id);
        add_classes(relay, p->rows[i].id, p->classes[i]);
        n_enabled += p->rows[i].enabled ? 1 : 0;
        n_up += p->states[i].is_up ? 1 : 0;
        n_online += p->states[i].is_online ? 1 : 0;
    }
    struct board_counts board = board_count(relay->board);
    struct directory_counts counts = directory_count(store_directory(relay->store));
    p->n_others = rest_of(counts.n_enabled, n_enabled);
    p->n_others_up = rest_of(board.n_up, n_up);
    p->n_others_online = rest_of(board.n_online, n_online);
    add_classes(relay, 0, p->other_classes);
}

static int append_family(struct buffer *out, const char *name, const char *type, const char *help)
{
    return metrics_append(out, "# HELP thinknx_relay_%s %s\n# TYPE thinknx_relay_%s %s\n", name,
                          help, name, type);
}

/* `online` chooses between the two. */
static int append_flags(const struct picture *p, struct buffer *out, bool online)
{
    const char *name = online ? "building_online" : "building_up";
    int err = append_family(out, name, "gauge",
                            online ? "Was the last end-to-end call answered?"
                                   : "Is the building's agent connected?");
    for (size_t i = 0; i < p->n && err == 0; i++) {
        bool flag = online ? p->states[i].is_online : p->states[i].is_up;
        if (p->rows[i].enabled) {
            err = metrics_append(out, "thinknx_relay_%s{serial=\"%s\"} %d\n", name,
                                 p->rows[i].serial, flag ? 1 : 0);
        }
    }
    return err;
}

/* `server` chooses between the two legs. A time that is not known has no line. */
static int append_times(const struct picture *p, struct buffer *out, bool server)
{
    const char *name = server ? "building_server_seconds" : "building_round_trip_seconds";
    int err = append_family(out, name, "gauge",
                            server ? "What the building's server took for a call, lately."
                                   : "Round trip between relay and agent, lately.");
    for (size_t i = 0; i < p->n && err == 0; i++) {
        uint32_t us = server ? p->states[i].server_us : p->states[i].rtt_us;
        if (p->states[i].is_up && us > 0) {
            err = metrics_append(out, "thinknx_relay_%s{serial=\"%s\"} %.6f\n", name,
                                 p->rows[i].serial, (double)us / 1e6);
        }
    }
    return err;
}

static int append_requests(const struct picture *p, struct buffer *out)
{
    int err = append_family(out, "building_requests_total", "counter",
                            "Callers' requests by class of status.");
    for (size_t i = 0; i < p->n * ACTIVITY_CLASSES && err == 0; i++) {
        size_t row = i / ACTIVITY_CLASSES;
        size_t class = i % ACTIVITY_CLASSES;
        err = metrics_append(out,
                             "thinknx_relay_building_requests_total{serial=\"%s\",class=\"%zuxx\"} "
                             "%" PRIu64 "\n",
                             p->rows[row].serial, class + 2, p->classes[row][class]);
    }
    return err;
}

static int append_others(const struct picture *p, struct buffer *out)
{
    int err = append_family(out, "other_buildings_requests_total", "counter",
                            "Requests of buildings without series of their own.");
    for (size_t class = 0; class < ACTIVITY_CLASSES && err == 0; class ++) {
        err = metrics_append(
            out, "thinknx_relay_other_buildings_requests_total{class=\"%zuxx\"} %" PRIu64 "\n",
            class + 2, p->other_classes[class]);
    }
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } gauges[] = {
        {"other_buildings", "Enabled buildings without series of their own.", p->n_others},
        {"other_buildings_up", "Of them, those whose agent is connected.", p->n_others_up},
        {"other_buildings_online", "Of them, those whose last end-to-end call was answered.",
         p->n_others_online},
    };
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]) && err == 0; i++) {
        err = append_family(out, gauges[i].name, "gauge", gauges[i].help);
        if (err == 0) {
            err = metrics_append(out, "thinknx_relay_%s %" PRIu64 "\n", gauges[i].name,
                                 gauges[i].value);
        }
    }
    return err;
}

static int append_all(const struct picture *p, struct buffer *out)
{
    int err = append_flags(p, out, false);
    if (err == 0) {
        err = append_flags(p, out, true);
    }
    if (err == 0) {
        err = append_times(p, out, false);
    }
    if (err == 0) {
        err = append_times(p, out, true);
    }
    if (err == 0) {
        err = append_requests(p, out);
    }
    return err == 0 ? append_others(p, out) : err;
}

int building_series_format(const struct relay *relay, struct buffer *out)
{
    struct picture *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return ERROR_NOMEM;
    }
    take_picture(relay, p);
    int err = append_all(p, out);
    free(p);
    return err;
}
