/* Append-only logs: cutting, refusing short files, survival of failed writes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/run/metrics.h"

static char directory[] = "/tmp/rlhf-test-metrics-XXXXXX";
static char path[64];
static struct error err;

static void file_holds(const char *expected)
{
	struct buf text = BUF_INIT;

	assert_int_equal(file_read(path, 1000, &text, &err), STATUS_OK);
	assert_string_equal(text.data ? text.data : "", expected);
	buf_release(&text);
}

static void test_a_log_is_cut_to_the_bytes_of_a_checkpoint(void **state)
{
	struct line_log log;

	(void)state;
	unlink(path);
	assert_int_equal(line_log_open(&log, path, 0, &err), STATUS_OK);
	line_log_append(&log, "one\n", 4);
	line_log_append(&log, "two\n", 4);
	assert_int_equal(log.bytes, 8);
	assert_int_equal(line_log_sync(&log, &err), STATUS_OK);
	line_log_close(&log);
	file_holds("one\ntwo\n");
	assert_int_equal(line_log_open(&log, path, 4, &err), STATUS_OK);
	file_holds("one\n");
	line_log_append(&log, "2\n", 2);
	line_log_close(&log);
	line_log_close(&log);
	file_holds("one\n2\n");
}

static void test_a_log_shorter_than_its_checkpoint_is_refused_untouched(void **state)
{
	struct line_log log;

	(void)state;
	file_replace(path, "abc", 3, &err);
	assert_int_equal(line_log_open(&log, path, 4, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "has 3 bytes"));
	line_log_append(&log, "x", 1);
	assert_int_equal(line_log_sync(&log, &err), STATUS_OK);
	line_log_close(&log);
	file_holds("abc");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(line_log_open(&log, path, 4, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "No such file"));
	assert_false(file_exists(path));
	assert_int_equal(line_log_open(&log, directory, 0, &err), STATUS_BAD_INPUT);
}

static void test_a_log_is_checked_without_a_change(void **state)
{
	(void)state;
	file_replace(path, "abc", 3, &err);
	assert_int_equal(line_log_check(path, 3, &err), STATUS_OK);
	assert_int_equal(line_log_check(path, 2, &err), STATUS_OK);
	assert_int_equal(line_log_check(path, 4, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "has 3 bytes"));
	file_holds("abc");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(line_log_check(path, 0, &err), STATUS_OK);
	assert_int_equal(line_log_check(path, 1, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "No such file"));
	assert_false(file_exists(path));
	assert_int_equal(line_log_check(directory, 0, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "not a regular file"));
}

static void test_a_failed_write_leaves_no_half_line(void **state)
{
	struct rlimit saved, small;
	struct line_log log;

	(void)state;
	unlink(path);
	log_init(LOG_ERROR, true);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(line_log_open(&log, path, 0, &err), STATUS_OK);
	line_log_append(&log, "one\n", 4);
	getrlimit(RLIMIT_FSIZE, &saved);
	small = saved;
	small.rlim_cur = 6;
	setrlimit(RLIMIT_FSIZE, &small);
	line_log_append(&log, "two\n", 4);
	assert_true(log.warned);
	setrlimit(RLIMIT_FSIZE, &saved);
	file_holds("one\n");
	line_log_append(&log, "three\n", 6);
	line_log_close(&log);
	file_holds("one\nthree\n");
}

static void test_a_line_of_metrics_is_json(void **state)
{
	struct buf line = BUF_INIT;
	struct json *tree;

	(void)state;
	buf_append_string(&line, "left over");
	metrics_begin(&line, 12);
	metrics_add(&line, "objective/kl", 0.1);
	metrics_add(&line, "bad", (double)NAN);
	metrics_add_string(&line, "reward/model", "a\"b");
	metrics_end(&line);
	assert_memory_equal(line.data,
			    "{\"step\":12,\"objective/kl\":0.1,\"bad\":null,"
			    "\"reward/model\":\"a\\\"b\",\"time/unix\":",
			    74);
	assert_int_equal(line.data[line.length - 1], '\n');
	tree = json_parse(line.data, line.length, "line", &err);
	assert_non_null(tree);
	assert_true(json_number(json_get(tree, "time/unix")) > 1.6e9);
	json_free(tree);
	buf_release(&line);
}

static int make_directory(void **state)
{
	(void)state;
	snprintf(path, sizeof path, "%s/metrics.jsonl", mkdtemp(directory));
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
		cmocka_unit_test(test_a_log_is_cut_to_the_bytes_of_a_checkpoint),
		cmocka_unit_test(test_a_log_shorter_than_its_checkpoint_is_refused_untouched),
		cmocka_unit_test(test_a_log_is_checked_without_a_change),
		cmocka_unit_test(test_a_failed_write_leaves_no_half_line),
		cmocka_unit_test(test_a_line_of_metrics_is_json),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
