/* Names and order of the ISA levels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/ops/isa.h"

static void test_every_level_is_found_by_its_name(void **state)
{
	(void)state;
	for (int i = 0; i < ISA_COUNT; i++) {
		enum isa isa = ISA_COUNT;
		assert_true(isa_parse(isa_name((enum isa)i), &isa));
		assert_int_equal(isa, i);
	}
}

static void test_parse_rejects_other_names(void **state)
{
	enum isa isa = ISA_AVX2;
	(void)state;
	assert_false(isa_parse("", &isa));
	assert_false(isa_parse("avx", &isa));
	assert_false(isa_parse("avx2 ", &isa));
	assert_int_equal(isa, ISA_AVX2);
}

static void test_the_best_level_runs_until_another_is_selected(void **state)
{
	(void)state;
	assert_int_equal(isa_current(), isa_best());
	isa_select(ISA_PORTABLE);
	assert_int_equal(isa_current(), ISA_PORTABLE);
	isa_select(isa_best());
	assert_int_equal(isa_current(), isa_best());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_level_is_found_by_its_name),
		cmocka_unit_test(test_parse_rejects_other_names),
		cmocka_unit_test(test_the_best_level_runs_until_another_is_selected),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
