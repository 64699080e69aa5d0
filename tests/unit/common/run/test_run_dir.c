/* The run directory: identity, record, and the lock against a second holder. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/run/run_dir.h"

static char directory[] = "/tmp/rlhf-test-run_dir-XXXXXX";
static char path[64];
static struct error err;

static void test_the_id_is_made_once_and_kept(void **state)
{
	struct run_dir run;
	char id[37], recorded[16];
	int64_t step = -1;

	(void)state;
	assert_int_equal(run_dir_need_state(path, recorded, &step, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "it has no run.json"));
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	memcpy(id, run.id, sizeof id);
	assert_int_equal(strlen(id), 36);
	assert_false(run_dir_state(path, recorded, &step));
	assert_int_equal(run_dir_record(&run, "stopped", 12, "asked \"to\"", &err), STATUS_OK);
	run_dir_close(&run);
	run_dir_close(&run);

	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	assert_string_equal(run.id, id);
	assert_true(run_dir_state(path, recorded, &step));
	assert_string_equal(recorded, "stopped");
	assert_int_equal(step, 12);
	run_dir_close(&run);
}

static void test_a_run_of_another_command_is_refused(void **state)
{
	struct run_dir run;

	(void)state;
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	assert_int_equal(run_dir_record(&run, "stopped", 1, "", &err), STATUS_OK);
	run_dir_close(&run);
	assert_int_equal(run_dir_open(&run, path, "dpo", &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "is a run of sft, expected one of dpo"));
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	run_dir_close(&run);
}

/* What a killed run leaves says "running". */
static void test_a_run_that_nobody_holds_is_killed(void **state)
{
	static const char lines[] = "{\"step\":1}\n{\"loss\":2,\"step\":7}\n{\"step\":8";
	char *metrics = path_join(path, "metrics.jsonl"), found[16];
	struct run_dir run;
	int64_t step;

	(void)state;
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	assert_int_equal(run_dir_record(&run, "running", 0, "", &err), STATUS_OK);
	assert_true(run_dir_state(path, found, &step));
	assert_string_equal(found, "running");
	assert_int_equal(step, 0);
	assert_int_equal(file_replace(metrics, lines, sizeof lines - 1, &err), STATUS_OK);
	assert_true(run_dir_state(path, found, &step));
	assert_string_equal(found, "running");
	assert_int_equal(step, 7);
	run_dir_close(&run);
	assert_true(run_dir_state(path, found, &step));
	assert_string_equal(found, "killed");
	assert_int_equal(step, 7);
	free(metrics);
}

static void test_a_directory_without_a_record_is_removed(void **state)
{
	struct run_dir run;
	char *file = path_join(path, "kept");

	(void)state;
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	assert_true(file_is_dir(path));
	run_dir_close(&run);
	assert_false(file_exists(path));

	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	assert_int_equal(file_replace(file, "x", 1, &err), STATUS_OK);
	run_dir_close(&run);
	assert_true(file_exists(file));
	unlink(file);
	free(file);
}

static void test_directories_that_were_made_and_no_others_are_removed(void **state)
{
	char *deep = path_join(path, "a/b"), *file = path_join(path, "file");
	char *below = path_join(file, "c");
	struct run_dir run;

	(void)state;
	assert_int_equal(file_remove_tree(path, &err), STATUS_OK);
	assert_int_equal(run_dir_open(&run, deep, "sft", &err), STATUS_OK);
	run_dir_close(&run);
	assert_false(file_exists(path));

	assert_int_equal(file_make_dirs(path, &err), STATUS_OK);
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	run_dir_close(&run);
	assert_true(file_is_dir(path));
	assert_int_equal(run_dir_open(&run, deep, "sft", &err), STATUS_OK);
	run_dir_close(&run);
	assert_true(file_is_dir(path));
	assert_int_equal(rmdir(path), 0);

	/* One that cannot be made, below others that were. */
	assert_int_equal(file_make_dirs(path, &err), STATUS_OK);
	assert_int_equal(file_replace(file, "x", 1, &err), STATUS_OK);
	assert_int_equal(run_dir_open(&run, below, "sft", &err), STATUS_BAD_INPUT);
	unlink(file);
	assert_int_equal(rmdir(path), 0);
	free(below);
	free(file);
	free(deep);
}

/* As by rm -rf, with or without another run in its place. */
static void test_nothing_is_written_into_a_directory_that_was_replaced(void **state)
{
	struct run_dir run, other;
	char recorded[16];
	int64_t step;

	(void)state;
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	assert_int_equal(run_dir_record(&run, "running", 0, "", &err), STATUS_OK);
	assert_int_equal(run_dir_check(&run, &err), STATUS_OK);
	assert_int_equal(file_remove_tree(path, &err), STATUS_OK);
	assert_int_equal(run_dir_check(&run, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "its file \"lock\" was removed or replaced"));
	assert_int_equal(run_dir_record(&run, "failed", 1, "", &err), STATUS_BAD_INPUT);
	assert_false(file_exists(path));

	assert_int_equal(run_dir_open(&other, path, "sft", &err), STATUS_OK);
	assert_int_equal(run_dir_record(&run, "failed", 1, "", &err), STATUS_BAD_INPUT);
	assert_false(run_dir_state(path, recorded, &step));
	run_dir_close(&run);
	assert_int_equal(run_dir_check(&other, &err), STATUS_OK);
	run_dir_close(&other);
	assert_false(file_exists(path));
}

