/* SPDX-License-Identifier: Apache-2.0 */
/* What the pages take from a browser: the input is its request. What may change something comes
 * from our own origin and is JSON; a host is ours only by its whole name; a cookie is the only one
 * of its name, and lies in the head. */
#include <stdlib.h>
#include <string.h>

#include "proto/pages/guard.h"

static const char *const NAMES[] = {"relay.example"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* The Host without its port, as a second reading of it. */
static void check_host(const struct request *r)
{
    struct span host = request_field(r, "Host");
    char text[64] = "";

    if (!guard_host_ok(r, NAMES, 1)) {
        return;
    }
    size_t port = span_find(host, ':');
    if (host.p[0] != '[' && span_copy((struct span){host.p, port}, text, sizeof(text)) == 0) {
        require(strcasecmp(text, "localhost") == 0 || strcasecmp(text, NAMES[0]) == 0 ||
                (strncmp(text, "127.", 4) == 0 && strspn(text, "0123456789.") == strlen(text)));
    } else {
        require(span_starts(host, span_of("[::1]")));
    }
}

static void check_change(const struct request *r, bool is_tls)
{
    struct span origin = request_field(r, "Origin");
    struct span site = request_field(r, "Sec-Fetch-Site");
    struct span type = request_field(r, "Content-Type");
    struct span host = request_field(r, "Host");

    if (!guard_may_change(r, is_tls)) {
        return;
    }
    require(guard_same_origin(r, is_tls));
    require(type.len >= 16 && strncasecmp(type.p, "application/json", 16) == 0);
    require(!span_equal(site, span_of("cross-site")) && !span_equal(site, span_of("same-site")));
    if (origin.p != NULL) {
        require(origin.len > host.len &&
                strncasecmp(origin.p + origin.len - host.len, host.p, host.len) == 0);
        require(!is_tls || span_starts(origin, span_of("https://")));
    }
}

static void check_cookie(const struct request *r)
{
    struct span cookie = guard_cookie(r, "session");
    const char *head = (const char *)buffer_bytes(&r->head);

    if (cookie.p == NULL) {
        return;
    }
    require(cookie.p >= head && cookie.p + cookie.len <= head + r->head.len);
    require(span_find(cookie, ';') == cookie.len && cookie.p[-1] == '=');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request r;
    size_t consumed = 0;

    request_init(&r);
    enum request_state state = request_feed(&r, data, size, &consumed);
    if (state == REQUEST_BODY || state == REQUEST_COMPLETE) {
        check_host(&r);
        check_change(&r, false);
        check_change(&r, true);
        check_cookie(&r);
    }
    request_close(&r);
    return 0;
}
