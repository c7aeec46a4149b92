/* SPDX-License-Identifier: Apache-2.0 */
/* The commands from argv to exit code and output, as scripts see them. */
#include "tests/unit/store/shell.h"

#include <fcntl.h>

#include "relay/admin/commands.h"

static void server_add_gives_all_that_the_agent_needs(void **state)
{
    struct shell f;
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1 --json");
    json_t *json = shell_json(&f);
    assert_string_equal(shell_member(json, "serial"), "TNX-1");
    assert_true(credential_is_well_formed(span_of(shell_member(json, "token"))));
    assert_string_equal(shell_member(json, "relay_url"), "wss://relay.example:443");
    assert_contains(shell_member(json, "agent_conf"), "serial = TNX-1\n");
    assert_contains(shell_member(json, "agent_conf"), "ca_file = ca.pem\n");
    assert_contains(shell_member(json, "ca_pem"), "BEGIN CERTIFICATE");
    assert_contains(shell_member(json, "agent_conf"), shell_member(json, "ca_sha256"));
    json_decref(json);
    shell_must(&f, "server add TNX-2");
    assert_contains(f.out, "agent.token");
    assert_contains(f.out, "[server]");
    shell_must_fail(&f, "server add TNX-1", 1, "there is a server TNX-1 already");
    shell_must_fail(&f, "server add a/b", 2, "serial number");
    shell_must_fail(&f, "server add", 2, "which SERIAL");
    shell_close(&f);
}

static void server_add_writes_a_folder(void **state)
{
    struct shell f;
    char line[256];
    char path[160];
    (void)state;
    shell_init(&f);
    (void)snprintf(line, sizeof(line), "server add TNX-1 --out %s/kit", f.dir);
    shell_must(&f, line);
    assert_int_equal(shell_mode(&f, "kit/agent.token"), 0600);
    shell_path(&f, "kit/agent.conf", path);
    assert_true(scratch_file_holds(path, "serial = TNX-1\n"));
    shell_path(&f, "kit/ca.pem", path);
    assert_true(scratch_file_holds(path, "BEGIN CERTIFICATE"));
    /* Refused before the server is made. */
    (void)snprintf(line, sizeof(line), "server add TNX-2 --out %s/kit", f.dir);
    shell_must_fail(&f, line, 1, "is there already");
    shell_must_fail(&f, "server show TNX-2", 1, "there is no server TNX-2");
    shell_close(&f);
}

static void servers_are_listed_shown_changed_and_removed(void **state)
{
    struct shell f;
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1 --name House");
    shell_must(&f, "server list");
    assert_contains(f.out, "SERIAL");
    assert_contains(f.out, "House");
    shell_must(&f, "server disable TNX-1");
    shell_must(&f, "server change TNX-1 --building-keys no --command-rate 3");
    shell_must(&f, "server list --json");
    json_t *json = shell_json(&f);
    assert_int_equal(json_array_size(json), 1);
    const json_t *server = json_array_get(json, 0);
    assert_string_equal(shell_member(server, "state"), "disabled");
    assert_true(json_is_false(json_object_get(server, "may_enable_keys")));
    assert_int_equal(json_integer_value(json_object_get(server, "command_rate")), 3);
    assert_int_equal(json_integer_value(json_object_get(server, "command_burst")), 3);
    json_decref(json);
    shell_must(&f, "server enable TNX-1 --json");
    json = shell_json(&f);
    assert_string_equal(shell_member(json, "state"), "enabled");
    json_decref(json);
    shell_must(&f, "server show TNX-1");
    assert_contains(f.out, "3 per second, burst 3");
    shell_must(&f, "server remove TNX-1");
    shell_must_fail(&f, "server remove TNX-1", 1, "there is no server TNX-1");
    shell_must(&f, "server list --json");
    assert_string_equal(f.out, "[]\n");
    shell_close(&f);
}

