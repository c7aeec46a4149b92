/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. */
#ifndef TESTS_SIMULATOR_OPTIONS_H
#define TESTS_SIMULATOR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/conf.h"
#include "proto/base/error.h"
#include "proto/base/log.h"
#include "tests/simulator/auth.h"
#include "tests/simulator/switches.h"

enum options_action { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_PRINT_DEVICES };

/* Texts point into argv; NULL where not given. */
struct options {
    enum options_action action;
    char host[CONF_HOST_BYTES];
    uint16_t port;
    const char *user;
    const char *password_file;
    enum auth_mode auth;
    bool has_auth;
    bool offers[DIGEST_N_ALGORITHMS];
    uint32_t nonce_uses;
    uint32_t nonce_lifetime_s;
    enum nonce_count nonce_count;
    const char *devices;
    const char *control;
    const char *request_log;
    const char *knx_log;
    const char *runtime_file;
    uint32_t keepalive_s;
    uint32_t max_connections;
    enum log_level log_level;
    struct switches switches;
};

/* Reads the command line and fills in the defaults. 0 or ERROR_CONFIG. */
int options_parse(int argc, char **argv, struct options *o, struct error_text *e);

/* What --help prints. */
const char *options_usage(void);

#endif
