# SPDX-License-Identifier: Apache-2.0
# Finds llhttp: an installed libllhttp where there is one, else the sources that Debian's
# package node-llhttp ships, which are compiled here in strict mode. Target: llhttp::llhttp.
#
# An installed library of version 9 is strict by itself; one of version 8 may have been built
# without strict mode, so it is not taken.

find_package(PkgConfig QUIET)
pkg_check_modules(PC_LLHTTP QUIET IMPORTED_TARGET libllhttp>=9)
if(PC_LLHTTP_FOUND)
    add_library(llhttp::llhttp ALIAS PkgConfig::PC_LLHTTP)
    set(llhttp_FOUND TRUE)
    return()
endif()

find_path(llhttp_SOURCE_DIR NAMES llhttp.c HINTS /usr/share/llhttp NO_DEFAULT_PATH)
find_path(llhttp_INCLUDE_DIR NAMES llhttp.h PATHS /usr/share/include/llhttp NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(llhttp
    REQUIRED_VARS llhttp_SOURCE_DIR llhttp_INCLUDE_DIR
    FAIL_MESSAGE "llhttp not found: install Debian's package node-llhttp")

if(llhttp_FOUND AND NOT TARGET llhttp::llhttp)
    add_library(llhttp STATIC
        ${llhttp_SOURCE_DIR}/llhttp.c ${llhttp_SOURCE_DIR}/api.c ${llhttp_SOURCE_DIR}/http.c)
    target_include_directories(llhttp SYSTEM PUBLIC ${llhttp_INCLUDE_DIR})
    target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
    target_compile_options(llhttp PRIVATE -w -fPIC ${TNX_HARDENING} ${TNX_LTO})
    add_library(llhttp::llhttp ALIAS llhttp)
endif()
