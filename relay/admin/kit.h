/* SPDX-License-Identifier: Apache-2.0 */
/* What the installer of an agent is given: agent.conf, the agent's token, and the certificate
 * authority to trust. */
#ifndef RELAY_ADMIN_KIT_H
#define RELAY_ADMIN_KIT_H

#include <jansson.h>

#include "proto/base/error.h"
#include "relay/admin/certificate.h"
#include "relay/admin/file.h"
#include "relay/config.h"
#include "relay/store/credential.h"

/* Largest agent.conf. */
#define KIT_CONF_BYTES 4096

/* "wss://" instead of "https://", and a port if there was none. */
#define KIT_URL_BYTES (CONFIG_URL_BYTES + 8)

struct kit {
    const char *serial;      /* borrowed */
    struct credential token; /* set by the caller */
    char url[KIT_URL_BYTES];
    char *ca;                                        /* PEM, owned; NULL = a public one */
    char fingerprint[CERTIFICATE_FINGERPRINT_BYTES]; /* of the CA */
};

/* Where its files go. */
struct kit_paths {
    char conf[FILE_PATH_BYTES];
    char token[FILE_PATH_BYTES];
    char ca[FILE_PATH_BYTES];
};

/* Collects everything but the token. */
void kit_init(const struct relay_config *c, const char *serial, struct kit *kit);
/* Cleanses and frees. */
void kit_close(struct kit *kit);

/* Makes the folder and checks that none of the files is there yet: before the token is made, so
 * that it is not made in vain. ERROR_EXISTS, ERROR_IO, ERROR_CONFIG (the path is too long). */
int kit_prepare_folder(const struct kit *kit, const char *folder, struct kit_paths *paths,
                       struct error_text *e);

/* The text of agent.conf. */
int kit_format_conf(const struct kit *kit, char text[KIT_CONF_BYTES], struct error_text *e);

/* The files, with the token, as one JSON object; owned. NULL when out of memory. */
json_t *kit_describe_files(const struct kit *kit, const char *conf);

/* Writes the files. ERROR_EXISTS, ERROR_IO. */
int kit_write(const struct kit *kit, const char *conf, const struct kit_paths *paths,
              struct error_text *e);

#endif
