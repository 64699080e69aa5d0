/* Fault points kill at the pass that was asked for, and nowhere else. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/run/fault.h"

/* Passes of point "save" that a child survives, 5 being all; -1 if it ended in
 * another way than SIGKILL. */
static int passes_survived(const char *fault, const char *fault_rank, const char *rank)
{
	int ends[2], status, n = 0;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		unsetenv("PMIX_RANK");
		unsetenv("PMI_RANK");
		unsetenv("OMPI_COMM_WORLD_RANK");
		if (fault)
			setenv("RLHF_FAULT", fault, 1);
		if (fault_rank)
			setenv("RLHF_FAULT_RANK", fault_rank, 1);
		if (rank)
			setenv("OMPI_COMM_WORLD_RANK", rank, 1);
		log_init(LOG_ERROR, false);
		for (int i = 0; i < 5; i++) {
			fault_point("other");
			fault_point("save");
			if (write(ends[1], "x", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	close(ends[1]);
	while (read(ends[0], &byte, 1) == 1)
		n++;
	close(ends[0]);
	waitpid(pid, &status, 0);
	if (n == 5)
		return status == 0 ? 5 : -1;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? n : -1;
}

static void test_the_hit_of_the_named_point_kills(void **state)
{
	(void)state;
	assert_int_equal(passes_survived("kill:save:1", NULL, NULL), 0);
	assert_int_equal(passes_survived("kill:save:3", NULL, NULL), 2);
	assert_int_equal(passes_survived("kill:save:6", NULL, NULL), 5);
	assert_int_equal(passes_survived("kill:sav:1", NULL, NULL), 5);
	assert_int_equal(passes_survived(NULL, NULL, NULL), 5);
}

static void test_a_rank_can_be_meant(void **state)
{
	(void)state;
	assert_int_equal(passes_survived("kill:save:2", "1", "1"), 1);
	assert_int_equal(passes_survived("kill:save:2", "1", "0"), 5);
	assert_int_equal(passes_survived("kill:save:2", "0", NULL), 1);
	assert_int_equal(passes_survived("kill:save:2", "1", NULL), 5);
}

static void test_a_misspelt_fault_is_not_ignored(void **state)
{
	(void)state;
	assert_int_equal(passes_survived("kill:save", NULL, NULL), -1);
	assert_int_equal(passes_survived("kill:save:0", NULL, NULL), -1);
	assert_int_equal(passes_survived("save:1", NULL, NULL), -1);
	assert_int_equal(passes_survived("kill:save:6,", NULL, NULL), -1);
}

static void test_several_faults_may_be_asked_for(void **state)
{
	(void)state;
	assert_int_equal(passes_survived("kill:save:6,kill:save:2", NULL, NULL), 1);
	assert_int_equal(passes_survived("omit:x,nan:y:1,kill:save:4", NULL, NULL), 3);
}

/* In a child: which of five passes of a number's point make it NaN, as bits, and
 * above them whether parts "a" and "b" are left out. */
static int harm_done(const char *fault)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int bits = 0;

		setenv("RLHF_FAULT", fault, 1);
		log_init(LOG_ERROR, false);
		for (int i = 0; i < 5; i++)
			bits |= fault_nan("gradient") << i;
		bits |= fault_omits("a") << 5 | fault_omits("b") << 6;
		_exit(bits);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_numbers_are_spoilt_once_and_parts_left_out(void **state)
{
	(void)state;
	assert_int_equal(harm_done("nan:gradient:3"), 1 << 2);
	assert_int_equal(harm_done("nan:gradient:1,nan:gradient:4"), 1 << 0 | 1 << 3);
	assert_int_equal(harm_done("nan:other:1"), 0);
	assert_int_equal(harm_done("omit:a"), 1 << 5);
	assert_int_equal(harm_done("omit:b,nan:gradient:5"), 1 << 6 | 1 << 4);
	assert_int_equal(harm_done("kill:gradient:1"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_hit_of_the_named_point_kills),
		cmocka_unit_test(test_a_rank_can_be_meant),
		cmocka_unit_test(test_a_misspelt_fault_is_not_ignored),
		cmocka_unit_test(test_several_faults_may_be_asked_for),
		cmocka_unit_test(test_numbers_are_spoilt_once_and_parts_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
