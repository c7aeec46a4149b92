# SPDX-License-Identifier: Apache-2.0
tnx_unit(relay/websocket relay_serve)
tnx_failing_allocator(test_relay_websocket)
tnx_unit(relay/proxy relay_serve)
tnx_unit(relay/forwarded relay_serve)
