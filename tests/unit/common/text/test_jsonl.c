/* jsonl: lines, their numbers, and files that are something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/text/jsonl.h"

static struct error err;

static enum status split(struct jsonl *jsonl, const char *text, size_t length)
{
	struct buf buf = BUF_INIT;

	buf_append(&buf, text, length);
	return jsonl_split(jsonl, "data.jsonl", &buf, &err);
}

static void check_refused(const char *text, size_t length, const char *sentence)
{
	struct jsonl jsonl;

	assert_int_equal(split(&jsonl, text, length), STATUS_BAD_INPUT);
	assert_string_equal(err.text, sentence);
}

static void check_line_refused(const char *text, const char *sentence)
{
	struct jsonl jsonl;

	assert_int_equal(split(&jsonl, text, strlen(text)), STATUS_OK);
	assert_null(jsonl_parse(&jsonl, jsonl.n - 1, &err));
	if (!strstr(err.text, sentence))
		fail_msg("got: %s\nexpected: %s", err.text, sentence);
	jsonl_release(&jsonl);
}

static void test_blank_lines_are_counted_but_left_out(void **state)
{
	struct jsonl jsonl;
	struct json *row;
	(void)state;

	assert_int_equal(split(&jsonl, "\xef\xbb\xbf\n{\"a\":1}\r\n  \t\r\n\n{\"a\":2}", 26),
			 STATUS_OK);
	assert_int_equal(jsonl.n, 2);
	assert_int_equal(jsonl.numbers[0], 2);
	assert_int_equal(jsonl.lengths[0], 7);
	assert_int_equal(jsonl.numbers[1], 5);
	row = jsonl_parse(&jsonl, 1, &err);
	assert_non_null(row);
	assert_int_equal((int)json_number(json_get(row, "a")), 2);
	json_free(row);
	jsonl_release(&jsonl);
}

static void test_files_without_a_line_are_refused(void **state)
{
	static const char *const texts[] = {"", "\n", " \n\r\n\t", "\xef\xbb\xbf"};
	(void)state;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		check_refused(texts[i], strlen(texts[i]),
			      "data.jsonl: no line, expected one JSON object per line");
}

static void test_other_kinds_of_files_are_named(void **state)
{
	(void)state;
	check_refused("\x1f\x8b\x08\0\0", 5,
		      "data.jsonl: gzip data, expected one JSON object per line");
	check_refused("\xff\xfe{\0}\0", 6,
		      "data.jsonl: UTF-16 text, expected one JSON object per line");
	check_refused("{\0}\0", 4, "data.jsonl: UTF-16 text, expected one JSON object per line");
	check_refused("PAR1....", 8,
		      "data.jsonl: a Parquet file, expected one JSON object per line");
}

static void test_a_line_over_16_mib_is_refused_with_its_number(void **state)
{
	size_t n = ((size_t)16 << 20) + 1;
	char *text = malloc(n + 3);
	(void)state;

	assert_non_null(text);
	memset(text, 'x', n + 3);
	memcpy(text, "{}\n", 3);
	check_refused(text, n + 3, "data.jsonl: line 2: 16777217 bytes, the most is 16777216");
	free(text);
}

static void test_lines_that_are_no_object_are_refused_with_their_number(void **state)
{
	(void)state;
	check_line_refused("{}\n\n[1]\n", "data.jsonl: line 3: an array, expected an object");
	check_line_refused("\"text\"", "data.jsonl: line 1: a string, expected an object");
	check_line_refused("{}\n{\"a\": 1} {\"b\": 2}",
			   "data.jsonl: line 2, column 10: expected nothing");
	check_line_refused("{}\n{\"prompt\": \"half of", "data.jsonl: line 2, column");
	check_line_refused("{}\n{\"a\": \"\xff\"}", "data.jsonl: line 2, column");
	check_line_refused("{}\n{\"a\": \"\\ud800\"}", "data.jsonl: line 2, column");
}

static void test_a_missing_file_is_named(void **state)
{
	struct jsonl jsonl;
	(void)state;

	assert_int_equal(jsonl_read(&jsonl, "/nonexistent/x.jsonl", &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "/nonexistent/x.jsonl"));
	jsonl_release(&jsonl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blank_lines_are_counted_but_left_out),
		cmocka_unit_test(test_files_without_a_line_are_refused),
		cmocka_unit_test(test_other_kinds_of_files_are_named),
		cmocka_unit_test(test_a_line_over_16_mib_is_refused_with_its_number),
		cmocka_unit_test(test_lines_that_are_no_object_are_refused_with_their_number),
		cmocka_unit_test(test_a_missing_file_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
