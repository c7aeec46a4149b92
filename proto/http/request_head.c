/* SPDX-License-Identifier: Apache-2.0 */
/* The judgement of a complete request head: request line, fields, framing.
 *
 * The request line is taken apart here (two single spaces, nothing else); the fields are parsed by
 * llhttp, which is fed "GET" in the place of any other method so that neither CONNECT's nor a
 * made-up method's own rules apply. What llhttp 8.1 accepts although it should not is refused
 * afterwards: empty names, zero or several Host, a Transfer-Encoding that is not exactly one
 * `chunked`, a Content-Length that is not plain digits or comes twice, both together.
 *
 * Where HAProxy and nginx are stricter than the RFCs ask for, so are we;
 * tests/conformance/http/peers.py compares. */
#include "proto/http/request_head.h"

#include <llhttp.h>
#include <string.h>

#include "proto/base/charset.h"
#include "proto/base/error.h"
#include "proto/base/text.h"
#include "proto/http/field.h"

static bool refused(const struct request *r)
{
    return r->state == REQUEST_REFUSED;
}

/* ---- request line ---- */

static enum request_method method_of(struct span name)
{
    if (span_equal(name, span_of("GET"))) {
        return REQUEST_GET;
    }
    if (span_equal(name, span_of("HEAD"))) {
        return REQUEST_HEAD;
    }
    return span_equal(name, span_of("POST")) ? REQUEST_POST : REQUEST_OTHER;
}

static bool target_bytes_ok(struct span target)
{
    return target.len > 0 && text_is_visible(target) && span_find(target, '#') == target.len;
}

/* Of the letters that all methods in use are made of (nginx takes no others either). */
static bool method_name_ok(struct span name)
{
    static const struct charset letters = {{
        CHARSET_LOW('-'),
        CHARSET_CAPITALS | CHARSET_HIGH('_'),
    }};
    return name.len > 0 && charset_covers(&letters, name);
}

/* Takes "http://authority" off an absolute form (RFC 9112 3.2.2). False if there is no sound one.
 */
static bool strip_absolute(struct span *target, struct span *authority)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        struct span scheme = span_of(schemes[i]);
        struct span start = {target->p, scheme.len};
        if (target->len < scheme.len || !span_equal_nocase(start, scheme)) {
            continue;
        }
        struct span rest = {target->p + scheme.len, target->len - scheme.len};
        size_t path = span_find(rest, '/');
        if (!field_host_ok((struct span){rest.p, path}) || path == rest.len) {
            return false;
        }
        *authority = (struct span){rest.p, path};
        *target = (struct span){rest.p + path, rest.len - path};
        return true;
    }
    return false;
}

static void judge_target(struct request *r, struct span target)
{
    bool absolute = target.len > 0 && target.p[0] != '/';
    r->authority = (struct span){NULL, 0};
    if (!target_bytes_ok(target) || (absolute && !strip_absolute(&target, &r->authority))) {
        request_refuse(r, REQUEST_BAD, "malformed request target");
        return;
    }
    size_t mark = span_find(target, '?');
    r->path = (struct span){target.p, mark};
    r->path_start = (size_t)(target.p - (const char *)buffer_bytes(&r->head));
    r->has_query = mark < target.len;
    r->query = r->has_query ? (struct span){target.p + mark + 1, target.len - mark - 1}
                            : (struct span){target.p + mark, 0};
    if (!target_path_ok(r->path)) {
        request_refuse(r, REQUEST_BAD,
                       "path with dot segments, escapes or bytes that are not "
                       "forwarded");
    }
}

static void judge_version(struct request *r, struct span version)
{
    if (span_equal(version, span_of("HTTP/1.1"))) {
        r->minor = 1;
    } else if (span_equal(version, span_of("HTTP/1.0"))) {
        r->minor = 0;
    } else {
        request_refuse(r, REQUEST_BAD, "not HTTP/1.0 or HTTP/1.1");
    }
}

static void judge_line(struct request *r)
{
    struct span line = {(const char *)buffer_bytes(&r->head), r->fields_start - 2};
    struct span rest = line;
    struct span method = span_cut(&rest, ' ');
    struct span target = span_cut(&rest, ' ');
    if (!method_name_ok(method) || rest.p == NULL) {
        request_refuse(r, REQUEST_BAD, "malformed request line");
        return;
    }
    if (span_equal(method, span_of("CONNECT"))) {
        /* To an authority it is for proxies, and to a path it is malformed (RFC 9110 9.3.6). What
         * follows may have been meant for a tunnel: it must not be read as requests. */
        request_refuse(r, REQUEST_BAD, "CONNECT");
        return;
    }
    r->method_name = method;
    r->method = method_of(method);
    judge_version(r, rest);
    if (!refused(r)) {
        judge_target(r, target);
    }
}

