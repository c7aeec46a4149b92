/* SPDX-License-Identifier: Apache-2.0 */
/* thinknx-relay: the command line. */
#include <stdio.h>
#include <string.h>

#include "proto/base/secret.h"
#include "proto/io/crypto.h"
#include "proto/json/json_text.h"
#include "relay/admin/commands.h"
#include "relay/exit_codes.h"
#include "relay/serve.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"init", command_init, "make configuration, database, certificates; say what to do next"},
    {"serve", command_serve, "run the relay in the foreground"},
    {"check", command_check, "check the configuration"},
    {"server", command_server, "add, list, show, change, disable, enable, remove servers"},
    {"key", command_key, "enable, list, rotate, revoke Integration Kit keys"},
    {"status", command_status, "show which buildings are connected, which leg is broken"},
    {"operator", command_operator, "add, list, remove those who may log in to the pages"},
    {"audit", command_audit, "show who did what"},
    {"backup", command_backup, "copy the database while the relay runs"},
};

static void print_usage(FILE *to)
{
    (void)fputs("usage: thinknx-relay COMMAND [OPTION...]\n\n", to);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        (void)fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    }
    (void)fputs("\nEvery command has --help. Most take --config FILE "
                "(default /etc/thinknx-relay/relay.conf).\n",
                to);
}

int main(int argc, char **argv)
{
    secret_harden_process(); /* the commands, too, have keys and tokens in memory */
    json_text_start();
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_CODE_CONFIG;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return EXIT_CODE_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("thinknx-relay %s\n", TNX_VERSION);
        return EXIT_CODE_OK;
    }
    crypto_start();
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "thinknx-relay: unknown command \"%s\"; see --help\n", argv[1]);
    return EXIT_CODE_CONFIG;
}
