/* Requests to stop, and who dies with whom. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/run/signals.h"

/* The wait status of a child that runs body. */
static int in_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		body();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void expect(bool holds)
{
	if (!holds)
		_exit(1);
}

static void clear_launcher(void)
{
	unsetenv("OMPI_COMM_WORLD_RANK");
	unsetenv("PMIX_RANK");
	unsetenv("PMI_RANK");
}

static void stop_by_usr1(void)
{
	signals_install();
	expect(!signals_stop_requested());
	raise(SIGUSR1);
	expect(signals_stop_requested());
	raise(SIGUSR1);
	raise(SIGINT);
	expect(signals_stop_requested());
}

static void interrupt_twice(void)
{
	signals_install();
	raise(SIGINT);
	expect(signals_stop_requested());
	raise(SIGINT);
}

static void break_a_pipe(void)
{
	int ends[2];

	signals_install();
	expect(pipe(ends) == 0);
	close(ends[0]);
	expect(write(ends[1], "x", 1) == -1);
}

static int death_signal(void)
{
	int number = -1;

	signals_install();
	prctl(PR_GET_PDEATHSIG, &number);
	return number;
}

static void alone(void)
{
	clear_launcher();
	expect(death_signal() == 0);
}

static void launched(void)
{
	clear_launcher();
	setenv("OMPI_COMM_WORLD_RANK", "2", 1);
	expect(death_signal() == SIGKILL);
}

static void test_usr1_and_the_first_interrupt_only_raise_a_flag(void **state)
{
	(void)state;
	assert_int_equal(in_child(stop_by_usr1), 0);
}

static void test_the_second_interrupt_ends_the_process(void **state)
{
	int status = in_child(interrupt_twice);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
}

static void test_a_broken_pipe_is_an_error_not_a_death(void **state)
{
	(void)state;
	assert_int_equal(in_child(break_a_pipe), 0);
}

static void test_only_a_launched_rank_dies_with_its_parent(void **state)
{
	(void)state;
	assert_int_equal(in_child(alone), 0);
	assert_int_equal(in_child(launched), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usr1_and_the_first_interrupt_only_raise_a_flag),
		cmocka_unit_test(test_the_second_interrupt_ends_the_process),
		cmocka_unit_test(test_a_broken_pipe_is_an_error_not_a_death),
		cmocka_unit_test(test_only_a_launched_rank_dies_with_its_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
