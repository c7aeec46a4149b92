/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/device. */
#include "tests/simulator/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct device made(enum controller_class device_class)
{
    struct device d;
    device_init(&d, device_class);
    return d;
}

static struct number number_of(int32_t value)
{
    struct number n;
    number_set(&n, value);
    return n;
}

static void set(struct device *d, enum controller_object object, int32_t value, uint64_t now_ms)
{
    struct number n = number_of(value);
    device_set(d, object, &n, now_ms);
}

static void set_later(struct device *d, enum controller_object object, int32_t value,
                      uint64_t now_ms, uint64_t due_ms)
{
    struct number n = number_of(value);
    device_set_later(d, object, &n, now_ms, due_ms);
}

static int status(struct device *d, enum controller_object object, uint64_t now_ms)
{
    return (int)device_status(d, object, now_ms)->value;
}

static void a_light_couples_power_and_level(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_LIGHT);
    set(&d, CONTROLLER_OBJECT_POWER, 1, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_LEVEL, 0), 100);
    set(&d, CONTROLLER_OBJECT_LEVEL, 40, 0);
    set(&d, CONTROLLER_OBJECT_POWER, 1, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_LEVEL, 0), 40);
    set(&d, CONTROLLER_OBJECT_LEVEL, 0, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_POWER, 0), 0);
    set(&d, CONTROLLER_OBJECT_LEVEL, 1, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_POWER, 0), 1);
    set(&d, CONTROLLER_OBJECT_POWER, 0, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_LEVEL, 0), 0);
}

static void a_blind_moves_at_once_without_travel_time(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_BLIND);
    set(&d, CONTROLLER_OBJECT_MOVEMENT, 1, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 0), 100);
    set(&d, CONTROLLER_OBJECT_MOVEMENT, 0, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 0), 0);
}

static void a_blind_travels_and_stops(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_BLIND);
    d.travel_ms = 1000;
    set(&d, CONTROLLER_OBJECT_MOVEMENT, 1, 5000);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 5000), 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 5250), 25);
    set(&d, CONTROLLER_OBJECT_STOP, 1, 5400);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 9000), 40);
    set(&d, CONTROLLER_OBJECT_MOVEMENT, 0, 10000);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 10100), 30);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 10400), 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 99999), 0);
    set(&d, CONTROLLER_OBJECT_MOVEMENT, 1, 100000);
    set(&d, CONTROLLER_OBJECT_HEIGHT, 66, 100100);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_HEIGHT, 200000), 66);
}

static void lamellas_step_within_their_range(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_BLIND);
    set(&d, CONTROLLER_OBJECT_STEP, 1, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_ANGLE, 0), 0);
    set(&d, CONTROLLER_OBJECT_STEP, 0, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_ANGLE, 0), DEVICE_STEP);
    set(&d, CONTROLLER_OBJECT_ANGLE, 95, 0);
    set(&d, CONTROLLER_OBJECT_STEP, 0, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_ANGLE, 0), 100);
}

static void a_button_counts(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_BUTTON);
    set(&d, CONTROLLER_OBJECT_TRIGGER, 1, 0);
    set(&d, CONTROLLER_OBJECT_TRIGGER, 1, 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_TRIGGER, 0), 2);
}

static void feedback_takes_its_time(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_THERMOSTAT);
    set_later(&d, CONTROLLER_OBJECT_MODE, 2, 100, 150);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_MODE, 149), 0);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_MODE, 150), 2);
}

static void each_of_several_feedbacks_shows(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_THERMOSTAT);
    set_later(&d, CONTROLLER_OBJECT_MODE, 3, 0, 300);
    set_later(&d, CONTROLLER_OBJECT_MODE, 1, 0, 100);
    set_later(&d, CONTROLLER_OBJECT_MODE, 2, 0, 200);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_MODE, 100), 1);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_MODE, 200), 2);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_MODE, 300), 3);
}

static void a_later_command_overrules_what_waits(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_LIGHT);
    set_later(&d, CONTROLLER_OBJECT_LEVEL, 70, 0, 100);
    set(&d, CONTROLLER_OBJECT_POWER, 0, 50);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_LEVEL, 200), 0);
    struct device t = made(CONTROLLER_CLASS_THERMOSTAT);
    set_later(&t, CONTROLLER_OBJECT_MODE, 3, 0, 100);
    set(&t, CONTROLLER_OBJECT_CHRONO, 1, 50);
    assert_int_equal(status(&t, CONTROLLER_OBJECT_MODE, 200), 3);
    struct device b = made(CONTROLLER_CLASS_BLIND);
    set_later(&b, CONTROLLER_OBJECT_MOVEMENT, 1, 0, 100);
    set(&b, CONTROLLER_OBJECT_STOP, 1, 50);
    assert_int_equal(status(&b, CONTROLLER_OBJECT_HEIGHT, 200), 0);
}

static void too_many_feedbacks_take_effect_early(void **state)
{
    (void)state;
    struct device d = made(CONTROLLER_CLASS_THERMOSTAT);
    for (int i = 0; i <= DEVICE_CHANGES_MAX; i++) {
        set_later(&d, CONTROLLER_OBJECT_MODE, i, 0, 1000 + (uint64_t)i);
    }
    assert_int_equal(d.n_changes, DEVICE_CHANGES_MAX);
    assert_int_equal(status(&d, CONTROLLER_OBJECT_MODE, 5000), DEVICE_CHANGES_MAX);
}

static void communication_objects_differ(void **state)
{
    (void)state;
    struct device a = made(CONTROLLER_CLASS_LIGHT);
    struct device b = made(CONTROLLER_CLASS_LIGHT);
    b.number = 1;
    uint32_t last = 0;
    for (size_t i = 0; i < 2 * controller_count(); i++) {
        const struct controller *c = controller_at(i % controller_count());
        uint32_t number = device_comm_obj(i < controller_count() ? &a : &b, c);
        assert_int_equal(number, last + 1);
        last = number;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_light_couples_power_and_level),
        cmocka_unit_test(a_blind_moves_at_once_without_travel_time),
        cmocka_unit_test(a_blind_travels_and_stops),
        cmocka_unit_test(lamellas_step_within_their_range),
        cmocka_unit_test(a_button_counts),
        cmocka_unit_test(feedback_takes_its_time),
        cmocka_unit_test(each_of_several_feedbacks_shows),
        cmocka_unit_test(a_later_command_overrules_what_waits),
        cmocka_unit_test(too_many_feedbacks_take_effect_early),
        cmocka_unit_test(communication_objects_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
