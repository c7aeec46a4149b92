/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP answer into bytes. */
#include "tests/simulator/answer.h"

#include <time.h>

/* A body that is larger than this gives its memory back when the next answer begins. */
#define KEEP_BYTES 65536

/* A few challenges. */
#define FIELDS_MAX 4096

void answer_init(struct answer *a)
{
    *a = (struct answer){.status = 200, .type = "application/json"};
    buffer_init(&a->fields, FIELDS_MAX);
    buffer_init(&a->body, ANSWER_MAX);
}

void answer_close(struct answer *a)
{
    buffer_close(&a->fields);
    buffer_close(&a->body);
}

void answer_reset(struct answer *a, int status)
{
    buffer_clear(&a->fields);
    buffer_clear(&a->body);
    if (a->body.cap > KEEP_BYTES) {
        buffer_release(&a->body);
    }
    a->status = status;
    a->type = "application/json";
    a->head_only = false;
    a->close = false;
    a->says_keep_alive = false;
}

void answer_format_date(int64_t wall_s, char date[ANSWER_DATE_BYTES])
{
    time_t seconds = (time_t)wall_s;
    struct tm parts;

    date[0] = '\0';
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(date, ANSWER_DATE_BYTES, "%a, %d %b %Y %H:%M:%S GMT", &parts); /* fits */
    }
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
    }
}

void answer_write_start(const struct answer *a, const char *date, struct writer *w)
{
    writer_text(w, "HTTP/1.1 ");
    writer_uint(w, (uint64_t)a->status);
    writer_text(w, " ");
    writer_text(w, reason_of(a->status));
    writer_text(w, "\r\nDate: ");
    writer_text(w, date);
    writer_text(w, "\r\nServer: thinknx-simulator/" TNX_VERSION "\r\nContent-Type: ");
    writer_text(w, a->type);
    writer_text(w, "\r\n");
}

void answer_write_end(const struct answer *a, struct writer *w)
{
    if (a->close) {
        writer_text(w, "Connection: close\r\n");
    } else if (a->says_keep_alive) {
        writer_text(w, "Connection: keep-alive\r\n");
    }
    writer_span(w, (struct span){(const char *)buffer_bytes(&a->fields), a->fields.len});
    writer_text(w, "\r\n");
}

void answer_write(const struct answer *a, const char *date, struct writer *w)
{
    answer_write_start(a, date, w);
    writer_text(w, "Content-Length: ");
    writer_uint(w, a->body.len);
    writer_text(w, "\r\n");
    answer_write_end(a, w);
    if (!a->head_only) {
        writer_span(w, (struct span){(const char *)buffer_bytes(&a->body), a->body.len});
    }
}
