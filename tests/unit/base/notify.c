/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/notify.h, with a socket in systemd's place. */
#include "proto/base/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/error.h"

static int listener;
static char folder[] = "/tmp/notify-XXXXXX";
static struct sockaddr_un address;

static void listen_at(socklen_t len)
{
    listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)(const void *)&address, len), 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/notify-XXXXXX");
    assert_non_null(mkdtemp(folder));
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
    listen_at(sizeof(address));
    assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)close(listener);
    (void)unlink(address.sun_path);
    (void)rmdir(folder);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    return 0;
}

static void assert_received(const char *text)
{
    char got[NOTIFY_BYTES * 2] = "";
    ssize_t n = recv(listener, got, sizeof(got) - 1, 0);
    assert_int_equal(n, strlen(text));
    assert_string_equal(got, text);
}

static void test_a_message_is_one_datagram(void **state)
{
    (void)state;
    assert_int_equal(notify_send("READY=1"), 0);
    assert_int_equal(notify_sendf("MAINPID=%d\nSTATUS=%s", 42, "well"), 0);
    assert_received("READY=1");
    assert_received("MAINPID=42\nSTATUS=well");
}

static void test_the_abstract_space_works(void **state)
{
    (void)state;
    char name[64];
    (void)close(listener);
    (void)snprintf(name, sizeof(name), "@tnx-notify-%ld", (long)getpid());
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    listen_at((socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)));
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_int_equal(notify_send("READY=1"), 0);
    assert_received("READY=1");
}

static void test_without_a_socket_nothing_happens(void **state)
{
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    assert_int_equal(notify_send("READY=1"), 0);
}

static void test_a_socket_that_is_none_is_an_error(void **state)
{
    (void)state;
    static const char *const names[] = {"", "/", "relative", "/nowhere/at/all"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)setenv("NOTIFY_SOCKET", names[i], 1);
        assert_int_equal(notify_send("READY=1"), ERROR_IO);
    }
}

static void test_the_longest_message_is_sent_and_a_longer_one_is_not(void **state)
{
    (void)state;
    char text[NOTIFY_BYTES + 2];
    memset(text, 'x', sizeof(text) - 1);
    text[NOTIFY_BYTES + 1] = '\0';
    assert_int_equal(notify_send(text), ERROR_LIMIT);
    assert_int_equal(notify_sendf("%s", text), ERROR_LIMIT);
    text[NOTIFY_BYTES] = '\0';
    assert_int_equal(notify_sendf("%s", text), 0);
    assert_received(text);
}

static void test_the_interval_of_the_watchdog_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } rows[] = {{"30000000", 30000}, {"999", 0},         {"", 0}, {"-1", 0},
                {"1e6", 0},          {"86400000001", 0}, {"0", 0}};
    assert_int_equal(notify_watchdog_ms(), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)setenv("WATCHDOG_USEC", rows[i].text, 1);
        assert_int_equal(notify_watchdog_ms(), rows[i].ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_message_is_one_datagram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_abstract_space_works, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_socket_nothing_happens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_socket_that_is_none_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_longest_message_is_sent_and_a_longer_one_is_not,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_interval_of_the_watchdog_is_read, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
