/* SPDX-License-Identifier: Apache-2.0 */
/* Device files as an agent gives them: the input is the file. What is taken is taken again as it
 * stands, and is within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "proto/pages/house.h"

static void require(int holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error_text e = {""};
    json_t *house = NULL;
    json_t *again = NULL;
    size_t n = 0;
    size_t n_again = 0;

    if (house_parse((struct span){(const char *)data, size}, &house, &n, &e) != 0) {
        require(e.text[0] != '\0' && house == NULL);
        return 0;
    }
    require(n <= HOUSE_DEVICES_MAX);
    require(json_array_size(json_object_get(house, "rooms")) <= HOUSE_ROOMS_MAX);
    require(house_take(house, &again, &n_again, &e) == 0 && n_again == n);
    require(json_equal(house, again));
    json_decref(again);
    json_decref(house);
    return 0;
}
