/* Checkpoints are published whole, verified by content, and the newest that
 * verifies is used; damage of every kind is found. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "learner/checkpoint.h"

static char run[] = "/tmp/rlhf-test-checkpoint-XXXXXX";
static struct error err;

static void must(enum status status)
{
	if (status != STATUS_OK)
		fail_msg("%s", err.text);
}

static char *inside(const char *name)
{
	static char path[8][300];
	static int turn;

	turn = (turn + 1) % 8;
	snprintf(path[turn], sizeof path[turn], "%s/checkpoints/%s", run, name);
	return path[turn];
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char *path = path_join(dir, name);

	must(file_replace(path, text, strlen(text), &err));
	free(path);
}

static enum status save(int step, int keep)
{
	struct checkpoint_writer writer;
	char *model;
	char text[64];

	must(checkpoint_begin(&writer, run, step, &err));
	model = path_join(writer.directory, "model");
	must(file_make_dirs(model, &err));
	snprintf(text, sizeof text, "weights of step %d", step);
	write_file(model, "model.safetensors", text);
	write_file(writer.directory, "state.json", "{}");
	free(model);
	return checkpoint_publish(&writer, keep, &err);
}

/* The step found, or the negative status. */
static int find(void)
{
	char *path = NULL;
	int64_t step = 0;
	enum status status = checkpoint_find(run, &path, &step, &err);

	if (path)
		assert_int_equal(checkpoint_verify(path, &err), STATUS_OK);
	free(path);
	return status == STATUS_OK ? (int)step : -(int)status;
}

static int setup(void **state)
{
	(void)state;
	log_init(LOG_ERROR, true);
	strcpy(run + strlen(run) - 6, "XXXXXX");
	return mkdtemp(run) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return (int)file_remove_tree(run, &err);
}

static void test_run_without_checkpoints_starts_anew(void **state)
{
	(void)state;
	assert_int_equal(find(), 0);
}

static void test_published_checkpoint_is_found(void **state)
{
	(void)state;
	must(save(7, 2));
	assert_int_equal(find(), 7);
	assert_true(file_exists(inside("step-00000007/MANIFEST.json")));
	assert_true(file_exists(inside("step-00000007/model/model.safetensors")));
	assert_false(file_exists(inside("step-00000007.tmp")));
}

static void test_only_the_newest_are_kept(void **state)
{
	(void)state;
	for (int step = 10; step <= 40; step += 10)
		must(save(step, 2));
	assert_false(file_exists(inside("step-00000010")));
	assert_false(file_exists(inside("step-00000020")));
	assert_true(file_exists(inside("step-00000030")));
	assert_int_equal(find(), 40);
}

static void test_steps_beyond_eight_digits_are_newer(void **state)
{
	(void)state;
	must(save(99999999, 3));
	must(save(100000000, 3));
	assert_int_equal(find(), 100000000);
}

static void test_truncated_file_makes_the_older_one_used(void **state)
{
	(void)state;
	must(save(1, 5));
	must(save(2, 5));
	assert_int_equal(truncate(inside("step-00000002/model/model.safetensors"), 5), 0);
	assert_int_equal(find(), 1);
}

static void test_flipped_bit_makes_the_older_one_used(void **state)
{
	FILE *file;

	(void)state;
	must(save(1, 5));
	must(save(2, 5));
	file = fopen(inside("step-00000002/model/model.safetensors"), "r+");
	assert_non_null(file);
	fputc('W' ^ 2, file);
	fclose(file);
	assert_int_equal(checkpoint_verify(inside("step-00000002"), &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "SHA-256"));
	assert_int_equal(find(), 1);
}

static void test_missing_file_makes_the_older_one_used(void **state)
{
	(void)state;
	must(save(1, 5));
	must(save(2, 5));
	assert_int_equal(unlink(inside("step-00000002/state.json")), 0);
	assert_int_equal(find(), 1);
}

static void test_missing_manifest_makes_the_older_one_used(void **state)
{
	(void)state;
	must(save(1, 5));
	must(save(2, 5));
	assert_int_equal(unlink(inside("step-00000002/MANIFEST.json")), 0);
	assert_int_equal(find(), 1);
}

static void test_manifest_that_names_outside_files_is_refused(void **state)
{
	static const char *const names[] = {"../x", "/etc/passwd", "model/../../x", "", "model/.."};
	char text[200];

	(void)state;
	must(save(1, 5));
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(text, sizeof text,
			 "{\"format\":1,\"files\":[{\"name\":\"%s\",\"bytes\":0,\"sha256\":\"\"}]}",
			 names[i]);
		write_file(inside("step-00000001"), "MANIFEST.json", text);
		assert_int_equal(checkpoint_verify(inside("step-00000001"), &err),
				 STATUS_BAD_INPUT);
		assert_non_null(strstr(err.text, "lacks name"));
	}
}

static void test_a_file_that_the_manifest_does_not_list_is_refused(void **state)
{
	(void)state;
	must(save(1, 5));
	must(save(2, 5));
	write_file(inside("step-00000002"), ".nfs01", "of a file system");
	assert_int_equal(find(), 2);
	write_file(inside("step-00000002/model"), "more.safetensors", "weights");
	assert_int_equal(checkpoint_verify(inside("step-00000002"), &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "model/more.safetensors: is not in the MANIFEST.json"));
	assert_int_equal(find(), 1);
}

