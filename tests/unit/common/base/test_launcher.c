/* Ranks by the environment, whoever started the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/launcher.h"

static void clear(void)
{
	unsetenv("OMPI_COMM_WORLD_RANK");
	unsetenv("PMIX_RANK");
	unsetenv("PMI_RANK");
	unsetenv("SLURM_PROCID");
}

static void test_no_launcher_is_the_first_rank(void **state)
{
	(void)state;
	clear();
	assert_null(launcher_rank());
	assert_true(launcher_is_first());
}

static void test_each_launcher_tells_its_rank(void **state)
{
	static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		clear();
		setenv(names[i], "10", 1);
		assert_string_equal(launcher_rank(), "10");
		assert_false(launcher_is_first());
		setenv(names[i], "0", 1);
		assert_string_equal(launcher_rank(), "0");
		assert_true(launcher_is_first());
	}
}

static void test_slurm_alone_is_no_launcher(void **state)
{
	(void)state;
	clear();
	setenv("SLURM_PROCID", "1", 1);
	assert_null(launcher_rank());
	assert_true(launcher_is_first());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_launcher_is_the_first_rank),
		cmocka_unit_test(test_each_launcher_tells_its_rank),
		cmocka_unit_test(test_slurm_alone_is_no_launcher),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
