/* SPDX-License-Identifier: Apache-2.0 */
/* The command line from argv to exit code and output, as scripts see it. */
#include "tests/unit/store/scratch.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "relay/admin/commands.h"
#include "relay/config.h"

#define ARGS_MAX 32

struct fixture {
    char folder[64];
    char dir[96]; /* where init made everything */
    char conf[128];
    char out[8192]; /* of the last command */
    char err[2048];
};

static void read_back(int fd, char *text, size_t cap)
{
    ssize_t n = pread(fd, text, cap - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(close(fd), 0);
}

/* Opens an unnamed file in place of `fd`; returns it and, in `saved`, what was there. */
static int redirect(int fd, const char *folder, int *saved)
{
    int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    *saved = dup(fd);
    assert_true(*saved >= 0);
    assert_int_equal(dup2(file, fd), fd);
    return file;
}

static void restore(int fd, int saved)
{
    assert_int_equal(dup2(saved, fd), fd);
    assert_int_equal(close(saved), 0);
}

/* Runs "server list --json …" (words separated by blanks) and keeps what it prints. */
static int run(struct fixture *f, const char *line)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } COMMANDS[] = {{"init", command_init},
                    {"server", command_server},
                    {"key", command_key},
                    {"audit", command_audit},
                    {"backup", command_backup}};
    char words[1024];
    char *argv[ARGS_MAX + 1] = {NULL};
    int argc = 0;
    int saved_out = -1;
    int saved_err = -1;
    int code = -1;
    char *rest = words;

    assert_int_equal(span_copy(span_of(line), words, sizeof(words)), 0);
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        assert_in_range(argc, 0, ARGS_MAX - 1);
        argv[argc++] = word;
    }
    (void)fflush(stdout);
    int out = redirect(1, f->folder, &saved_out);
    int err = redirect(2, f->folder, &saved_err);
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        if (strcmp(COMMANDS[i].name, argv[0]) == 0) {
            code = COMMANDS[i].run(argc, argv);
        }
    }
    (void)fflush(stdout);
    restore(1, saved_out);
    restore(2, saved_err);
    read_back(out, f->out, sizeof(f->out));
    read_back(err, f->err, sizeof(f->err));
    return code;
}

/* The same with --config, which must succeed. */
static void must(struct fixture *f, const char *line)
{
    char whole[1024];
    (void)snprintf(whole, sizeof(whole), "%s --config %s", line, f->conf);
    if (run(f, whole) != 0) {
        fail_msg("%s: %s", line, f->err);
    }
    assert_string_equal(f->err, "");
}

static void must_fail(struct fixture *f, const char *line, int code, const char *sentence)
{
    char whole[1024];
    (void)snprintf(whole, sizeof(whole), "%s --config %s", line, f->conf);
    assert_int_equal(run(f, whole), code);
    assert_string_equal(f->out, "");
    assert_contains(f->err, sentence);
}

static json_t *json_of(const struct fixture *f)
{
    json_t *json = json_loads(f->out, 0, NULL);
    if (json == NULL) {
        fail_msg("no JSON: %s", f->out);
    }
    return json;
}

static const char *member(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    if (text == NULL) {
        fail_msg("no member %s", name);
    }
    return text;
}

static void init(struct fixture *f)
{
    char line[512];
    *f = (struct fixture){.folder = "/tmp/test-commands-XXXXXX"};
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->dir, sizeof(f->dir), "%s/etc", f->folder);
    (void)snprintf(f->conf, sizeof(f->conf), "%s/relay.conf", f->dir);
    (void)snprintf(line, sizeof(line),
                   "init --dir %s --host relay.example --host 10.1.2.3 --listen 127.0.0.1:0 "
                   "--http-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
                   f->dir);
    if (run(f, line) != 0) {
        fail_msg("%s", f->err);
    }
}

static void end(struct fixture *f)
{
    scratch_remove(f->folder);
}

static void path_in(const struct fixture *f, const char *name, char path[160])
{
    (void)snprintf(path, 160, "%s/%s", f->dir, name);
}

