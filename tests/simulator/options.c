/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. */
#include "tests/simulator/options.h"

#include <getopt.h>
#include <string.h>

/* The port of the vendor's servers. */
#define DEFAULT_PORT 5051

#define DEFAULT_KEEPALIVE_S     60
#define DEFAULT_MAX_CONNECTIONS 4096
#define DEFAULT_NONCE_LIFETIME  300

/* A day; and what a descriptor table can hold. */
#define SECONDS_MAX     86400
#define CONNECTIONS_MAX 60000

enum option_id {
    OPTION_HELP = 1,
    OPTION_VERSION,
    OPTION_PRINT_DEVICES,
    OPTION_LISTEN,
    OPTION_USER,
    OPTION_PASSWORD_FILE,
    OPTION_AUTH,
    OPTION_DIGEST_ALGORITHM,
    OPTION_NONCE_USES,
    OPTION_NONCE_LIFETIME,
    OPTION_NONCE_COUNT,
    OPTION_DEVICES,
    OPTION_CONTROL,
    OPTION_REQUEST_LOG,
    OPTION_KNX_LOG,
    OPTION_RUNTIME_FILE,
    OPTION_KEEPALIVE,
    OPTION_MAX_CONNECTIONS,
    OPTION_LOG_LEVEL,
    OPTION_SWITCH /* the first switch; the others follow */
};

static const struct option KNOWN[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"print-devices", no_argument, NULL, OPTION_PRINT_DEVICES},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"user", required_argument, NULL, OPTION_USER},
    {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
    {"auth", required_argument, NULL, OPTION_AUTH},
    {"digest-algorithm", required_argument, NULL, OPTION_DIGEST_ALGORITHM},
    {"nonce-uses", required_argument, NULL, OPTION_NONCE_USES},
    {"nonce-lifetime-s", required_argument, NULL, OPTION_NONCE_LIFETIME},
    {"nonce-count", required_argument, NULL, OPTION_NONCE_COUNT},
    {"devices", required_argument, NULL, OPTION_DEVICES},
    {"control", required_argument, NULL, OPTION_CONTROL},
    {"request-log", required_argument, NULL, OPTION_REQUEST_LOG},
    {"knx-log", required_argument, NULL, OPTION_KNX_LOG},
    {"runtime-file", required_argument, NULL, OPTION_RUNTIME_FILE},
    {"keepalive-s", required_argument, NULL, OPTION_KEEPALIVE},
    {"max-connections", required_argument, NULL, OPTION_MAX_CONNECTIONS},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
};

#define N_KNOWN (sizeof KNOWN / sizeof KNOWN[0])

/* Room for the switches; checked in fill_table. */
#define SWITCHES_MAX 32

const char *options_usage(void)
{
    return "Usage: thinknx-simulator [OPTION]...\n"
           "Behaves like a Thinknx server: its local HTTP API with a house of devices behind it.\n"
           "\n"
           "  --listen ADDR:PORT     default 127.0.0.1:5051; port 0 takes a free one\n"
           "  --devices FILE         the house as JSON; without it a built-in one\n"
           "  --print-devices        print the built-in house and end\n"
           "  --user U               who may call the API (needs --password-file)\n"
           "  --password-file F      first line is the password; mode 0600\n"
           "  --auth MODE            none, basic, digest, query, any; default: any with --user,\n"
           "                         else none. auth=basic or auth=digest in a query chooses\n"
           "                         which challenge is sent\n"
           "  --digest-algorithm A   MD5, SHA-256, both (default)\n"
           "  --nonce-uses N         a nonce is stale after N uses; 0 = never (default)\n"
           "  --nonce-lifetime-s N   and after N seconds; default 300, 0 = never\n"
           "  --nonce-count HOW      grow (default): nc must grow; window: any order, once each\n"
           "  --keepalive-s N        close idle connections; default 60\n"
           "  --max-connections N    default 4096; more are closed at once\n"
           "  --request-log FILE     append one JSON line per request, before it is executed\n"
           "  --knx-log FILE         append one JSON line per command, when it is executed\n"
           "  --runtime-file FILE    write {\"listen\", \"host\", \"port\", \"pid\"} as JSON\n"
           "  --log-level LEVEL      error, warn, info (default), debug\n"
           "  --control FILE         switches as JSON, {\"stall\": true}; read at the start and\n"
           "                         again on SIGHUP, on top of the command line\n"
           "\n"
           "Switches (for calls that passed authentication, but for the first and last two):\n"
           "  --feedback-delay-ms N  how long a device takes to confirm (fb); default 50\n"
           "  --answer-delay-ms N    execute at once, answer N ms later\n"
           "  --drop-answers N       execute each Nth call, then close without an answer\n"
           "  --broken-answer KIND   garbage, http09, short-body, two-answers, huge-head,\n"
           "                         cr-in-value, bad-chunk, no-length-close,\n"
           "                         early-close-mid-body, empty-header-name, duplicate-length,\n"
           "                         length-and-chunked, 1xx-first, chunked, none\n"
           "  --answer-status N      answer with this status (400 to 599), execute nothing\n"
           "  --big-body BYTES       pad system/serverStatus to that many bytes (up to 64 MiB)\n"
           "  --close-after N        requests per connection, then Connection: close\n"
           "  --refuse-connections   nobody listens; open connections are reset\n"
           "  --stall                read requests, never execute nor answer them\n"
           "\n"
           "The bound address is the first line on stdout: listening 127.0.0.1:40123\n"
           "Exit codes: 0 ended by SIGTERM or SIGINT, 1 failure, 2 usage or configuration error.\n";
}

