/* SPDX-License-Identifier: Apache-2.0 */
/* One client connection: requests in order, one at a time, answers as fast as the client reads. */
#ifndef TESTS_SIMULATOR_CONN_H
#define TESTS_SIMULATOR_CONN_H

#include <stdint.h>

#include <uv.h>

#include "proto/base/buffer.h"
#include "proto/base/list.h"
#include "tests/simulator/alarm.h"
#include "tests/simulator/answer.h"
#include "tests/simulator/request.h"
#include "tests/simulator/service.h"

/* One read takes at most this much. */
#define CONN_READ_BYTES 65536

/* While more than this waits to be sent, no further request is looked at. */
#define CONN_SEND_HIGH_BYTES 262144

enum conn_state {
    CONN_READING,   /* requests are served as they come */
    CONN_WAITING,   /* an alarm will complete the answer */
    CONN_STALLED,   /* there will be no answer; what comes is read and dropped */
    CONN_ENDING,    /* the last answer is on its way; afterwards half-closed */
    CONN_LINGERING, /* half-closed; what comes is dropped until the client closes */
    CONN_CLOSED     /* the handle is closing; the memory goes in its close callback */
};

struct server;

/* What all connections share. */
struct conn_host {
    struct service *service;
    struct alarms *alarms;
    char *read_bytes;  /* CONN_READ_BYTES, used during one read callback only */
    struct list conns; /* of struct conn by node */
    uint64_t n_conns;  /* on the list */
    uint64_t max_conns;
    uint64_t n_accepted; /* ever */
    int64_t date_wall_s; /* that `date` stands for */
    char date[ANSWER_DATE_BYTES];
};

struct conn {
    uv_tcp_t tcp;
    struct list node;
    struct conn_host *host; /* borrowed */
    enum conn_state state;
    uint64_t id;
    uint64_t n_requests;
    uint64_t active_ms; /* last byte or answer, for the idle timeout */
    struct request request;
    struct buffer rest; /* bytes behind the request that is being served */
    struct service_call call;
    struct answer answer;
    struct alarm *alarm;   /* CONN_WAITING */
    struct buffer out;     /* answers */
    struct buffer sending; /* handed to libuv; not touched while `writing` */
    uv_write_t write;
    uv_shutdown_t shutdown;
    bool writing;
    size_t unsent_bytes; /* when it was last asked whether it is idle */
    bool reads;
};

/* Accepts the connection that waits at `listener` and serves it until it closes itself. 0;
 * ERROR_LIMIT (accepted and closed at once, since there are max_conns already); ERROR_NOMEM and
 * ERROR_IO (not accepted). */
int conn_accept(struct conn_host *host, uv_stream_t *listener);

/* Closes at once. The memory goes later, from the loop. Idempotent. */
void conn_close(struct conn *c);

/* As conn_close, but the client gets a reset. */
void conn_reset(struct conn *c);

/* Closes if nothing has come, gone or been answered since `since_ms`, unless an answer is due. To
 * be asked regularly: that is when it is noticed that a client takes a long answer piece by
 * piece. */
void conn_close_if_idle(struct conn *c, uint64_t since_ms);

#endif
