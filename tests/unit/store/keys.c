/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a key in the database: enabled, rotated, expired, revoked. */
#include "tests/unit/store/scratch.h"

struct found {
    int64_t wanted; /* 0 = the last */
    size_t n;
    struct key key;
    char scope[256];
};

static void on_key(void *user, const struct key *key)
{
    struct found *f = user;
    f->n++;
    if (f->wanted == 0 || f->wanted == key->id) {
        f->key = *key;
        assert_int_equal(span_copy(key->scope, f->scope, sizeof(f->scope)), 0);
    }
}

static struct found find(struct scratch *s, int64_t id, int64_t now_s)
{
    struct found f = {.wanted = id};
    assert_int_equal(keys_list(s->db, NULL, now_s, on_key, &f, &s->e), 0);
    assert_int_equal(f.key.id, id);
    return f;
}

static enum key_state state_at(struct scratch *s, int64_t id, int64_t now_s)
{
    return find(s, id, now_s).key.state;
}

static void ids_are_parsed_strictly(void **state)
{
    char text[KEYS_ID_BYTES];
    struct error_text e;
    int64_t id = 0;
    (void)state;

    keys_format_id(INT64_MAX, text);
    assert_int_equal(keys_parse_id(text, &id, &e), 0);
    assert_true(id == INT64_MAX);
    assert_int_equal(keys_parse_id("k_12", &id, &e), 0);
    assert_int_equal(id, 12);
    static const char *const BAD[] = {"",
                                      "12",
                                      "k_",
                                      "k_0",
                                      "k_-1",
                                      "k_1 ",
                                      "K_1",
                                      "k_x",
                                      "k_9223372036854775808",
                                      "SecretSecretSecretSecretSecret12"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(keys_parse_id(BAD[i], &id, &e), ERROR_CONFIG);
        assert_null(strstr(e.text, "Secret"));
    }
    assert_int_equal(id, 12);
}

static void enabled_key_has_what_it_was_given(void **state)
{
    struct scratch s;
    const struct key_settings settings = {.label = "alice",
                                          .rate = {5, 9},
                                          .scope = span_of("{\"read_only\":true}"),
                                          .expires_at_s = SCRATCH_NOW + 100};
    struct key_made made;
    char wal[128];
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(keys_enable(s.db, "TNX-1", &settings, &ALICE, &made, &s.e), 0);
    assert_true(credential_is_well_formed(span_of(made.key.text)));
    assert_string_equal(made.serial, "TNX-1");
    struct found f = find(&s, made.id, SCRATCH_NOW);
    assert_string_equal(f.key.serial, "TNX-1");
    assert_string_equal(f.key.label, "alice");
    assert_int_equal(f.key.rate.per_s, 5);
    assert_int_equal(f.key.rate.burst, 9);
    assert_string_equal(f.scope, "{\"read_only\":true}");
    assert_int_equal(f.key.created_at_s, SCRATCH_NOW);
    assert_string_equal(f.key.created_by, "operator:alice");
    assert_int_equal(f.key.state, KEY_ACTIVE);
    (void)snprintf(wal, sizeof(wal), "%s-wal", s.path);
    assert_true(scratch_file_holds(wal, "alice"));
    assert_false(scratch_file_holds(wal, made.key.text));
    scratch_close(&s);
}

static void refused_settings_change_nothing(void **state)
{
    struct scratch s;
    char label[DIRECTORY_LABEL_BYTES + 1];
    struct key_made made = {.id = 77};
    const struct {
        const char *serial;
        struct key_settings settings;
        int rc;
    } cases[] = {
        {"TNX-2", {.label = NULL}, ERROR_NOT_FOUND},
        {"T 2", {.label = NULL}, ERROR_CONFIG},
        {"TNX-1", {.label = label}, ERROR_CONFIG},
        {"TNX-1", {.label = "line\nbreak"}, ERROR_CONFIG},
        {"TNX-1", {.scope = span_of("{")}, ERROR_CONFIG},
        {"TNX-1", {.scope = span_of("{\"readonly\":true}")}, ERROR_CONFIG},
        {"TNX-1", {.expires_at_s = SCRATCH_NOW}, ERROR_CONFIG},
        {"TNX-1", {.rate = {0, 5}}, ERROR_CONFIG},
    };
    (void)state;

    memset(label, 'l', sizeof(label));
    label[sizeof(label) - 1] = '\0';
    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            keys_enable(s.db, cases[i].serial, &cases[i].settings, &ALICE, &made, &s.e),
            cases[i].rc);
        assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM audit WHERE refused = 1"),
                         i + 1);
    }
    assert_int_equal(made.id, 77);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM keys"), 0);
    scratch_close(&s);
}