static void test_a_step_under_the_name_of_another_is_refused(void **state)
{
	(void)state;
	must(save(1, 5));
	must(save(2, 5));
	assert_int_equal(rename(inside("step-00000001"), inside("step-00000009")), 0);
	assert_int_equal(find(), 2);
	assert_int_equal(rename(inside("step-00000009"), inside("kept")), 0);
	assert_int_equal(checkpoint_verify(inside("kept"), &err), STATUS_OK);
}

static void test_manifest_without_files_is_refused(void **state)
{
	(void)state;
	must(save(1, 5));
	write_file(inside("step-00000001"), "MANIFEST.json", "{\"format\":1,\"files\":[]}");
	assert_int_equal(checkpoint_verify(inside("step-00000001"), &err), STATUS_BAD_INPUT);
}

static void test_no_valid_one_among_some_is_an_error_of_its_own(void **state)
{
	(void)state;
	must(save(1, 5));
	must(save(2, 5));
	assert_int_equal(unlink(inside("step-00000001/state.json")), 0);
	assert_int_equal(unlink(inside("step-00000002/state.json")), 0);
	assert_int_equal(find(), -STATUS_NO_CHECKPOINT);
}

static void test_rejected_one_never_costs_the_one_just_published(void **state)
{
	(void)state;
	must(save(1, 1));
	must(save(9, 9));
	assert_int_equal(unlink(inside("step-00000009/state.json")), 0);
	assert_int_equal(find(), 1);
	must(save(2, 1));
	assert_int_equal(find(), 2);
	must(save(9, 1)); /* in the place of the rejected one */
	assert_int_equal(find(), 9);
}

static void test_rejected_ones_are_not_kept_in_place_of_sound_ones(void **state)
{
	(void)state;
	must(save(4, 2));
	must(save(6, 2));
	write_file(inside("step-00000006"), "state.json", "{ }");
	assert_int_equal(find(), 4);
	must(checkpoint_tidy(run, 4, 2, &err));
	must(save(7, 2));
	assert_true(file_exists(inside("step-00000006.rejected/model/model.safetensors")));
	assert_false(file_exists(inside("step-00000006")));
	assert_int_equal(find(), 7);
	write_file(inside("step-00000007"), "state.json", "{ }");
	assert_int_equal(find(), 4);
	must(checkpoint_tidy(run, 4, 2, &err));
	must(save(6, 2));
	must(save(7, 2));
	assert_int_equal(find(), 7);
}

static void test_leftover_temporaries_are_removed(void **state)
{
	(void)state;
	must(save(1, 5));
	must(file_make_dirs(inside("step-00000002.tmp/model"), &err));
	assert_int_equal(find(), 1);
	assert_false(file_exists(inside("step-00000002.tmp")));
}

static void test_abandoned_one_leaves_nothing(void **state)
{
	struct checkpoint_writer writer;

	(void)state;
	must(checkpoint_begin(&writer, run, 3, &err));
	assert_true(file_exists(inside("step-00000003.tmp")));
	checkpoint_abandon(&writer);
	assert_false(file_exists(inside("step-00000003.tmp")));
	assert_int_equal(find(), 0);
}

/* Saves a step in a child, where a fault may be armed: a process reads RLHF_FAULT
 * once.  True if it was killed. */
static bool save_in_child(int step, const char *fault)
{
	int how;
	pid_t child = fork();

	if (child == 0) {
		if (fault)
			setenv("RLHF_FAULT", fault, 1);
		_exit(save(step, 2) == STATUS_OK ? 0 : 1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFSIGNALED(how) || WEXITSTATUS(how) == 0);
	return WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL;
}

/* The first test: before it, this process has passed no point. */
static void test_kill_at_any_point_leaves_a_whole_one(void **state)
{
	static const struct {
		const char *fault;
		int found;
	} cases[] = {
		{"kill:checkpoint.begin:1", 2},		 {"kill:checkpoint.before_manifest:1", 2},
		{"kill:checkpoint.after_manifest:1", 2}, {"kill:checkpoint.before_rename:1", 2},
		{"kill:checkpoint.after_rename:1", 3},	 {"kill:checkpoint.evict:1", 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		must(file_remove_tree(inside(""), &err));
		assert_false(save_in_child(1, NULL));
		assert_false(save_in_child(2, NULL));
		assert_true(save_in_child(3, cases[i].fault));
		assert_int_equal(find(), cases[i].found);
		assert_false(save_in_child(4, NULL));
		assert_int_equal(find(), 4);
		assert_false(file_exists(inside("step-00000001")));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kill_at_any_point_leaves_a_whole_one),
		TEST(test_run_without_checkpoints_starts_anew),
		TEST(test_published_checkpoint_is_found),
		TEST(test_only_the_newest_are_kept),
		TEST(test_steps_beyond_eight_digits_are_newer),
		TEST(test_truncated_file_makes_the_older_one_used),
		TEST(test_flipped_bit_makes_the_older_one_used),
		TEST(test_missing_file_makes_the_older_one_used),
		TEST(test_missing_manifest_makes_the_older_one_used),
		TEST(test_manifest_that_names_outside_files_is_refused),
		TEST(test_a_file_that_the_manifest_does_not_list_is_refused),
		TEST(test_a_step_under_the_name_of_another_is_refused),
		TEST(test_manifest_without_files_is_refused),
		TEST(test_no_valid_one_among_some_is_an_error_of_its_own),
		TEST(test_rejected_one_never_costs_the_one_just_published),
		TEST(test_rejected_ones_are_not_kept_in_place_of_sound_ones),
		TEST(test_leftover_temporaries_are_removed),
		TEST(test_abandoned_one_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
