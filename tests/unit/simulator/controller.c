/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proto/http/controller. */
#include "proto/http/controller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

static const struct controller *find(const char *name)
{
    return controller_find(span_of(name));
}

static void there_are_37_with_different_names(void **state)
{
    (void)state;
    assert_int_equal(controller_count(), 37);
    for (size_t i = 0; i < controller_count(); i++) {
        const struct controller *c = controller_at(i);
        assert_int_equal(c->name_len, strlen(c->name));
        assert_ptr_equal(find(c->name), c);
        assert_int_equal(controller_index(c), i);
    }
}

static void names_are_exact(void **state)
{
    (void)state;
    assert_non_null(find("power"));
    assert_non_null(find("system/sendKNX4bits"));
    assert_null(find("Power"));
    assert_null(find("POWER"));
    assert_null(find("system/sendknx4bits"));
    assert_null(find("sendKNXbit"));
    assert_null(find("power/"));
    assert_null(find("/power"));
    assert_null(find("powe"));
    assert_null(find(""));
    assert_null(controller_find((struct span){NULL, 0}));
}

/* Which controllers there are of each sort, as the vendor's document has them. */
static void counts_by_sort(void **state)
{
    (void)state;
    size_t n_set = 0;
    size_t n_fb = 0;
    size_t n_of_class[CONTROLLER_N_CLASSES] = {0};
    const size_t expected[CONTROLLER_N_CLASSES] = {4, 7, 2, 7, 8, 1, 1, 7};
    for (size_t i = 0; i < controller_count(); i++) {
        const struct controller *c = controller_at(i);
        n_set += c->role == CONTROLLER_SET;
        n_fb += c->takes_fb;
        n_of_class[c->device_class]++;
    }
    assert_int_equal(n_set, 23);
    assert_int_equal(n_fb, 12);
    assert_memory_equal(n_of_class, expected, sizeof expected);
}

static void rows_are_consistent(void **state)
{
    (void)state;
    for (size_t i = 0; i < controller_count(); i++) {
        const struct controller *c = controller_at(i);
        bool is_set = c->role == CONTROLLER_SET;
        bool takes_value = c->param != CONTROLLER_PARAM_NONE;
        assert_true(c->min <= c->max);
        assert_true(c->title != NULL && c->title[0] != '\0');
        assert_true(is_set || !takes_value);
        assert_true(is_set || !c->takes_fb);
        assert_true(takes_value == (c->kind != CONTROLLER_KIND_NONE));
        assert_true((c->status != CONTROLLER_KIND_NONE) == (!is_set || c->takes_fb));
        assert_true((c->target == CONTROLLER_TARGET_GUID) ==
                    (c->device_class != CONTROLLER_CLASS_SYSTEM));
        assert_true((controller_param_name(c->param) == NULL) == !takes_value);
    }
}

/* Each value of a command with choices has a name, and its status call has the same. */
static void choices_name_every_value(void **state)
{
    (void)state;
    assert_null(find("powerlevel")->choices);
    for (size_t i = 0; i < controller_count(); i++) {
        const struct controller *c = controller_at(i);
        size_t n = 0;
        while (c->choices != NULL && c->choices[n] != NULL) {
            n++;
        }
        if (c->choices != NULL && c->role == CONTROLLER_SET) {
            assert_int_equal(n, (size_t)(c->max - c->min) + 1);
        }
        for (size_t k = 0; k < controller_count(); k++) {
            const struct controller *other = controller_at(k);
            bool same = other->device_class == c->device_class && other->object == c->object;
            if (same && c->device_class != CONTROLLER_CLASS_SYSTEM) {
                assert_ptr_equal(other->choices, c->choices);
            }
        }
    }
}

/* A command with feedback has a status call that reads the same. */
static void commands_have_their_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < controller_count(); i++) {
        const struct controller *set = controller_at(i);
        size_t n = 0;
        for (size_t k = 0; k < controller_count(); k++) {
            const struct controller *get = controller_at(k);
            n += get->role == CONTROLLER_GET && get->device_class == set->device_class &&
                 get->object == set->object && get->status == set->status;
        }
        assert_true(!set->takes_fb || n == 1);
    }
}

static void special_rows(void **state)
{
    (void)state;
    assert_int_equal(find("heightlevel")->param, CONTROLLER_PARAM_VAL);
    assert_int_equal(find("blindangle")->param, CONTROLLER_PARAM_CMD);
    assert_int_equal(find("trigger")->param, CONTROLLER_PARAM_NONE);
    assert_int_equal(find("trigger")->role, CONTROLLER_SET);
    assert_true(find("stop")->min >= 1);
    assert_true(find("powerlevel")->needs_dimmable);
    assert_false(find("power")->needs_dimmable);
    assert_true(find("system/sendKNX4bits")->max <= 31 && find("system/sendKNX4bits")->max >= 31);
    assert_true(find("system/sendKNXbyteun")->min <= -128);
    assert_int_equal(find("system/serverStatus")->status, CONTROLLER_KIND_SERVER);
    assert_int_equal(find("system/serverStatus")->target, CONTROLLER_TARGET_NONE);
}

static void class_names(void **state)
{
    (void)state;
    enum controller_class device_class = CONTROLLER_CLASS_LIGHT;
    for (int i = 0; i < CONTROLLER_N_CLASSES; i++) {
        const char *name = controller_class_name((enum controller_class)i);
        assert_int_equal(controller_class_parse(span_of(name), &device_class), 0);
        assert_int_equal(device_class, i);
    }
    assert_int_equal(controller_class_parse(span_of("Light"), &device_class), ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_37_with_different_names),
        cmocka_unit_test(names_are_exact),
        cmocka_unit_test(counts_by_sort),
        cmocka_unit_test(rows_are_consistent),
        cmocka_unit_test(choices_name_every_value),
        cmocka_unit_test(commands_have_their_status),
        cmocka_unit_test(special_rows),
        cmocka_unit_test(class_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
