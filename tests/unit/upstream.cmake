# SPDX-License-Identifier: Apache-2.0
tnx_unit(http/field proto_http)
tnx_unit(http/query proto_http)
tnx_unit(http/response proto_http)
tnx_unit(http/response_limit proto_http)

# The server that misbehaves as it is told, and the calls that are recorded.
add_library(test_fake_server STATIC upstream/fake_server.c upstream/fixture.c)
target_link_libraries(test_fake_server PUBLIC agent_upstream PkgConfig::cmocka)

tnx_unit(upstream/digest agent_upstream)
tnx_unit(upstream/upstream test_fake_server)
tnx_unit(upstream/connection test_fake_server)
tnx_unit(upstream/deadline test_fake_server)
tnx_unit(upstream/authorization test_fake_server)
tnx_unit(upstream/lifetime test_fake_server)
tnx_unit(upstream/paused test_fake_server)
tnx_unit(upstream/memory test_fake_server)
tnx_failing_allocator(test_upstream_memory)