static int parse_number(const char *name, const char *text, uint32_t max, uint32_t *number,
                        struct error_text *e)
{
    uint64_t value = 0;

    if (span_parse_u64(span_of(text), max, &value) != 0) {
        return error_set(e, ERROR_CONFIG, "--%s: \"%.32s\" is no number from 0 to %u", name, text,
                         max);
    }
    *number = (uint32_t)value;
    return 0;
}

/* Index of `text` among the `n` choices. */
static int parse_choice(const char *name, const char *text, const char *const *choices, size_t n,
                        size_t *choice, struct error_text *e)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *choice = i;
            return 0;
        }
    }
    return error_set(e, ERROR_CONFIG, "--%s: \"%.32s\" is not possible; see --help", name, text);
}

static int parse_auth(struct options *o, const char *text, struct error_text *e)
{
    static const char *const MODES[] = {
        [AUTH_NONE] = "none",   [AUTH_BASIC] = "basic", [AUTH_DIGEST] = "digest",
        [AUTH_QUERY] = "query", [AUTH_ANY] = "any",
    };
    size_t choice = 0;
    int rc = parse_choice("auth", text, MODES, sizeof MODES / sizeof MODES[0], &choice, e);

    o->auth = (enum auth_mode)choice;
    o->has_auth = true;
    return rc;
}

static int parse_algorithm(struct options *o, const char *text, struct error_text *e)
{
    static const char *const CHOICES[] = {"both", "MD5", "SHA-256"};
    size_t choice = 0;
    int rc = parse_choice("digest-algorithm", text, CHOICES, 3, &choice, e);

    o->offers[DIGEST_MD5] = choice != 2;
    o->offers[DIGEST_SHA256] = choice != 1;
    return rc;
}

static int parse_nonce_count(struct options *o, const char *text, struct error_text *e)
{
    static const char *const CHOICES[] = {
        [NONCE_COUNT_GROWS] = "grow", [NONCE_COUNT_WINDOW] = "window"};
    size_t choice = 0;
    int rc = parse_choice("nonce-count", text, CHOICES, 2, &choice, e);

    o->nonce_count = (enum nonce_count)choice;
    return rc;
}

static int parse_listen(struct options *o, const char *text, struct error_text *e)
{
    if (conf_parse_address(text, o->host, &o->port) != 0) {
        return error_set(e, ERROR_CONFIG, "--listen: \"%.64s\" is not ADDR:PORT", text);
    }
    return 0;
}

static int parse_log_level(struct options *o, const char *text, struct error_text *e)
{
    if (log_parse_level(text, &o->log_level) != 0) {
        return error_set(e, ERROR_CONFIG, "--log-level: \"%.32s\" is no level", text);
    }
    return 0;
}

