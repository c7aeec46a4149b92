# SPDX-License-Identifier: Apache-2.0
tnx_unit(agent/url agent_tunnel)
tnx_unit(agent/retry agent_tunnel)
tnx_unit(agent/trust agent_tunnel)
tnx_failing_allocator(test_agent_trust)
tnx_unit(agent/race agent_tunnel)
tnx_unit(agent/lookup agent_tunnel)
tnx_unit(agent/link agent_tunnel)
tnx_failing_allocator(test_agent_link)
tnx_unit(agent/config agent_core)

# The tests are the name resolver, and in one of them the line.
target_link_options(test_agent_race PRIVATE -Wl,--wrap=uv_tcp_connect)
foreach(test IN ITEMS race lookup)
    target_link_options(test_agent_${test} PRIVATE
        -Wl,--wrap=uv_getaddrinfo,--wrap=uv_freeaddrinfo)
endforeach()
