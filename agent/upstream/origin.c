/* SPDX-License-Identifier: Apache-2.0 */
/* The server's URL, taken apart. */
#include "agent/upstream/origin.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "proto/base/span.h"

static int refuse(struct error_text *e, const char *why)
{
    return error_set(e, ERROR_CONFIG, "url: %s; it must be like http://192.168.1.10:5051", why);
}

/* Cuts "http://" and one "/" at the end off. NULL, or what is wrong. */
static const char *cut_authority(const char *url, struct span *authority)
{
    static const char SCHEME[] = "http://";
    struct span s = span_of(url);
    if (s.len < sizeof(SCHEME) ||
        !span_equal_nocase((struct span){s.p, sizeof(SCHEME) - 1}, span_of(SCHEME))) {
        return "it does not begin with http:// (the server has no https)";
    }
    s.p += sizeof(SCHEME) - 1;
    s.len -= sizeof(SCHEME) - 1;
    if (s.p[s.len - 1] == '/') {
        s.len--;
    }
    if (span_find(s, '@') < s.len) {
        return "user and password have settings of their own";
    }
    if (!field_host_ok(s)) {
        return "no valid host and port behind http://";
    }
    *authority = s;
    return NULL;
}

/* `authority` is valid: host, or [address], then perhaps a port. */
static void split_authority(struct span authority, struct span *host, struct span *port)
{
    if (authority.p[0] == '[') {
        size_t end = span_find(authority, ']');
        *host = (struct span){authority.p + 1, end - 1};
        authority.p += end + 1;
        authority.len -= end + 1;
        span_cut(&authority, ':');
        *port = authority;
    } else {
        *host = span_cut(&authority, ':');
        *port = authority;
    }
}

static void find_address(struct origin *o, int port)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memset(&o->address, 0, sizeof(o->address));
    if (uv_ip4_addr(o->host, port, &v4) == 0) {
        memcpy(&o->address, &v4, sizeof(v4));
        o->is_literal = true;
    } else if (uv_ip6_addr(o->host, port, &v6) == 0) {
        memcpy(&o->address, &v6, sizeof(v6));
        o->is_literal = true;
    } else {
        o->is_literal = false;
    }
}

int origin_parse(const char *url, struct origin *o, struct error_text *e)
{
    struct span authority;
    struct span host;
    struct span port_text;
    uint64_t port = ORIGIN_PORT_DEFAULT;
    const char *why = cut_authority(url, &authority);
    if (why != NULL) {
        return refuse(e, why);
    }
    split_authority(authority, &host, &port_text);
    if (port_text.p != NULL && span_parse_u64(port_text, UINT16_MAX, &port) != 0) {
        return refuse(e, "no valid port"); /* field_host_ok has seen to it */
    }
    if (span_copy(host, o->host, sizeof(o->host)) != 0) {
        return refuse(e, "host too long");
    }
    bool is_v6 = authority.p[0] == '[';
    /* Both fit: their sizes are made for the longest host and port. */
    (void)snprintf(o->service, sizeof(o->service), "%u", (unsigned)(uint16_t)port);
    (void)snprintf(o->authority, sizeof(o->authority), is_v6 ? "[%s]:%s" : "%s:%s", o->host,
                   o->service);
    find_address(o, (int)port);
    return 0;
}