static unsigned mode_of(const struct fixture *f, const char *name)
{
    char path[160];
    struct stat st;
    path_in(f, name, path);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static X509 *read_certificate(const struct fixture *f, const char *name)
{
    char path[160];
    path_in(f, name, path);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    X509 *x = PEM_read_X509(in, NULL, NULL, NULL);
    assert_non_null(x);
    assert_int_equal(fclose(in), 0);
    return x;
}

static void init_makes_a_set_up_that_the_relay_takes(void **state)
{
    struct fixture f;
    struct relay_config c;
    struct error_text e;
    (void)state;
    init(&f);
    assert_contains(f.out, "The CA's SHA-256: ");
    assert_contains(f.out, "thinknx-relay serve --config");
    assert_int_equal(mode_of(&f, "ca.key"), 0600);
    assert_int_equal(mode_of(&f, "key.pem"), 0600);
    assert_int_equal(mode_of(&f, "relay.db"), 0600);
    assert_int_equal(mode_of(&f, "ca.pem"), 0644);
    if (relay_config_read(f.conf, &c, &e) != 0) {
        fail_msg("%s", e.text);
    }
    assert_string_equal(c.public_url, "https://relay.example");
    assert_string_equal(c.https_listen.values[0], "127.0.0.1:0");
    assert_string_equal(c.admin_listen.values[0], "127.0.0.1:0");
    relay_config_free(&c);
    end(&f);
}

static void certificates_name_all_hosts_and_verify(void **state)
{
    struct fixture f;
    int days = 0;
    int seconds = 0;
    (void)state;
    init(&f);
    X509 *ca = read_certificate(&f, "ca.pem");
    X509 *server = read_certificate(&f, "cert.pem");
    assert_int_equal(X509_verify(ca, X509_get0_pubkey(ca)), 1);
    assert_int_equal(X509_verify(server, X509_get0_pubkey(ca)), 1);
    assert_int_equal(X509_check_issued(ca, server), X509_V_OK);
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_check_ca(server), 0);
    assert_int_equal(X509_check_purpose(server, X509_PURPOSE_SSL_SERVER, 0), 1);
    assert_int_equal(X509_check_host(server, "relay.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(server, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(server, "other.example", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(server, "10.1.2.3", 0), 1);
    assert_int_equal(X509_check_ip_asc(server, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(server, "::1", 0), 1);
    assert_int_equal(
        ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(server), X509_get0_notAfter(server)),
        1);
    assert_in_range(days, 800, 825);
    assert_true(X509_cmp_current_time(X509_get0_notBefore(server)) < 0);
    X509_free(server);
    X509_free(ca);
    end(&f);
}

static void init_overwrites_nothing_and_leaves_nothing_half_made(void **state)
{
    static const char *const NAMES[] = {"relay.db", "ca.pem",  "ca.key",
                                        "cert.pem", "key.pem", "relay.conf"};
    struct fixture f;
    char line[256];
    char path[160];
    struct stat st;
    (void)state;
    init(&f);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        /* One of the files is there. */
        for (size_t k = 0; k < sizeof(NAMES) / sizeof(NAMES[0]); k++) {
            path_in(&f, NAMES[k], path);
            assert_true(unlink(path) == 0 || i > 0);
        }
        path_in(&f, NAMES[i], path);
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_true(fputs("mine", out) >= 0);
        assert_int_equal(fclose(out), 0);
        (void)snprintf(line, sizeof(line), "init --dir %s --host a", f.dir);
        assert_int_equal(run(&f, line), 1);
        assert_contains(f.err, "is there already");
        assert_contains(f.err, NAMES[i]);
        assert_true(scratch_file_holds(path, "mine"));
        for (size_t k = 0; k < sizeof(NAMES) / sizeof(NAMES[0]); k++) {
            path_in(&f, NAMES[k], path);
            assert_true((stat(path, &st) == 0) == (k == i));
        }
        path_in(&f, NAMES[i], path);
        assert_int_equal(unlink(path), 0);
    }
    end(&f);
}

static void init_checks_its_options(void **state)
{
    static const char *const BAD[] = {
        "init --host",
        "init --host a:443",
        "init --host a/b",
        "init --host https://a",
        "init --port 0 --host a",
        "init --listen 443 --host a",
        "init --frob",
        "init frob",
        "init --admin-listen x --host a",
        "init --dir a --dir b",
        "init --listen none",
        "init --host=",
    };
    struct fixture f;
    (void)state;
    init(&f);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(run(&f, BAD[i]), 2);
        assert_contains(f.err, "--help");
    }
    assert_int_equal(run(&f, "init --help"), 0);
    assert_contains(f.out, "--host NAME");
    end(&f);
}

