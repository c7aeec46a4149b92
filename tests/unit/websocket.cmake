# SPDX-License-Identifier: Apache-2.0
# A peer's frames, and the log of what they give.
add_library(test_websocket_frames STATIC websocket/frames.c)
target_link_libraries(test_websocket_frames PUBLIC proto_websocket PkgConfig::cmocka)

tnx_unit(websocket/receive test_websocket_frames)
tnx_unit(websocket/control test_websocket_frames)
tnx_unit(websocket/send test_websocket_frames)
tnx_failing_allocator(test_websocket_send)
