/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of relay/roster. */
#include "relay/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay/store/directory_write.h"

static struct roster_row rows[ROSTER_MAX];

static void put(struct directory *d, int64_t id, bool enabled)
{
    struct directory_server s = {.id = id, .enabled = enabled};
    bool changed = false;
    (void)snprintf(s.serial, sizeof(s.serial), "TNX-%d", (int)id);
    assert_int_equal(directory_put_server(d, &s, &changed), 0);
}

static void those_added_first_have_their_own(void **state)
{
    (void)state;
    struct directory *d = directory_new();
    struct directory_reader *reader = directory_join(d);
    struct roster *r = roster_new();
    assert_int_equal(roster_read(r, rows), 0);
    assert_false(roster_has(r, 1));
    for (int64_t id = 40; id >= 1; id--) {
        put(d, id * 3, id != 2);
    }
    roster_renew(r, reader, 4);
    assert_int_equal(roster_read(r, rows), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rows[i].id, 3 * (i + 1));
        assert_int_equal(rows[i].enabled, i != 1);
    }
    assert_string_equal(rows[3].serial, "TNX-12");
    assert_true(roster_has(r, 12));
    assert_false(roster_has(r, 15));
    /* A newer one changes nothing; one that goes lets the next one in. */
    put(d, 1000, true);
    assert_true(directory_remove_server(d, 6));
    roster_renew(r, reader, 4);
    assert_int_equal(roster_read(r, rows), 4);
    assert_int_equal(rows[1].id, 9);
    assert_int_equal(rows[3].id, 15);
    assert_true(roster_has(r, 15));
    assert_false(roster_has(r, 18));
    directory_leave(reader);
    directory_part(reader);
    directory_free(d);
    roster_free(r);
}

static void their_number_is_bounded(void **state)
{
    (void)state;
    struct directory *d = directory_new();
    struct directory_reader *reader = directory_join(d);
    struct roster *r = roster_new();
    for (int64_t id = 1; id <= ROSTER_MAX + 5; id++) {
        put(d, id, true);
    }
    roster_renew(r, reader, SIZE_MAX);
    assert_int_equal(roster_read(r, rows), ROSTER_MAX);
    assert_int_equal(rows[ROSTER_MAX - 1].id, ROSTER_MAX);
    roster_renew(r, reader, 0);
    assert_int_equal(roster_read(r, rows), 0);
    assert_false(roster_has(r, 1));
    directory_leave(reader);
    directory_part(reader);
    directory_free(d);
    roster_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_added_first_have_their_own),
        cmocka_unit_test(their_number_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
