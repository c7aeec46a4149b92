/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay serve` and `thinknx-relay check`: their arguments. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "relay/certificates.h"
#include "relay/config.h"
#include "relay/exit_codes.h"
#include "relay/serve.h"

/* Path of the configuration; NULL with `*code` if there is nothing more to do. `settings` says that
 * the command knows --settings, and prints them. */
static const char *config_option(int argc, char **argv, const char *usage, bool settings, int *code)
{
    const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                     {"help", no_argument, NULL, 'h'},
                                     {settings ? "settings" : NULL, no_argument, NULL, 's'},
                                     {NULL, 0, NULL, 0}};
    const char *path = CONFIG_DEFAULT_PATH;
    int option = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c') {
            path = optarg;
            continue;
        }
        if (option == 's') {
            relay_config_list(stdout);
            *code = fflush(stdout) == 0 ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
            return NULL;
        }
        (void)fputs(usage, option == 'h' ? stdout : stderr);
        *code = option == 'h' ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
        return NULL;
    }
    if (optind < argc) {
        (void)fprintf(stderr, "thinknx-relay %s: unknown argument \"%s\"\n", argv[0], argv[optind]);
        *code = EXIT_CODE_CONFIG;
        return NULL;
    }
    return path;
}

static int read_config(const char *path, struct relay_config *c)
{
    struct error_text e = {""};
    int err = relay_config_read(path, c, &e);
    if (err < 0) {
        (void)fprintf(stderr, "thinknx-relay: %s\n", e.text);
    }
    return err;
}

int command_serve(int argc, char **argv)
{
    int code = EXIT_CODE_OK;
    const char *path =
        config_option(argc, argv,
                      "usage: thinknx-relay serve [--config FILE]\n\n"
                      "Runs the relay in the foreground and logs to stderr.\n"
                      "SIGTERM drains and ends, SIGHUP reloads, SIGUSR2 hands over to a new\n"
                      "process without losing a request.\n\n"
                      "  --config FILE   default " CONFIG_DEFAULT_PATH "\n",
                      false, &code);
    if (path == NULL) {
        return code;
    }
    struct relay_config c;
    if (read_config(path, &c) < 0) {
        return EXIT_CODE_CONFIG;
    }
    code = serve_with(path, &c);
    relay_config_free(&c);
    return code;
}

int command_check(int argc, char **argv)
{
    int code = EXIT_CODE_OK;
    const char *path = config_option(argc, argv,
                                     "usage: thinknx-relay check [--config FILE | --settings]\n\n"
                                     "Checks the configuration and reads the certificates.\n\n"
                                     "  --config FILE   default " CONFIG_DEFAULT_PATH "\n"
                                     "  --settings      list all settings with their defaults\n",
                                     true, &code);
    struct relay_config c;
    if (path == NULL) {
        return code;
    }
    if (read_config(path, &c) < 0) {
        return EXIT_CODE_CONFIG;
    }
    struct error_text e = {""};
    struct tls_server *tls[REF_WORKERS_MAX] = {NULL};
    int err = certificates_load(&c, NULL, 1, tls, &e);
    if (err < 0) {
        (void)fprintf(stderr, "thinknx-relay: %s: %s\n", path, e.text);
    } else {
        (void)printf("%s: configuration ok\n", path);
    }
    tls_server_free(tls[0]);
    relay_config_free(&c);
    return err < 0 ? EXIT_CODE_CONFIG : EXIT_CODE_OK;
}
