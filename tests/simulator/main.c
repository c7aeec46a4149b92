/* SPDX-License-Identifier: Apache-2.0 */
/* thinknx-simulator: the program. */
#include <stdio.h>

#include "proto/base/secret.h"
#include "tests/simulator/house_json.h"
#include "tests/simulator/options.h"
#include "tests/simulator/server.h"

/* Exit codes (see --help). */
#define EXIT_OK      0
#define EXIT_FAILED  1
#define EXIT_BAD_USE 2

static int print(const char *text, size_t len)
{
    return fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int complain(int code, const struct error_text *e)
{
    (void)fprintf(stderr, "thinknx-simulator: %s\n", e->text); /* nowhere else to say it */
    return code == ERROR_CONFIG ? EXIT_BAD_USE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    static const char VERSION[] = "thinknx-simulator " TNX_VERSION "\n";
    struct options options;
    struct error_text e = {"unknown reason"};

    secret_harden_process(); /* it has a password */
    int rc = options_parse(argc, argv, &options, &e);

    if (rc != 0) {
        return complain(rc, &e);
    }
    switch (options.action) {
    case OPTIONS_HELP: return print(options_usage(), span_of(options_usage()).len);
    case OPTIONS_VERSION: return print(VERSION, sizeof VERSION - 1);
    case OPTIONS_PRINT_DEVICES: return print((const char *)HOUSE_JSON, HOUSE_JSON_BYTES);
    case OPTIONS_RUN: break;
    }
    log_set_level(options.log_level);
    rc = server_run(&options, &e);
    return rc == 0 ? EXIT_OK : complain(rc, &e);
}
