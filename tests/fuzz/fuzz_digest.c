/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile server's WWW-Authenticate fields, one a line of the input, and the answer to what was
 * found in them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/upstream/digest.h"
#include "proto/base/error.h"
#include "proto/http/field.h"

#define ANSWER_BYTES_MAX (16 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static void check_challenge(const struct digest_challenge *c)
{
    require(memchr(c->realm, '\0', sizeof(c->realm)) != NULL);
    require(memchr(c->nonce, '\0', sizeof(c->nonce)) != NULL);
    require(memchr(c->opaque, '\0', sizeof(c->opaque)) != NULL);
    require(c->nonce[0] != '\0');
    require(c->qop_auth || !c->session);
}

/* The answer must be able to stand in a header field whatever the challenge was. */
static void check_answer(const struct digest_challenge *c)
{
    struct digest d;
    struct buffer out;
    require(digest_start(&d, c, span_of("ser\"vice"), span_of("secret"), "0123456789abcdef") == 0);
    buffer_init(&out, ANSWER_BYTES_MAX);
    require(digest_append(&d, span_of("GET"), span_of("ser\"vice"), span_of("/a?b=\"c\\"), &out) ==
            0);
    struct span answer = {(const char *)buffer_bytes(&out), out.len};
    require(span_starts(answer, span_of("Digest username=\"ser\\\"vice\", realm=\"")));
    require(field_value_ok(answer));
    buffer_close(&out);
    digest_close(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct digest_challenge best = {.usable = false};
    struct span rest = {(const char *)data, size};
    while (rest.p != NULL) {
        struct digest_challenge before = best;
        if (digest_parse(span_cut(&rest, '\n'), &best) < 0) {
            require(memcmp(&before, &best, sizeof(best)) == 0);
        }
    }
    if (best.usable) {
        check_challenge(&best);
        check_answer(&best);
    }
    return 0;
}