static void test_a_directory_with_another_config_is_refused(void **state)
{
	struct run_dir run;
	char *file = path_join(path, "config.json");
	char **names;
	size_t n;

	(void)state;
	assert_int_equal(file_make_dirs(path, &err), STATUS_OK);
	assert_int_equal(file_replace(file, "{}", 2, &err), STATUS_OK);
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "not the directory of a run"));
	assert_int_equal(file_list(path, &names, &n, &err), STATUS_OK);
	assert_int_equal(n, 1);
	free(names[0]);
	free(names);
	assert_int_equal(file_remove_tree(path, &err), STATUS_OK);
	free(file);
}

static void test_run_json_is_valid_json_with_all_members(void **state)
{
	static const char *const members[] = {"id",     "command", "state", "step",
					     "reason", "version", "build"};
	struct run_dir run;
	struct json *tree;
	char *file;

	(void)state;
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	assert_int_equal(run_dir_record(&run, "failed", 3, "a\nb\"c", &err), STATUS_OK);
	run_dir_close(&run);
	file = path_join(path, "run.json");
	tree = json_read_object(file, 10000, &err);
	assert_non_null(tree);
	for (size_t i = 0; i < 6; i++)
		assert_non_null(json_get(tree, members[i]));
	assert_string_equal(json_string(json_get(tree, "reason"), NULL), "a\nb\"c");
	json_free(tree);
	free(file);
}

/* A child that opens the run, says so, and waits to be killed. */
static pid_t start_holder(void)
{
	int ends[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		struct run_dir run;

		if (run_dir_open(&run, path, "sft", NULL) == STATUS_OK && write(ends[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return pid;
}

static void test_a_dying_holder_is_waited_for(void **state)
{
	pid_t holder = start_holder(), killer;
	struct run_dir run;
	double began = clock_now();

	(void)state;
	killer = fork();
	if (killer == 0) {
		clock_sleep(0.3);
		kill(holder, SIGKILL);
		_exit(0);
	}
	log_init(LOG_ERROR, true);
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_OK);
	assert_true(clock_now() - began > 0.25);
	run_dir_close(&run);
	waitpid(holder, NULL, 0);
	waitpid(killer, NULL, 0);
}

static void test_the_lock_is_held_and_names_its_holder(void **state)
{
	pid_t holder = start_holder();
	char *file = path_join(path, "lock"), expected[32];
	struct buf text = BUF_INIT;
	FILE *lock = fopen(file, "r");

	(void)state;
	assert_non_null(lock);
	assert_int_equal(flock(fileno(lock), LOCK_EX | LOCK_NB), -1);
	assert_int_equal(file_read(file, 1000, &text, &err), STATUS_OK);
	snprintf(expected, sizeof expected, "pid %d on ", (int)holder);
	assert_memory_equal(text.data, expected, strlen(expected));
	assert_non_null(strstr(text.data, " UTC"));
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	assert_int_equal(flock(fileno(lock), LOCK_EX | LOCK_NB), 0);
	fclose(lock);
	buf_release(&text);
	free(file);
}

static void test_a_broken_record_is_refused_and_not_written_over(void **state)
{
	struct run_dir run;
	char *file = path_join(path, "run.json");
	char recorded[16];
	int64_t step;
	struct buf text = BUF_INIT;

	(void)state;
	file_replace(file, "{\"id\":\"no\"}", 11, &err);
	assert_int_equal(run_dir_open(&run, path, "sft", &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "expected a uuid"));
	assert_null(run.path);
	assert_int_equal(run_dir_need_state(path, recorded, &step, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "its run.json is damaged"));
	assert_int_equal(file_read(file, 1000, &text, &err), STATUS_OK);
	assert_string_equal(text.data, "{\"id\":\"no\"}");
	buf_release(&text);
	free(file);
}

static int make_directory(void **state)
{
	(void)state;
	snprintf(path, sizeof path, "%s/a/run", mkdtemp(directory));
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return file_remove_tree(directory, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_directory_without_a_record_is_removed),
		cmocka_unit_test(test_directories_that_were_made_and_no_others_are_removed),
		cmocka_unit_test(test_nothing_is_written_into_a_directory_that_was_replaced),
		cmocka_unit_test(test_a_directory_with_another_config_is_refused),
		cmocka_unit_test(test_the_id_is_made_once_and_kept),
		cmocka_unit_test(test_run_json_is_valid_json_with_all_members),
		cmocka_unit_test(test_a_dying_holder_is_waited_for),
		cmocka_unit_test(test_the_lock_is_held_and_names_its_holder),
		cmocka_unit_test(test_a_run_of_another_command_is_refused),
		cmocka_unit_test(test_a_run_that_nobody_holds_is_killed),
		cmocka_unit_test(test_a_broken_record_is_refused_and_not_written_over),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
