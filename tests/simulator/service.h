/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its answer: log it, authenticate, route, execute. No I/O but the logs. */
#ifndef TESTS_SIMULATOR_SERVICE_H
#define TESTS_SIMULATOR_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/simulator/answer.h"
#include "tests/simulator/api.h"
#include "tests/simulator/auth.h"
#include "tests/simulator/journal.h"
#include "tests/simulator/params.h"
#include "tests/simulator/request.h"
#include "tests/simulator/switches.h"

struct service {
    struct journal *journal; /* borrowed */
    struct auth *auth;       /* borrowed */
    struct api api;
    struct switches switches;
    struct params params; /* of the request that is being served */
    uint64_t started_ms;
    uint64_t n_calls; /* of the API, authenticated, since the switches changed */
};

/* What happens to a request now. */
enum service_outcome {
    SERVICE_ANSWER, /* the answer is complete */
    SERVICE_WAIT,   /* service_finish completes it in `wait_ms` */
    SERVICE_STALL   /* there will be no answer */
};

/* One request on its way. */
struct service_call {
    struct api_call api;
    uint32_t wait_ms;
    bool is_call;    /* an authenticated call of the API: the faults apply */
    bool is_dropped; /* its answer is lost on the way */
};

/* Borrows all four. */
void service_init(struct service *s, struct house *house, struct bus *bus, struct journal *journal,
                  struct auth *auth);
void service_close(struct service *s);

/* The switches changed. */
void service_switch(struct service *s, const struct switches *switches);

/* Serves one request of connection `conn`; `n_clients` are connected. `now_ms` as uv_now. Fills
 * `call`, and `a` unless the outcome is SERVICE_STALL. */
enum service_outcome service_begin(struct service *s, const struct request *r, uint64_t conn,
                                   uint64_t n_clients, uint64_t now_ms, struct service_call *call,
                                   struct answer *a);

/* Completes an answer after SERVICE_WAIT. */
void service_finish(struct service_call *call, uint64_t now_ms, struct answer *a);

/* The answer to a request that could not be read. */
void service_refuse(int status, struct answer *a);

#endif
