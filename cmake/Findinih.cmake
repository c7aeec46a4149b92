# SPDX-License-Identifier: Apache-2.0
# Finds inih, which Debian ships without CMake files. Target: inih::inih.

find_path(inih_INCLUDE_DIR NAMES ini.h)
find_library(inih_LIBRARY NAMES inih)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(inih
    REQUIRED_VARS inih_LIBRARY inih_INCLUDE_DIR
    FAIL_MESSAGE "inih not found: install Debian's package libinih-dev")

if(inih_FOUND AND NOT TARGET inih::inih)
    add_library(inih::inih UNKNOWN IMPORTED)
    set_target_properties(inih::inih PROPERTIES
        IMPORTED_LOCATION "${inih_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${inih_INCLUDE_DIR}")
endif()
