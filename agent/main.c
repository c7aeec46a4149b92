/* SPDX-License-Identifier: Apache-2.0 */
/* thinknx-agent: subcommands. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/ask.h"
#include "agent/config.h"
#include "agent/devices.h"
#include "agent/show.h"
#include "proto/base/clock.h"
#include "proto/base/secret.h"
#include "proto/io/crypto.h"
#include "proto/json/json_text.h"

/* Between two looks of --watch. */
#define WATCH_S 2

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
    const char *config;
    const char *socket; /* NULL = the one of the configuration */
    const char *label;
    const char *relay;
    bool json;
    bool watch;
    bool settings;
    const char *words[2]; /* what is no option */
    int n_words;
};

struct command {
    const char *name;
    const char *help;
    const char *options; /* letters of the options that it knows, see option_table */
    int (*run)(const struct options *o);
};

static const char help_main[] =
    "thinknx-agent connects a Thinknx server to a thinknx-relay.\n"
    "\n"
    "It runs beside the server, dials out to the relay, so that no port has to be opened, and\n"
    "answers the relay's requests with the server's answers. It holds the server's credentials;\n"
    "only paths under /api/v1/ ever reach the server.\n"
    "\n"
    "Usage: thinknx-agent COMMAND [OPTIONS]\n"
    "\n"
    "Commands:\n"
    "  run      run in the foreground\n"
    "  check    check the configuration, its secrets and its device files\n"
    "  status   show which leg is broken: agent to relay, agent to server\n"
    "  key      enable, list and revoke keys of this building\n"
    "\n"
    "  thinknx-agent COMMAND --help   explains one\n"
    "  thinknx-agent --version\n"
    "\n"
    "Exit code: 0 done, 1 failed, 2 wrong usage or configuration.\n";

static const char help_run[] =
    "Usage: thinknx-agent run [--config FILE]\n"
    "\n"
    "Runs in the foreground and logs to standard error, with priorities under systemd.\n"
    "\n"
    "  --config FILE   default " CONFIG_PATH "\n"
    "\n"
    "Signals:\n"
    "  SIGTERM, SIGINT   finish the requests in flight, for at most [timeouts] drain, then end;\n"
    "                    a second one ends at once\n"
    "  SIGHUP            read the configuration and its secrets again; if anything is wrong with\n"
    "                    them the old ones stay, and the log says why\n"
    "\n"
    "Configuration (INI; relative paths start from the file's folder):\n"
    "  [relay]\n"
    "  url = wss://relay.example:443   may be given several times: all are dialled; the port is\n"
    "                                  443 by default; unencrypted ws:// is refused\n"
    "  serial = TNX-0001               as the relay knows this server\n"
    "  token_file = agent.token        the token that `thinknx-relay server add` printed; not\n"
    "                                  readable by everybody (chmod 600)\n"
    "  ca_file = ca.pem                trust these certificates instead of the system's\n"
    "  pin_sha256 = ...                SHA-256 of the relay's public key (SubjectPublicKeyInfo), "
    "as\n"
    "                                  64 hex digits or sha256//BASE64; may be repeated. With\n"
    "                                  ca_file both are checked; alone, the key is all that "
    "counts\n"
    "                                  and the certificate may be self-signed\n"
    "  proxy = http://proxy.lan:3128   dial through this HTTP proxy (CONNECT). The environment's\n"
    "                                  http_proxy is ignored\n"
    "  proxy_user = ...                with proxy_password_file: basic authentication there\n"
    "  proxy_password_file = ...\n"
    "  [server]\n"
    "  url = http://192.168.1.10:5051  the Thinknx server\n"
    "  auth = digest                   digest, basic, query (in the URL) or none (default)\n"
    "  user = service\n"
    "  password_file = password        not readable by everybody\n"
    "  max_connections = 8             to the server, at once\n"
    "  max_paused = 32                 more of them whose answer waits for a slow caller\n"
    "  [timeouts]                      seconds; 0.5 and 2m work too\n"
    "  connect = 3                     to the server\n"
    "  answer = 10                     of the server\n"
    "  answer_fb = 30                  of the server, for calls with fb\n"
    "  drain = 25                      for requests in flight when a tunnel or the agent ends\n"
    "  keepalive = 2                   without a packet from the relay, until the kernel asks for\n"
    "                                  one; 0 = never\n"
    "  [pages]                         for the installer on site; there is no login\n"
    "  listen = 127.0.0.1:8081         loopback only; without it there are no pages\n"
    "  devices = house.json            what stands in the building: {\"rooms\": [...]}\n"
    "  [agent]\n"
    "  log_level = info                error, warn, info, debug\n"
    "  log_format = logfmt             or json\n"
    "  status_socket = /run/thinknx-agent/status.sock\n"
    "                                  for `status` and `key`; mode 0600\n"
    "  runtime_file = ...              JSON with pid and status_socket, written at start\n";

