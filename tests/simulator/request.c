/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request out of bytes. */
#include "tests/simulator/request.h"

/* Chunk sizes and extensions around a body: what they may add to it before it is refused. */
#define CHUNKING_BYTES_MAX ((size_t)4 * REQUEST_BODY_BYTES)

static int refuse(struct request *r, int status)
{
    r->refusal = status;
    return -1;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct request *r = parser->data;

    r->target_len += len;
    if (r->target_len > REQUEST_TARGET_BYTES) {
        return refuse(r, 414);
    }
    return buffer_append(&r->text, at, len) == 0 ? 0 : refuse(r, 500);
}

/* Trailers after a chunked body come here too; they are dropped. */
static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct request *r = parser->data;

    if (r->head_done) {
        return 0;
    }
    if (!r->field_open) {
        if (r->n_fields == REQUEST_HEADERS_MAX) {
            return refuse(r, 431);
        }
        r->field_open = true;
        r->fields[r->n_fields++] = (struct request_field){.name_at = (uint32_t)r->text.len};
    }
    r->fields[r->n_fields - 1].name_len += (uint32_t)len;
    r->fields[r->n_fields - 1].value_at = (uint32_t)(r->text.len + len);
    return buffer_append(&r->text, at, len) == 0 ? 0 : refuse(r, 431);
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct request *r = parser->data;

    if (r->head_done) {
        return 0;
    }
    r->fields[r->n_fields - 1].value_len += (uint32_t)len;
    return buffer_append(&r->text, at, len) == 0 ? 0 : refuse(r, 431);
}

static int on_value_complete(llhttp_t *parser)
{
    struct request *r = parser->data;

    r->field_open = false;
    return 0;
}

static size_t count_fields(const struct request *r, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_fields; i++) {
        n += span_equal_nocase(request_header_at(r, i).name, span_of(name));
    }
    return n;
}

static bool has_nameless_field(const struct request *r)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        if (r->fields[i].name_len == 0) {
            return true;
        }
    }
    return false;
}

/* What llhttp lets through although RFC 9112 does not: 2.3 versions, 3.2 Host, 5.1 names. */
static int check_head(struct request *r)
{
    size_t n_hosts = count_fields(r, "host");
    bool is_1_1 = r->parser.http_major == 1 && r->parser.http_minor == 1;
    bool is_1_0 = r->parser.http_major == 1 && r->parser.http_minor == 0;

    if (!is_1_1 && !is_1_0) {
        return refuse(r, r->parser.http_major == 0 ? 400 : 505);
    }
    if (n_hosts > 1 || (is_1_1 && n_hosts == 0) || has_nameless_field(r)) {
        return refuse(r, 400);
    }
    if (r->parser.method == HTTP_CONNECT) {
        return refuse(r, 405);
    }
    if (r->parser.content_length > REQUEST_BODY_BYTES && (r->parser.flags & F_CHUNKED) == 0) {
        return refuse(r, 413);
    }
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct request *r = parser->data;
    struct span expect;

    r->head_done = true;
    r->n_raw_bytes = 0;
    parser->upgrade = 0; /* an offered upgrade is ignored (RFC 9110 7.8), and the body is read */
    r->wants_continue = parser->http_minor == 1 && request_find(r, "expect", &expect) &&
                        span_equal_nocase(expect, span_of("100-continue"));
    return check_head(r);
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct request *r = parser->data;

    r->wants_continue = false;
    return buffer_append(&r->body, at, len) == 0 ? 0 : refuse(r, 413);
}

static int on_message_complete(llhttp_t *parser)
{
    struct request *r = parser->data;

    r->wants_continue = false;
    r->keep_alive = llhttp_should_keep_alive(parser) == 1;
    return HPE_PAUSED;
}

static const llhttp_settings_t SETTINGS = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void request_init(struct request *r)
{
    *r = (struct request){.target_len = 0};
    buffer_init(&r->text, REQUEST_HEAD_BYTES);
    buffer_init(&r->body, REQUEST_BODY_BYTES);
    llhttp_init(&r->parser, HTTP_REQUEST, &SETTINGS);
    r->parser.data = r;
}

void request_close(struct request *r)
{
    buffer_close(&r->text);
    buffer_close(&r->body);
}

/* Counts what the parser took without a callback of ours: blanks, line ends, chunk extensions. */
static enum request_progress take_more(struct request *r, size_t len)
{
    size_t max = r->head_done ? CHUNKING_BYTES_MAX : REQUEST_HEAD_BYTES;

    r->n_raw_bytes += len;
    if (r->n_raw_bytes > max) {
        (void)refuse(r, r->head_done ? 413 : 431);
        return REQUEST_REFUSED;
    }
    return REQUEST_MORE;
}

enum request_progress request_feed(struct request *r, const uint8_t *bytes, size_t len,
                                   size_t *n_used)
{
    const char *text = (const char *)bytes;
    llhttp_errno_t rc = llhttp_execute(&r->parser, text, len);

    *n_used = len;
    if (rc == HPE_OK) {
        return take_more(r, len);
    }
    if (rc == HPE_PAUSED) {
        *n_used = (size_t)(llhttp_get_error_pos(&r->parser) - text);
        return REQUEST_READY;
    }
    if (r->refusal == 0) {
        (void)refuse(r, 400);
    }
    return REQUEST_REFUSED;
}

void request_next(struct request *r)
{
    buffer_clear(&r->text);
    buffer_clear(&r->body);
    r->target_len = 0;
    r->n_fields = 0;
    r->field_open = false;
    r->n_raw_bytes = 0;
    r->head_done = false;
    r->wants_continue = false;
    llhttp_resume(&r->parser);
}

bool request_begun(const struct request *r)
{
    return r->text.len > 0;
}

struct span request_method(const struct request *r)
{
    return span_of(llhttp_method_name((llhttp_method_t)r->parser.method));
}

static struct span text_at(const struct request *r, size_t at, size_t len)
{
    return (struct span){(const char *)buffer_bytes(&r->text) + at, len};
}

struct span request_target(const struct request *r)
{
    return text_at(r, 0, r->target_len);
}

struct span request_body(const struct request *r)
{
    return (struct span){(const char *)buffer_bytes(&r->body), r->body.len};
}

bool request_is_head(const struct request *r)
{
    return r->parser.method == HTTP_HEAD;
}

bool request_is_http_1_0(const struct request *r)
{
    return r->parser.http_minor == 0;
}

size_t request_header_count(const struct request *r)
{
    return r->n_fields;
}

struct request_header request_header_at(const struct request *r, size_t i)
{
    const struct request_field *f = &r->fields[i];

    return (struct request_header){
        .name = text_at(r, f->name_at, f->name_len),
        .value = span_trim(text_at(r, f->value_at, f->value_len)),
    };
}

bool request_find(const struct request *r, const char *name, struct span *value)
{
    size_t n = 0;
    struct span found = {NULL, 0};

    for (size_t i = 0; i < r->n_fields; i++) {
        struct request_header h = request_header_at(r, i);
        if (span_equal_nocase(h.name, span_of(name))) {
            found = h.value;
            n++;
        }
    }
    if (n == 1) {
        *value = found;
    }
    return n == 1;
}

bool request_is_form(const struct request *r)
{
    struct span type;

    if (!request_find(r, "content-type", &type)) {
        return false;
    }
    return span_equal_nocase(span_trim(span_cut(&type, ';')),
                             span_of("application/x-www-form-urlencoded"));
}