static void public_url_has_the_port_that_is_listened_on(void **state)
{
    static const struct {
        const char *options;
        const char *url;
    } CASES[] = {
        {"--host a", "public_url = https://a\n"},
        {"--host a --listen :8443", "public_url = https://a:8443\n"},
        {"--host a --listen :8443 --port 443", "public_url = https://a\n"},
        {"--host ::1 --port 9", "public_url = https://[::1]:9\n"},
        {"--host a b --listen :0", "public_url = https://a\n"},
    };
    struct fixture f;
    char line[256];
    char path[200];
    (void)state;
    init(&f);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        (void)snprintf(line, sizeof(line), "init --dir %s/%zu %s", f.folder, i, CASES[i].options);
        assert_int_equal(run(&f, line), 0);
        (void)snprintf(path, sizeof(path), "%s/%zu/relay.conf", f.folder, i);
        assert_true(scratch_file_holds(path, CASES[i].url));
    }
    end(&f);
}

static void server_add_gives_all_that_the_agent_needs(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    must(&f, "server add TNX-1 --json");
    json_t *json = json_of(&f);
    assert_string_equal(member(json, "serial"), "TNX-1");
    assert_true(credential_is_well_formed(span_of(member(json, "token"))));
    assert_string_equal(member(json, "relay_url"), "wss://relay.example:443");
    assert_contains(member(json, "agent_conf"), "serial = TNX-1\n");
    assert_contains(member(json, "agent_conf"), "ca_file = ca.pem\n");
    assert_contains(member(json, "ca_pem"), "BEGIN CERTIFICATE");
    assert_contains(member(json, "agent_conf"), member(json, "ca_sha256"));
    json_decref(json);
    must(&f, "server add TNX-2");
    assert_contains(f.out, "agent.token");
    assert_contains(f.out, "[server]");
    must_fail(&f, "server add TNX-1", 1, "there is a server TNX-1 already");
    must_fail(&f, "server add a/b", 2, "serial number");
    must_fail(&f, "server add", 2, "which SERIAL");
    end(&f);
}

static void server_add_writes_a_folder(void **state)
{
    struct fixture f;
    char line[256];
    char path[160];
    (void)state;
    init(&f);
    (void)snprintf(line, sizeof(line), "server add TNX-1 --out %s/kit", f.dir);
    must(&f, line);
    assert_int_equal(mode_of(&f, "kit/agent.token"), 0600);
    path_in(&f, "kit/agent.conf", path);
    assert_true(scratch_file_holds(path, "serial = TNX-1\n"));
    path_in(&f, "kit/ca.pem", path);
    assert_true(scratch_file_holds(path, "BEGIN CERTIFICATE"));
    /* Refused before the server is made. */
    (void)snprintf(line, sizeof(line), "server add TNX-2 --out %s/kit", f.dir);
    must_fail(&f, line, 1, "is there already");
    must_fail(&f, "server show TNX-2", 1, "there is no server TNX-2");
    end(&f);
}

static void servers_are_listed_shown_changed_and_removed(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    must(&f, "server add TNX-1 --name House");
    must(&f, "server list");
    assert_contains(f.out, "SERIAL");
    assert_contains(f.out, "House");
    must(&f, "server disable TNX-1");
    must(&f, "server change TNX-1 --building-keys no --command-rate 3");
    must(&f, "server list --json");
    json_t *json = json_of(&f);
    assert_int_equal(json_array_size(json), 1);
    const json_t *server = json_array_get(json, 0);
    assert_string_equal(member(server, "state"), "disabled");
    assert_true(json_is_false(json_object_get(server, "may_enable_keys")));
    assert_int_equal(json_integer_value(json_object_get(server, "command_rate")), 3);
    assert_int_equal(json_integer_value(json_object_get(server, "command_burst")), 3);
    json_decref(json);
    must(&f, "server enable TNX-1 --json");
    json = json_of(&f);
    assert_string_equal(member(json, "state"), "enabled");
    json_decref(json);
    must(&f, "server show TNX-1");
    assert_contains(f.out, "3 per second, burst 3");
    must(&f, "server remove TNX-1");
    must_fail(&f, "server remove TNX-1", 1, "there is no server TNX-1");
    must(&f, "server list --json");
    assert_string_equal(f.out, "[]\n");
    end(&f);
}