enum request_state request_judge_line(struct request *r)
{
    judge_line(r);
    return r->state;
}

/* The head may have moved while it grew, after its first line was judged. */
static void follow_line(struct request *r)
{
    const char *head = (const char *)buffer_bytes(&r->head);
    r->method_name.p = head;
    r->path.p = head + r->path_start;
    if (r->authority.p != NULL) {
        r->authority.p = r->path.p - r->authority.len; /* the path is right behind it */
    }
    r->query.p = r->path.p + r->path.len + (r->has_query ? 1 : 0);
}

/* ---- fields ---- */

/* The head is fed in one piece (two with a foreign method), so that llhttp gives each name and each
 * value in one. Should it ever give a value without a name before it, it is not put on another
 * field, but refused. */
struct fields_state {
    struct request *request;
    bool awaits_value; /* a name has come, its value has not */
};

static int on_field_name(llhttp_t *parser, const char *at, size_t len)
{
    struct fields_state *state = parser->data;
    struct request *r = state->request;
    if (r->n_fields == REQUEST_FIELDS_MAX) {
        request_refuse(r, REQUEST_HEAD_TOO_LARGE, "too many header fields");
        return -1;
    }
    if (state->awaits_value) {
        return -1;
    }
    state->awaits_value = true;
    r->fields[r->n_fields++] = (struct request_field){{at, len}, {at, 0}};
    return 0;
}

static int on_field_value(llhttp_t *parser, const char *at, size_t len)
{
    struct fields_state *state = parser->data;
    struct request *r = state->request;
    if (!state->awaits_value) {
        return -1;
    }
    state->awaits_value = false;
    r->fields[r->n_fields - 1].value = span_trim((struct span){at, len});
    return 0;
}

/* Framing and Upgrade are judged by us: llhttp is asked for no more than the fields. */
static int on_head_end(llhttp_t *parser)
{
    parser->upgrade = 0;
    return 1;
}

static void fields_parse(struct request *r)
{
    llhttp_settings_t settings;
    llhttp_t parser;
    struct fields_state state = {.request = r};
    llhttp_settings_init(&settings);
    settings.on_header_field = on_field_name;
    settings.on_header_value = on_field_value;
    settings.on_headers_complete = on_head_end;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = &state;

    const char *head = (const char *)buffer_bytes(&r->head);
    llhttp_errno_t err = HPE_OK;
    if (r->method == REQUEST_OTHER) {
        err = llhttp_execute(&parser, "GET", 3);
        if (err == HPE_OK) {
            err = llhttp_execute(&parser, head + r->method_name.len,
                                 r->head.len - r->method_name.len);
        }
    } else {
        err = llhttp_execute(&parser, head, r->head.len);
    }
    if (err != HPE_OK && !refused(r)) {
        request_refuse(r, REQUEST_BAD, "malformed header fields");
    }
}

/* Count of fields of that name; `*value` is the last one's. */
static size_t count_field(const struct request *r, struct span wanted, struct span *value)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_fields; i++) {
        if (span_equal_nocase(r->fields[i].name, wanted)) {
            *value = r->fields[i].value;
            n++;
        }
    }
    return n;
}

/* A value lies within one line, because folds are refused: of its bytes nothing is left to check,
 * since all of the head's were looked at as they came. */
static void check_names(struct request *r)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        if (!field_is_token(r->fields[i].name)) {
            request_refuse(r, REQUEST_BAD, "malformed header field");
            return;
        }
        if (r->fields[i].name.len > REQUEST_NAME_BYTES_MAX) {
            request_refuse(r, REQUEST_HEAD_TOO_LARGE, "header field name too long");
            return;
        }
    }
}

/* A tab beside a value that frames the message: some parsers take it as part of the value. */
static bool has_tab(const struct request *r, struct span value)
{
    const char *head = (const char *)buffer_bytes(&r->head);
    const char *end = head + r->head.len;
    const char *p = value.p + value.len;
    while (p < end && *p == ' ') {
        p++;
    }
    if (p < end && *p == '\t') {
        return true;
    }
    for (p = value.p; p > head && (p[-1] == ' ' || p[-1] == '\t'); p--) {
        if (p[-1] == '\t') {
            return true;
        }
    }
    return false;
}

static void judge_host(struct request *r)
{
    struct span host = {NULL, 0};
    if (count_field(r, span_of("Host"), &host) != 1 || !field_host_ok(host) || has_tab(r, host)) {
        request_refuse(r, REQUEST_BAD, "not exactly one valid Host");
    } else if (r->authority.p != NULL && !span_equal_nocase(r->authority, host)) {
        /* RFC 9112 3.2.2 lets the target win; whoever reads Host is told another one. */
        request_refuse(r, REQUEST_BAD, "Host differs from the request target's");
    }
}