static void key_commands_keep_the_contract(void **state)
{
    struct shell f;
    char line[128];
    char url[160];
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1");
    shell_must(&f,
               "key enable TNX-1 --json --label alice --rate 5 --read-only --guids a,b --guids c "
               "--expires 30d");
    json_t *made = shell_json(&f);
    assert_string_equal(shell_member(made, "id"), "k_1");
    assert_string_equal(shell_member(made, "serial"), "TNX-1");
    (void)snprintf(url, sizeof(url), "https://relay.example/%s/api/V1/", shell_member(made, "key"));
    assert_string_equal(shell_member(made, "url"), url);

    shell_must(&f, "key list TNX-1 --json");
    assert_null(strstr(f.out, shell_member(made, "key")));
    json_t *list = shell_json(&f);
    const json_t *key = json_array_get(list, 0);
    assert_string_equal(shell_member(key, "label"), "alice");
    assert_string_equal(shell_member(key, "state"), "active");
    assert_int_equal(json_integer_value(json_object_get(key, "burst")), 10);
    const json_t *scope = json_object_get(key, "scope");
    assert_int_equal(json_array_size(json_object_get(scope, "guids")), 3);
    assert_true(json_is_true(json_object_get(scope, "read_only")));
    assert_non_null(strchr(shell_member(key, "expires_at"), 'T'));
    assert_true(json_is_null(json_object_get(key, "revoked_at")));
    json_decref(list);

    shell_must(&f, "key rotate k_1 --overlap 1h --json");
    json_t *next = shell_json(&f);
    assert_string_equal(shell_member(next, "id"), "k_2");
    assert_string_not_equal(shell_member(next, "key"), shell_member(made, "key"));
    json_decref(next);
    shell_must(&f, "key revoke k_2");
    shell_must(&f, "key list");
    assert_contains(f.out, "rotated");
    assert_contains(f.out, "revoked");
    shell_must_fail(&f, "key rotate k_2", 1, "was revoked");

    /* A key given where an id or a serial belongs is not repeated. */
    (void)snprintf(line, sizeof(line), "key revoke %s", shell_member(made, "key"));
    shell_must_fail(&f, line, 2, "looks like k_12");
    assert_null(strstr(f.err, shell_member(made, "key")));
    (void)snprintf(line, sizeof(line), "key list %s", shell_member(made, "key"));
    shell_must_fail(&f, line, 1, "looks like a key");
    assert_null(strstr(f.err, shell_member(made, "key")));
    json_decref(made);
    shell_close(&f);
}

static void keys_are_changed_in_place(void **state)
{
    struct shell f;
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1");
    shell_must(&f, "key enable TNX-1 --label old --read-only --cidrs 10.0.0.0/8 --json");
    json_t *made = shell_json(&f);
    shell_must(&f, "key change k_1 --label new --rate 4 --expires 30d --guids a,b --json");
    json_t *key = shell_json(&f);
    assert_string_equal(shell_member(key, "label"), "new");
    assert_int_equal(json_integer_value(json_object_get(key, "burst")), 8);
    assert_false(json_is_null(json_object_get(key, "expires_at")));
    const json_t *scope = json_object_get(key, "scope");
    assert_true(json_is_true(json_object_get(scope, "read_only")));
    assert_int_equal(json_array_size(json_object_get(scope, "guids")), 2);
    assert_null(strstr(f.out, shell_member(made, "key")));
    json_decref(key);
    shell_must(&f, "key change k_1 --rate 0 --expires never --everything --groups 1/2/*");
    assert_string_equal(f.out, "Key k_1 was changed.\n");
    shell_must(&f, "key list --json");
    json_t *list = shell_json(&f);
    key = json_array_get(list, 0);
    assert_true(json_is_null(json_object_get(key, "rate")));
    assert_true(json_is_null(json_object_get(key, "expires_at")));
    assert_int_equal(json_object_size(json_object_get(key, "scope")), 1);
    json_decref(list);
    json_decref(made);
    shell_must_fail(&f, "key change", 2, "which ID");
    shell_must_fail(&f, "key change k_1", 2, "nothing is to be changed");
    shell_must_fail(&f, "key change k_1 --overlap 1h", 2, "takes no --overlap");
    shell_must_fail(&f, "key change k_1 --expires soon", 2, "or never");
    shell_must_fail(&f, "key change k_1 --burst 5", 2, "a burst needs a rate");
    shell_must_fail(&f, "key change k_9 --label x", 1, "there is no key k_9");
    shell_must_fail(&f, "key enable TNX-1 --everything", 2, "takes no --everything");
    shell_close(&f);
}

