/* SPDX-License-Identifier: Apache-2.0 */
/* The two files that tests read: every request as it was received, and every command as it was
 * executed. One JSON object a line, each line appended with one write(2).
 *
 * Request log, written before anything is executed:
 *     {"n":1,"time":1735689600.123,"conn":1,"method":"GET","target":"/api/V1/power?guid=...",
 *      "headers":[["Host","127.0.0.1"]],"body":"","user":null,"route":"api"}
 * "n" counts requests, "conn" connections; "user" is who was authenticated; "route" is "api",
 * "maintenance" or "nowhere". Bytes above 0x7e stand as \u00XX (see writer_json).
 *
 * KNX log, written at the moment of execution:
 *     {"n":1,"time":1735689600.123,"request":1,"controller":"power","guid":"...","value":1,
 *      "device":"Ceiling light"}
 * "group" instead of "guid" and no "device" for telegrams; "value" is null for "trigger";
 * "scene" has the GUID of the scene or button that a command is a step of. */
#ifndef TESTS_SIMULATOR_JOURNAL_H
#define TESTS_SIMULATOR_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/base/error.h"
#include "tests/simulator/writer.h"

struct journal {
    int request_fd; /* owned; -1 = no such log */
    int knx_fd;
    uint64_t n_requests;
    uint64_t n_commands;
    bool failed; /* a write failed and was logged */
    struct buffer line;
};

struct request;

/* Opens the files for appending; either path may be NULL. ERROR_IO. */
int journal_open(struct journal *j, const char *request_path, const char *knx_path,
                 struct error_text *e);

/* Idempotent after an open. */
void journal_close(struct journal *j);

/* Counts the request and writes its line. `user` is NULL if nobody was authenticated. */
void journal_request(struct journal *j, const struct request *r, uint64_t conn, const char *user,
                     const char *route);

/* A command that is being executed. NULL for what it does not have. */
struct journal_command {
    const char *controller;
    struct span guid; /* p == NULL without one; likewise the group */
    struct span group;
    const char *value; /* text of a number */
    const char *device;
    const char *scene;
    uint64_t request; /* number of the request that caused it */
};

/* Counts the command and writes its line. */
void journal_command(struct journal *j, const struct journal_command *c);

#endif
