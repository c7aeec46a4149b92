# SPDX-License-Identifier: Apache-2.0
tnx_unit(agent/url agent_tunnel)
tnx_unit(agent/retry agent_tunnel)
tnx_unit(agent/trust agent_tunnel)
tnx_unit(agent/race agent_tunnel)
tnx_unit(agent/link agent_tunnel)
tnx_unit(agent/config agent_core)

# The test is the name resolver.
target_link_options(test_agent_race PRIVATE
    -Wl,--wrap=uv_getaddrinfo,--wrap=uv_freeaddrinfo)
