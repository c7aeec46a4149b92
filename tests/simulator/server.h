/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator as a running server: loop, listener, connections, signals. */
#ifndef TESTS_SIMULATOR_SERVER_H
#define TESTS_SIMULATOR_SERVER_H

#include <stdint.h>

#include <uv.h>

#include "proto/base/error.h"
#include "tests/simulator/auth.h"
#include "tests/simulator/bus.h"
#include "tests/simulator/conn.h"
#include "tests/simulator/house.h"
#include "tests/simulator/journal.h"
#include "tests/simulator/listener.h"
#include "tests/simulator/options.h"
#include "tests/simulator/service.h"

struct server {
    uv_loop_t loop;
    struct listener listener;
    uv_timer_t tick;     /* once a second: idle connections */
    uv_signal_t ends[2]; /* SIGTERM, SIGINT */
    uv_signal_t reloads; /* SIGHUP */
    struct conn_host host;
    char read_bytes[CONN_READ_BYTES];
    struct house house;
    struct auth auth;
    struct journal journal;
    struct bus bus;
    struct service service;
    const struct options *options; /* borrowed */
    uint64_t n_reloads;
};

/* Runs until SIGTERM or SIGINT. Prints "listening ADDRESS:PORT" to stdout when it does, and
 * "reloaded N" or "reload failed N" after the Nth SIGHUP. 0, or an error of the configuration or of
 * the start. */
int server_run(const struct options *o, struct error_text *e);

#endif