static void key_expires_at_its_second(void **state)
{
    struct scratch s;
    const struct key_settings settings = {.expires_at_s = SCRATCH_NOW + 100};
    struct key_made made;
    struct server server;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(keys_enable(s.db, "TNX-1", &settings, &ALICE, &made, &s.e), 0);
    assert_int_equal(state_at(&s, made.id, SCRATCH_NOW + 99), KEY_ACTIVE);
    assert_int_equal(state_at(&s, made.id, SCRATCH_NOW + 100), KEY_EXPIRED);
    assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW + 99, &server, &s.e), 0);
    assert_int_equal(server.n_keys, 1);
    assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW + 100, &server, &s.e), 0);
    assert_int_equal(server.n_keys, 0);
    scratch_close(&s);
}

static void rotation_keeps_both_keys_for_the_overlap(void **state)
{
    struct scratch s;
    const struct key_settings settings = {
        .label = "alice", .rate = {5, 9}, .scope = span_of("{\"read_only\":true}")};
    struct key_made old;
    struct key_made made;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(keys_enable(s.db, "TNX-1", &settings, &ALICE, &old, &s.e), 0);
    assert_int_equal(keys_rotate(s.db, old.id, 3600, &ALICE, &made, &s.e), 0);
    assert_int_not_equal(made.id, old.id);
    assert_string_equal(made.serial, "TNX-1");
    assert_string_not_equal(made.key.text, old.key.text);
    assert_int_equal(state_at(&s, old.id, SCRATCH_NOW + 3599), KEY_ROTATED);
    assert_int_equal(state_at(&s, old.id, SCRATCH_NOW + 3600), KEY_EXPIRED);
    struct found f = find(&s, made.id, SCRATCH_NOW + 3600);
    assert_int_equal(f.key.state, KEY_ACTIVE);
    assert_string_equal(f.key.label, "alice");
    assert_string_equal(f.scope, "{\"read_only\":true}");
    assert_int_equal(f.key.rate.burst, 9);
    f = find(&s, old.id, SCRATCH_NOW);
    assert_int_equal(f.key.rotated_to, made.id);
    assert_int_equal(f.key.rotated_at_s, SCRATCH_NOW);
    scratch_close(&s);
}

static void rotation_never_prolongs_a_life(void **state)
{
    struct scratch s;
    const struct key_settings settings = {.expires_at_s = SCRATCH_NOW + 100};
    struct key_made old;
    struct key_made made;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(keys_enable(s.db, "TNX-1", &settings, &ALICE, &old, &s.e), 0);
    assert_int_equal(keys_rotate(s.db, old.id, 3600, &ALICE, &made, &s.e), 0);
    assert_int_equal(find(&s, old.id, SCRATCH_NOW).key.expires_at_s, SCRATCH_NOW + 100);
    assert_int_equal(find(&s, made.id, SCRATCH_NOW).key.expires_at_s, SCRATCH_NOW + 100);
    scratch_close(&s);
}

static void overlap_of_nothing_ends_the_old_key_at_once(void **state)
{
    struct scratch s;
    struct key_made made;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    int64_t old = scratch_add_key(&s, "TNX-1", NULL);
    assert_int_equal(keys_rotate(s.db, old, 0, &ALICE, &made, &s.e), 0);
    assert_int_equal(state_at(&s, old, SCRATCH_NOW), KEY_EXPIRED);
    scratch_close(&s);
}

static void only_active_keys_can_be_rotated(void **state)
{
    struct scratch s;
    const struct key_settings brief = {.expires_at_s = SCRATCH_NOW + 1};
    const struct audit_actor later = {"operator:alice", SCRATCH_NOW + 2};
    struct key_made made;
    struct key_made expired;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    int64_t rotated = scratch_add_key(&s, "TNX-1", NULL);
    int64_t revoked = scratch_add_key(&s, "TNX-1", NULL);
    assert_int_equal(keys_enable(s.db, "TNX-1", &brief, &ALICE, &expired, &s.e), 0);
    assert_int_equal(keys_rotate(s.db, rotated, 3600, &ALICE, &made, &s.e), 0);
    assert_int_equal(keys_revoke(s.db, revoked, NULL, &ALICE, &s.e), 0);
    int64_t n = scratch_number(s.path, "SELECT count(*) FROM keys");
    assert_int_equal(keys_rotate(s.db, rotated, 3600, &later, &made, &s.e), ERROR_STATE);
    assert_contains(s.e.text, "rotated already");
    assert_int_equal(keys_rotate(s.db, revoked, 3600, &later, &made, &s.e), ERROR_STATE);
    assert_contains(s.e.text, "revoked");
    assert_int_equal(keys_rotate(s.db, expired.id, 3600, &later, &made, &s.e), ERROR_STATE);
    assert_contains(s.e.text, "expired");
    assert_int_equal(keys_rotate(s.db, 999, 3600, &later, &made, &s.e), ERROR_NOT_FOUND);
    assert_int_equal(keys_rotate(s.db, expired.id, -1, &ALICE, &made, &s.e), ERROR_CONFIG);
    assert_int_equal(keys_rotate(s.db, expired.id, INT64_MAX, &ALICE, &made, &s.e), ERROR_CONFIG);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM keys"), n);
    scratch_close(&s);
}

