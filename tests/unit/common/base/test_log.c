/* Warnings: each once, from whatever threads. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "common/base/log.h"
#include "common/base/pool.h"

enum { N_ROUNDS = 20, N_THREADS = 2, N_WARNINGS = 60, N_BYTES = 1 << 16 };

struct round {
	int warning;
	_Atomic int n_ready;
};

/* All threads at once. */
static void warn(void *args, int i, int thread)
{
	struct round *round = args;

	(void)i;
	(void)thread;
	atomic_fetch_add(&round->n_ready, 1);
	for (int spins = 0; spins < 1000000 && round->n_ready < N_THREADS; spins++)
		;
	log_warn("warning %02d.", round->warning);
}

/* What is written to standard error meanwhile; the caller frees it. */
static char *written_by(struct pool *pool)
{
	FILE *file = tmpfile();
	int kept = dup(STDERR_FILENO);
	char *text = calloc(1, N_BYTES);

	if (!file || kept < 0 || !text)
		abort();
	dup2(fileno(file), STDERR_FILENO);
	for (int w = 0; w < N_WARNINGS; w++)
		pool_run(pool, N_THREADS, warn, &(struct round){.warning = w});
	dup2(kept, STDERR_FILENO);
	close(kept);
	rewind(file);
	text[fread(text, 1, N_BYTES - 1, file)] = '\0';
	fclose(file);
	return text;
}

static bool each_is_written_once(void)
{
	struct pool *pool = pool_create(N_THREADS);
	char *text = written_by(pool);
	bool once = true;

	for (int w = 0; w < N_WARNINGS; w++) {
		char line[40];
		const char *found;

		snprintf(line, sizeof line, "rlhf: warning: warning %02d.\n", w);
		found = strstr(text, line);
		once = once && found && !strstr(found + 1, line);
	}
	free(text);
	pool_destroy(pool);
	return once;
}

/* A process has said nothing yet, so each round has one of its own. */
static void test_a_warning_is_written_once_from_several_threads(void **state)
{
	(void)state;
	for (int i = 0; i < N_ROUNDS; i++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			_exit(each_is_written_once() ? 0 : 1);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_warning_is_written_once_from_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
