# SPDX-License-Identifier: Apache-2.0
tnx_unit(json/json_text proto_json)
tnx_failing_allocator(test_json_json_text)
