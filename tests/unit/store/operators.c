/* SPDX-License-Identifier: Apache-2.0 */
/* Operators and their logins, at any time that a test likes. */
#include "tests/unit/store/scratch.h"

#include "relay/store/operators.h"

#define LATER(s) (SCRATCH_NOW + (s))

static void add(struct scratch *s, const char *name, struct operator_account *account)
{
    assert_int_equal(operators_add(s->db, name, "hash", &ALICE, &s->e), 0);
    assert_int_equal(operators_find(s->db, name, account, &s->e), 0);
}

static struct credential log_in(struct scratch *s, const struct operator_account *account,
                                int64_t now_s)
{
    struct credential cookie;
    struct operator_login login;
    assert_int_equal(operators_log_in(s->db, account, now_s, &cookie, &login, &s->e), 0);
    assert_string_equal(login.name, account->name);
    assert_true(credential_is_well_formed(span_of(login.csrf)));
    return cookie;
}

/* What becomes of the cookie at that time. */
static int use(struct scratch *s, const struct credential *cookie, int64_t now_s)
{
    struct operator_login login;
    return operators_find_login(s->db, span_of(cookie->text), now_s, &login, &s->e);
}

static void name_is_given_once(void **state)
{
    struct scratch s;
    struct operator_account account;
    (void)state;

    scratch_open(&s);
    add(&s, "alice", &account);
    assert_int_equal(operators_add(s.db, "alice", "other", &ALICE, &s.e), ERROR_EXISTS);
    assert_string_equal(s.e.text, "there is an operator alice already");
    assert_int_equal(operators_find(s.db, "alice", &account, &s.e), 0);
    assert_string_equal(account.password, "hash");
    assert_int_equal(account.created_at_s, SCRATCH_NOW);
    static const char *const BAD[] = {"", "A", "a b", "ü", "abcdefghijklmnopqrstuvwxyz0123456"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(operators_add(s.db, BAD[i], "hash", &ALICE, &s.e), ERROR_CONFIG);
        assert_int_equal(operators_find(s.db, BAD[i], &account, &s.e), ERROR_CONFIG);
    }
    assert_int_equal(operators_find(s.db, "bob", &account, &s.e), ERROR_NOT_FOUND);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM operators"), 1);
    scratch_close(&s);
}

static void used_login_goes_on_and_an_idle_one_ends(void **state)
{
    struct scratch s;
    struct operator_account account;
    (void)state;

    scratch_open(&s);
    add(&s, "alice", &account);
    struct credential cookie = log_in(&s, &account, SCRATCH_NOW);
    assert_int_equal(use(&s, &cookie, LATER(OPERATORS_IDLE_S)), 0);
    assert_int_equal(use(&s, &cookie, LATER(2 * OPERATORS_IDLE_S)), 0);
    assert_int_equal(use(&s, &cookie, LATER(3 * OPERATORS_IDLE_S + 1)), ERROR_REFUSED);
    /* What comes within a minute of a use is not written down. */
    cookie = log_in(&s, &account, SCRATCH_NOW);
    assert_int_equal(use(&s, &cookie, LATER(59)), 0);
    assert_int_equal(use(&s, &cookie, LATER(OPERATORS_IDLE_S + 1)), ERROR_REFUSED);
    scratch_close(&s);
}

static void login_ends_however_much_it_is_used(void **state)
{
    struct scratch s;
    struct operator_account account;
    (void)state;

    scratch_open(&s);
    add(&s, "alice", &account);
    struct credential cookie = log_in(&s, &account, SCRATCH_NOW);
    for (int64_t at_s = 0; at_s <= OPERATORS_LOGIN_S; at_s += OPERATORS_IDLE_S) {
        assert_int_equal(use(&s, &cookie, LATER(at_s)), 0);
    }
    assert_int_equal(use(&s, &cookie, LATER(OPERATORS_LOGIN_S + 1)), ERROR_REFUSED);
    scratch_close(&s);
}