static void bad_key_options_are_told(void **state)
{
    struct shell f;
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1");
    shell_must_fail(&f, "key", 2, "what is to be done");
    shell_must_fail(&f, "key frob", 2, "no such command as frob");
    shell_must_fail(&f, "key enable", 2, "which SERIAL");
    shell_must_fail(&f, "key enable TNX-1 TNX-2", 2, "too many arguments");
    shell_must_fail(&f, "key enable TNX-2", 1, "there is no server TNX-2");
    shell_must_fail(&f, "key enable TNX-1 --rate 0", 2, "--rate must be");
    shell_must_fail(&f, "key enable TNX-1 --expires soon", 2, "--expires must be");
    shell_must_fail(&f, "key enable TNX-1 --expires 2001-01-01", 2, "cannot expire before");
    shell_must_fail(&f, "key enable TNX-1 --controllers power,frob", 2,
                    "\"frob\" is no controller");
    shell_must_fail(&f, "key enable TNX-1 --cidrs 10.0.0.1/8", 2, "is no block of addresses");
    shell_must_fail(&f, "key enable TNX-1 --groups 1/2/*,,3/*", 2, "is no KNX group");
    shell_must_fail(&f, "key rotate k_9", 1, "there is no key k_9");
    shell_must_fail(&f, "key rotate k_1 --overlap long", 2, "--overlap must be");
    shell_must_fail(&f, "key enable TNX-1 --secret=12345", 2, "--secret is no option");
    assert_null(strstr(f.err, "12345"));
    shell_must(&f, "key list --json");
    assert_string_equal(f.out, "[]\n");
    shell_close(&f);
}

static void audit_tells_who_did_what(void **state)
{
    struct shell f;
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1");
    shell_must_fail(&f, "key enable TNX-2", 1, "no server");
    shell_must(&f, "audit --json");
    json_t *list = shell_json(&f);
    assert_int_equal(json_array_size(list), 2);
    const json_t *row = json_array_get(list, 0);
    assert_string_equal(shell_member(row, "what"), "key.enable");
    assert_true(json_is_true(json_object_get(row, "refused")));
    assert_contains(shell_member(row, "who"), "operator:");
    json_decref(list);
    shell_must(&f, "audit --refused");
    assert_contains(f.out, "there is no server TNX-2");
    assert_null(strstr(f.out, "server.add"));
    shell_must(&f, "audit --since 1h --until 2001-01-01 --json");
    assert_string_equal(f.out, "[]\n");
    shell_must_fail(&f, "audit --since yesterday", 2, "--since must be");
    shell_close(&f);
}

static void backup_makes_a_new_file_only(void **state)
{
    struct shell f;
    char line[256];
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1");
    (void)snprintf(line, sizeof(line), "backup %s/copy.db --json", f.dir);
    shell_must(&f, line);
    json_t *json = shell_json(&f);
    assert_true(json_integer_value(json_object_get(json, "bytes")) > 4096);
    json_decref(json);
    assert_int_equal(shell_mode(&f, "copy.db"), 0600);
    shell_must_fail(&f, line, 1, "exists");
    shell_must_fail(&f, "backup", 2, "which FILE");
    shell_must(&f, "audit --what backup --json");
    json = shell_json(&f);
    assert_int_equal(json_array_size(json), 2);
    assert_true(json_is_true(json_object_get(json_array_get(json, 0), "refused")));
    assert_true(json_is_false(json_object_get(json_array_get(json, 1), "refused")));
    assert_contains(shell_member(json_array_get(json, 1), "object"), "/copy.db");
    json_decref(json);
    shell_close(&f);
}

