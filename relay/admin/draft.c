/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a first relay.conf. */
#include "relay/admin/draft.h"

#include <stdio.h>
#include <stdlib.h>

static void print_listens(FILE *out, const struct option_list *list)
{
    for (size_t k = 0; k < list->n_values; k++) {
        (void)fprintf(out, "listen = %s\n", list->values[k]);
    }
}

/* Everything commented out shows its default. Failures of the stream show when it is closed. */
static void print_conf(const struct draft *d, FILE *out)
{
    (void)fprintf(out,
                  "# Configuration of thinknx-relay, made by \"thinknx-relay init\".\n"
                  "# Relative paths start in this file's folder. After a change: \"thinknx-relay "
                  "check\", then SIGHUP.\n"
                  "\n"
                  "[relay]\n"
                  "database = %s\n"
                  "# What the URLs of keys begin with, and where http:// is redirected to.\n"
                  "public_url = %s\n"
                  "# Threads that serve; 0: by the number of cores.\n"
                  "#workers = 0\n"
                  "#log_format = logfmt      ; or json\n"
                  "#log_level = info         ; error, warn, info, debug\n",
                  d->database, d->public_url);
    if (d->runtime_file != NULL) {
        (void)fprintf(out, "runtime_file = %s\n", d->runtime_file);
    }
    (void)fprintf(out, "\n[https]\n");
    print_listens(out, d->listen);
    (void)fprintf(out,
                  "# May be repeated, in pairs: the right one is chosen by the name the client "
                  "asks for.\n"
                  "certificate = %s\n"
                  "private_key = %s\n"
                  "\n"
                  "[http]\n"
                  "# Only redirects to public_url.\n",
                  d->certificate, d->private_key);
    print_listens(out, d->http_listen);
    (void)fprintf(out, "\n[admin]\n"
                       "# /metrics, /healthz, /readyz\n");
    print_listens(out, d->admin_listen);
    (void)fputs(
        "\n"
        "[limits]\n"
        "#key_rate = 20            ; requests per second and burst of a key without its own\n"
        "#key_burst = 40\n"
        "#set_rate = 0             ; commands per second and building; 0: no limit\n"
        "#set_burst = 10\n"
        "#refused_rate = 1         ; refused keys per second and client address\n"
        "#refused_burst = 30\n"
        "#connections = 10000\n"
        "#connections_per_address = 1000\n"
        "#in_flight_per_server = 512\n"
        "\n"
        "[timeouts]\n"
        "#server = 10              ; seconds for a building's answer\n"
        "#server_fb = 30           ; the same with \"fb\"\n"
        "#offline_grace = 3        ; a building that reconnects is waited for so long\n",
        out);
}

char *draft_format(const struct draft *d)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL) {
        return NULL;
    }
    print_conf(d, out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
