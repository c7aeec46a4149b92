# SPDX-License-Identifier: Apache-2.0
# Warnings, hardening and sanitizers, as one interface target that all our own targets link.
# _FILE_OFFSET_BITS: on 32-bit machines libuv is built so, and a struct of it depends on it.
# _TIME_BITS: there, times past 2038 need 64 bits too; the agent gives no time_t to a library.

add_library(tnx_compile INTERFACE)
target_include_directories(tnx_compile INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(tnx_compile INTERFACE
    _GNU_SOURCE _FILE_OFFSET_BITS=64 _TIME_BITS=64 TNX_VERSION="${PROJECT_VERSION}")

target_compile_options(tnx_compile INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wcast-qual -Wformat=2 -Wundef -Wvla -Wswitch-enum -Wnull-dereference
    -fno-strict-aliasing -fno-common)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(tnx_compile INTERFACE
        -Wlogical-op -Wduplicated-cond -Wduplicated-branches)
endif()
if(TNX_WERROR)
    target_compile_options(tnx_compile INTERFACE -Werror)
endif()

if(TNX_SANITIZE)
    add_compile_options(-fsanitize=${TNX_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${TNX_SANITIZE})
else()
    # Each function in a section of its own, so that the linker leaves out what a program has no use
    # for: both link the same libraries.
    set(TNX_HARDENING -fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        list(APPEND TNX_HARDENING -fcf-protection)
    endif()
    target_compile_options(tnx_compile INTERFACE
        ${TNX_HARDENING} -fPIE -ffunction-sections -fdata-sections)
    if(CMAKE_BUILD_TYPE MATCHES "Rel")
        target_compile_definitions(tnx_compile INTERFACE _FORTIFY_SOURCE=2)
    endif()
    # The programs are optimised as a whole (tnx_program). The objects are complete without that,
    # for the tests, which link the same libraries and replace functions in them.
    if(CMAKE_BUILD_TYPE MATCHES "Rel" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        set(TNX_LTO -flto=auto -ffat-lto-objects)
        target_compile_options(tnx_compile INTERFACE ${TNX_LTO})
    endif()
    target_link_options(tnx_compile INTERFACE -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
        -Wl,--gc-sections)
endif()
if(TNX_COVERAGE)
    add_compile_options(--coverage -O0)
    add_link_options(--coverage)
endif()

# tnx_program(TARGET) is linked as what is packed.
function(tnx_program target)
    if(TNX_LTO)
        target_link_options(${target} PRIVATE -flto=auto)
    endif()
endfunction()

# tnx_headers(TARGET DIR...) declares the public headers of a target, so that
# CMAKE_VERIFY_INTERFACE_HEADER_SETS proves that each of them compiles alone.
function(tnx_headers target)
    target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES ${ARGN})
endfunction()
