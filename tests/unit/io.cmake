# SPDX-License-Identifier: Apache-2.0
# Certificates in files.
add_library(test_io_pair_files STATIC io/pair_files.c)
target_link_libraries(test_io_pair_files PUBLIC proto_io PkgConfig::cmocka)

tnx_unit(io/wheel proto_io)
tnx_unit(io/tls test_io_pair_files)
