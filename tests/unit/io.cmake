# SPDX-License-Identifier: Apache-2.0
# Certificates in files.
add_library(test_io_pair_files STATIC io/pair_files.c)
target_link_libraries(test_io_pair_files PUBLIC proto_io PkgConfig::cmocka)
# Both ends of a connection on one loop.
add_library(test_io_ends STATIC io/ends.c io/far.c)
target_link_libraries(test_io_ends PUBLIC test_io_pair_files)

tnx_unit(io/crypto proto_io)
tnx_unit(io/log_delay proto_io)
tnx_unit(io/wheel proto_io)
tnx_unit(io/signals proto_io)
tnx_unit(io/tcp_line proto_io)
tnx_unit(io/tls test_io_pair_files)
tnx_unit(io/tls_files test_io_pair_files)
tnx_unit(io/tls_memory test_io_pair_files)
tnx_failing_allocator(test_io_tls_memory)
tnx_unit(io/conn test_io_ends)
tnx_failing_allocator(test_io_conn)
tnx_unit(io/conn_end test_io_ends)
tnx_unit(io/conn_finish test_io_ends)
tnx_unit(io/conn_preamble test_io_ends)
tnx_unit(io/conn_tls test_io_ends)
tnx_failing_allocator(test_io_conn_tls)
