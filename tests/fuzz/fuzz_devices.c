/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's file of devices: refused with a sentence, or a house in which every device is
 * found by its class and GUID. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulator/house.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct house h;
    struct error_text e = {""};
    char *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, data, size);
    if (house_parse("devices.json", (struct span){copy, size}, &h, &e) < 0) {
        require(strncmp(e.text, "devices.json", 12) == 0 || strstr(e.text, "memory") != NULL);
        free(copy);
        return 0;
    }
    require(h.n_devices <= HOUSE_DEVICES_MAX);
    for (size_t i = 0; i < h.n_devices; i++) {
        struct device *d = &h.devices[i];
        struct span guid = span_of(d->guid);
        require(house_find(&h, d->device_class, guid) == d && house_has(&h, guid));
        require(d->n_operations <= HOUSE_OPERATIONS_MAX);
        (void)device_status(d, CONTROLLER_OBJECT_POWER, 1000);
    }
    house_close(&h);
    free(copy);
    return 0;
}
