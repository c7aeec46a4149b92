/* SPDX-License-Identifier: Apache-2.0 */
/* What a building may do to its keys through its agent. */
#include "tests/unit/store/scratch.h"

#include <jansson.h>

#include "relay/store/control.h"
#include "relay/store/scope.h"

struct fixture {
    struct scratch scratch;
    struct directory_live live;
    struct directory_server server;
    struct control_time now;
    struct buffer answer;
    json_t *json; /* of the last answer */
};

static void init(struct fixture *f)
{
    struct server server;

    *f = (struct fixture){.now = {SCRATCH_NOW, 1000000}};
    scratch_open(&f->scratch);
    scratch_add_server(&f->scratch, "TNX-1");
    scratch_add_server(&f->scratch, "TNX-2");
    assert_int_equal(servers_find(f->scratch.db, "TNX-1", SCRATCH_NOW, &server, &f->scratch.e), 0);
    f->server = (struct directory_server){.id = server.id,
                                          .serial = "TNX-1",
                                          .enabled = true,
                                          .may_enable_keys = true,
                                          .live = &f->live};
    buffer_init(&f->answer, CONTROL_ANSWER_BYTES);
}

static void end(struct fixture *f)
{
    json_decref(f->json);
    buffer_close(&f->answer);
    scratch_close(&f->scratch);
}

static enum control_status call(struct fixture *f, uint16_t op, const char *body)
{
    buffer_clear(&f->answer);
    json_decref(f->json);
    f->now.monotonic_us += 1000000;
    enum control_status status =
        control_call(f->scratch.db, &f->server, "https://relay.example:8443", op, span_of(body),
                     f->now, &f->answer);
    f->json = json_loadb((const char *)buffer_bytes(&f->answer), f->answer.len, 0, NULL);
    assert_non_null(f->json);
    return status;
}

static const char *text(const struct fixture *f, const char *name)
{
    const char *value = json_string_value(json_object_get(f->json, name));
    assert_non_null(value);
    return value;
}

static void enabled_key_is_told_once_with_its_url(void **state)
{
    struct fixture f;
    char url[128];
    (void)state;
    init(&f);
    assert_int_equal(
        call(&f, CONTROL_KEY_ENABLE, "{\"label\":\"door\",\"read_only\":true,\"expires_s\":60}"),
        CONTROL_DONE);
    assert_string_equal(text(&f, "serial"), "TNX-1");
    assert_true(credential_is_well_formed(span_of(text(&f, "key"))));
    (void)snprintf(url, sizeof(url), "https://relay.example:8443/%s/api/V1/", text(&f, "key"));
    assert_string_equal(text(&f, "url"), url);
    assert_int_equal(scratch_number(f.scratch.path,
                                    "SELECT count(*) FROM keys WHERE label = 'door' AND scope = "
                                    "'{\"read_only\":true}' AND created_by = 'agent:TNX-1' AND "
                                    "expires_at = 1800000060"),
                     1);
    assert_int_equal(call(&f, CONTROL_KEY_ENABLE, ""), CONTROL_DONE);
    assert_int_equal(scratch_number(f.scratch.path, "SELECT count(*) FROM keys WHERE scope = ''"),
                     1);
    end(&f);
}

static void operator_may_forbid_it(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    f.server.may_enable_keys = false;
    assert_int_equal(call(&f, CONTROL_KEY_ENABLE, "{}"), CONTROL_REFUSED);
    assert_contains(text(&f, "error"), "operator");
    assert_int_equal(scratch_number(f.scratch.path, "SELECT count(*) FROM keys"), 0);
    assert_int_equal(
        scratch_number(f.scratch.path, "SELECT refused FROM audit WHERE who = 'agent:TNX-1'"), 1);
    /* Taking away is always allowed. */
    (void)scratch_add_key(&f.scratch, "TNX-1", NULL);
    assert_int_equal(call(&f, CONTROL_KEY_REVOKE, "{\"id\":\"k_1\"}"), CONTROL_DONE);
    end(&f);
}

static void a_disabled_server_may_ask_for_nothing(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    f.server.enabled = false;
    assert_int_equal(call(&f, CONTROL_KEY_ENABLE, "{}"), CONTROL_REFUSED);
    assert_int_equal(call(&f, CONTROL_KEY_LIST, "{}"), CONTROL_REFUSED);
    assert_int_equal(scratch_number(f.scratch.path, "SELECT count(*) FROM keys"), 0);
    end(&f);
}

