# SPDX-License-Identifier: Apache-2.0
# cmake -DINPUT=FILE -DOUTPUT=FILE.c -DNAME=ARRAY -DHEADER=PATH.h -P embed.cmake
# Writes a file's bytes as the C array NAME, with NAME_BYTES, as the header declares them.

file(READ "${INPUT}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE "${OUTPUT}" "/* Made by cmake/embed.cmake. */
#include \"${HEADER}\"

const unsigned char ${NAME}[] = {${bytes}};
const size_t ${NAME}_BYTES = sizeof ${NAME};
")