static const char help_check[] =
    "Usage: thinknx-agent check [--config FILE | --settings]\n"
    "\n"
    "Reads the configuration, its secrets, certificates and device files, and says OK or what is\n"
    "wrong, with file, line and key. Connects to nothing. A running agent does without a device\n"
    "file that cannot be used; here it is wrong.\n"
    "\n"
    "  --config FILE   default " CONFIG_PATH "\n"
    "  --settings      list all settings with their defaults\n";

static const char help_status[] =
    "Usage: thinknx-agent status [--config FILE | --socket PATH] [--watch] [--json]\n"
    "\n"
    "Asks the running agent how it is: each relay with its state, since when, round trip and last\n"
    "error, and the server with its last answer and last error.\n"
    "\n"
    "  --config FILE   names the status socket; default " CONFIG_PATH "\n"
    "  --socket PATH   the status socket itself\n"
    "  --watch         again every 2 seconds, until Ctrl-C\n"
    "  --json          one JSON object\n";

static const char help_key[] =
    "Usage: thinknx-agent key enable [--label TEXT] [--relay URL] [--json]\n"
    "       thinknx-agent key list [--relay URL] [--json]\n"
    "       thinknx-agent key revoke ID [--relay URL] [--json]\n"
    "\n"
    "Asks the relay, through the running agent, for keys of this building. The operator of the\n"
    "relay decides whether a building may enable keys. A new key is shown once.\n"
    "\n"
    "  --label TEXT    what the key is for\n"
    "  --relay URL     as `status` shows it, if there are several; default: the first that is "
    "open\n"
    "  --config FILE   names the status socket; default " CONFIG_PATH "\n"
    "  --socket PATH   the status socket itself\n"
    "  --json          JSON as the relay gave it\n";

static int complain(const char *sentence)
{
    (void)fprintf(stderr, "thinknx-agent: %s\n", sentence);
    return EXIT_FAILED;
}

/* What the user did wrong. */
static int usage(const char *what, const char *name)
{
    (void)fprintf(stderr, "thinknx-agent: %s%s%s (see --help)\n", what, name != NULL ? " " : "",
                  name != NULL ? name : "");
    return EXIT_USAGE;
}

static int run_agent(const struct options *o)
{
    return agent_run(o->config);
}