static int change(struct scratch *s, int64_t id, const struct key_change *change)
{
    return keys_change(s->db, id, change, &ALICE, &s->e);
}

/* Of the audit's newest row. */
static int64_t last_row_says(struct scratch *s, const char *condition)
{
    char sql[1024];
    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM audit WHERE id = (SELECT max(id) FROM audit) AND %s",
                   condition);
    return scratch_number(s->path, sql);
}

static void a_change_leaves_what_is_not_given(void **state)
{
    struct scratch s;
    const struct key_settings settings = {
        .label = "alice",
        .rate = {5, 9},
        .scope = span_of("{\"read_only\":true,\"cidrs\":[\"10.0.0.0/8\"]}"),
        .expires_at_s = SCRATCH_NOW + 100};
    struct key_made made;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(keys_enable(s.db, "TNX-1", &settings, &ALICE, &made, &s.e), 0);
    int64_t n = scratch_number(s.path, "SELECT max(seq) FROM changes");
    assert_int_equal(change(&s, made.id, &(struct key_change){.label = "bob"}), 0);
    assert_int_equal(last_row_says(&s, "what = 'key.change' AND object = 'k_1 of TNX-1' AND"
                                       " detail = 'label \"alice\" to \"bob\"'"),
                     1);
    struct found f = find(&s, made.id, SCRATCH_NOW);
    assert_string_equal(f.key.label, "bob");
    assert_int_equal(f.key.rate.burst, 9);
    assert_int_equal(f.key.expires_at_s, SCRATCH_NOW + 100);
    assert_string_equal(f.scope, "{\"cidrs\":[\"10.0.0.0/8\"],\"read_only\":true}");

    assert_int_equal(
        change(&s, made.id, &(struct key_change){.sets_rate = true, .rate = {600000, 0}}), 0);
    assert_int_equal(last_row_says(&s, "detail = 'rate 5/9 to 600000/1000000'"), 1);
    assert_int_equal(change(&s, made.id, &(struct key_change){.sets_burst = true, .rate = {0, 3}}),
                     0);
    f = find(&s, made.id, SCRATCH_NOW);
    assert_int_equal(f.key.rate.per_s, 600000);
    assert_int_equal(f.key.rate.burst, 3);
    assert_int_equal(change(&s, made.id, &(struct key_change){.sets_rate = true}), 0);
    f = find(&s, made.id, SCRATCH_NOW);
    assert_int_equal(f.key.rate.per_s, 0);
    assert_int_equal(f.key.rate.burst, 0);
    assert_int_equal(last_row_says(&s, "detail = 'rate 600000/3 to default'"), 1);

    assert_int_equal(change(&s, made.id, &(struct key_change){.sets_expiry = true}), 0);
    assert_int_equal(find(&s, made.id, SCRATCH_NOW).key.expires_at_s, 0);
    assert_int_equal(last_row_says(&s, "detail = 'expires 2027-01-15T08:01:40Z to never'"), 1);
    assert_true(scratch_number(s.path, "SELECT max(seq) FROM changes") > n);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM audit WHERE what = 'key.change'"),
                     5);
    scratch_close(&s);
}

static void a_burst_that_nobody_gave_could_have_been_given(void **state)
{
    (void)state;
    assert_int_equal(keys_default_burst(KEYS_RATE_MAX / 2), KEYS_RATE_MAX);
    assert_int_equal(keys_default_burst(KEYS_RATE_MAX / 2 + 1), KEYS_RATE_MAX);
}