static void key_commands_keep_the_contract(void **state)
{
    struct fixture f;
    char line[128];
    char url[160];
    (void)state;
    init(&f);
    must(&f, "server add TNX-1");
    must(&f, "key enable TNX-1 --json --label alice --rate 5 --read-only --guids a,b --guids c "
             "--expires 30d");
    json_t *made = json_of(&f);
    assert_string_equal(member(made, "id"), "k_1");
    assert_string_equal(member(made, "serial"), "TNX-1");
    (void)snprintf(url, sizeof(url), "https://relay.example/%s/api/V1/", member(made, "key"));
    assert_string_equal(member(made, "url"), url);

    must(&f, "key list TNX-1 --json");
    assert_null(strstr(f.out, member(made, "key")));
    json_t *list = json_of(&f);
    const json_t *key = json_array_get(list, 0);
    assert_string_equal(member(key, "label"), "alice");
    assert_string_equal(member(key, "state"), "active");
    assert_int_equal(json_integer_value(json_object_get(key, "burst")), 10);
    const json_t *scope = json_object_get(key, "scope");
    assert_int_equal(json_array_size(json_object_get(scope, "guids")), 3);
    assert_true(json_is_true(json_object_get(scope, "read_only")));
    assert_non_null(strchr(member(key, "expires_at"), 'T'));
    assert_true(json_is_null(json_object_get(key, "revoked_at")));
    json_decref(list);

    must(&f, "key rotate k_1 --overlap 1h --json");
    json_t *next = json_of(&f);
    assert_string_equal(member(next, "id"), "k_2");
    assert_string_not_equal(member(next, "key"), member(made, "key"));
    json_decref(next);
    must(&f, "key revoke k_2");
    must(&f, "key list");
    assert_contains(f.out, "rotated");
    assert_contains(f.out, "revoked");
    must_fail(&f, "key rotate k_2", 1, "was revoked");

    /* A key given where an id or a serial belongs is not repeated. */
    (void)snprintf(line, sizeof(line), "key revoke %s", member(made, "key"));
    must_fail(&f, line, 2, "looks like k_12");
    assert_null(strstr(f.err, member(made, "key")));
    (void)snprintf(line, sizeof(line), "key list %s", member(made, "key"));
    must_fail(&f, line, 1, "looks like a key");
    assert_null(strstr(f.err, member(made, "key")));
    json_decref(made);
    end(&f);
}

static void bad_key_options_are_told(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    must(&f, "server add TNX-1");
    must_fail(&f, "key", 2, "what is to be done");
    must_fail(&f, "key frob", 2, "no such command as frob");
    must_fail(&f, "key enable", 2, "which SERIAL");
    must_fail(&f, "key enable TNX-1 TNX-2", 2, "too many arguments");
    must_fail(&f, "key enable TNX-2", 1, "there is no server TNX-2");
    must_fail(&f, "key enable TNX-1 --rate 0", 2, "--rate must be");
    must_fail(&f, "key enable TNX-1 --expires soon", 2, "--expires must be");
    must_fail(&f, "key enable TNX-1 --expires 2001-01-01", 2, "cannot expire before");
    must_fail(&f, "key enable TNX-1 --controllers power,frob", 2, "\"frob\" is no controller");
    must_fail(&f, "key enable TNX-1 --cidrs 10.0.0.1/8", 2, "is no block of addresses");
    must_fail(&f, "key enable TNX-1 --groups 1/2/*,,3/*", 2, "is no KNX group");
    must_fail(&f, "key rotate k_9", 1, "there is no key k_9");
    must_fail(&f, "key rotate k_1 --overlap long", 2, "--overlap must be");
    must_fail(&f, "key enable TNX-1 --secret=12345", 2, "--secret is no option");
    assert_null(strstr(f.err, "12345"));
    must(&f, "key list --json");
    assert_string_equal(f.out, "[]\n");
    end(&f);
}

