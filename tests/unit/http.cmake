# SPDX-License-Identifier: Apache-2.0
# The verdict on a stream, over all ways of cutting it.
add_library(test_http_verdict STATIC http/verdict.c)
target_link_libraries(test_http_verdict PUBLIC proto_http PkgConfig::cmocka)

tnx_unit(http/request test_http_verdict)
tnx_unit(http/request_line test_http_verdict)
tnx_unit(http/request_body test_http_verdict)
tnx_unit(http/request_limit test_http_verdict)
tnx_failing_allocator(test_http_request_limit)
tnx_unit(http/chunked proto_http)
