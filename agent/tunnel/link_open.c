/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a link: what libwebsockets is told. */
#include "agent/tunnel/link_internal.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tunnel protocol has its own PING; zeroes turn that of lws off. */
static const lws_retry_bo_t no_policy = {0};

static int format_authorization(struct link *l, const struct link_target *target)
{
    char pair[LINK_SERIAL_BYTES + SECRET_BYTES];
    int len = snprintf(pair, sizeof(pair), "%s:%s", target->serial, target->token);
    int rc = ERROR_LIMIT;

    if (len > 0 && (size_t)len < sizeof(pair)) {
        memcpy(l->authorization, "Basic ", 6);
        (void)EVP_EncodeBlock((unsigned char *)l->authorization + 6, (unsigned char *)pair, len);
        rc = 0;
    }
    secret_cleanse(pair, sizeof(pair));
    return rc;
}

/* Tells lws the proxy's address of this attempt; its name has been resolved by us. */
static int set_proxy(struct link_lane *lane, const struct link_target *target, const char *ip,
                     uint16_t port)
{
    char text[LINK_PROXY_SECRET_BYTES + INET6_ADDRSTRLEN + sizeof("@[]:65535")];
    const char *user = target->proxy_user != NULL ? target->proxy_user : "";
    const char *password = target->proxy_password != NULL ? target->proxy_password : "";
    bool v6 = target->address->sa_family == AF_INET6;
    int len =
        snprintf(text, sizeof(text), "%s%s%s%s%s%s%s:%u", user, *user != '\0' ? ":" : "", password,
                 *user != '\0' ? "@" : "", v6 ? "[" : "", ip, v6 ? "]" : "", (unsigned)port);
    int rc = len < 0 || (size_t)len >= sizeof(text) ? -1 : lws_set_proxy(lane->vhost, text);

    secret_cleanse(text, sizeof(text));
    return rc == 0 ? 0 : ERROR_LIMIT;
}

/* An address as lws wants it: a text, and the port. */
static int format_address(const struct sockaddr *address, char ip[INET6_ADDRSTRLEN], uint16_t *port)
{
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        *port = ntohs(v6->sin6_port);
        return uv_ip6_name(v6, ip, INET6_ADDRSTRLEN);
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    *port = ntohs(v4->sin_port);
    return uv_ip4_name(v4, ip, INET6_ADDRSTRLEN);
}

static int start_connect(struct link *l, const struct link_target *target)
{
    char ip[INET6_ADDRSTRLEN];
    char host[URL_AUTHORITY_BYTES];
    char name[URL_AUTHORITY_BYTES]; /* for the proxy's CONNECT: brackets, but no port */
    uint16_t port = 0;

    if (format_address(target->address, ip, &port) != 0 ||
        (target->proxied && set_proxy(l->lane, target, ip, port) != 0)) {
        return ERROR_LIMIT;
    }
    url_format_authority(target->relay, URL_RELAY_PORT, host);
    url_format_authority(target->relay, target->relay->port, name);
    const struct lws_client_connect_info info = {
        .context = l->set->context,
        .vhost = l->lane->vhost,
        .address = target->proxied ? name : ip,
        .port = target->proxied ? target->relay->port : port,
        .path = LINK_PATH,
        .host = host,
        .protocol = LINK_SUBPROTOCOL,
        .alpn = "http/1.1",
        .ssl_connection = LCCSCF_USE_SSL | LCCSCF_HTTP_NO_FOLLOW_REDIRECT |
                          LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK,
        .retry_and_idle_policy = &no_policy,
        .ietf_version_or_minus_one = -1,
        .userdata = (void *)l->number, /* a number that lws only carries */
    };
    l->starting = true;
    l->wsi = lws_client_connect_via_info(&info);
    l->starting = false;
    return l->wsi == NULL || l->died ? ERROR_CLOSED : 0;
}

int link_open(struct link_lane *lane, const struct link_target *target,
              const struct link_callbacks *callbacks, void *user, struct link **link,
              struct error_text *e)
{
    struct link *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    assert(lane->connecting == NULL);
    l->set = lane->set;
    l->lane = lane;
    l->number = ++lane->set->last_number;
    l->callbacks = *callbacks;
    l->user = user;
    l->proxied = target->proxied;
    l->keepalive_s = target->proxied ? 0 : (target->keepalive_ms + 999) / 1000;
    l->proxy_has_user = target->proxy_user != NULL;
    l->relay = *target->relay;
    list_push(&lane->set->links, &l->node);
    lane->set->n_links++;
    lane->connecting = l;
    trust_begin(lane->trust);
    int rc = format_authorization(l, target);
    if (rc == 0) {
        rc = start_connect(l, target);
    }
    if (rc != 0) {
        link_describe(l, "Unable to connect", 0);
        (void)error_set(e, rc, "%s", l->reason.text);
        link_free(l);
        return rc;
    }
    *link = l;
    return 0;
}