static void audit_tells_who_did_what(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    must(&f, "server add TNX-1");
    must_fail(&f, "key enable TNX-2", 1, "no server");
    must(&f, "audit --json");
    json_t *list = json_of(&f);
    assert_int_equal(json_array_size(list), 2);
    const json_t *row = json_array_get(list, 0);
    assert_string_equal(member(row, "what"), "key.enable");
    assert_true(json_is_true(json_object_get(row, "refused")));
    assert_contains(member(row, "who"), "operator:");
    json_decref(list);
    must(&f, "audit --refused");
    assert_contains(f.out, "there is no server TNX-2");
    assert_null(strstr(f.out, "server.add"));
    must(&f, "audit --since 1h --until 2001-01-01 --json");
    assert_string_equal(f.out, "[]\n");
    must_fail(&f, "audit --since yesterday", 2, "--since must be");
    end(&f);
}

static void backup_makes_a_new_file_only(void **state)
{
    struct fixture f;
    char line[256];
    (void)state;
    init(&f);
    must(&f, "server add TNX-1");
    (void)snprintf(line, sizeof(line), "backup %s/copy.db --json", f.dir);
    must(&f, line);
    json_t *json = json_of(&f);
    assert_true(json_integer_value(json_object_get(json, "bytes")) > 4096);
    json_decref(json);
    assert_int_equal(mode_of(&f, "copy.db"), 0600);
    must_fail(&f, line, 1, "exists");
    must_fail(&f, "backup", 2, "which FILE");
    end(&f);
}

static void bad_configurations_are_told_apart_from_failures(void **state)
{
    struct fixture f;
    char path[160];
    (void)state;
    init(&f);
    assert_int_equal(run(&f, "server list --config /nowhere/relay.conf"), 2);
    assert_contains(f.err, "/nowhere/relay.conf");
    path_in(&f, "relay.db", path);
    assert_int_equal(unlink(path), 0);
    must_fail(&f, "server list", 1, "does not exist");
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs("this is not a database, and that is no mistake of the configuration", out) >=
                0);
    assert_int_equal(fclose(out), 0);
    must_fail(&f, "server list", 1, "not a database of thinknx-relay");
    out = fopen(f.conf, "a");
    assert_non_null(out);
    assert_true(fputs("\n[limits]\nfrob = 1\n", out) >= 0);
    assert_int_equal(fclose(out), 0);
    must_fail(&f, "server list", 2, "[limits] frob: unknown key");
    end(&f);
}

static void output_that_is_lost_is_told(void **state)
{
    struct fixture f;
    char conf[160];
    char name[] = "key";
    char verb[] = "list";
    char option[] = "--config";
    int saved = -1;
    (void)state;
    init(&f);
    (void)snprintf(conf, sizeof(conf), "%s", f.conf);
    char *argv[] = {name, verb, option, conf, NULL};
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    (void)fflush(stdout);
    saved = dup(1);
    assert_int_equal(dup2(full, 1), 1);
    int code = command_key(4, argv);
    restore(1, saved);
    clearerr(stdout);
    assert_int_equal(close(full), 0);
    assert_int_equal(code, 1);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_makes_a_set_up_that_the_relay_takes),
        cmocka_unit_test(certificates_name_all_hosts_and_verify),
        cmocka_unit_test(init_overwrites_nothing_and_leaves_nothing_half_made),
        cmocka_unit_test(init_checks_its_options),
        cmocka_unit_test(public_url_has_the_port_that_is_listened_on),
        cmocka_unit_test(server_add_gives_all_that_the_agent_needs),
        cmocka_unit_test(server_add_writes_a_folder),
        cmocka_unit_test(servers_are_listed_shown_changed_and_removed),
        cmocka_unit_test(key_commands_keep_the_contract),
        cmocka_unit_test(bad_key_options_are_told),
        cmocka_unit_test(audit_tells_who_did_what),
        cmocka_unit_test(backup_makes_a_new_file_only),
        cmocka_unit_test(bad_configurations_are_told_apart_from_failures),
        cmocka_unit_test(output_that_is_lost_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
