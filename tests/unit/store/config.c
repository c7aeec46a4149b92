/* SPDX-License-Identifier: Apache-2.0 */
/* relay.conf: defaults, and every rule with the place it names. */
#include "tests/unit/store/scratch.h"

#include <arpa/inet.h>

#include "proto/base/log.h"
#include "relay/config.h"

#define RELAY "[relay]\ndatabase = relay.db\npublic_url = https://relay.example\n"
#define HTTPS "[https]\nlisten = 0.0.0.0:443\ncertificate = cert.pem\nprivate_key = key.pem\n"

static void parse(const char *text, struct relay_config *c)
{
    struct error_text e;
    if (relay_config_parse("relay.conf", text, strlen(text), c, &e) != 0) {
        fail_msg("%s", e.text);
    }
}

static void smallest_file_gets_all_defaults(void **state)
{
    struct relay_config c;
    (void)state;
    parse(RELAY HTTPS, &c);
    assert_string_equal(c.database, "relay.db");
    assert_string_equal(c.public_url, "https://relay.example");
    assert_int_equal(c.workers, 0);
    assert_null(c.runtime_file);
    assert_int_equal(c.log_format, LOG_FORMAT_LOGFMT);
    assert_int_equal(c.log_level, LOG_LEVEL_INFO);
    assert_int_equal(c.https_listen.n_values, 1);
    assert_int_equal(c.http_listen.n_values, 0);
    assert_int_equal(c.admin_listen.n_values, 0);
    assert_int_equal(c.key_rate, 20);
    assert_int_equal(c.key_burst, 40);
    assert_int_equal(c.set_rate, 0);
    assert_int_equal(c.refused_rate, 1);
    assert_int_equal(c.refused_burst, 30);
    assert_int_equal(c.connections, 10000);
    assert_int_equal(c.connections_per_address, 1000);
    assert_int_equal(c.in_flight_per_server, 512);
    assert_int_equal(c.handshake_ms, 10000);
    assert_int_equal(c.head_ms, 10000);
    assert_int_equal(c.body_ms, 15000);
    assert_int_equal(c.idle_ms, 60000);
    assert_int_equal(c.server_ms, 10000);
    assert_int_equal(c.server_fb_ms, 30000);
    assert_int_equal(c.offline_grace_ms, 3000);
    assert_int_equal(c.ping_idle_ms, 20000);
    assert_int_equal(c.reply_deadline_ms, 10000);
    assert_int_equal(c.proxy_protocol, CONFIG_PROXY_NONE);
    relay_config_free(&c);
    relay_config_free(&c);
}

static void everything_can_be_set(void **state)
{
    struct relay_config c;
    (void)state;
    parse("[relay]\ndatabase = /var/lib/relay.db\npublic_url = https://[::1]:8443\nworkers = 3\n"
          "runtime_file = /run/relay.json\nlog_format = json\nlog_level = debug\n"
          "[https]\nlisten = 127.0.0.1:0\nlisten = [::1]:0\ncertificate = a.pem\n"
          "certificate = b.pem\nprivate_key = a.key\nprivate_key = b.key\n"
          "plain_listen = 127.0.0.1:8080\nplain_listen = [::1]:8080\n"
          "[http]\nlisten = :80\n"
          "[limits]\nkey_rate = 0\nset_rate = 2\nset_burst = 3\nparked = 0\n"
          "[timeouts]\nserver = 0.5\nserver_fb = 1m\noffline_grace = 0\nprobe = 0\n"
          "[admin]\nlisten = 127.0.0.1:0\n"
          "[proxy]\nprotocol = forwarded\ntrusted = 127.0.0.1\ntrusted = 10.0.0.0/8\n",
          &c);
    assert_string_equal(c.public_url, "https://[::1]:8443");
    assert_int_equal(c.workers, 3);
    assert_string_equal(c.runtime_file, "/run/relay.json");
    assert_int_equal(c.log_format, LOG_FORMAT_JSON);
    assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(c.https_listen.n_values, 2);
    assert_int_equal(c.certificates.n_values, 2);
    assert_string_equal(c.private_keys.values[1], "b.key");
    assert_int_equal(c.plain_listen.n_values, 2);
    assert_int_equal(c.key_rate, 0);
    assert_int_equal(c.set_burst, 3);
    assert_int_equal(c.server_ms, 500);
    assert_int_equal(c.server_fb_ms, 60000);
    assert_int_equal(c.offline_grace_ms, 0);
    assert_int_equal(c.proxy_protocol, CONFIG_PROXY_FORWARDED);
    assert_int_equal(c.proxy_trusted.n_values, 2);
    assert_int_equal(c.trusted[1].family, AF_INET);
    assert_int_equal(c.trusted[1].n_bits, 8);
    relay_config_free(&c);
}

