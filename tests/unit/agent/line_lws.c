/* SPDX-License-Identifier: Apache-2.0 */
/* What an open link asks libwebsockets for, whose struct lws is a struct line here. The test itself
 * frees the link, as libwebsockets has it freed some time after lws_set_timeout. */
#include "agent/tunnel/link_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/agent/line.h"

/* The linker's --wrap option asks for these names. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
SSL *__wrap_lws_get_ssl(struct lws *wsi);
int __wrap_lws_get_socket_fd(struct lws *wsi);
int __wrap_lws_rx_flow_control(struct lws *wsi, int enable);
void __wrap_lws_set_timeout(struct lws *wsi, enum pending_timeout reason, int secs);
void __wrap_lws_cancel_service(struct lws_context *context);

static const struct line *line_of(struct lws *wsi)
{
    return (const struct line *)(const void *)wsi;
}

SSL *__wrap_lws_get_ssl(struct lws *wsi)
{
    return line_of(wsi)->agent;
}

int __wrap_lws_get_socket_fd(struct lws *wsi)
{
    return line_of(wsi)->agent_fd;
}

int __wrap_lws_rx_flow_control(struct lws *wsi, int enable)
{
    (void)wsi;
    assert_int_equal(enable, 0);
    return 0;
}

void __wrap_lws_set_timeout(struct lws *wsi, enum pending_timeout reason, int secs)
{
    (void)wsi;
    assert_int_equal(reason, PENDING_TIMEOUT_USER_OK);
    assert_int_equal(secs, LWS_TO_KILL_ASYNC);
}

void __wrap_lws_cancel_service(struct lws_context *context)
{
    (void)context;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
