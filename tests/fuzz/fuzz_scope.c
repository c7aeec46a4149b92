/* SPDX-License-Identifier: Apache-2.0 */
/* A scope, and requests held against it. Three parts, separated by NUL: the JSON of the scope, the
 * controller with its query ("power?guid=a&cmd=1"), the body. A scope never allows more than no
 * scope does; a read-only one allows no command; one of addresses allows nobody without one; and
 * what stands in the query twice decides nothing. */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http/controller.h"
#include "proto/http/query.h"
#include "relay/store/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

/* Of the second kind, which holds whatever else the scope says. */
static struct scope *parse_known(const char *json)
{
    struct scope *scope = NULL;
    struct error_text e;
    require(scope_parse(span_of(json), &scope, &e) == 0 && scope != NULL);
    return scope;
}

static void check_known(const struct scope_request *r)
{
    static struct scope *read_only;
    static struct scope *of_block;
    static struct scope *of_group;
    if (read_only == NULL) { /* kept: they are the same for all inputs */
        read_only = parse_known("{\"read_only\":true}");
        of_block = parse_known("{\"cidrs\":[\"10.0.0.0/8\"]}");
        of_group = parse_known("{\"groups\":[\"1/2/*\"]}");
    }
    const struct controller *c = controller_find(r->controller);
    bool is_command = c == NULL || c->role == CONTROLLER_SET;
    require(!is_command || !scope_allows(read_only, r));
    struct scope_request nobody = *r;
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    nobody.client = &none;
    require(!scope_allows(of_block, &nobody));
    /* `group` twice, or once in each place, must not slip through. */
    struct query_param first;
    struct span rest = r->query;
    size_t n = 0;
    while (query_next(&rest, &first)) {
        n += span_equal(first.name, span_of("group")) ? 1 : 0;
    }
    require(n < 2 || !scope_allows(of_group, r));
}

static void check(const struct scope *scope, struct scope_request *r)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    v4.sin_addr.s_addr = htonl(0x0a000001);
    const struct sockaddr *clients[] = {(const struct sockaddr *)&v4, (const struct sockaddr *)&v6};
    for (size_t i = 0; i < 2; i++) {
        r->client = clients[i];
        for (int post = 0; post < 2; post++) {
            r->is_post = post == 1;
            r->content_type = span_of(post == 1 ? "application/x-www-form-urlencoded" : "");
            bool allowed = scope_allows(scope, r);
            require(allowed == scope_allows(scope, r));
            require(scope_allows(NULL, r));
            check_known(r);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, data, size);
    copy[size] = '\0';
    struct span rest = {copy, size};
    struct span json = span_cut(&rest, '\0');
    struct span target = rest.p == NULL ? span_of("") : span_cut(&rest, '\0');
    struct span body = rest.p == NULL ? span_of("") : rest;
    struct scope_request r = {.controller = span_cut(&target, '?'), .body = body};
    r.query = target.p == NULL ? span_of("") : target;
    struct scope *scope = NULL;
    struct error_text e = {""};
    int rc = scope_parse(json, &scope, &e);
    require(rc == 0 || (scope == NULL && e.text[0] != '\0'));
    require(strlen(e.text) < sizeof(e.text));
    if (rc == 0) {
        check(scope, &r);
    }
    scope_free(scope);
    free(copy);
    return 0;
}
