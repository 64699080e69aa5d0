/* status, die and log: what people see when something is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/base/status.h"

static void test_error_names_and_prefixes(void **state)
{
	(void)state;
	struct error err;
	assert_int_equal(error_set(&err, STATUS_BAD_INPUT, "line %d", 3), STATUS_BAD_INPUT);
	assert_string_equal(err.text, "line 3");
	error_prefix(&err, STATUS_BAD_INPUT, "%s", "a.json");
	assert_string_equal(err.text, "a.json: line 3");
	assert_int_equal(error_set(NULL, STATUS_FAILED, "x"), STATUS_FAILED);
}

static void test_error_replaces_control_characters(void **state)
{
	(void)state;
	struct error err;
	error_set(&err, STATUS_BAD_INPUT, "a\x1b[2J\n\x7f\xc2\x9b é");
	assert_string_equal(err.text, "a?[2J????"
				      " é");
}

static void test_error_marks_a_sentence_that_is_too_long(void **state)
{
	(void)state;
	struct error err;
	error_set(&err, STATUS_BAD_INPUT, "%2000d", 1);
	assert_int_equal(strlen(err.text), sizeof err.text - 1);
	assert_string_equal(err.text + sizeof err.text - 4, "...");
}

static void hook_exits_7(int exit_code)
{
	_exit(exit_code == 1 ? 7 : 8);
}

static void hook_dies(int exit_code)
{
	die("again %d", exit_code);
}

/* Runs die() in a child; returns its exit code and what it printed. */
static int die_in_child(void (*hook)(int), void *(*allocate)(void), char *text, size_t size)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	if (child == 0) {
		dup2(fds[1], STDERR_FILENO);
		die_set_hook(hook);
		if (allocate)
			allocate();
		die("found %d\n", 5);
	}
	close(fds[1]);
	size_t n = 0;
	for (ssize_t got; (got = read(fds[0], text + n, size - 1 - n)) > 0;)
		n += (size_t)got;
	text[n] = '\0';
	close(fds[0]);
	int status;
	waitpid(child, &status, 0);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void *overflowing(void)
{
	return xcalloc(SIZE_MAX / 2, 4);
}

static void test_die_prints_and_exits_through_the_hook(void **state)
{
	(void)state;
	char text[512];
	assert_int_equal(die_in_child(NULL, NULL, text, sizeof text), 1);
	assert_string_equal(text, "rlhf: internal error: found 5?\n");
	assert_int_equal(die_in_child(hook_exits_7, NULL, text, sizeof text), 7);
	assert_int_equal(die_in_child(hook_dies, NULL, text, sizeof text), 1);
	assert_int_equal(die_in_child(NULL, overflowing, text, sizeof text), 1);
	assert_non_null(strstr(text, "too large"));
}

static void test_allocation_is_aligned_zeroed_and_copies(void **state)
{
	(void)state;
	unsigned char *bytes = xaligned(3, 7);
	assert_int_equal((uintptr_t)bytes % 64, 0);
	for (int i = 0; i < 21; i++)
		assert_int_equal(bytes[i], 0);
	free(bytes);
	free(xmalloc(0));
	free(xaligned(0, 4));
	char *text = xasprintf("%s-%d", "a", 1), *part = xstrndup("abc", 2);
	assert_string_equal(text, "a-1");
	assert_string_equal(part, "ab");
	free(text);
	free(part);
}

/* What the log calls of a child write. */
static void captured(void (*calls)(void), char *text, size_t size)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	if (fork() == 0) {
		dup2(fds[1], STDERR_FILENO);
		calls();
		_exit(0);
	}
	close(fds[1]);
	size_t n = 0;
	for (ssize_t got; (got = read(fds[0], text + n, size - 1 - n)) > 0;)
		n += (size_t)got;
	text[n] = '\0';
	close(fds[0]);
	wait(NULL);
}

static void calls_of_a_follower(void)
{
	log_init(LOG_INFO, false);
	log_set_name("actor.1");
	log_info("unseen");
	log_warn("unseen");
	log_debug("unseen");
	log_error("e%d", 1);
	log_rank(LOG_INFO, "seen");
	log_rank(LOG_DEBUG, "unseen");
}

static void calls_of_the_lead(void)
{
	log_init(LOG_DEBUG, true);
	log_set_name("learner.0");
	log_info("i\x1b");
	log_warn("w");
	log_debug("d");
	log_info("%5000d", 1);
}

static void test_log_prints_on_the_lead_or_with_the_name(void **state)
{
	(void)state;
	char text[16384];
	captured(calls_of_a_follower, text, sizeof text);
	assert_string_equal(text, "rlhf: actor.1: error: e1\nrlhf: actor.1: seen\n");
	captured(calls_of_the_lead, text, sizeof text);
	const char *expected = "rlhf: i?\nrlhf: warning: w\nrlhf: learner.0: debug: d\nrlhf: ";
	assert_memory_equal(text, expected, strlen(expected));
	assert_int_equal(strlen(text), strlen(expected) - 6 + 4096);
	assert_string_equal(text + strlen(text) - 4, "...\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_names_and_prefixes),
		cmocka_unit_test(test_error_replaces_control_characters),
		cmocka_unit_test(test_error_marks_a_sentence_that_is_too_long),
		cmocka_unit_test(test_die_prints_and_exits_through_the_hook),
		cmocka_unit_test(test_allocation_is_aligned_zeroed_and_copies),
		cmocka_unit_test(test_log_prints_on_the_lead_or_with_the_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
