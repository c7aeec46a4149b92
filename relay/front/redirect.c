/* SPDX-License-Identifier: Apache-2.0 */
/* The plain-HTTP listener's only answer. A key that was sent in the clear is not looked up, logged
 * or counted; the client is sent on. */
#include "relay/front/redirect.h"

#include <stdio.h>

#include "proto/base/error.h"
#include "relay/front/access.h"
#include "relay/front/session.h"
#include "relay/worker.h"

/* 301 for what may be repeated as GET, 308 where method and body must stay (RFC 9110 15.4). */
static unsigned status_of(const struct request *r)
{
    return r->method == REQUEST_GET || r->method == REQUEST_HEAD ? 301 : 308;
}

static int format(struct session *s, struct buffer *out)
{
    const struct request *r = s->request;
    unsigned status = status_of(r);
    struct answer_context c = session_answer_context(s);
    uint8_t *room = NULL;
    size_t cap = 512 + SETTINGS_URL_BYTES + r->path.len + r->query.len;
    int err = buffer_reserve(out, cap, &room);
    if (err < 0) {
        return err;
    }
    int len = snprintf((char *)room, cap,
                       "HTTP/1.1 %u %s\r\nLocation: %s%.*s%s%.*s\r\nContent-Length: 0\r\n"
                       "Cache-Control: no-store\r\nDate: %s\r\nX-Request-Id: %.*s\r\n%s\r\n",
                       status, answer_phrase(status), s->worker->settings.public_url,
                       (int)r->path.len, r->path.p, r->has_query ? "?" : "", (int)r->query.len,
                       r->query.p, c.date, (int)c.request_id.len, c.request_id.p,
                       c.keep_alive ? "" : "Connection: close\r\n");
    if (len < 0 || (size_t)len >= cap) {
        return ERROR_LIMIT;
    }
    buffer_commit(out, (size_t)len);
    return 0;
}

bool redirect_answer(struct session *s)
{
    struct buffer *out = &s->worker->scratch;
    buffer_clear(out);
    s->result.status = status_of(s->request);
    s->result.reason = "redirect";
    if (format(s, out) < 0 || session_write(s, buffer_bytes(out), out->len) < 0) {
        s->close_after = true;
    }
    session_done(s);
    return false;
}
