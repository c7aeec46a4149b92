/* SPDX-License-Identifier: Apache-2.0 */
/* One client connection.
 *
 * Happy path: bytes come into the buffer that all connections share, the request is parsed and
 * served there and then, its answer goes to `out` and, when all bytes are taken, out with one
 * write. Pipelined requests are served in order within the same turn.
 *
 * An answer that has to wait (feedback, delay) puts the connection into CONN_WAITING: reading
 * stops, the bytes behind the request are kept in `rest`, and the alarm goes on from there. The
 * same happens when the client does not read: what libuv cannot send at once is in `sending`, and
 * until it is gone no further request is looked at.
 *
 * Errors: a request that cannot be read gets its refusal; then the sending side is shut down and
 * what the client still sends is dropped until it closes or the idle timeout comes, so that it can
 * read the refusal. A failed read or write closes. Closing cancels the alarm; a command that was
 * executed stays executed. */
#include "tests/simulator/conn.h"

#include <stdlib.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/base/log.h"

/* A request of the largest head and body and a read of what follows it. */
#define REST_BYTES_MAX (REQUEST_HEAD_BYTES + REQUEST_BODY_BYTES + CONN_READ_BYTES)

/* Answers up to CONN_SEND_HIGH_BYTES, and one more of the largest size (twice: two-answers). */
#define OUT_BYTES_MAX (2 * (size_t)ANSWER_MAX + CONN_SEND_HIGH_BYTES)

static void update(struct conn *c);

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;

    request_close(&c->request);
    answer_close(&c->answer);
    buffer_close(&c->rest);
    buffer_close(&c->out);
    buffer_close(&c->sending);
    free(c);
}

/* Leaves the list of connections; what is left of it is its handle. */
static void leave(struct conn *c)
{
    alarm_cancel(c->alarm);
    c->alarm = NULL;
    c->state = CONN_CLOSED;
    list_remove(&c->node);
    c->host->n_conns--;
}

void conn_close(struct conn *c)
{
    if (c->state != CONN_CLOSED) {
        leave(c);
        uv_close((uv_handle_t *)&c->tcp, on_closed);
    }
}

void conn_reset(struct conn *c)
{
    if (c->state != CONN_CLOSED) {
        leave(c);
        if (uv_tcp_close_reset(&c->tcp, on_closed) != 0) {
            uv_close((uv_handle_t *)&c->tcp, on_closed); /* it was shutting down already */
        }
    }
}

void conn_close_if_idle(struct conn *c, uint64_t since_ms)
{
    bool owes = c->state == CONN_WAITING || c->state == CONN_STALLED;
    size_t unsent_bytes = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);

    if (unsent_bytes != c->unsent_bytes) {
        c->unsent_bytes = unsent_bytes;
        c->active_ms = uv_now(c->tcp.loop);
    }
    if (!owes && c->active_ms < since_ms) {
        conn_close(c);
    }
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown;
    (void)status; /* either way the client closes, or the idle timeout does */
}

static void end_sending(struct conn *c)
{
    c->state = CONN_LINGERING;
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) != 0) {
        conn_close(c);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct conn *c = write->data;

    c->writing = false;
    buffer_clear(&c->sending);
    if (c->state == CONN_CLOSED) {
        return;
    }
    if (status != 0) {
        conn_close(c);
        return;
    }
    c->active_ms = uv_now(c->tcp.loop);
    update(c);
}

/* Gives back memory that only a large answer needed. */
static void slim(struct buffer *b)
{
    if (b->cap > CONN_SEND_HIGH_BYTES) {
        buffer_release(b);
    }
}

/* Sends what has gathered in `out`. At once where possible, the rest through libuv. */
static void flush(struct conn *c)
{
    struct buffer empty = c->sending;
    uv_buf_t bytes;
    int n = 0;

    if (c->state == CONN_CLOSED || c->writing || c->out.len == 0) {
        return;
    }
    c->sending = c->out;
    c->out = empty;
    bytes = uv_buf_init((char *)c->sending.data + c->sending.start, (unsigned)c->sending.len);
    n = uv_try_write((uv_stream_t *)&c->tcp, &bytes, 1);
    if (n < 0 && n != UV_EAGAIN) {
        conn_close(c);
        return;
    }
    buffer_consume(&c->sending, n < 0 ? 0 : (size_t)n);
    if (c->sending.len == 0) {
        slim(&c->sending);
        return;
    }
    bytes = uv_buf_init((char *)c->sending.data + c->sending.start, (unsigned)c->sending.len);
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &bytes, 1, on_written) != 0) {
        conn_close(c);
        return;
    }
    c->writing = true;
}

static const char *today(struct conn_host *host)
{
    int64_t now_s = clock_wall_s();

    if (now_s != host->date_wall_s) {
        host->date_wall_s = now_s;
        answer_format_date(now_s, host->date);
    }
    return host->date;
}

/* Puts the finished answer into `out` and gets ready for the next request. */
static void put_answer(struct conn *c)
{
    const struct switches *s = &c->host->service->switches;
    struct writer w;
    bool closes = false;

    if (c->call.is_dropped) {
        flush(c); /* the answers before it are not lost */
        conn_close(c);
        return;
    }
    if (s->close_after > 0 && c->n_requests >= s->close_after) {
        c->answer.close = true;
    }
    writer_init(&w, &c->out);
    closes = broken_write(c->call.is_call ? s->broken_answer : BROKEN_NONE, &c->answer,
                          today(c->host), &w);
    if (writer_end(&w) != 0) {
        log_event(LOG_LEVEL_ERROR, "answer lost", log_uint("conn", c->id),
                  log_text("reason", error_name(writer_end(&w))));
        conn_close(c);
        return;
    }
    c->active_ms = uv_now(c->tcp.loop);
    c->state = closes ? CONN_ENDING : CONN_READING;
    request_next(&c->request);
}

