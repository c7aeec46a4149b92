/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/config.h: a folder with a file and its secrets. */
#include "agent/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN    "t0ken"
#define PASSWORD "pass word"

static char folder[] = "/tmp/tnx-config-XXXXXX";
static char path[64];

static void write_file(const char *name, const char *text, mode_t mode)
{
    char file_path[128];
    (void)snprintf(file_path, sizeof(file_path), "%s/%s", folder, name);
    FILE *file = fopen(file_path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(file_path, mode), 0);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/agent.conf", folder);
    write_file("token", TOKEN "\n", 0600);
    write_file("password", PASSWORD "\n", 0600);
    write_file("open", "x\n", 0644);
    write_file("long",
               "012345678901234567890123456789012345678901234567890123456789"
               "0123456789012345678901234567890123\n",
               0600);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"agent.conf", "token", "password", "open", "long"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char file_path[128];
        (void)snprintf(file_path, sizeof(file_path), "%s/%s", folder, names[i]);
        assert_int_equal(unlink(file_path), 0);
    }
    return rmdir(folder);
}

static struct config *load(const char *text)
{
    struct config *c = NULL;
    struct error_text e = {""};
    write_file("agent.conf", text, 0644);
    if (config_load(path, &c, &e) != 0) {
        fail_msg("%s", e.text);
    }
    return c;
}

static void assert_wrong(const char *text, const char *sentence)
{
    struct config *c = NULL;
    struct error_text e = {""};
    write_file("agent.conf", text, 0644);
    assert_int_equal(config_load(path, &c, &e), ERROR_CONFIG);
    assert_ptr_equal(strstr(e.text, path), e.text);
    if (strstr(e.text, sentence) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", sentence, e.text);
    }
    assert_null(strstr(e.text, TOKEN));
    assert_null(strstr(e.text, PASSWORD));
    assert_null(c);
}

#define RELAY  "[relay]\nurl = wss://relay.example\nserial = TNX-0001\ntoken_file = token\n"
#define SERVER "[server]\nurl = http://192.168.1.10:5051\n"

static void test_config_has_defaults(void **state)
{
    (void)state;
    struct config *c = load(RELAY SERVER);
    struct dialer_settings d = config_dialer(c, 0);
    struct upstream_settings u = config_upstream(c);
    assert_string_equal(d.relay->host, "relay.example");
    assert_int_equal(d.relay->port, 443);
    assert_string_equal(d.serial, "TNX-0001");
    assert_string_equal(d.token, TOKEN);
    assert_null(d.proxy);
    assert_null(d.proxy_user);
    assert_null(d.proxy_password);
    assert_null(d.ca_file);
    assert_int_equal(d.n_pins, 0);
    assert_int_equal(d.drain_ms, 25000);
    assert_string_equal(u.url, "http://192.168.1.10:5051");
    assert_int_equal(u.auth, UPSTREAM_AUTH_NONE);
    assert_string_equal(u.user, "");
    assert_string_equal(u.password, "");
    assert_int_equal(u.max_connections, 8);
    assert_int_equal(u.max_paused, 32);
    assert_int_equal(u.connect_timeout_ms, 3000);
    assert_int_equal(u.answer_timeout_ms, 10000);
    assert_int_equal(u.feedback_timeout_ms, 30000);
    assert_string_equal(c->status_socket, "/run/thinknx-agent/status.sock");
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    config_free(c);
}

static void test_config_takes_everything(void **state)
{
    (void)state;
    struct config *c = load(
        "[relay]\nurl = wss://a.example\nurl = wss://[::1]:8443\nserial = TNX-0001\n"
        "token_file = token\nproxy = http://proxy.lan:3128\nproxy_user = me\n"
        "proxy_password_file = password\n"
        "pin_sha256 = 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
        "[server]\nurl = http://server.lan\nauth = digest\nuser = service\n"
        "password_file = password\nmax_connections = 3\nmax_paused = 0\n"
        "[timeouts]\nconnect = 0.5\nanswer = 2m\nanswer_fb = 45\ndrain = 1\n"
        "[agent]\nlog_level = debug\nlog_format = json\nstatus_socket = s\nruntime_file = r\n");
    struct dialer_settings d = config_dialer(c, 1);
    struct upstream_settings u = config_upstream(c);
    assert_int_equal(c->relay_urls.n_values, 2);
    assert_string_equal(d.relay->host, "::1");
    assert_string_equal(d.proxy->host, "proxy.lan");
    assert_int_equal(d.proxy->port, 3128);
    assert_string_equal(d.proxy_user, "me");
    assert_string_equal(d.proxy_password, PASSWORD);
    assert_int_equal(d.n_pins, 1);
    assert_int_equal(d.pins[0][31], 0x1f);
    assert_int_equal(d.drain_ms, 1000);
    assert_int_equal(u.auth, UPSTREAM_AUTH_DIGEST);
    assert_string_equal(u.user, "service");
    assert_string_equal(u.password, PASSWORD);
    assert_int_equal(u.max_connections, 3);
    assert_int_equal(u.max_paused, 0);
    assert_int_equal(u.connect_timeout_ms, 500);
    assert_int_equal(u.answer_timeout_ms, 120000);
    assert_int_equal(c->log_format, LOG_FORMAT_JSON);
    assert_ptr_equal(strstr(c->status_socket, folder), c->status_socket);
    config_free(c);
}

