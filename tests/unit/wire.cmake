# SPDX-License-Identifier: Apache-2.0
# The fixture: two muxes joined over memory, events as text, frames as text.
add_library(test_wire_pipe STATIC wire/event_log.c wire/pipe.c)
target_link_libraries(test_wire_pipe PUBLIC proto_wire PkgConfig::cmocka)

tnx_unit(wire/frame proto_wire)
tnx_unit(wire/head proto_wire)
tnx_unit(wire/mux_streams proto_wire)
tnx_unit(wire/mux test_wire_pipe)
tnx_unit(wire/mux_flow test_wire_pipe)
tnx_unit(wire/mux_fault test_wire_pipe)
tnx_unit(wire/mux_limit test_wire_pipe)
tnx_unit(wire/mux_time test_wire_pipe)


