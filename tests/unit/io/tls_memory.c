/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/tls.h and crypto.h: memory that ends while OpenSSL makes what it needs. */
#include "proto/io/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/base/clock.h"
#include "proto/io/crypto.h"
#include "proto/io/tickets.h"
#include "tests/unit/base/allocator.h"
#include "tests/unit/io/handshake.h"
#include "tests/unit/io/pair_files.h"

#define DAY_S 86400

static struct pair_files files;
static struct tickets *tickets;
static struct tls_server *server;

static int make_files(void **state)
{
    int err = pair_files_set_up(state);
    if (err == 0) {
        pair_files_make(&files, "one.example", clock_wall_s() + 50 * DAY_S);
    }
    return err;
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(tickets_new(&tickets), 0);
    client_ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(client_ctx);
    client = SSL_new(client_ctx);
    assert_non_null(client);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    drop_connection();
    SSL_CTX_free(client_ctx);
    tls_server_free(server);
    server = NULL;
    tickets_free(tickets);
    return 0;
}

static int make_server(void)
{
    struct error_text e;
    return tls_server_new(&files.pair, 1, tickets, &server, &e);
}

/* There are some 6,000 allocations, and each trial takes all of those before its own. The one that
 * OpenSSL does not miss, and should, was the 136th; files are read by the later ones. */
#define FIRST_REFUSALS 1000
#define REFUSALS_STEP  13

/* OpenSSL makes contexts that lack what did not fit, and calls them made. */
static void test_tls_that_is_made_serves_though_memory_ended(void **state)
{
    (void)state;
    size_t n_refused = 0;
    size_t place = 0;
    for (bool refused = true; refused; n_refused++) {
        allocator_refuse_after(place);
        place += place < FIRST_REFUSALS ? 1 : REFUSALS_STEP;
        int rc = make_server();
        refused = allocator_reset();
        if (rc == 0) {
            connect_again();
            assert_true(connect_to(server));
            tls_server_free(server);
            server = NULL;
        }
    }
    assert_true(n_refused > 50);
}

/* In a process of its own: a handshake of that version in which the allocation behind `place`
 * others is refused, then one of each. Its exit code says how they went. */
enum { SPOILT = 1, NOTHING_REFUSED = 2 };

static void shake_hands_for_the_first_time(int version, size_t place)
{
    assert_int_equal(SSL_set_max_proto_version(client, version), 1);
    join(server);
    allocator_refuse_after(place);
    (void)shake_hands();
    bool refused = allocator_reset();
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        connect_again();
        if (SSL_set_max_proto_version(client, versions[i]) != 1 || !connect_to(server)) {
            _exit(SPOILT);
        }
    }
    _exit(refused ? 0 : NOTHING_REFUSED);
}

#define HANDSHAKE_STEP 17

/* OpenSSL loads all algorithms of a kind when one is first asked for, and never those again for
 * which there was no memory just then: who first shook hands in that moment could not do it any
 * more. */
static void test_tls_serves_after_a_first_handshake_without_memory(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    assert_int_equal(make_server(), 0);
    for (size_t i = 0; i < 2; i++) {
        int code = 0;
        for (size_t place = 0; code == 0; place += HANDSHAKE_STEP) {
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                shake_hands_for_the_first_time(versions[i], place);
            }
            int status = 0;
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status));
            code = WEXITSTATUS(status);
            if (code == SPOILT) {
                fail_msg("no handshake any more after the %zuth allocation was refused", place);
            }
        }
        assert_int_equal(code, NOTHING_REFUSED);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        /* Before any other handshake. */
        CASE(test_tls_serves_after_a_first_handshake_without_memory),
        CASE(test_tls_that_is_made_serves_though_memory_ended),
    };
    return cmocka_run_group_tests(tests, make_files, pair_files_tear_down);
}
