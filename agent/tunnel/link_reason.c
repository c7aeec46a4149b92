/* SPDX-License-Identifier: Apache-2.0 */
/* Why there is no connection: libwebsockets' words, statuses and OpenSSL's errors as sentences. */
#include "agent/tunnel/link_internal.h"

#include <openssl/err.h>
#include <string.h>

static void describe_status(struct link *l, unsigned status)
{
    switch (status) {
    case 401:
        (void)error_set(&l->reason, ERROR_REFUSED, "relay refused the agent token (401)");
        break;
    case 403:
        (void)error_set(&l->reason, ERROR_REFUSED,
                        "relay refused this agent: its server is disabled or removed (403)");
        break;
    default:
        (void)error_set(&l->reason, ERROR_PEER, "relay answered the upgrade with status %u",
                        status);
        break;
    }
}

static void describe_proxy(struct link *l)
{
    (void)error_set(&l->reason, ERROR_CLOSED,
                    l->proxy_has_user
                        ? "the proxy does not connect us to %s: wrong proxy_user or password, or "
                          "it may not connect there"
                        : "the proxy does not connect us to %s: it may want proxy_user and "
                          "proxy_password_file",
                    l->relay.host);
}

static void describe_tls(struct link *l)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    (void)error_set(&l->reason, ERROR_CLOSED, "TLS handshake with %s failed: %s", l->relay.host,
                    why != NULL ? why : "the connection was closed");
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

void link_describe(struct link *l, const char *said, unsigned status)
{
    if (l->reason.text[0] != '\0') {
        return;
    }
    if (trust_reason(l->lane->trust)[0] != '\0') {
        (void)error_set(&l->reason, ERROR_REFUSED, "%s", trust_reason(l->lane->trust));
    } else if (status != 0 && status != 101) {
        describe_status(l, status);
    } else if (starts(said, "proxy")) {
        describe_proxy(l);
    } else if (starts(said, "connect S") || starts(said, "Timed out waiting SSL")) {
        describe_tls(l);
    } else if (starts(said, "HS: ")) {
        (void)error_set(&l->reason, ERROR_PEER, "relay's answer to the upgrade is unusable: %s",
                        said + strlen("HS: "));
    } else if (starts(said, "Unable to connect")) {
        (void)error_set(&l->reason, ERROR_CLOSED, "cannot connect to %s", l->relay.host);
    } else {
        (void)error_set(&l->reason, ERROR_CLOSED, "%s closed the connection before the upgrade",
                        l->relay.host);
    }
}
