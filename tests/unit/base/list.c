/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/list.h. */
#include "proto/base/list.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

struct item {
    int number;
    struct list node;
};

static void test_list_pops_in_the_order_of_pushing(void **state)
{
    (void)state;
    struct list l;
    struct item items[3];

    list_init(&l);
    assert_true(list_empty(&l));
    assert_null(list_pop(&l));
    for (int i = 0; i < 3; i++) {
        list_push(&l, &items[i].node);
    }
    assert_ptr_equal(list_first(&l), &items[0].node);
    for (int i = 0; i < 3; i++) {
        struct list *node = list_pop(&l);
        assert_ptr_equal(node, &items[i].node);
        assert_ptr_equal(LIST_ITEM(node, struct item, node), &items[i]);
    }
    assert_true(list_empty(&l));
}

static void test_list_remove_leaves_the_node_alone_and_may_be_repeated(void **state)
{
    (void)state;
    struct list l;
    struct item items[3];

    list_init(&l);
    for (int i = 0; i < 3; i++) {
        list_push(&l, &items[i].node);
        assert_false(list_alone(&items[i].node));
    }
    list_remove(&items[1].node);
    list_remove(&items[1].node);
    assert_true(list_alone(&items[1].node));
    assert_ptr_equal(list_pop(&l), &items[0].node);
    assert_ptr_equal(list_pop(&l), &items[2].node);
    assert_null(list_pop(&l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_pops_in_the_order_of_pushing),
        cmocka_unit_test(test_list_remove_leaves_the_node_alone_and_may_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
