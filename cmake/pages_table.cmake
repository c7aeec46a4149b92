# SPDX-License-Identifier: Apache-2.0
# cmake -DFILES="PATH=FILE;..." -DOUTPUT=FILE.c -DTABLE=NAME -DHEADER=PATH.h -DFORMS=BOTH|PLAIN
#     -P pages_table.cmake
# Writes the files as the table NAME of proto/pages/asset.h; BOTH: plain and compressed.

function(to_bytes file out len)
    file(READ "${file}" hex HEX)
    string(LENGTH "${hex}" n)
    math(EXPR n "${n} / 2")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    set(${out} "${bytes}" PARENT_SCOPE)
    set(${len} "${n}" PARENT_SCOPE)
endfunction()

set(TYPE_html "text/html; charset=utf-8")
set(TYPE_css "text/css; charset=utf-8")
set(TYPE_js "text/javascript; charset=utf-8")
set(TYPE_svg "image/svg+xml")

set(arrays "")
set(rows "")
set(i 0)
foreach(item IN LISTS FILES)
    string(REPLACE "=" ";" item "${item}")
    list(GET item 0 path)
    list(GET item 1 file)
    string(REGEX MATCH "[a-z]+$" suffix "${path}")
    file(SHA256 "${file}" hash)
    string(SUBSTRING "${hash}" 0 16 hash)
    to_bytes("${file}" plain plain_len)
    string(APPEND arrays "static const unsigned char plain_${i}[] = {${plain}};\n")
    set(gzip_span "NULL, 0")
    if(FORMS STREQUAL "BOTH")
        execute_process(COMMAND gzip -9nc "${file}" OUTPUT_FILE "${OUTPUT}.gz" COMMAND_ERROR_IS_FATAL ANY)
        to_bytes("${OUTPUT}.gz" gzip gzip_len)
        file(REMOVE "${OUTPUT}.gz")
        string(APPEND arrays "static const unsigned char gzip_${i}[] = {${gzip}};\n")
        set(gzip_span "(const char *)gzip_${i}, ${gzip_len}")
    endif()
    string(APPEND rows "    {\"${path}\", \"${TYPE_${suffix}}\", \"\\\"${hash}\\\"\",\n"
        "     {(const char *)plain_${i}, ${plain_len}}, {${gzip_span}}},\n")
    math(EXPR i "${i} + 1")
endforeach()
file(WRITE "${OUTPUT}" "/* Made by pages_table.cmake. */
#include \"${HEADER}\"

${arrays}
static const struct asset ROWS[] = {
${rows}};
const struct asset_table ${TABLE} = {ROWS, ${i}};
")