struct wrong {
    const char *text;
    const char *sentence;
};

static void test_config_names_place_and_reason(void **state)
{
    static const struct wrong cases[] = {
        {SERVER, "[relay] url: missing"},
        {"[relay]\nurl = ws://relay.example\nserial = a\ntoken_file = token\n" SERVER,
         ":2: [relay] url: ws:// is not encrypted"},
        {"[relay]\nurl = wss://a\nurl = wss://A:443\nserial = a\ntoken_file = token\n" SERVER,
         ":3: [relay] url: the same relay is given twice"},
        {"[relay]\nurl = wss://a\nserial = a:b\ntoken_file = token\n" SERVER,
         ":3: [relay] serial: may hold no colon"},
        {"[relay]\nurl = wss://a\nserial = "
         "01234567890123456789012345678901234567890123456789012345678901234\n"
         "token_file = token\n" SERVER,
         ":3: [relay] serial: must have 1 to 64 characters"},
        {"[relay]\nurl = wss://a\nserial = a\ntoken_file = none\n" SERVER,
         ":4: [relay] token_file: cannot open"},
        {"[relay]\nurl = wss://a\nserial = a\ntoken_file = open\n" SERVER,
         ":4: [relay] token_file: "},
        {RELAY "pin_sha256 = 00\n" SERVER, ":5: [relay] pin_sha256: must be 64"},
        {RELAY "ca_file = none\n" SERVER, ":5: [relay] ca_file: cannot load certificates"},
        {RELAY "ca_file = token\n" SERVER, ":5: [relay] ca_file: cannot load certificates"},
        {RELAY "proxy = proxy.lan\n" SERVER, ":5: [relay] proxy: the port is missing"},
        {RELAY "proxy_user = me\n" SERVER, ":5: [relay] proxy_user: there is no proxy"},
        {RELAY "proxy = p:1\nproxy_user = me\n" SERVER, ":6: [relay] proxy_user: "},
        {RELAY "proxy = p:1\nproxy_password_file = password\n" SERVER,
         ":6: [relay] proxy_password_file: "},
        {RELAY "proxy = p:1\nproxy_user = m:e\nproxy_password_file = password\n" SERVER,
         ":6: [relay] proxy_user: "},
        {RELAY "proxy = p:1\nproxy_user = me\nproxy_password_file = long\n" SERVER,
         ":7: [relay] proxy_password_file: user and password together"},
        {RELAY "[server]\nurl = https://x\n", ":6: [server] url: "},
        {RELAY "[server]\nurl = http://x/path\n", ":6: [server] url: "},
        {RELAY SERVER "auth = digest\n", ":7: [server] auth: wants user"},
        {RELAY SERVER "user = me\n", ":7: [server] user: is not used"},
        {RELAY SERVER "auth = basic\nuser = m:e\npassword_file = password\n",
         ":8: [server] user: may hold no colon"},
        {RELAY SERVER "auth = basic\nuser = me\npassword_file = open\n",
         ":9: [server] password_file: "},
        {RELAY SERVER "auth : basic\nuser : m:e=u\npassword_file:password\n",
         ":8: [server] user: may hold no colon"},
        {"[relay]\nurl: ws://a=b\nserial: a\ntoken_file:token\n" SERVER,
         ":2: [relay] url: ws:// is"},
        {RELAY SERVER "user: me = you\n", ":7: [server] user: is not used"},
        {RELAY SERVER "[pages]\nlisten = nonsense\n", ":8: [pages] listen: must be address:port"},
        {RELAY SERVER "[pages]\nlisten = 0.0.0.0:1\n", ":8: [pages] listen: only 127.0.0.1"},
        {RELAY SERVER "max_connections = 0\n", "[server] max_connections: "},
        {RELAY SERVER "[timeouts]\ndrain = 0\n", "[timeouts] drain: "},
        {RELAY SERVER "[agent]\nlog_level = loud\n", "[agent] log_level: "},
        {RELAY SERVER "[other]\nx = y\n", "[other]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_wrong(cases[i].text, cases[i].sentence);
    }
}

static void test_config_proxied_host_at_its_limit(void **state)
{
    char text[512];
    char host[LINK_PROXIED_HOST_BYTES + 2];
    (void)state;
    for (size_t i = 0; i < sizeof(host) - 1; i++) {
        host[i] = i % 2 == 0 ? 'a' : '.';
    }
    host[LINK_PROXIED_HOST_BYTES] = '\0';
    static const char form[] = "[relay]\nurl = wss://%s\nserial = a\ntoken_file = token\n"
                               "proxy = p:1\n" SERVER;
    (void)snprintf(text, sizeof(text), form, host);
    config_free(load(text));
    (void)snprintf(text, sizeof(text), form, "x");
    host[LINK_PROXIED_HOST_BYTES] = 'a';
    host[LINK_PROXIED_HOST_BYTES - 1] = 'a';
    host[LINK_PROXIED_HOST_BYTES + 1] = '\0';
    (void)snprintf(text, sizeof(text), form, host);
    assert_wrong(text, ":2: [relay] url: too long a name");
}

static void test_config_compares_servers(void **state)
{
    (void)state;
    struct config *a = load(RELAY SERVER "auth = basic\nuser = me\npassword_file = password\n");
    struct config *b = load("[relay]\nurl = wss://other\nserial = X\ntoken_file = token\n" SERVER
                            "auth = basic\nuser = me\npassword_file = password\n");
    struct config *c = load(RELAY SERVER "auth = basic\nuser = me\npassword_file = token\n");
    struct config *d = load(RELAY SERVER);
    assert_true(config_same_upstream(a, b));
    assert_false(config_same_upstream(a, c));
    assert_false(config_same_upstream(a, d));
    config_free(a);
    config_free(b);
    config_free(c);
    config_free(d);
    config_free(NULL);
}

static void test_config_socket_needs_no_secrets(void **state)
{
    char *socket = NULL;
    struct error_text e;
    (void)state;
    write_file("agent.conf",
               "[relay]\nurl = wss://a\nserial = a\ntoken_file = none\n" SERVER
               "[agent]\nstatus_socket = /x/y\n",
               0644);
    assert_int_equal(config_load_socket(path, &socket, &e), 0);
    assert_string_equal(socket, "/x/y");
    free(socket);
    assert_int_equal(config_load_socket("/nonexistent", &socket, &e), ERROR_IO);
}

static void test_config_socket_path_at_its_limit(void **state)
{
    char text[512];
    char socket[109];
    (void)state;
    memset(socket, 'a', sizeof(socket) - 1);
    socket[0] = '/';
    socket[107] = '\0';
    (void)snprintf(text, sizeof(text), RELAY SERVER "[agent]\nstatus_socket = %s\n", socket);
    config_free(load(text));
    socket[107] = 'a';
    socket[108] = '\0';
    (void)snprintf(text, sizeof(text), RELAY SERVER "[agent]\nstatus_socket = %s\n", socket);
    assert_wrong(text, ":8: [agent] status_socket: ");
}

static void test_config_user_at_its_limit(void **state)
{
    char text[1024];
    char user[257];
    (void)state;
    memset(user, 'u', sizeof(user) - 1);
    user[256] = '\0';
    static const char form[] = RELAY SERVER "auth = digest\npassword_file = password\nuser = %s\n";
    (void)snprintf(text, sizeof(text), form, user);
    assert_wrong(text, ":9: [server] user: must have 1 to 255 characters");
    user[255] = '\0';
    (void)snprintf(text, sizeof(text), form, user);
    config_free(load(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_has_defaults),
        cmocka_unit_test(test_config_takes_everything),
        cmocka_unit_test(test_config_names_place_and_reason),
        cmocka_unit_test(test_config_proxied_host_at_its_limit),
        cmocka_unit_test(test_config_user_at_its_limit),
        cmocka_unit_test(test_config_compares_servers),
        cmocka_unit_test(test_config_socket_needs_no_secrets),
        cmocka_unit_test(test_config_socket_path_at_its_limit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
