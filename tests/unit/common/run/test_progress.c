/* Progress: few plain lines, one rewritten line on a terminal, the last step. */
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/run/progress.h"

static char text[4096];

/* Runs body with standard error at `to` and reads from `from` what it wrote. */
static void capture(int from, int to, void (*body)(void))
{
	int saved = dup(STDERR_FILENO);
	size_t length = 0;
	ssize_t n;

	dup2(to, STDERR_FILENO);
	body();
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(to);
	/* A terminal hands its output on in pieces, some time later. */
	while ((n = read(from, text + length, sizeof text - 1 - length)) > 0)
		length += (size_t)n;
	text[length] = '\0';
	close(from);
}

static void ten_quick_steps(void)
{
	struct progress progress;

	progress_begin(&progress, "ppo", 0, 10);
	for (int i = 1; i <= 10; i++)
		progress_update(&progress, i, "loss 2.5");
	progress_end(&progress);
}

static void half_a_run_of_two_hours(void)
{
	struct progress progress;

	progress_begin(&progress, "pretrain", 100, 300);
	progress.began = clock_now() - 3700;
	progress_update(&progress, 200, NULL);
	progress_end(&progress);
}

static void test_plain_lines_are_the_first_and_the_last(void **state)
{
	int ends[2];
	const char *end;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	capture(ends[0], ends[1], ten_quick_steps);
	assert_memory_equal(text, "ppo 1/10 loss 2.5 ETA 0:00:00\n", 30);
	end = strchr(text, '\n') + 1;
	assert_string_equal(end, "ppo 10/10 loss 2.5\n");
}

static void test_eta_counts_only_the_steps_of_this_process(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	capture(ends[0], ends[1], half_a_run_of_two_hours);
	assert_string_equal(text, "pretrain 200/300 ETA 1:01:40\n");
}

static void test_a_terminal_line_is_rewritten_in_place(void **state)
{
	int from, to;

	(void)state;
	/* A bare container may have no terminals at all. */
	if (openpty(&from, &to, NULL, NULL, NULL) != 0)
		skip();
	capture(from, to, ten_quick_steps);
	assert_memory_equal(text, "\rppo 1/10", 9);
	assert_non_null(strstr(text, "\rppo 10/10 loss 2.5\033[K\r\n"));
	assert_null(strstr(text, "\n\r"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_lines_are_the_first_and_the_last),
		cmocka_unit_test(test_eta_counts_only_the_steps_of_this_process),
		cmocka_unit_test(test_a_terminal_line_is_rewritten_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
