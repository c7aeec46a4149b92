# SPDX-License-Identifier: Apache-2.0
# Finds wslay, which Debian ships without CMake files. Target: wslay::wslay.

find_path(wslay_INCLUDE_DIR NAMES wslay/wslay.h)
find_library(wslay_LIBRARY NAMES wslay)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(wslay
    REQUIRED_VARS wslay_LIBRARY wslay_INCLUDE_DIR
    FAIL_MESSAGE "wslay not found: install Debian's package libwslay-dev")

if(wslay_FOUND AND NOT TARGET wslay::wslay)
    add_library(wslay::wslay UNKNOWN IMPORTED)
    set_target_properties(wslay::wslay PROPERTIES
        IMPORTED_LOCATION "${wslay_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${wslay_INCLUDE_DIR}")
endif()
