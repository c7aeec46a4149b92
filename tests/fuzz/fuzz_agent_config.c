/* SPDX-License-Identifier: Apache-2.0 */
/* agent.conf: refused with a sentence that names the file, or a configuration from which the parts
 * can be set up. The file is one in memory (a disk would flush it each time it is written anew);
 * the secrets it may name lie beside it. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config.h"

#define SECRET "abcdefghijklmnopqrstuvwxyz012345"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/dev/shm/fuzz-agent-XXXXXX";
static char conf[64];
static char token[64];

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static void remove_folder(void)
{
    (void)unlink(conf);
    (void)unlink(token);
    (void)rmdir(folder);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
}

static void set_up(void)
{
    require(mkdtemp(folder) != NULL);
    (void)snprintf(conf, sizeof(conf), "%s/agent.conf", folder);
    (void)snprintf(token, sizeof(token), "%s/token", folder);
    write_file(token, SECRET "\n", 33);
    (void)atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = NULL;
    struct error_text e = {""};
    if (conf[0] == '\0') {
        set_up();
    }
    write_file(conf, data, size);
    if (config_load(conf, &c, &e) < 0) {
        require(c == NULL && e.text[0] != '\0');
        /* A secret of a file is in no message, unless the configuration itself has it. */
        require(strstr(e.text, SECRET) == NULL || memmem(data, size, SECRET, 32) != NULL);
        return 0;
    }
    require(c->relay_urls.n_values >= 1 && c->relay_urls.n_values <= CONF_VALUES_MAX);
    for (size_t i = 0; i < c->relay_urls.n_values; i++) {
        struct dialer_settings d = config_dialer(c, i);
        require(d.relay->host[0] != '\0' && d.relay->port != 0);
    }
    require(config_upstream(c).max_connections >= 1);
    require(config_same_upstream(c, c));
    config_free(c);
    return 0;
}