static void a_scope_is_changed_member_by_member(void **state)
{
    struct scratch s;
    const struct key_settings settings = {
        .scope = span_of("{\"read_only\":true,\"cidrs\":[\"10.0.0.0/8\"]}")};
    struct key_made made;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(keys_enable(s.db, "TNX-1", &settings, &ALICE, &made, &s.e), 0);
    struct key_change patch = {
        .scope = span_of("{\"cidrs\":[\"192.0.2.0/24\"],\"controllers\":[\"power\"]}")};
    assert_int_equal(change(&s, made.id, &patch), 0);
    assert_string_equal(
        find(&s, made.id, SCRATCH_NOW).scope,
        "{\"cidrs\":[\"192.0.2.0/24\"],\"controllers\":[\"power\"],\"read_only\":true}");
    assert_int_equal(last_row_says(&s, "detail = 'controllers none to [\"power\"], cidrs"
                                       " [\"10.0.0.0/8\"] to [\"192.0.2.0/24\"]'"),
                     1);
    patch.scope = span_of("{\"cidrs\":null,\"read_only\":false}");
    assert_int_equal(change(&s, made.id, &patch), 0);
    assert_string_equal(find(&s, made.id, SCRATCH_NOW).scope, "{\"controllers\":[\"power\"]}");
    patch = (struct key_change){.clears_scope = true, .scope = span_of("{\"read_only\":true}")};
    assert_int_equal(change(&s, made.id, &patch), 0);
    assert_string_equal(find(&s, made.id, SCRATCH_NOW).scope, "{\"read_only\":true}");
    patch = (struct key_change){.clears_scope = true};
    assert_int_equal(change(&s, made.id, &patch), 0);
    assert_string_equal(find(&s, made.id, SCRATCH_NOW).scope, "");
    assert_int_equal(last_row_says(&s, "detail = 'read_only true to none'"), 1);
    assert_int_equal(change(&s, made.id, &patch), 0);
    assert_int_equal(last_row_says(&s, "detail LIKE 'nothing%'"), 1);
    scratch_close(&s);
}

static void a_long_list_is_cut_in_the_audit_only(void **state)
{
    struct scratch s;
    char scope[2048] = "{\"guids\":[\"first\"";
    struct key_change patch = {.label = NULL};
    (void)state;

    for (int i = 0; i < 60; i++) {
        (void)snprintf(scope + strlen(scope), sizeof(scope) - strlen(scope), ",\"guid-%04d\"", i);
    }
    (void)snprintf(scope + strlen(scope), sizeof(scope) - strlen(scope), "]}");
    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    int64_t id = scratch_add_key(&s, "TNX-1", NULL);
    patch.scope = span_of(scope);
    assert_int_equal(change(&s, id, &patch), 0);
    assert_int_equal(scratch_number(s.path, "SELECT length(scope) FROM keys"), strlen(scope));
    assert_int_equal(last_row_says(&s, "detail LIKE 'guids none to [\"first\",%... (61 in all)'"
                                       " AND length(detail) < 200"),
                     1);
    scratch_close(&s);
}

static void refused_changes_change_nothing(void **state)
{
    struct scratch s;
    char label[DIRECTORY_LABEL_BYTES + 1];
    const struct {
        int64_t id;
        struct key_change change;
        int rc;
    } cases[] = {
        {1, {.label = NULL}, ERROR_CONFIG},
        {99, {.label = "x"}, ERROR_NOT_FOUND},
        {1, {.label = label}, ERROR_CONFIG},
        {1, {.label = "line\nbreak"}, ERROR_CONFIG},
        {1, {.sets_burst = true, .rate = {0, 5}}, ERROR_CONFIG},
        {1, {.sets_expiry = true, .expires_at_s = SCRATCH_NOW}, ERROR_CONFIG},
        {1, {.scope = span_of("[]")}, ERROR_CONFIG},
        {1, {.scope = span_of("{\"readonly\":true}")}, ERROR_CONFIG},
        {1, {.scope = span_of("{\"read_only\":1}")}, ERROR_CONFIG},
        {1, {.scope = span_of("{\"guids\":[]}")}, ERROR_CONFIG},
        {1, {.clears_scope = true, .scope = span_of("{\"cidrs\":[\"x\"]}")}, ERROR_CONFIG},
        {2, {.label = "revoked"}, ERROR_STATE},
        {3, {.label = "rotated"}, ERROR_STATE},
        {4, {.label = "its scope cannot be read"}, ERROR_STATE},
    };
    struct key_made made;
    (void)state;

    memset(label, 'l', sizeof(label));
    label[sizeof(label) - 1] = '\0';
    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    const struct key_settings settings = {.scope = span_of("{\"read_only\":true}")};
    assert_int_equal(keys_enable(s.db, "TNX-1", &settings, &ALICE, &made, &s.e), 0);
    assert_int_equal(keys_revoke(s.db, scratch_add_key(&s, "TNX-1", NULL), NULL, &ALICE, &s.e), 0);
    assert_int_equal(
        keys_rotate(s.db, scratch_add_key(&s, "TNX-1", NULL), 3600, &ALICE, &made, &s.e), 0);
    scratch_sql(s.path, "UPDATE keys SET scope = 'x' WHERE id = 4");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(change(&s, cases[i].id, &cases[i].change), cases[i].rc);
        assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM audit WHERE refused = 1 AND"
                                                " what = 'key.change'"),
                         i + 1);
    }
    struct found f = find(&s, 1, SCRATCH_NOW);
    assert_string_equal(f.key.label, "");
    assert_string_equal(f.scope, "{\"read_only\":true}");
    assert_int_equal(find(&s, 2, SCRATCH_NOW).key.state, KEY_REVOKED);
    scratch_close(&s);
}