static void bad_configurations_are_told_apart_from_failures(void **state)
{
    struct shell f;
    char path[160];
    (void)state;
    shell_init(&f);
    assert_int_equal(shell_run(&f, "server list --config /nowhere/relay.conf"), 2);
    assert_contains(f.err, "/nowhere/relay.conf");
    assert_int_equal(shell_run(&f, "backup copy.db --config /nowhere/relay.conf"), 2);
    assert_contains(f.err, "/nowhere/relay.conf");
    shell_path(&f, "relay.db", path);
    assert_int_equal(unlink(path), 0);
    shell_must_fail(&f, "server list", 1, "does not exist");
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs("this is not a database, and that is no mistake of the configuration", out) >=
                0);
    assert_int_equal(fclose(out), 0);
    shell_must_fail(&f, "server list", 1, "not a database of thinknx-relay");
    out = fopen(f.conf, "a");
    assert_non_null(out);
    assert_true(fputs("\n[limits]\nfrob = 1\n", out) >= 0);
    assert_int_equal(fclose(out), 0);
    shell_must_fail(&f, "server list", 2, "[limits] frob: unknown key");
    shell_close(&f);
}

static void output_that_is_lost_is_told(void **state)
{
    struct shell f;
    char conf[160];
    char name[] = "key";
    char verb[] = "list";
    char option[] = "--config";
    int saved = -1;
    (void)state;
    shell_init(&f);
    (void)snprintf(conf, sizeof(conf), "%s", f.conf);
    char *argv[] = {name, verb, option, conf, NULL};
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    (void)fflush(stdout);
    saved = dup(1);
    assert_int_equal(dup2(full, 1), 1);
    int code = command_key(4, argv);
    assert_int_equal(dup2(saved, 1), 1);
    assert_int_equal(close(saved), 0);
    clearerr(stdout);
    assert_int_equal(close(full), 0);
    assert_int_equal(code, 1);
    shell_close(&f);
}

static void options_of_another_verb_are_refused(void **state)
{
    static const char *const LINES[][2] = {
        {"key rotate k_1 --expires 30d", "rotate takes no --expires"},
        {"key rotate k_1 --read-only", "rotate takes no --read-only"},
        {"key enable TNX-1 --overlap 1h", "enable takes no --overlap"},
        {"key list --label x", "list takes no --label"},
        {"key revoke k_1 --overlap 1h", "revoke takes no --overlap"},
        {"server change TNX-1 --no-building-keys", "change takes no --no-building-keys"},
        {"server add TNX-2 --building-keys no", "add takes no --building-keys"},
        {"server disable TNX-1 --command-rate 1", "disable takes no --command-rate"},
        {"server change TNX-1 --command-burst 5", "--command-burst needs a --command-rate"},
        {"server add TNX-2 --command-burst 5", "--command-burst needs a --command-rate"},
        {"server change TNX-1", "what is to be changed"},
        {"server change TNX-1 --building-keys maybe", "--building-keys must be yes or no"},
        {"server show a/b", "serial number"},
        {"audit frob", "audit takes no argument frob"},
        {"key list -x", "-x is no option here"},
        {"key list a b c d e f g h i", "too many arguments"},
        {"key list -- a b c d e f g h i", "too many arguments"},
        {"key list --json --config a --config b", "--config is given twice"},
        {"key enable TNX-1 --expires 40000d", "--expires must be"},
        {"key enable TNX-1 --guids \xff", "the lists must be UTF-8 text"},
    };
    struct shell f;
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1");
    shell_must(&f, "key enable TNX-1");
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
        shell_must_fail(&f, LINES[i][0], 2, LINES[i][1]);
    }
    shell_must(&f, "audit --json");
    json_t *json = shell_json(&f);
    assert_int_equal(json_array_size(json), 2);
    json_decref(json);
    shell_close(&f);
}

static void list_is_given_64_times(void **state)
{
    struct shell f;
    char line[2048];
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1");
    for (int n = 64; n <= 65; n++) {
        size_t len = (size_t)snprintf(line, sizeof(line), "key enable TNX-1");
        for (int i = 0; i < n; i++) {
            len += (size_t)snprintf(line + len, sizeof(line) - len, " --guids=a");
        }
        if (n == 64) {
            shell_must(&f, line);
        } else {
            shell_must_fail(&f, line, 2, "--guids is given more than 64 times");
        }
    }
    shell_close(&f);
}