static void cookie_ends_with_its_login(void **state)
{
    struct scratch s;
    struct operator_account account;
    struct operator_login login;
    (void)state;

    scratch_open(&s);
    add(&s, "alice", &account);
    struct credential cookie = log_in(&s, &account, SCRATCH_NOW);
    struct credential other = log_in(&s, &account, SCRATCH_NOW);
    assert_int_equal(operators_log_out(s.db, span_of("nonsense"), &s.e), 0);
    assert_int_equal(operators_log_out(s.db, span_of(cookie.text), &s.e), 0);
    assert_int_equal(operators_log_out(s.db, span_of(cookie.text), &s.e), 0);
    assert_int_equal(use(&s, &cookie, SCRATCH_NOW), ERROR_REFUSED);
    assert_int_equal(use(&s, &other, SCRATCH_NOW), 0);
    assert_int_equal(operators_find_login(s.db, span_of("nonsense"), SCRATCH_NOW, &login, &s.e),
                     ERROR_REFUSED);
    assert_int_equal(operators_set_password(s.db, "alice", "new", &ALICE, &s.e), 0);
    assert_int_equal(use(&s, &other, SCRATCH_NOW), ERROR_REFUSED);
    scratch_close(&s);
}

static void password_that_was_changed_meanwhile_lets_nobody_in(void **state)
{
    struct scratch s;
    struct operator_account account;
    struct operator_login login;
    struct credential cookie;
    (void)state;

    scratch_open(&s);
    add(&s, "alice", &account);
    assert_int_equal(operators_set_password(s.db, "alice", "new", &ALICE, &s.e), 0);
    assert_int_equal(operators_log_in(s.db, &account, SCRATCH_NOW, &cookie, &login, &s.e),
                     ERROR_NOT_FOUND);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM logins"), 0);
    assert_int_equal(operators_remove(s.db, "alice", &ALICE, &s.e), 0);
    assert_int_equal(operators_note_failure(s.db, &account, &ALICE, &s.e), ERROR_NOT_FOUND);
    assert_int_equal(operators_remove(s.db, "alice", &ALICE, &s.e), ERROR_NOT_FOUND);
    assert_int_equal(operators_set_password(s.db, "alice", "x", &ALICE, &s.e), ERROR_NOT_FOUND);
    scratch_close(&s);
}

static void wrong_passwords_lock_twice_as_long_each_time(void **state)
{
    static const int64_t LOCKED_S[] = {0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900};
    struct scratch s;
    struct operator_account account;
    (void)state;

    scratch_open(&s);
    add(&s, "alice", &account);
    for (size_t i = 0; i < sizeof(LOCKED_S) / sizeof(LOCKED_S[0]); i++) {
        assert_int_equal(operators_note_failure(s.db, &account, &ALICE, &s.e), 0);
        assert_int_equal(operators_find(s.db, "alice", &account, &s.e), 0);
        assert_int_equal(account.n_failures, i + 1);
        int64_t until_s = LOCKED_S[i] == 0 ? 0 : LATER(LOCKED_S[i]);
        assert_int_equal(account.locked_until_s, until_s);
    }
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM audit WHERE refused = 1"), 11);
    /* The right one makes up for all of them. */
    (void)log_in(&s, &account, LATER(1000));
    assert_int_equal(operators_find(s.db, "alice", &account, &s.e), 0);
    assert_int_equal(account.n_failures, 0);
    assert_int_equal(account.locked_until_s, 0);
    scratch_close(&s);
}

static void login_that_was_idle_longest_makes_room(void **state)
{
    struct scratch s;
    struct operator_account account;
    struct credential first;
    struct credential second;
    (void)state;

    scratch_open(&s);
    add(&s, "alice", &account);
    first = log_in(&s, &account, SCRATCH_NOW);
    second = log_in(&s, &account, LATER(1));
    for (int i = 2; i <= OPERATORS_LOGINS_MAX; i++) {
        (void)log_in(&s, &account, LATER(2));
    }
    assert_int_equal(use(&s, &first, LATER(2)), ERROR_REFUSED);
    assert_int_equal(use(&s, &second, LATER(2)), 0);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM logins"), OPERATORS_LOGINS_MAX);
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_is_given_once),
        cmocka_unit_test(used_login_goes_on_and_an_idle_one_ends),
        cmocka_unit_test(login_ends_however_much_it_is_used),
        cmocka_unit_test(cookie_ends_with_its_login),
        cmocka_unit_test(password_that_was_changed_meanwhile_lets_nobody_in),
        cmocka_unit_test(wrong_passwords_lock_twice_as_long_each_time),
        cmocka_unit_test(login_that_was_idle_longest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