static void revoking_is_for_good_and_can_be_repeated(void **state)
{
    struct scratch s;
    const struct audit_actor later = {"operator:alice", SCRATCH_NOW + 50};
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    scratch_add_server(&s, "TNX-2");
    int64_t id = scratch_add_key(&s, "TNX-1", NULL);
    assert_int_equal(keys_revoke(s.db, id, "TNX-2", &ALICE, &s.e), ERROR_NOT_FOUND);
    assert_int_equal(state_at(&s, id, SCRATCH_NOW), KEY_ACTIVE);
    assert_int_equal(keys_revoke(s.db, id, "TNX-1", &ALICE, &s.e), 0);
    assert_int_equal(keys_revoke(s.db, id, NULL, &later, &s.e), 0);
    assert_int_equal(find(&s, id, SCRATCH_NOW).key.revoked_at_s, SCRATCH_NOW);
    assert_int_equal(state_at(&s, id, SCRATCH_NOW), KEY_REVOKED);
    assert_int_equal(keys_revoke(s.db, 999, NULL, &ALICE, &s.e), ERROR_NOT_FOUND);
    scratch_close(&s);
}

static void listing_can_be_of_one_server(void **state)
{
    struct scratch s;
    struct found f = {.n = 0};
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    scratch_add_server(&s, "TNX-2");
    (void)scratch_add_key(&s, "TNX-1", NULL);
    (void)scratch_add_key(&s, "TNX-2", NULL);
    (void)scratch_add_key(&s, "TNX-1", NULL);
    assert_int_equal(keys_list(s.db, "TNX-1", SCRATCH_NOW, on_key, &f, &s.e), 0);
    assert_int_equal(f.n, 2);
    assert_int_equal(keys_list(s.db, "TNX-3", SCRATCH_NOW, on_key, &f, &s.e), ERROR_NOT_FOUND);
    scratch_close(&s);
}

static void last_use_only_moves_forward_and_is_no_change(void **state)
{
    struct scratch s;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    int64_t id = scratch_add_key(&s, "TNX-1", NULL);
    int64_t n = scratch_number(s.path, "SELECT max(seq) FROM changes");
    assert_int_equal(keys_note_use(s.db, id, 100, &s.e), 0);
    assert_int_equal(keys_note_use(s.db, id, 50, &s.e), 0);
    assert_int_equal(find(&s, id, SCRATCH_NOW).key.last_used_at_s, 100);
    assert_int_equal(scratch_number(s.path, "SELECT max(seq) FROM changes"), n);
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_parsed_strictly),
        cmocka_unit_test(enabled_key_has_what_it_was_given),
        cmocka_unit_test(refused_settings_change_nothing),
        cmocka_unit_test(key_expires_at_its_second),
        cmocka_unit_test(rotation_keeps_both_keys_for_the_overlap),
        cmocka_unit_test(rotation_never_prolongs_a_life),
        cmocka_unit_test(overlap_of_nothing_ends_the_old_key_at_once),
        cmocka_unit_test(only_active_keys_can_be_rotated),
        cmocka_unit_test(a_change_leaves_what_is_not_given),
        cmocka_unit_test(a_burst_that_nobody_gave_could_have_been_given),
        cmocka_unit_test(a_scope_is_changed_member_by_member),
        cmocka_unit_test(a_long_list_is_cut_in_the_audit_only),
        cmocka_unit_test(refused_changes_change_nothing),
        cmocka_unit_test(revoking_is_for_good_and_can_be_repeated),
        cmocka_unit_test(listing_can_be_of_one_server),
        cmocka_unit_test(last_use_only_moves_forward_and_is_no_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