static void help_and_words_that_look_like_options_are_taken(void **state)
{
    static const char *const NAMES[] = {"server", "key", "audit", "backup", "init"};
    struct shell f;
    char line[192];
    (void)state;
    shell_init(&f);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        (void)snprintf(line, sizeof(line), "%s -h", NAMES[i]);
        assert_int_equal(shell_run(&f, line), 0);
        assert_contains(f.out, "Exit codes: 0 done");
    }
    assert_int_equal(shell_run(&f, "server list --config"), 2);
    assert_contains(f.err, "--config needs a value");
    (void)snprintf(line, sizeof(line), "server --config %s -- add -1", f.conf);
    assert_int_equal(shell_run(&f, line), 0);
    shell_must(&f, "server list");
    assert_contains(f.out, "\n-1 ");
    shell_close(&f);
}

/* Whoever wrote into the database: a terminal gets no control characters, and columns stay. */
static void tables_show_what_a_terminal_may_have(void **state)
{
    static const struct {
        const char *bytes; /* hexadecimal */
        const char *shown;
    } NAMES[] = {
        {"4861757320c3bc20e282ac20f09f8fa0", "Haus ü € 🏠"},
        {"611b5b324a62", "a?[2Jb"},
        {"61c29b62", "a??b"}, /* U+009B does what ESC [ does */
        {"617f62", "a?b"},
        {"61c3", "a?"}, /* half a character */
        {"61e282", "a??"},
        {"61ff62", "a?b"},
    };
    struct shell f;
    char path[160];
    char line[160];
    (void)state;
    shell_init(&f);
    shell_must(&f, "server add TNX-1");
    shell_must(&f, "key enable TNX-1 --label x");
    shell_path(&f, "relay.db", path);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        (void)snprintf(line, sizeof(line), "UPDATE servers SET name = CAST(x'%s' AS TEXT)",
                       NAMES[i].bytes);
        scratch_sql(path, line);
        shell_must(&f, "server list");
        const char *row = strchr(f.out, '\n') + 1;
        /* The name is the last column: it begins where its title does. */
        long at = strstr(f.out, "NAME") - f.out;
        (void)snprintf(line, sizeof(line), "%s\n", NAMES[i].shown);
        assert_string_equal(row + at, line);
        (void)snprintf(line, sizeof(line), "UPDATE keys SET label = CAST(x'%s' AS TEXT)",
                       NAMES[i].bytes);
        scratch_sql(path, line);
        shell_must(&f, "key list");
        assert_contains(f.out, NAMES[i].shown);
    }
    shell_close(&f);
}

static void kit_of_a_relay_without_a_certificate_has_no_ca(void **state)
{
    struct shell f;
    (void)state;
    shell_init(&f);
    FILE *out = fopen(f.conf, "w");
    assert_non_null(out);
    assert_true(fputs("[relay]\ndatabase = relay.db\npublic_url = https://relay.example:8443\n"
                      "[https]\nplain_listen = 127.0.0.1:0\n",
                      out) >= 0);
    assert_int_equal(fclose(out), 0);
    shell_must(&f, "server add TNX-1 --json");
    json_t *json = shell_json(&f);
    assert_string_equal(shell_member(json, "relay_url"), "wss://relay.example:8443");
    assert_null(strstr(shell_member(json, "agent_conf"), "ca_file"));
    assert_null(json_object_get(json, "ca_pem"));
    json_decref(json);
    shell_must(&f, "server add TNX-2");
    assert_null(strstr(f.out, "ca.pem"));
    shell_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_add_gives_all_that_the_agent_needs),
        cmocka_unit_test(server_add_writes_a_folder),
        cmocka_unit_test(servers_are_listed_shown_changed_and_removed),
        cmocka_unit_test(key_commands_keep_the_contract),
        cmocka_unit_test(keys_are_changed_in_place),
        cmocka_unit_test(bad_key_options_are_told),
        cmocka_unit_test(audit_tells_who_did_what),
        cmocka_unit_test(backup_makes_a_new_file_only),
        cmocka_unit_test(options_of_another_verb_are_refused),
        cmocka_unit_test(list_is_given_64_times),
        cmocka_unit_test(help_and_words_that_look_like_options_are_taken),
        cmocka_unit_test(tables_show_what_a_terminal_may_have),
        cmocka_unit_test(kit_of_a_relay_without_a_certificate_has_no_ca),
        cmocka_unit_test(bad_configurations_are_told_apart_from_failures),
        cmocka_unit_test(output_that_is_lost_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
