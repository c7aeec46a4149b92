/* SPDX-License-Identifier: Apache-2.0 */
/* `init`: the files it makes, and those it leaves alone. */
#include "tests/unit/store/shell.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "relay/config.h"

static X509 *read_certificate(const struct shell *f, const char *name)
{
    char path[160];
    shell_path(f, name, path);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    X509 *x = PEM_read_X509(in, NULL, NULL, NULL);
    assert_non_null(x);
    assert_int_equal(fclose(in), 0);
    return x;
}

static void init_makes_a_set_up_that_the_relay_takes(void **state)
{
    struct shell f;
    struct relay_config c;
    struct error_text e;
    (void)state;
    shell_init(&f);
    assert_contains(f.out, "The CA's SHA-256: ");
    assert_contains(f.out, "thinknx-relay serve --config");
    assert_int_equal(shell_mode(&f, "ca.key"), 0600);
    assert_int_equal(shell_mode(&f, "key.pem"), 0600);
    assert_int_equal(shell_mode(&f, "relay.db"), 0600);
    assert_int_equal(shell_mode(&f, "ca.pem"), 0644);
    if (relay_config_read(f.conf, &c, &e) != 0) {
        fail_msg("%s", e.text);
    }
    assert_string_equal(c.public_url, "https://relay.example");
    assert_string_equal(c.https_listen.values[0], "127.0.0.1:0");
    assert_string_equal(c.admin_listen.values[0], "127.0.0.1:0");
    relay_config_free(&c);
    shell_close(&f);
}

static void certificates_name_all_hosts_and_verify(void **state)
{
    struct shell f;
    int days = 0;
    int seconds = 0;
    (void)state;
    shell_init(&f);
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
    shell_close(&f);
}

static void without_a_host_it_is_the_machine_with_all_its_addresses(void **state)
{
    struct shell f;
    struct ifaddrs *all = NULL;
    char line[256];
    char text[INET_ADDRSTRLEN];
    (void)state;
    shell_init(&f);
    (void)snprintf(f.dir, sizeof(f.dir), "%s/other", f.folder);
    (void)snprintf(line, sizeof(line), "init --dir %s", f.dir);
    assert_int_equal(shell_run(&f, line), 0);
    X509 *server = read_certificate(&f, "cert.pem");
    assert_int_equal(X509_check_ip_asc(server, "127.0.0.1", 0), 1);
    assert_int_equal(getifaddrs(&all), 0);
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        struct sockaddr_in v4;
        if (a->ifa_addr != NULL && a->ifa_addr->sa_family == AF_INET) {
            memcpy(&v4, a->ifa_addr, sizeof(v4));
            assert_non_null(inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text)));
            assert_int_equal(X509_check_ip_asc(server, text, 0), 1);
        }
    }
    freeifaddrs(all);
    X509_free(server);
    shell_close(&f);
}

static void init_overwrites_nothing_and_leaves_nothing_half_made(void **state)
{
    static const char *const NAMES[] = {"relay.db", "ca.pem",  "ca.key",
                                        "cert.pem", "key.pem", "relay.conf"};
    struct shell f;
    char line[256];
    char path[160];
    struct stat st;
    (void)state;
    shell_init(&f);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        /* One of the files is there. */
        for (size_t k = 0; k < sizeof(NAMES) / sizeof(NAMES[0]); k++) {
            shell_path(&f, NAMES[k], path);
            assert_true(unlink(path) == 0 || i > 0);
        }
        shell_path(&f, NAMES[i], path);
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_true(fputs("mine", out) >= 0);
        assert_int_equal(fclose(out), 0);
        (void)snprintf(line, sizeof(line), "init --dir %s --host a", f.dir);
        assert_int_equal(shell_run(&f, line), 1);
        assert_contains(f.err, "is there already");
        assert_contains(f.err, NAMES[i]);
        assert_true(scratch_file_holds(path, "mine"));
        for (size_t k = 0; k < sizeof(NAMES) / sizeof(NAMES[0]); k++) {
            shell_path(&f, NAMES[k], path);
            assert_true((stat(path, &st) == 0) == (k == i));
        }
        shell_path(&f, NAMES[i], path);
        assert_int_equal(unlink(path), 0);
    }
    shell_close(&f);
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
        "init --host a --dir b --database c/relay.db",
    };
    struct shell f;
    (void)state;
    shell_init(&f);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(shell_run(&f, BAD[i]), 2);
        assert_contains(f.err, "--help");
    }
    assert_int_equal(shell_run(&f, "init --help"), 0);
    assert_contains(f.out, "--host NAME");
    shell_close(&f);
}

