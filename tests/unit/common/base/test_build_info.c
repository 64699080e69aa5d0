/* The build id is the executable's, the same at each call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/build_info.h"

static void test_build_id_is_16_hex_digits_and_stays(void **state)
{
	char first[17];

	(void)state;
	assert_int_equal(strlen(build_id()), 16);
	assert_int_equal(strspn(build_id(), "0123456789abcdef"), 16);
	snprintf(first, sizeof first, "%s", build_id());
	assert_string_equal(build_id(), first);
}

static void test_version_has_three_numbers(void **state)
{
	int a, b, c, n = 0;

	(void)state;
	assert_int_equal(sscanf(build_version(), "%d.%d.%d%n", &a, &b, &c, &n), 3);
	assert_int_equal(n, strlen(build_version()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build_id_is_16_hex_digits_and_stays),
		cmocka_unit_test(test_version_has_three_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