static void relay_without_tls_listens_on_this_machine_only(void **state)
{
    struct relay_config c;
    (void)state;
    parse(RELAY "[https]\nplain_listen = localhost:8080\n", &c);
    assert_int_equal(c.certificates.n_values, 0);
    relay_config_free(&c);
}

static void mistakes_are_told_with_their_place(void **state)
{
    static const struct {
        const char *text;
        const char *sentence;
    } CASES[] = {
        {"[relay]\npublic_url = https://a\n" HTTPS, "relay.conf: [relay] database: missing"},
        {"[relay]\ndatabase = d\n" HTTPS, "relay.conf: [relay] public_url: missing"},
        {RELAY "public_url = https://b\n" HTTPS, "relay.conf:4: [relay] public_url: given twice"},
        {"[relay]\ndatabase = d\npublic_url = http://a\n" HTTPS,
         "relay.conf:3: [relay] public_url: must begin with https://"},
        {"[relay]\ndatabase = d\npublic_url = https://a/\n" HTTPS,
         "relay.conf:3: [relay] public_url: must be https://host or https://host:port, with "
         "nothing behind"},
        {"[relay]\ndatabase = d\npublic_url = https://u@a\n" HTTPS,
         "relay.conf:3: [relay] public_url: must be https://host or https://host:port"},
        {"[relay]\ndatabase = d\npublic_url = https://\n" HTTPS,
         "relay.conf:3: [relay] public_url: must be https://host or https://host:port"},
        {"[relay]\ndatabase = d\npublic_url = https://a:0\n" HTTPS,
         "relay.conf:3: [relay] public_url: must be https://host or https://host:port"},
        {"[relay]\ndatabase = d\npublic_url = https://a:65536\n" HTTPS,
         "relay.conf:3: [relay] public_url: must be https://host or https://host:port"},
        {RELAY, "relay.conf: [https] listen: missing: where are clients and agents to connect?"},
        {RELAY "[https]\nlisten = 443\n",
         "relay.conf:5: [https] listen: must be address:port, [address]:port or :port"},
        {RELAY HTTPS "plain_listen = 0.0.0.0:80\n",
         "relay.conf:8: [https] plain_listen: only an address of this machine (127.0.0.1, ::1): "
         "keys travel here without TLS"},
        {RELAY HTTPS "plain_listen = :80\n",
         "relay.conf:8: [https] plain_listen: only an address of this machine (127.0.0.1, ::1): "
         "keys travel here without TLS"},
        {RELAY HTTPS "[http]\nlisten = a:b\n",
         "relay.conf:9: [http] listen: must be address:port, [address]:port or :port"},
        {RELAY HTTPS "[admin]\nlisten = 127.0.0.1\n",
         "relay.conf:9: [admin] listen: must be address:port, [address]:port or :port"},
        {RELAY "[https]\nlisten = :443\n", "relay.conf: [https] certificate: missing"},
        {RELAY HTTPS "certificate = b.pem\n",
         "relay.conf:8: [https] certificate: has no private_key (they come in pairs, in the same "
         "order)"},
        {RELAY HTTPS "private_key = b.key\n",
         "relay.conf:8: [https] private_key: has no certificate (they come in pairs, in the same "
         "order)"},
        {RELAY HTTPS "[limits]\nkey_burst = 0\n",
         "relay.conf:9: [limits] key_burst: not a whole number from 1 to 1000000"},
        {RELAY HTTPS "[limits]\nkey_rate = -1\n",
         "relay.conf:9: [limits] key_rate: not a whole number from 0 to 1000000"},
        {RELAY HTTPS "[timeouts]\nserver = 60\n",
         "relay.conf: [timeouts] server_fb: may not be shorter than server"},
        {RELAY HTTPS "[timeouts]\nidle = 0\n",
         "relay.conf:9: [timeouts] idle: not between 0.100 and 3600.000 seconds"},
        {RELAY HTTPS "[proxy]\nprotocol = haproxy\n",
         "relay.conf:9: [proxy] protocol: not one of: none, proxy, forwarded"},
        {RELAY HTTPS "[proxy]\nprotocol = proxy\n",
         "relay.conf: [proxy] trusted: missing: whose word on client addresses is to be taken?"},
        {RELAY HTTPS "[proxy]\ntrusted = 10.0.0.1/8\n",
         "relay.conf:9: [proxy] trusted: must be an address or a block such as 10.0.0.0/8"},
        {RELAY "[https]\nplain_listen = 127.0.0.1:1\n[admin]\ntls = yes\n",
         "relay.conf: [admin] tls: needs a certificate under [https]"},
        {RELAY HTTPS "[admin]\nhost = a\nhost = b\nhost = c\nhost = d\nhost = e\n",
         "relay.conf:13: [admin] host: too long, or too many"},
        {RELAY HTTPS "[frobs]\n", "relay.conf:8: [frobs]: unknown section"},
        {RELAY HTTPS "[relay]\nfrob = 1\n", "relay.conf:9: [relay] frob: unknown key"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct relay_config c = {.workers = 77};
        struct error_text e = {""};
        assert_int_equal(
            relay_config_parse("relay.conf", CASES[i].text, strlen(CASES[i].text), &c, &e),
            ERROR_CONFIG);
        assert_string_equal(e.text, CASES[i].sentence);
        assert_int_equal(c.workers, 77);
    }
}

static void public_url_has_a_length(void **state)
{
    char text[1024];
    struct relay_config c;
    struct error_text e;
    (void)state;
    int len = snprintf(text, sizeof(text), "[relay]\ndatabase = d\npublic_url = https://%0400d\n%s",
                       0, HTTPS);
    assert_int_equal(relay_config_parse("relay.conf", text, (size_t)len, &c, &e), ERROR_CONFIG);
    assert_string_equal(e.text, "relay.conf:3: [relay] public_url: too long");
}

static void relative_paths_start_at_the_file(void **state)
{
    struct scratch s;
    char path[128];
    char expected[160];
    struct relay_config c;
    struct error_text e;
    (void)state;

    scratch_init(&s);
    (void)snprintf(path, sizeof(path), "%s/relay.conf", s.folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(RELAY HTTPS "certificate = /abs/b.pem\nprivate_key = sub/b.key\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(relay_config_read(path, &c, &e), 0);
    (void)snprintf(expected, sizeof(expected), "%s/relay.db", s.folder);
    assert_string_equal(c.database, expected);
    (void)snprintf(expected, sizeof(expected), "%s/cert.pem", s.folder);
    assert_string_equal(c.certificates.values[0], expected);
    assert_string_equal(c.certificates.values[1], "/abs/b.pem");
    (void)snprintf(expected, sizeof(expected), "%s/sub/b.key", s.folder);
    assert_string_equal(c.private_keys.values[1], expected);
    assert_string_equal(c.path, path);
    relay_config_free(&c);

    (void)snprintf(path, sizeof(path), "%s/none.conf", s.folder);
    assert_int_equal(relay_config_read(path, &c, &e), ERROR_IO);

    /* Which may be named from where one is. */
    static const char *const BELOW[] = {"relay.conf", "./relay.conf", "../relay.conf"};
    char *here = getcwd(NULL, 0);
    (void)snprintf(path, sizeof(path), "%s/sub", s.folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof(BELOW) / sizeof(BELOW[0]); i++) {
        assert_int_equal(chdir(i < 2 ? s.folder : path), 0);
        assert_int_equal(relay_config_read(BELOW[i], &c, &e), 0);
        assert_int_equal(c.database[0], '/');
        assert_int_equal(c.certificates.values[0][0], '/');
        (void)snprintf(expected, sizeof(expected), "%s/sub/%srelay.db", s.folder, "../");
        if (i == 2) {
            assert_string_equal(c.database, expected);
        }
        relay_config_free(&c);
    }
    assert_int_equal(chdir(here), 0);
    free(here);
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_file_gets_all_defaults),
        cmocka_unit_test(everything_can_be_set),
        cmocka_unit_test(relay_without_tls_listens_on_this_machine_only),
        cmocka_unit_test(mistakes_are_told_with_their_place),
        cmocka_unit_test(public_url_has_a_length),
        cmocka_unit_test(relative_paths_start_at_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