static void judge_transfer_encoding(struct request *r, size_t n_lengths)
{
    struct span coding = {NULL, 0};
    size_t n = count_field(r, span_of("Transfer-Encoding"), &coding);
    if (n == 0) {
        return;
    }
    if (n > 1 || r->minor == 0 || n_lengths > 0 || has_tab(r, coding) ||
        !span_equal_nocase(coding, span_of("chunked"))) {
        request_refuse(r, REQUEST_BAD, "Transfer-Encoding that is not exactly one chunked");
        return;
    }
    r->is_chunked = true;
    chunked_init(&r->chunked);
}

static void judge_length(struct request *r)
{
    struct span text = {NULL, 0};
    size_t n = count_field(r, span_of("Content-Length"), &text);
    if (n > 1 || (n == 1 && has_tab(r, text)) ||
        (n == 1 && span_parse_u64(text, UINT64_MAX, &r->body_left) < 0)) {
        request_refuse(r, REQUEST_BAD, "malformed or repeated Content-Length");
        return;
    }
    judge_transfer_encoding(r, n);
}

static void judge_body(struct request *r)
{
    bool has_body = r->is_chunked || r->body_left > 0;
    if (has_body && (r->method == REQUEST_GET || r->method == REQUEST_HEAD)) {
        request_refuse(r, REQUEST_BAD, "GET or HEAD with a body");
    } else if (r->body_left > r->body.max_bytes) {
        request_refuse(r, REQUEST_BODY_TOO_LARGE, "body too large");
    }
}

static void judge_expect(struct request *r)
{
    struct span expect = {NULL, 0};
    size_t n = count_field(r, span_of("Expect"), &expect);
    if (n == 0) {
        return;
    }
    if (n > 1 || !span_equal_nocase(expect, span_of("100-continue"))) {
        request_refuse(r, REQUEST_EXPECTATION, "unknown expectation");
        return;
    }
    r->expects_continue = r->minor == 1 && (r->is_chunked || r->body_left > 0);
}

static bool upgrade_lists_websocket(const struct request *r)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        if (span_equal_nocase(r->fields[i].name, span_of("Upgrade")) &&
            field_connection_lists(r->fields[i].value, span_of("websocket"))) {
            return true;
        }
    }
    return false;
}

/* Half a websocket handshake (RFC 6455 4.2.1) is a sign that somebody wants to be taken for
 * something else, wherever it is sent. */
static void judge_websocket(struct request *r, bool upgrade)
{
    struct span key = {NULL, 0};
    if (upgrade && upgrade_lists_websocket(r) &&
        count_field(r, span_of("Sec-WebSocket-Key"), &key) != 1) {
        request_refuse(r, REQUEST_BAD, "websocket handshake without key");
    }
}

static void judge_connection(struct request *r)
{
    bool close = false;
    bool keep = false;
    bool upgrade = false;
    for (size_t i = 0; i < r->n_fields; i++) {
        if (span_equal_nocase(r->fields[i].name, span_of("Connection"))) {
            struct span value = r->fields[i].value;
            close = close || field_connection_lists(value, span_of("close"));
            keep = keep || field_connection_lists(value, span_of("keep-alive"));
            upgrade = upgrade || field_connection_lists(value, span_of("upgrade"));
        }
    }
    r->keep_alive = !close && (r->minor == 1 || keep);
    r->wants_websocket =
        upgrade && span_equal_nocase(request_field(r, "Upgrade"), span_of("websocket"));
    judge_websocket(r, upgrade);
}

static void take_id(struct request *r)
{
    static const struct charset marks = {{
        CHARSET_DIGITS | CHARSET_LOW('-') | CHARSET_LOW('.'),
        CHARSET_LETTERS | CHARSET_HIGH('_'),
    }};
    struct span id = {NULL, 0};
    if (count_field(r, span_of("X-Request-Id"), &id) == 1 && id.len > 0 &&
        id.len <= REQUEST_ID_BYTES_MAX && charset_covers(&marks, id)) {
        r->id = id;
    }
}

enum request_state request_judge_head(struct request *r)
{
    static void (*const steps[])(struct request *) = {
        follow_line, fields_parse, check_names,      judge_host, judge_length,
        judge_body,  judge_expect, judge_connection, take_id,
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        steps[i](r);
        if (refused(r)) {
            return r->state;
        }
    }
    r->state = r->is_chunked || r->body_left > 0 ? REQUEST_BODY : REQUEST_COMPLETE;
    return r->state;
}