static int run_check(const struct options *o)
{
    struct config *c;
    struct error_text e;

    if (o->settings) {
        config_list(stdout);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    int rc = config_load(o->config, &c, &e);
    if (rc != 0) {
        (void)complain(e.text);
        return rc == ERROR_NOMEM ? EXIT_FAILED : EXIT_USAGE;
    }
    rc = devices_check(c, o->config, &e);
    config_free(c);
    if (rc != 0) {
        (void)complain(e.text);
        return rc == ERROR_NOMEM ? EXIT_FAILED : EXIT_USAGE;
    }
    (void)puts("OK");
    return EXIT_DONE;
}

/* Asks and gives the answer, or prints why there is none. */
static int ask_agent(const struct options *o, json_t *question, json_t **answer)
{
    char *socket = NULL;
    struct error_text e;
    int rc = 0;

    if (o->socket == NULL) {
        rc = config_load_socket(o->config, &socket, &e);
        if (rc != 0) {
            json_decref(question);
            (void)complain(e.text);
            return rc == ERROR_NOMEM ? EXIT_FAILED : EXIT_USAGE;
        }
    }
    rc = ask(o->socket != NULL ? o->socket : socket, question, answer, &e);
    free(socket);
    return rc == 0 ? EXIT_DONE : complain(e.text);
}

static int print_answer(const struct options *o, json_t *answer, void (*show)(const json_t *))
{
    if (o->json) {
        char *text = json_text_format(answer, JSON_INDENT(2));
        if (text == NULL) {
            json_decref(answer);
            return complain("no memory");
        }
        (void)puts(text);                   /* the flush below tells */
        secret_cleanse(text, strlen(text)); /* it may hold a new key */
        free(text);
    } else {
        show(answer);
    }
    json_decref(answer);
    return fflush(stdout) == 0 ? EXIT_DONE : complain("cannot write the answer");
}

static int look(const struct options *o)
{
    json_t *answer;
    int code = ask_agent(o, json_pack("{s:s}", "op", "status"), &answer);
    return code != EXIT_DONE ? code : print_answer(o, answer, show_status);
}

/* An agent that is down is looked for again: that is what one watches for. */
static int watch(const struct options *o)
{
    char now[CLOCK_ISO_BYTES];

    for (;;) {
        clock_format(clock_wall_s(), now);
        (void)printf("\033[H\033[2J%s\n\n", now); /* a terminal is cleared */
        int code = look(o);
        if (code == EXIT_USAGE || fflush(stdout) != 0) {
            return code == EXIT_USAGE ? code : EXIT_FAILED;
        }
        (void)sleep(WATCH_S);
    }
}

static int run_status(const struct options *o)
{
    return o->watch ? watch(o) : look(o);
}

static void show_nothing(const json_t *answer)
{
    (void)answer;
    (void)puts("done");
}

struct key_command {
    const char *name;
    const char *op;
    bool wants_id;
    void (*show)(const json_t *answer);
};

static const struct key_command key_commands[] = {
    {"enable", "key_enable", false, show_new_key},
    {"list", "key_list", false, show_keys},
    {"revoke", "key_revoke", true, show_nothing},
};

static const struct key_command *find_key_command(const char *name)
{
    for (size_t i = 0; i < sizeof(key_commands) / sizeof(key_commands[0]); i++) {
        if (strcmp(key_commands[i].name, name) == 0) {
            return &key_commands[i];
        }
    }
    return NULL;
}

static int run_key(const struct options *o)
{
    const struct key_command *k = o->n_words > 0 ? find_key_command(o->words[0]) : NULL;
    json_t *answer;

    if (k == NULL) {
        return usage("key wants enable, list or revoke", NULL);
    }
    if (o->n_words != (k->wants_id ? 2 : 1)) {
        return usage(k->wants_id ? "key revoke wants the ID of one key" : "superfluous argument",
                     k->wants_id ? NULL : o->words[1]);
    }
    if (o->label != NULL && strcmp(k->name, "enable") != 0) {
        return usage("--label belongs to key enable", NULL);
    }
    json_t *question = json_pack("{s:s, s:s*, s:{s:s*, s:s*}}", "op", k->op, "relay", o->relay,
                                 "body", "label", o->label, "id", k->wants_id ? o->words[1] : NULL);
    if (question == NULL) {
        return usage("what was given is no UTF-8", NULL);
    }
    int code = ask_agent(o, question, &answer);
    return code != EXIT_DONE ? code : print_answer(o, answer, k->show);
}

static const struct command commands[] = {
    {"run", help_run, "c", run_agent},
    {"check", help_check, "ct", run_check},
    {"status", help_status, "csjW", run_status},
    {"key", help_key, "csjlrw", run_key},
};

static const struct option option_table[] = {
    {"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},         {"label", required_argument, NULL, 'l'},
    {"relay", required_argument, NULL, 'r'},  {"help", no_argument, NULL, 'h'},
    {"watch", no_argument, NULL, 'W'},        {"settings", no_argument, NULL, 't'},
    {"version", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
};

static int print_version(void)
{
    return puts("thinknx-agent " TNX_VERSION) < 0 || fflush(stdout) != 0 ? EXIT_FAILED : EXIT_DONE;
}

static int print_help(const char *text)
{
    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? EXIT_FAILED : EXIT_DONE;
}

static void set_option(struct options *o, int letter)
{
    switch (letter) {
    case 'c': o->config = optarg; break;
    case 's': o->socket = optarg; break;
    case 'l': o->label = optarg; break;
    case 'r': o->relay = optarg; break;
    case 'W': o->watch = true; break;
    case 't': o->settings = true; break;
    default: o->json = true; break;
    }
}

/* Reads the options of `c`; runs it if they are right. */
static int run_command(const struct command *c, int argc, char **argv)
{
    struct options o = {.config = CONFIG_PATH};
    int letter;

    opterr = 0;
    while ((letter = getopt_long(argc, argv, "h", option_table, NULL)) != -1) {
        if (letter == 'h') {
            return print_help(c->help);
        }
        if (letter == 'v') {
            return print_version();
        }
        if (letter == '?' || strchr(c->options, letter) == NULL) {
            return usage("unknown option, or a value is missing:", argv[optind - 1]);
        }
        set_option(&o, letter);
    }
    for (; optind < argc; optind++) {
        if (strchr(c->options, 'w') == NULL || o.n_words == 2) {
            return usage("superfluous argument", argv[optind]);
        }
        o.words[o.n_words++] = argv[optind];
    }
    return c->run(&o);
}

int main(int argc, char **argv)
{
    secret_harden_process();
    json_text_start();
    if (argc < 2) {
        return usage("a command is missing", NULL);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return print_help(help_main);
    }
    if (strcmp(argv[1], "--version") == 0) {
        return print_version();
    }
    crypto_start();
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return run_command(&commands[i], argc - 1, argv + 1);
        }
    }
    return usage("unknown command", argv[1]);
}
