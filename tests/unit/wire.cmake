# SPDX-License-Identifier: Apache-2.0
# The fixtures: two muxes joined over memory and their life, events and frames as text.
add_library(test_wire_pipe STATIC wire/event_log.c wire/pipe.c wire/life.c wire/frame_text.c
    wire/frame_print.c)
target_link_libraries(test_wire_pipe PUBLIC proto_wire PkgConfig::cmocka)

tnx_unit(wire/frame proto_wire)
tnx_unit(wire/head proto_wire)
tnx_unit(wire/mux_streams proto_wire)
tnx_unit(wire/mux test_wire_pipe)
tnx_unit(wire/mux_version test_wire_pipe)
tnx_unit(wire/mux_drain test_wire_pipe)
tnx_unit(wire/mux_flow test_wire_pipe)
tnx_unit(wire/mux_fault test_wire_pipe)
tnx_unit(wire/mux_limit test_wire_pipe)
tnx_unit(wire/mux_gather test_wire_pipe)
tnx_unit(wire/mux_time test_wire_pipe)
tnx_unit(wire/mux_cut test_wire_pipe)
tnx_unit(wire/mux_model test_wire_pipe)

# The test sees and refuses allocations.
tnx_unit(wire/mux_memory test_wire_pipe)
target_link_options(test_wire_mux_memory PRIVATE
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free)

# Runs the Markdown cases of tests/conformance/tunnel.
tnx_unit(wire/conformance test_wire_pipe)
target_compile_definitions(test_wire_conformance PRIVATE
    TNX_CASES="${CMAKE_SOURCE_DIR}/tests/conformance/tunnel")
