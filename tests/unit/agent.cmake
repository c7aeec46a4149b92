# SPDX-License-Identifier: Apache-2.0
tnx_unit(agent/url agent_tunnel)
tnx_unit(agent/retry agent_tunnel)
tnx_unit(agent/trust agent_tunnel)
tnx_failing_allocator(test_agent_trust)
tnx_unit(agent/race agent_tunnel)
tnx_unit(agent/lookup agent_tunnel)
tnx_unit(agent/link agent_tunnel)
tnx_failing_allocator(test_agent_link)
tnx_unit(agent/link_wire agent_tunnel)
tnx_unit(agent/config agent_core)

# The tests are the name resolver, and in one of them the line.
target_link_options(test_agent_race PRIVATE -Wl,--wrap=uv_tcp_connect)
foreach(test IN ITEMS race lookup)
    target_link_options(test_agent_${test} PRIVATE
        -Wl,--wrap=uv_getaddrinfo,--wrap=uv_freeaddrinfo)
endforeach()
# line_lws.c is libwebsockets, and the test the clock.
target_link_options(test_agent_link_wire PRIVATE
    -Wl,--wrap=lws_get_ssl,--wrap=lws_get_socket_fd,--wrap=lws_rx_flow_control
    -Wl,--wrap=lws_set_timeout,--wrap=lws_cancel_service,--wrap=uv_now)
target_sources(test_agent_link_wire PRIVATE agent/line.c agent/line_lws.c)
target_link_libraries(test_agent_link_wire PRIVATE PkgConfig::libwebsockets)
