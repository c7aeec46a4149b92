# SPDX-License-Identifier: Apache-2.0
tnx_unit(pages/guard proto_pages)
tnx_unit(pages/house proto_pages)
tnx_failing_allocator(test_pages_house)
