/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay init`: a working set-up in an empty place. All files are checked to be absent
 * first; a failure half-way removes what was made. relay.conf comes last: where it is, the rest is
 * too. */
#include "relay/admin/commands.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/conf.h"
#include "relay/admin/certificate.h"
#include "relay/admin/file.h"
#include "relay/admin/console.h"
#include "relay/admin/draft.h"
#include "relay/admin/options.h"
#include "relay/config.h"
#include "relay/store/database.h"

/* Beside a configuration in its usual place. */
#define DATABASE_DEFAULT_PATH "/var/lib/thinknx-relay/relay.db"

static const char HELP[] =
    "thinknx-relay init: makes configuration, database, a private certificate authority (CA) and "
    "a\n"
    "server certificate. Overwrites nothing.\n"
    "\n"
    "  --dir DIR            where to (default " CONFIG_DEFAULT_DIR ")\n"
    "  --database FILE      the database (default DIR/relay.db; without --dir\n"
    "                       " DATABASE_DEFAULT_PATH ")\n"
    "  --host NAME          name or address by which clients and agents reach this relay; may be\n"
    "                       repeated, the first one goes into the URLs and all into the\n"
    "                       certificate (default: this machine's name and all its addresses)\n"
    "  --port PORT          port in the URLs, where it is not that of --listen\n"
    "  --listen ADDR:PORT   for HTTPS, clients and agents alike (default 0.0.0.0:443; repeatable)\n"
    "  --http-listen ADDR:PORT   for redirects to HTTPS (default 0.0.0.0:80; \"none\" for none)\n"
    "  --admin-listen ADDR:PORT  for metrics and health (default 127.0.0.1:9090)\n"
    "  --runtime-file FILE  where the running relay writes its bound addresses\n"
    "  --json               print one JSON object\n"
    "\n"
    "Run by root in a folder of another group, as the Debian package makes it, what the service\n"
    "must read goes to that group, and the database to its folder's owner.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage.\n";

/* Names that every certificate has besides the given ones. */
static const char *const LOCAL_HOSTS[] = {"localhost", "127.0.0.1", "::1"};
#define N_LOCAL_HOSTS (sizeof(LOCAL_HOSTS) / sizeof(LOCAL_HOSTS[0]))

/* Addresses of this machine that the certificate takes; a host with more names the right ones. */
#define ADDRESSES_MAX 16

#define HOSTS_MAX (OPTIONS_VALUES_MAX + OPTIONS_WORDS_MAX + 1 + ADDRESSES_MAX + N_LOCAL_HOSTS)

enum piece { DATABASE, CA, CA_KEY, SERVER, SERVER_KEY, CONF, N_PIECES };

static const char *const NAMES[N_PIECES] = {"relay.db", "ca.pem",  "ca.key",
                                            "cert.pem", "key.pem", "relay.conf"};

struct init {
    const char *dir;
    const char *database; /* NULL = the default */
    struct option_list given_hosts;
    uint32_t port;
    struct option_list listen;
    struct option_list http_listen;
    struct option_list admin_listen;
    const char *runtime_file;
    bool json;
    bool help;

    const char *hosts[HOSTS_MAX];
    size_t n_hosts;
    char machine[HOST_NAME_MAX + 1];
    char addresses[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    char public_url[CONFIG_URL_BYTES];
    char paths[N_PIECES][FILE_PATH_BYTES];
    size_t n_made; /* pieces made so far, in their order */
    char fingerprint[CERTIFICATE_FINGERPRINT_BYTES];
};

static int add_host(struct init *i, const char *host, struct error_text *e)
{
    char address[CONF_HOST_BYTES + 16];
    char parsed[CONF_HOST_BYTES];
    uint16_t port = 0;
    bool v6 = strchr(host, ':') != NULL;
    int n = snprintf(address, sizeof(address), v6 ? "[%s]:1" : "%s:1", host);

    if (n < 0 || (size_t)n >= sizeof(address) || host[0] == '\0' ||
        conf_parse_address(address, parsed, &port) != 0) {
        return error_set(e, ERROR_CONFIG,
                         "--host %.64s: neither a name nor an address (ports go to --port)", host);
    }
    for (size_t k = 0; k < i->n_hosts; k++) {
        if (strcmp(i->hosts[k], host) == 0) {
            return 0;
        }
    }
    i->hosts[i->n_hosts++] = host;
    return 0;
}

/* The text of an address that others can reach this machine by; false for any else. Those of
 * loopback and of one link only are of no use to them. */
static bool format_address(const struct ifaddrs *interface, char text[INET6_ADDRSTRLEN])
{
    const struct sockaddr *address = interface->ifa_addr;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (address == NULL || (interface->ifa_flags & IFF_LOOPBACK) != 0) {
        return false;
    }
    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        return inet_ntop(AF_INET, &v4.sin_addr, text, INET6_ADDRSTRLEN) != NULL;
    }
    if (address->sa_family != AF_INET6) {
        return false;
    }
    memcpy(&v6, address, sizeof(v6));
    return !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) &&
           inet_ntop(AF_INET6, &v6.sin6_addr, text, INET6_ADDRSTRLEN) != NULL;
}

/* On premises there may be no DNS: agents and clients come by address. */
static int add_addresses(struct init *i, struct error_text *e)
{
    struct ifaddrs *all = NULL;
    size_t n = 0;
    int rc = 0;

    if (getifaddrs(&all) != 0) {
        return error_set(e, ERROR_INTERNAL, "cannot list this machine's addresses: %s (use --host)",
                         strerror(errno));
    }
    for (const struct ifaddrs *a = all; a != NULL && n < ADDRESSES_MAX && rc == 0;
         a = a->ifa_next) {
        if (format_address(a, i->addresses[n])) {
            rc = add_host(i, i->addresses[n++], e);
        }
    }
    freeifaddrs(all);
    return rc;
}

static int add_machine(struct init *i, struct error_text *e)
{
    if (gethostname(i->machine, sizeof(i->machine)) != 0) {
        return error_set(e, ERROR_CONFIG, "this machine has no name: use --host");
    }
    i->machine[sizeof(i->machine) - 1] = '\0';
    int rc = add_host(i, i->machine, e);
    return rc != 0 ? rc : add_addresses(i, e);
}

static int collect_hosts(struct init *i, const struct option_words *words, struct error_text *e)
{
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < i->given_hosts.n_values; k++) {
        rc = add_host(i, i->given_hosts.values[k], e);
    }
    /* "--host a b c" is what the usage line suggests. */
    if (rc == 0 && words->n_words > 0 && i->given_hosts.n_values == 0) {
        return error_set(e, ERROR_CONFIG, "init takes no argument %.64s", words->words[0]);
    }
    for (size_t k = 0; rc == 0 && k < words->n_words; k++) {
        rc = add_host(i, words->words[k], e);
    }
    if (rc == 0 && i->n_hosts == 0) {
        rc = add_machine(i, e);
    }
    for (size_t k = 0; rc == 0 && k < N_LOCAL_HOSTS; k++) {
        rc = add_host(i, LOCAL_HOSTS[k], e);
    }
    return rc;
}

static int check_addresses(const struct option_list *list, const char *option, struct error_text *e)
{
    char host[CONF_HOST_BYTES];
    uint16_t port = 0;

    for (size_t k = 0; k < list->n_values; k++) {
        if (conf_parse_address(list->values[k], host, &port) != 0) {
            return error_set(e, ERROR_CONFIG, "--%s %.64s: must be address:port", option,
                             list->values[k]);
        }
    }
    return 0;
}

static void set_default(struct option_list *list, const char *value)
{
    if (list->n_values == 0) {
        list->values[list->n_values++] = value;
    } else if (list->n_values == 1 && strcmp(list->values[0], "none") == 0) {
        list->n_values = 0;
    }
}

static int set_listens(struct init *i, struct error_text *e)
{
    set_default(&i->listen, "0.0.0.0:443");
    set_default(&i->http_listen, "0.0.0.0:80");
    set_default(&i->admin_listen, "127.0.0.1:9090");
    if (i->listen.n_values == 0) {
        return error_set(e, ERROR_CONFIG, "--listen none: nobody could reach the relay");
    }
    int rc = check_addresses(&i->listen, "listen", e);
    if (rc == 0) {
        rc = check_addresses(&i->http_listen, "http-listen", e);
    }
    return rc != 0 ? rc : check_addresses(&i->admin_listen, "admin-listen", e);
}

static int set_url(struct init *i, struct error_text *e)
{
    char host[CONF_HOST_BYTES];
    char port_text[sizeof(":65535")] = "";
    uint16_t port = (uint16_t)i->port;
    bool v6 = strchr(i->hosts[0], ':') != NULL;

    if (port == 0) {
        (void)conf_parse_address(i->listen.values[0], host, &port); /* was checked */
    }
    if (port != 0 && port != 443) {
        (void)snprintf(port_text, sizeof(port_text), ":%u", port);
    }
    int n = snprintf(i->public_url, sizeof(i->public_url), v6 ? "https://[%s]%s" : "https://%s%s",
                     i->hosts[0], port_text);
    return n < 0 || (size_t)n >= sizeof(i->public_url)
               ? error_set(e, ERROR_CONFIG, "--host: the first name is too long")
               : 0;
}

static int set_paths(struct init *i, struct error_text *e)
{
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < N_PIECES; k++) {
        rc = file_join(i->dir, NAMES[k], i->paths[k], e);
    }
    if (rc == 0 && i->database != NULL && i->database[0] != '/') {
        return error_set(e, ERROR_CONFIG, "--database: must be an absolute path");
    }
    if (rc == 0 && i->database != NULL) {
        char *path = i->paths[DATABASE];
        int n = snprintf(path, FILE_PATH_BYTES, "%s", i->database);
        rc = n < 0 || n >= FILE_PATH_BYTES ? error_set(e, ERROR_CONFIG, "--database: too long") : 0;
    }
    return rc;
}

static int check_absent(const struct init *i, struct error_text *e)
{
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < N_PIECES; k++) {
        rc = file_check_absent(i->paths[k], e);
    }
    return rc;
}

static int write_conf(struct init *i, struct error_text *e)
{
    const struct draft draft = {
        .database = i->database != NULL ? i->database : NAMES[DATABASE],
        .public_url = i->public_url,
        .runtime_file = i->runtime_file,
        .certificate = NAMES[SERVER],
        .private_key = NAMES[SERVER_KEY],
        .listen = &i->listen,
        .http_listen = &i->http_listen,
        .admin_listen = &i->admin_listen,
    };
    char *text = draft_format(&draft);

    if (text == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    int rc = file_create(i->paths[CONF], 0640, text, e);
    free(text);
    if (rc == 0) {
        i->n_made++;
        rc = file_join_group(i->paths[CONF], false, 0640, e);
    }
    return rc;
}

static int write_certificates(struct init *i, const struct certificate_set *set,
                              struct error_text *e)
{
    const struct {
        mode_t mode;
        const char *text;
    } files[] = {
        {0644, set->ca}, {0600, set->ca_key}, {0644, set->server}, {0600, set->server_key}};

    for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
        int rc = file_create(i->paths[CA + k], files[k].mode, files[k].text, e);
        if (rc != 0) {
            return rc;
        }
        i->n_made++;
    }
    return file_join_group(i->paths[SERVER_KEY], false, 0640, e);
}

static int make_certificates(struct init *i, struct error_text *e)
{
    struct certificate_set set;
    int rc = certificate_make_set(i->hosts, i->n_hosts, clock_wall_s(), &set, e);

    if (rc != 0) {
        return rc;
    }
    rc = write_certificates(i, &set, e);
    memcpy(i->fingerprint, set.ca_fingerprint, sizeof(i->fingerprint));
    certificate_set_free(&set);
    return rc;
}

static int make_pieces(struct init *i, struct error_text *e)
{
    int rc = database_create(i->paths[DATABASE], e);
    if (rc != 0) {
        return rc;
    }
    i->n_made = 1;
    rc = file_join_group(i->paths[DATABASE], true, 0600, e);
    rc = rc != 0 ? rc : make_certificates(i, e);
    return rc != 0 ? rc : write_conf(i, e);
}

/* What was made is removed: an init that failed can be tried again. */
static void undo(const struct init *i)
{
    for (size_t k = 0; k < i->n_made; k++) {
        (void)unlink(i->paths[k]); /* the failure that led here is the one to tell */
    }
}

static int print_json(const struct init *i)
{
    return console_print_json(json_pack("{s:s, s:s, s:s, s:s}", "config", i->paths[CONF],
                                        "public_url", i->public_url, "ca", i->paths[CA],
                                        "ca_sha256", i->fingerprint));
}

static void print_text(const struct init *i)
{
    bool is_default = strcmp(i->dir, CONFIG_DEFAULT_DIR) == 0;
    const char *option = is_default ? "" : " --config ";
    const char *conf = is_default ? "" : i->paths[CONF];

    (void)printf("Made in %s: relay.conf, ca.pem and ca.key (private CA), cert.pem and key.pem.\n"
                 "Database: %s\n"
                 "Public URL: %s\n"
                 "The CA's SHA-256: %s\n"
                 "\n"
                 "Next:\n"
                 "  1. Look at %s, then start the relay:\n"
                 "       thinknx-relay serve%s%s\n"
                 "  2. For each Thinknx server:\n"
                 "       thinknx-relay server add SERIAL --out FOLDER%s%s\n"
                 "     Copy FOLDER to the machine beside the server, fill in the server's address "
                 "and\n"
                 "     credentials there, and run: thinknx-agent run --config FOLDER/agent.conf\n"
                 "  3. For each integrator:\n"
                 "       thinknx-relay key enable SERIAL --label NAME%s%s\n"
                 "     Clients trust the relay by %s (curl --cacert).\n"
                 "\n"
                 "Keep ca.key off the network: it is only needed to make new certificates.\n",
                 i->dir, i->paths[DATABASE], i->public_url, i->fingerprint, i->paths[CONF], option,
                 conf, option, conf, option, conf, i->paths[CA]);
}

static int read_arguments(struct init *i, int argc, char **argv, struct error_text *e)
{
    const struct option_row rows[] = {
        {"dir", OPTION_TEXT, &i->dir, 0, 0},
        {"database", OPTION_TEXT, &i->database, 0, 0},
        {"host", OPTION_LIST, &i->given_hosts, 0, 0},
        {"port", OPTION_UINT, &i->port, 1, 65535},
        {"listen", OPTION_LIST, &i->listen, 0, 0},
        {"http-listen", OPTION_LIST, &i->http_listen, 0, 0},
        {"admin-listen", OPTION_LIST, &i->admin_listen, 0, 0},
        {"runtime-file", OPTION_TEXT, &i->runtime_file, 0, 0},
        {"json", OPTION_FLAG, &i->json, 0, 0},
        {"help", OPTION_FLAG, &i->help, 0, 0},
    };
    struct option_words words;
    int rc = options_parse(argc, argv, rows, sizeof(rows) / sizeof(rows[0]), &words, e);

    if (rc != 0 || i->help) {
        return rc;
    }
    if (i->dir == NULL) {
        i->dir = CONFIG_DEFAULT_DIR;
        i->database = i->database != NULL ? i->database : DATABASE_DEFAULT_PATH;
    }
    rc = collect_hosts(i, &words, e);
    if (rc == 0) {
        rc = set_listens(i, e);
    }
    if (rc == 0) {
        rc = set_url(i, e);
    }
    return rc != 0 ? rc : set_paths(i, e);
}

int command_init(int argc, char **argv)
{
    /* Static: the paths are too much for a stack, and a process inits once. */
    static struct init i;
    struct error_text e = {""};

    i = (struct init){.dir = NULL};
    if (read_arguments(&i, argc, argv, &e) != 0) {
        return console_usage("init", &e);
    }
    if (i.help) {
        (void)fputs(HELP, stdout); /* console_flush looks at stdout */
        return console_flush(NULL);
    }
    char folder[FILE_PATH_BYTES];
    int rc = file_make_folder(i.dir, &e);
    rc = rc != 0 ? rc : file_folder(i.paths[DATABASE], folder, &e);
    rc = rc != 0 ? rc : file_make_folder(folder, &e);
    if (rc == 0) {
        rc = check_absent(&i, &e);
    }
    if (rc == 0) {
        rc = make_pieces(&i, &e);
        if (rc != 0) {
            undo(&i);
        }
    }
    if (rc != 0) {
        return console_exit(rc, &e);
    }
    if (i.json) {
        return print_json(&i);
    }
    print_text(&i);
    return console_flush(NULL);
}
