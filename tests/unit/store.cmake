# SPDX-License-Identifier: Apache-2.0
tnx_unit(store/credential relay_store)
tnx_unit(store/database relay_store)
tnx_unit(store/servers relay_store)
tnx_unit(store/keys relay_store)
tnx_unit(store/scope relay_store)
tnx_unit(store/directory relay_store)
tnx_failing_allocator(test_store_directory)
tnx_unit(store/control relay_store)
tnx_unit(store/store relay_store)
target_sources(test_store_store PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/store/broken_disk.c)
tnx_unit(store/config relay_admin)
tnx_unit(store/commands relay_admin)

# Not a test: figures for many keys.
add_executable(bench_keys ${CMAKE_SOURCE_DIR}/tests/bench/keys.c)
set_target_properties(bench_keys PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
target_link_libraries(bench_keys PRIVATE relay_store)
