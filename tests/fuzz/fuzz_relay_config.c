/* SPDX-License-Identifier: Apache-2.0 */
/* relay.conf from memory: refused with a sentence that names the file, or settings within their
 * bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "relay/config.h"
#include "relay/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct relay_config c;
    struct error_text e = {""};
    char *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, data, size);
    int rc = relay_config_parse("relay.conf", copy, size, &c, &e);
    free(copy);
    if (rc < 0) {
        require(strncmp(e.text, "relay.conf", 10) == 0);
        return 0;
    }
    struct settings s = settings_of(&c);
    require(strlen(s.public_url) < sizeof(s.public_url));
    require(c.certificates.n_values == c.private_keys.n_values);
    require(s.proxy.n_blocks <= PROXY_TRUSTED_MAX);
    require(s.head_ms > 0 && s.body_ms > 0 && s.server_ms > 0 && s.connections > 0);
    relay_config_free(&c);
    return 0;
}