static void bodies_are_checked(void **state)
{
    static const struct {
        uint16_t op;
        const char *body;
        enum control_status status;
    } CASES[] = {
        {CONTROL_KEY_ENABLE, "[]", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{\"label\":1}", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{\"label\":\"a\\u0000b\"}", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{\"label\":\"a\\nb\"}", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{\"expires_s\":0}", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{\"expires_s\":\"1\"}", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{\"expires_s\":9999999999}", CONTROL_BAD_BODY},
        /* The operator's limits are not the building's to lift. */
        {CONTROL_KEY_ENABLE, "{\"rate\":1000000}", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{\"serial\":\"TNX-2\"}", CONTROL_BAD_BODY},
        {CONTROL_KEY_ENABLE, "{\"guids\":[]}", CONTROL_BAD_BODY},
        {CONTROL_KEY_REVOKE, "{}", CONTROL_BAD_BODY},
        {CONTROL_KEY_REVOKE, "{\"id\":1}", CONTROL_BAD_BODY},
        {CONTROL_KEY_REVOKE, "{\"id\":\"k_99\"}", CONTROL_REFUSED},
        {4, "{}", CONTROL_UNKNOWN},
        {0, "{}", CONTROL_UNKNOWN},
    };
    struct fixture f;
    (void)state;
    init(&f);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        if (call(&f, CASES[i].op, CASES[i].body) != CASES[i].status) {
            fail_msg("%s", CASES[i].body);
        }
        (void)text(&f, "error");
    }
    assert_int_equal(scratch_number(f.scratch.path, "SELECT count(*) FROM keys"), 0);
    end(&f);
}

static void foreign_keys_cannot_be_touched_nor_seen(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    (void)scratch_add_key(&f.scratch, "TNX-2", NULL);
    assert_int_equal(call(&f, CONTROL_KEY_REVOKE, "{\"id\":\"k_1\"}"), CONTROL_REFUSED);
    assert_string_equal(text(&f, "error"), "there is no key k_1");
    assert_int_equal(scratch_number(f.scratch.path, "SELECT revoked_at FROM keys"), 0);
    assert_int_equal(call(&f, CONTROL_KEY_LIST, ""), CONTROL_DONE);
    assert_int_equal(json_array_size(f.json), 0);
    end(&f);
}

static void list_has_the_newest_keys_and_no_secret(void **state)
{
    struct fixture f;
    struct credential key;
    (void)state;
    init(&f);
    for (int i = 0; i < CONTROL_LIST_MAX + 5; i++) {
        (void)scratch_add_key(&f.scratch, "TNX-1", &key);
    }
    assert_int_equal(call(&f, CONTROL_KEY_LIST, ""), CONTROL_DONE);
    /* As many as fit, the newest last. */
    size_t n = json_array_size(f.json);
    assert_in_range(n, 20, CONTROL_LIST_MAX);
    const json_t *last = json_array_get(f.json, n - 1);
    char id[KEYS_ID_BYTES];
    keys_format_id(CONTROL_LIST_MAX + 5, id);
    assert_string_equal(json_string_value(json_object_get(last, "id")), id);
    assert_null(memmem(buffer_bytes(&f.answer), f.answer.len, key.text, CREDENTIAL_CHARS));
    end(&f);
}

static void new_keys_are_limited_by_the_hour(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    for (int i = 0; i < CONTROL_KEYS_PER_HOUR; i++) {
        assert_int_equal(call(&f, CONTROL_KEY_ENABLE, "{}"), CONTROL_DONE);
    }
    assert_int_equal(call(&f, CONTROL_KEY_ENABLE, "{}"), CONTROL_REFUSED);
    f.now.wall_s += 3601;
    assert_int_equal(call(&f, CONTROL_KEY_ENABLE, "{}"), CONTROL_DONE);
    end(&f);
}

static void audit_of_one_building_is_limited_by_the_hour(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    for (int i = 0; i < CONTROL_ACTS_PER_HOUR + 10; i++) {
        assert_int_equal(call(&f, CONTROL_KEY_REVOKE, "{\"id\":\"k_99\"}"), CONTROL_REFUSED);
    }
    assert_int_equal(
        scratch_number(f.scratch.path, "SELECT count(*) FROM audit WHERE who = 'agent:TNX-1'"),
        CONTROL_ACTS_PER_HOUR);
    assert_int_equal(call(&f, CONTROL_KEY_LIST, "{}"), CONTROL_DONE);
    end(&f);
}

static void calls_are_limited_by_the_second(void **state)
{
    struct fixture f;
    int n_done = 0;
    (void)state;
    init(&f);
    for (int i = 0; i < 2 * CONTROL_CALLS_BURST; i++) {
        f.now.monotonic_us -= 1000000; /* call() lets a second pass */
        n_done += call(&f, CONTROL_KEY_LIST, "{}") == CONTROL_DONE ? 1 : 0;
    }
    assert_int_equal(n_done, CONTROL_CALLS_BURST);
    assert_int_equal(call(&f, CONTROL_KEY_LIST, "{}"), CONTROL_DONE);
    end(&f);
}

static void removed_server_can_do_nothing(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    assert_int_equal(
        control_call(f.scratch.db, NULL, NULL, CONTROL_KEY_ENABLE, span_of("{}"), f.now, &f.answer),
        CONTROL_REFUSED);
    assert_int_equal(servers_remove(f.scratch.db, "TNX-1", &ALICE, &f.scratch.e), 0);
    assert_int_equal(call(&f, CONTROL_KEY_ENABLE, "{}"), CONTROL_REFUSED);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enabled_key_is_told_once_with_its_url),
        cmocka_unit_test(operator_may_forbid_it),
        cmocka_unit_test(a_disabled_server_may_ask_for_nothing),
        cmocka_unit_test(bodies_are_checked),
        cmocka_unit_test(foreign_keys_cannot_be_touched_nor_seen),
        cmocka_unit_test(list_has_the_newest_keys_and_no_secret),
        cmocka_unit_test(new_keys_are_limited_by_the_hour),
        cmocka_unit_test(audit_of_one_building_is_limited_by_the_hour),
        cmocka_unit_test(calls_are_limited_by_the_second),
        cmocka_unit_test(removed_server_can_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
