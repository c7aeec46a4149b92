# SPDX-License-Identifier: Apache-2.0
# The pages' files as a table in a program. What a program's pages do not use is not built into it.

# Debian packages node-mithril and libjs-dygraphs; a folder of your own may take their place.
find_file(TNX_MITHRIL mithril.js PATHS /usr/lib/nodejs/mithril /usr/share/nodejs/mithril REQUIRED
    NO_CMAKE_FIND_ROOT_PATH)
if(TNX_RELAY)
    find_file(TNX_DYGRAPH dygraph.min.js PATHS /usr/share/javascript/dygraphs REQUIRED
        NO_CMAKE_FIND_ROOT_PATH)
    find_file(TNX_DYGRAPH_CSS dygraph.min.css PATHS /usr/share/javascript/dygraphs REQUIRED
        NO_CMAKE_FIND_ROOT_PATH)
endif()

# Files that have another name than what they are taken from.
set(TNX_PAGES_mithril.js ${TNX_MITHRIL})
set(TNX_PAGES_dygraph.js ${TNX_DYGRAPH})
set(TNX_PAGES_dygraph.css ${TNX_DYGRAPH_CSS})

# tnx_pages(TARGET TABLE HEADER BOTH|PLAIN FILE...) adds `TABLE`, which HEADER declares, to the
# target: the files as they are, with BOTH also compressed.
function(tnx_pages target table header forms)
    set(site ${CMAKE_SOURCE_DIR}/proto/pages/site)
    set(pairs "")
    set(inputs "")
    foreach(name ${ARGN})
        set(input ${site}/${name})
        if(DEFINED TNX_PAGES_${name})
            set(input ${TNX_PAGES_${name}})
        endif()
        list(APPEND pairs "/${name}=${input}")
        list(APPEND inputs ${input})
    endforeach()
    set(output ${CMAKE_CURRENT_BINARY_DIR}/pages_table.c)
    add_custom_command(
        OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} "-DFILES=${pairs}" -DOUTPUT=${output} -DTABLE=${table}
            -DHEADER=${header} -DFORMS=${forms} -P ${CMAKE_SOURCE_DIR}/cmake/pages_table.cmake
        DEPENDS ${inputs} ${CMAKE_SOURCE_DIR}/cmake/pages_table.cmake
        VERBATIM)
    target_sources(${target} PRIVATE ${output})
endfunction()