static void places_that_cannot_be_are_told(void **state)
{
    char deep[5001];
    struct shell f;
    char line[6000];
    (void)state;
    shell_init(&f);
    memset(deep, 'd', sizeof(deep));
    deep[sizeof(deep) - 1] = '\0';
    const struct {
        const char *options;
        const char *place;
        int code;
        const char *sentence;
    } cases[] = {
        {"--dir", deep, 2, "is too long"},
        {"--dir d --database", deep, 2, "--database: must be an absolute path"},
        {"--dir d --database /", deep, 2, "--database: too long"},
        {"--dir", "/nowhere/at/all", 1, "cannot make the folder /nowhere/at/all: No such file"},
        {"--dir", f.conf, 1, "is there already and is no folder"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is_whole = cases[i].options[strlen(cases[i].options) - 1] == '/';
        (void)snprintf(line, sizeof(line), "init --host a %s%s%s", cases[i].options,
                       is_whole ? "" : " ", cases[i].place);
        assert_int_equal(shell_run(&f, line), cases[i].code);
        assert_contains(f.err, cases[i].sentence);
    }
    shell_close(&f);
}

static void init_for_programs_says_where_all_is(void **state)
{
    struct shell f;
    char line[256];
    char path[160];
    struct stat st;
    (void)state;
    shell_init(&f);
    (void)snprintf(f.dir, sizeof(f.dir), "%s/other", f.folder);
    (void)snprintf(line, sizeof(line),
                   "init --dir %s --host a --database %s/data/relay.db --runtime-file /run/x.json "
                   "--json",
                   f.dir, f.folder);
    assert_int_equal(shell_run(&f, line), 0);
    assert_string_equal(f.err, "");
    json_t *json = shell_json(&f);
    shell_path(&f, "relay.conf", path);
    assert_string_equal(shell_member(json, "config"), path);
    assert_true(scratch_file_holds(path, "\nruntime_file = /run/x.json\n"));
    (void)snprintf(line, sizeof(line), "\ndatabase = %s/data/relay.db\n", f.folder);
    assert_true(scratch_file_holds(path, line));
    shell_path(&f, "ca.pem", path);
    assert_string_equal(shell_member(json, "ca"), path);
    assert_int_equal(strlen(shell_member(json, "ca_sha256")), 95); /* 32 bytes as "AB:CD:…" */
    assert_string_equal(shell_member(json, "public_url"), "https://a");
    json_decref(json);
    (void)snprintf(path, sizeof(path), "%s/data/relay.db", f.folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    shell_close(&f);
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
    struct shell f;
    char line[256];
    char path[200];
    (void)state;
    shell_init(&f);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        (void)snprintf(line, sizeof(line), "init --dir %s/%zu %s", f.folder, i, CASES[i].options);
        assert_int_equal(shell_run(&f, line), 0);
        (void)snprintf(path, sizeof(path), "%s/%zu/relay.conf", f.folder, i);
        assert_true(scratch_file_holds(path, CASES[i].url));
    }
    shell_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_makes_a_set_up_that_the_relay_takes),
        cmocka_unit_test(certificates_name_all_hosts_and_verify),
        cmocka_unit_test(without_a_host_it_is_the_machine_with_all_its_addresses),
        cmocka_unit_test(init_overwrites_nothing_and_leaves_nothing_half_made),
        cmocka_unit_test(init_checks_its_options),
        cmocka_unit_test(places_that_cannot_be_are_told),
        cmocka_unit_test(init_for_programs_says_where_all_is),
        cmocka_unit_test(public_url_has_the_port_that_is_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