static int take_option(struct options *o, int id, const char *text, struct error_text *e)
{
    switch (id) {
    case OPTION_HELP: o->action = OPTIONS_HELP; return 0;
    case OPTION_VERSION: o->action = OPTIONS_VERSION; return 0;
    case OPTION_PRINT_DEVICES: o->action = OPTIONS_PRINT_DEVICES; return 0;
    case OPTION_LISTEN: return parse_listen(o, text, e);
    case OPTION_USER: o->user = text; return 0;
    case OPTION_PASSWORD_FILE: o->password_file = text; return 0;
    case OPTION_AUTH: return parse_auth(o, text, e);
    case OPTION_DIGEST_ALGORITHM: return parse_algorithm(o, text, e);
    case OPTION_NONCE_USES: return parse_number("nonce-uses", text, UINT32_MAX, &o->nonce_uses, e);
    case OPTION_NONCE_LIFETIME:
        return parse_number("nonce-lifetime-s", text, SECONDS_MAX, &o->nonce_lifetime_s, e);
    case OPTION_NONCE_COUNT: return parse_nonce_count(o, text, e);
    case OPTION_DEVICES: o->devices = text; return 0;
    case OPTION_CONTROL: o->control = text; return 0;
    case OPTION_REQUEST_LOG: o->request_log = text; return 0;
    case OPTION_KNX_LOG: o->knx_log = text; return 0;
    case OPTION_RUNTIME_FILE: o->runtime_file = text; return 0;
    case OPTION_KEEPALIVE:
        return parse_number("keepalive-s", text, SECONDS_MAX, &o->keepalive_s, e);
    case OPTION_MAX_CONNECTIONS:
        return parse_number("max-connections", text, CONNECTIONS_MAX, &o->max_connections, e);
    case OPTION_LOG_LEVEL: return parse_log_level(o, text, e);
    default: return switches_set(&o->switches, (size_t)(id - OPTION_SWITCH), text, e);
    }
}

/* The known options, the switches, and the end of the table. */
static void fill_table(struct option table[N_KNOWN + SWITCHES_MAX + 1])
{
    size_t n = switches_count() < SWITCHES_MAX ? switches_count() : SWITCHES_MAX;

    memcpy(table, KNOWN, sizeof KNOWN);
    for (size_t i = 0; i < n; i++) {
        table[N_KNOWN + i] = (struct option){
            .name = switches_name(i),
            .has_arg = switches_is_flag(i) ? no_argument : required_argument,
            .val = OPTION_SWITCH + (int)i,
        };
    }
    table[N_KNOWN + n] = (struct option){.name = NULL};
}

static void set_defaults(struct options *o)
{
    *o = (struct options){
        .host = "127.0.0.1",
        .port = DEFAULT_PORT,
        .offers = {true, true},
        .nonce_lifetime_s = DEFAULT_NONCE_LIFETIME,
        .keepalive_s = DEFAULT_KEEPALIVE_S,
        .max_connections = DEFAULT_MAX_CONNECTIONS,
        .log_level = LOG_LEVEL_INFO,
    };
    switches_init(&o->switches);
}

static int check(struct options *o, struct error_text *e)
{
    if (o->action != OPTIONS_RUN) {
        return 0;
    }
    if (!o->has_auth) {
        o->auth = o->user == NULL ? AUTH_NONE : AUTH_ANY;
    }
    if (o->auth != AUTH_NONE && (o->user == NULL || o->password_file == NULL)) {
        return error_set(e, ERROR_CONFIG, "--user and --password-file are both needed for that");
    }
    return 0;
}

int options_parse(int argc, char **argv, struct options *o, struct error_text *e)
{
    struct option table[N_KNOWN + SWITCHES_MAX + 1];
    int id = 0;
    int rc = 0;

    fill_table(table);
    set_defaults(o);
    optind = 0; /* glibc: start anew, for those who parse twice */
    while (rc == 0 && (id = getopt_long(argc, argv, ":", table, NULL)) != -1) {
        if (id == ':') {
            rc = error_set(e, ERROR_CONFIG, "%.64s needs a value; see --help", argv[optind - 1]);
        } else if (id == '?') {
            rc = error_set(e, ERROR_CONFIG, "unknown option %.64s; see --help", argv[optind - 1]);
        } else {
            rc = take_option(o, id, optarg, e);
        }
    }
    if (rc == 0 && optind < argc) {
        rc = error_set(e, ERROR_CONFIG, "unexpected argument \"%.64s\"; see --help", argv[optind]);
    }
    return rc != 0 ? rc : check(o, e);
}
