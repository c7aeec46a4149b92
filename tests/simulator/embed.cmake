# SPDX-License-Identifier: Apache-2.0
# cmake -DINPUT=house.json -DOUTPUT=house_json.c -P embed.cmake
# Writes a file's bytes as the C array that house_json.h declares.

file(READ "${INPUT}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n    "
    bytes "${bytes}")
file(WRITE "${OUTPUT}" "/* Made by embed.cmake from house.json. */
#include \"tests/simulator/house_json.h\"

const unsigned char HOUSE_JSON[] = {
    ${bytes}
};
const size_t HOUSE_JSON_BYTES = sizeof HOUSE_JSON;
")