static void on_answer_due(void *arg)
{
    struct conn *c = arg;

    c->alarm = NULL;
    service_finish(&c->call, uv_now(c->tcp.loop), &c->answer);
    put_answer(c);
    update(c);
}

static void wait_for_answer(struct conn *c)
{
    c->state = CONN_WAITING;
    if (alarm_start(c->host->alarms, c->call.wait_ms, on_answer_due, c, &c->alarm) != 0) {
        log_event(LOG_LEVEL_ERROR, "answer lost", log_uint("conn", c->id),
                  log_text("reason", "no timer"));
        conn_close(c);
    }
}

static void serve(struct conn *c)
{
    struct conn_host *host = c->host;

    c->n_requests++;
    switch (service_begin(host->service, &c->request, c->id, host->n_conns, uv_now(c->tcp.loop),
                          &c->call, &c->answer)) {
    case SERVICE_ANSWER: put_answer(c); break;
    case SERVICE_WAIT: wait_for_answer(c); break;
    case SERVICE_STALL: c->state = CONN_STALLED; break;
    }
}

static void refuse(struct conn *c)
{
    log_event(LOG_LEVEL_DEBUG, "request refused", log_uint("conn", c->id),
              log_int("status", c->request.refusal));
    c->call = (struct service_call){.is_call = false};
    service_refuse(c->request.refusal, &c->answer);
    put_answer(c);
}

/* The client holds its body back until it is told to go on (RFC 9110 10.1.1). */
static void send_continue(struct conn *c)
{
    static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (c->request.wants_continue) {
        c->request.wants_continue = false;
        if (buffer_append(&c->out, CONTINUE, sizeof CONTINUE - 1) != 0) {
            conn_close(c);
        }
    }
}

static bool may_serve(const struct conn *c)
{
    return c->state == CONN_READING && c->out.len < CONN_SEND_HIGH_BYTES && !c->writing;
}

/* Serves requests out of `bytes` and returns how many were used. */
static size_t take(struct conn *c, const uint8_t *bytes, size_t len)
{
    size_t used = 0;

    while (used < len && may_serve(c)) {
        size_t n = 0;
        switch (request_feed(&c->request, bytes + used, len - used, &n)) {
        case REQUEST_MORE: send_continue(c); break;
        case REQUEST_READY: serve(c); break;
        case REQUEST_REFUSED: refuse(c); break;
        }
        used += n;
    }
    return used;
}

static void take_rest(struct conn *c)
{
    while (c->rest.len > 0 && may_serve(c)) {
        size_t used = take(c, buffer_bytes(&c->rest), c->rest.len);
        buffer_consume(&c->rest, used);
        flush(c);
    }
}

static void keep_rest(struct conn *c, const uint8_t *bytes, size_t len)
{
    bool matters = c->state == CONN_READING || c->state == CONN_WAITING;

    if (matters && len > 0 && buffer_append(&c->rest, bytes, len) != 0) {
        conn_close(c);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *bytes)
{
    struct conn *c = handle->data;

    (void)suggested; /* the shared buffer is as long as it is */
    *bytes = uv_buf_init(c->host->read_bytes, CONN_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct conn *c = stream->data;

    if (n < 0) {
        conn_close(c);
        return;
    }
    if (c->state == CONN_READING) {
        const uint8_t *start = (const uint8_t *)bytes->base;
        size_t used = take(c, start, (size_t)n);
        keep_rest(c, start + used, (size_t)n - used);
        c->active_ms = uv_now(stream->loop);
    }
    update(c);
}

static bool wants_bytes(const struct conn *c)
{
    switch (c->state) {
    case CONN_READING: return c->rest.len == 0 && !c->writing;
    case CONN_STALLED:
    case CONN_LINGERING: return true;
    case CONN_WAITING:
    case CONN_ENDING:
    case CONN_CLOSED: break;
    }
    return false;
}

/* After each event: send what there is, go on with what was kept, and say what is wanted next. */
static void update(struct conn *c)
{
    flush(c);
    take_rest(c);
    if (c->state == CONN_ENDING && !c->writing) {
        end_sending(c);
    }
    if (c->state == CONN_CLOSED || wants_bytes(c) == c->reads) {
        return;
    }
    c->reads = !c->reads;
    if (!c->reads) {
        (void)uv_read_stop((uv_stream_t *)&c->tcp); /* libuv: always 0 */
    } else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0) {
        conn_close(c);
    }
}

static void init(struct conn *c, struct conn_host *host)
{
    c->host = host;
    c->id = ++host->n_accepted;
    c->state = CONN_READING;
    c->active_ms = uv_now(c->tcp.loop);
    c->tcp.data = c;
    c->write.data = c;
    request_init(&c->request);
    answer_init(&c->answer);
    buffer_init(&c->rest, REST_BYTES_MAX);
    buffer_init(&c->out, OUT_BYTES_MAX);
    buffer_init(&c->sending, OUT_BYTES_MAX);
    list_push(&host->conns, &c->node);
    host->n_conns++;
}

int conn_accept(struct conn_host *host, uv_stream_t *listener)
{
    struct conn *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return ERROR_NOMEM;
    }
    if (uv_tcp_init(listener->loop, &c->tcp) != 0) {
        free(c);
        return ERROR_IO;
    }
    init(c, host);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        conn_close(c);
        return ERROR_IO;
    }
    if (host->n_conns > host->max_conns) {
        conn_close(c);
        return ERROR_LIMIT;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1); /* only slower without */
    update(c);
    return 0;
}
