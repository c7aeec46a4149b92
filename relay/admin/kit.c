/* SPDX-License-Identifier: Apache-2.0 */
/* The files of an agent. */
#include "relay/admin/kit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/secret.h"

static void find_ca(const struct relay_config *c, struct kit *kit)
{
    char folder[FILE_PATH_BYTES];
    char path[FILE_PATH_BYTES];
    struct error_text ignored;

    if (c->certificates.n_values == 0 || file_folder(c->path, folder, &ignored) != 0 ||
        file_join(folder, "ca.pem", path, &ignored) != 0) {
        return;
    }
    /* Fails where the certificate is not from our own CA: then the agent needs none. */
    (void)certificate_find_ca(path, c->certificates.values[0], &kit->ca, kit->fingerprint);
}

void kit_init(const struct relay_config *c, const char *serial, struct kit *kit)
{
    const char *authority = c->public_url + sizeof("https://") - 1;
    const char *colon = strrchr(authority, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL;

    *kit = (struct kit){.serial = serial};
    (void)snprintf(kit->url, sizeof(kit->url), "wss://%s%s", authority, has_port ? "" : ":443");
    find_ca(c, kit);
}

void kit_close(struct kit *kit)
{
    credential_cleanse(&kit->token);
    free(kit->ca);
}

int kit_format_conf(const struct kit *kit, char text[KIT_CONF_BYTES], struct error_text *e)
{
    int n = snprintf(
        text, KIT_CONF_BYTES,
        "# Configuration of thinknx-agent for server %s.\n"
        "[relay]\n"
        "url = %s\n"
        "serial = %s\n"
        "token_file = agent.token\n"
        "%s%s%s%s"
        "\n"
        "[server]\n"
        "# Address and credentials of the Thinknx server, as seen from here.\n"
        "url = http://127.0.0.1:5051\n"
        "auth = none              ; digest, basic or query want user and password\n"
        "#user = service\n"
        "#password_file = password\n",
        kit->serial, kit->url, kit->serial, kit->ca == NULL ? "" : "ca_file = ca.pem\n",
        kit->ca == NULL ? "" : "# SHA-256 of ca.pem: ", kit->ca == NULL ? "" : kit->fingerprint,
        kit->ca == NULL ? "" : "\n");
    return n < 0 || n >= KIT_CONF_BYTES ? error_set(e, ERROR_INTERNAL, "agent.conf is too long")
                                        : 0;
}

json_t *kit_describe_files(const struct kit *kit, const char *conf)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s*, s:s*}", "serial", kit->serial, "token",
                     kit->token.text, "relay_url", kit->url, "agent_conf", conf, "ca_sha256",
                     kit->ca == NULL ? NULL : kit->fingerprint, "ca_pem", kit->ca);
}

int kit_prepare_folder(const struct kit *kit, const char *folder, struct kit_paths *paths,
                       struct error_text *e)
{
    int rc = file_make_folder(folder, e);
    if (rc == 0) {
        rc = file_join(folder, "agent.conf", paths->conf, e);
    }
    if (rc == 0) {
        rc = file_join(folder, "agent.token", paths->token, e);
    }
    if (rc == 0) {
        rc = file_join(folder, "ca.pem", paths->ca, e);
    }
    if (rc == 0) {
        rc = file_check_absent(paths->conf, e);
    }
    if (rc == 0) {
        rc = file_check_absent(paths->token, e);
    }
    if (rc == 0 && kit->ca != NULL) {
        rc = file_check_absent(paths->ca, e);
    }
    return rc;
}

int kit_write(const struct kit *kit, const char *conf, const struct kit_paths *paths,
              struct error_text *e)
{
    int rc = secret_write_file(paths->token, kit->token.text, e);
    if (rc == 0) {
        rc = file_create(paths->conf, 0640, conf, e);
    }
    if (rc == 0 && kit->ca != NULL) {
        rc = file_create(paths->ca, 0644, kit->ca, e);
    }
    return rc;
}
