# SPDX-License-Identifier: Apache-2.0
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(tnx_lint ${CMAKE_SOURCE_DIR}/tests/lint/layers.py)
add_test(NAME lint/layers COMMAND Python3::Interpreter ${tnx_lint} ${CMAKE_SOURCE_DIR})
add_test(NAME lint/layers_self_test COMMAND Python3::Interpreter ${tnx_lint} --self-test)
set_tests_properties(lint/layers lint/layers_self_test PROPERTIES TIMEOUT 60)
