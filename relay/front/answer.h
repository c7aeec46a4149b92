/* SPDX-License-Identifier: Apache-2.0 */
/* The text of what goes to a client: the relay's own answers (one table of reasons, docs/api.md)
 * and the heads of a building's answers. The relay writes every status line and all framing; a
 * building's fields pass one by one, those that would speak for the relay or for its other
 * buildings do not. */
#ifndef RELAY_FRONT_ANSWER_H
#define RELAY_FRONT_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bucket.h"
#include "proto/base/buffer.h"
#include "proto/base/span.h"
#include "proto/wire/head.h"

/* Advice in Retry-After of an answer 503, seconds. */
#define ANSWER_RETRY_S 2

enum answer_reason {
    ANSWER_BAD_REQUEST,
    ANSWER_KEY_REFUSED,
    ANSWER_NOT_ALLOWED,
    ANSWER_NO_SUCH_PATH,
    ANSWER_METHOD_NOT_ALLOWED,
    ANSWER_CLIENT_TIMEOUT,
    ANSWER_BODY_TOO_LARGE,
    ANSWER_LINE_TOO_LARGE,
    ANSWER_HEAD_TOO_LARGE,
    ANSWER_EXPECTATION_FAILED,
    ANSWER_RATE_LIMITED,
    ANSWER_INTERNAL,
    ANSWER_SERVER_UNREACHABLE,
    ANSWER_SERVER_AUTH,
    ANSWER_BAD_ANSWER,
    ANSWER_SERVER_OFFLINE,
    ANSWER_OVERLOADED,
    ANSWER_TUNNEL_LOST,
    ANSWER_SERVER_TIMEOUT,
    ANSWER_AGENT_REFUSED,
    ANSWER_UPGRADE_REQUIRED
};

/* How the end of an answer's body is told (RFC 9112 6). */
enum answer_framing {
    ANSWER_NO_BODY, /* HEAD, 204, 304 */
    ANSWER_LENGTH,
    ANSWER_CHUNKED,
    ANSWER_CLOSE /* HTTP/1.0 without a length */
};

/* What is common to all answers of one request. */
struct answer_context {
    struct span request_id;
    const char *date; /* IMF-fixdate */
    bool keep_alive;
    bool head_only; /* the request was HEAD */
    bool is_tls;    /* add Strict-Transport-Security */
    uint8_t minor;  /* of the client's version */
};

unsigned answer_status(enum answer_reason reason);
/* The machine word. Static. */
const char *answer_word(enum answer_reason reason);

/* Names of the limits in RateLimit fields: a client with several of them can tell which was hit. */
#define ANSWER_POLICY_KEY      "key"
#define ANSWER_POLICY_COMMANDS "commands"
#define ANSWER_POLICY_REFUSED  "refused-keys"

/* Details of one answer; zero what does not apply. */
struct answer_details {
    enum head_delivered delivered;
    const char *why; /* a phrase added to the sentence; static, never the client's bytes */
    uint32_t retry_after_s;
    const char *policy;      /* with RATE_LIMITED: which limit was hit, static */
    struct bucket_rate rate; /* the same: what it is */
    uint32_t reset_s;
};

/* Appends a whole answer. 0, ERROR_LIMIT, ERROR_NOMEM. */
int answer_format(struct buffer *out, const struct answer_context *c, enum answer_reason reason,
                  const struct answer_details *d);

/* Appends the head of a building's answer, including the empty line. */
int answer_format_head(struct buffer *out, const struct answer_context *c,
                       const struct head_response *head, enum answer_framing framing);

/* "OK", "Not Found", … or "" (RFC 9112 4 lets it be empty). Static. */
const char *answer_phrase(unsigned status);

#endif
