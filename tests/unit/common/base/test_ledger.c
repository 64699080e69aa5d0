/* The list of names and bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/ledger.h"

static void test_bytes_of_one_name_add_up_in_the_order_of_names(void **state)
{
	struct ledger ledger = {0};

	(void)state;
	assert_int_equal(ledger_sum(&ledger), 0);
	ledger_add(&ledger, "weights", 10);
	ledger_add(&ledger, "moments", 5);
	ledger_add(&ledger, "weights", 7);
	ledger_add(&ledger, "nothing", 0);
	assert_int_equal(ledger.n, 2);
	assert_string_equal(ledger.items[0].what, "weights");
	assert_int_equal(ledger.items[0].bytes, 17);
	assert_string_equal(ledger.items[1].what, "moments");
	assert_int_equal(ledger_sum(&ledger), 22);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_of_one_name_add_up_in_the_order_of_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
