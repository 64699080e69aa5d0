/* Frequencies of rotary positions against transformers, for configs of published sizes;
 * tests/golden/make_rotary.py describes the lines of rotary.jsonl. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/rotary.h"

static struct json *parse(const char *text, size_t length)
{
	struct error err = {""};
	struct json *root = json_parse(text, length, "rotary.jsonl", &err);

	if (!root)
		fail_msg("%s", err.text);
	return root;
}

/* torch's powers are not all rounded to the nearest float: a few are the one beside it, and
 * so is what is computed from them. */
static void check_list(const struct json *expected, const struct rotary *rotary, int width,
		       int length, const char *text)
{
	float found[ATTENTION_MAX_HEAD_DIM / 2];
	int i = 0;

	rotary_frequencies(found, rotary, width, length);
	assert_int_equal(json_count(expected), (width + 1) / 2);
	for (const struct json *item = json_first(expected); item; item = json_next(item), i++) {
		double value = json_number(item);

		if (!(fabs(found[i] - value) <= 2e-7 * value))
			fail_msg("%.300s: frequency %d is %.9g, expected %.9g", text, i, found[i],
				 value);
	}
}

static void check_line(const char *line, size_t n)
{
	struct json *root = parse(line, n);
	const struct json *local = json_get(root, "local");
	struct buf text = BUF_INIT;
	struct model_config config;
	struct error err = {""};
	int length = (int)json_number(json_get(root, "length"));
	double factor = json_number(json_get(root, "factor"));

	json_print(json_get(root, "config"), false, &text);
	if (hf_parse_config(&config, text.data, text.length, "config", &err) != STATUS_OK)
		fail_msg("%s", err.text);
	check_list(json_get(root, "frequencies"), &config.rotary, config.rotary_width, length,
		   text.data);
	assert_true(fabs(config.rotary.attention_factor - factor) <= 1e-7 * factor);
	assert_int_equal(config.has_local_rotary, local != NULL);
	if (local)
		check_list(local, &config.local_rotary, config.rotary_width, length, text.data);
	buf_release(&text);
	json_free(root);
}

static void test_frequencies_equal_transformers(void **state)
{
	struct buf text = BUF_INIT;
	struct error err = {""};
	int n_lines = 0;

	(void)state;
	if (file_read("tests/golden/rotary.jsonl", 1 << 20, &text, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1, n_lines++)
		check_line(line, (size_t)(end - line));
	assert_int_equal(n_lines, 19);
	buf_release(&text);
}

static void test_a_row_holds_cosines_and_sines_times_the_factor(void **state)
{
	const struct rotary rotary = {.theta = 100, .attention_factor = 1.5};
	float frequencies[2], row[4];

	(void)state;
	rotary_frequencies(frequencies, &rotary, 4, 1);
	assert_true(frequencies[0] == 1 && frequencies[1] == 0.1f);
	rotary_row(row, frequencies, &rotary, 4, 7);
	for (int i = 0; i < 2; i++) {
		assert_true(fabs(row[i] - 1.5 * cos(i ? 0.7 : 7)) < 2e-7);
		assert_true(fabs(row[2 + i] - 1.5 * sin(i ? 0.7 : 7)) < 2e-7);
	}
}

static int fixed_length(enum rotary_kind kind)
{
	const struct rotary rotary = {.kind = kind, .original = 9};

	return rotary_fixed_length(&rotary);
}

static void test_the_fixed_length_is_that_of_the_original(void **state)
{
	(void)state;
	assert_int_equal(fixed_length(ROTARY_YARN), INT_MAX);
	assert_int_equal(fixed_length(ROTARY_DYNAMIC), 9);
	assert_int_equal(fixed_length(ROTARY_LONGROPE), 9);
}

static int stretched_length(enum rotary_kind kind, double factor)
{
	const struct rotary rotary = {.kind = kind, .original = 9, .factor = factor};

	return rotary_stretched_length(&rotary);
}

static void test_a_scaling_stretches_the_original(void **state)
{
	(void)state;
	assert_int_equal(stretched_length(ROTARY_LINEAR, 2.5), 22);
	assert_int_equal(stretched_length(ROTARY_DYNAMIC, 2.5), 22);
	assert_int_equal(stretched_length(ROTARY_YARN, 2.5), 22);
	assert_int_equal(stretched_length(ROTARY_LLAMA3, 2.5), 0);
	assert_int_equal(stretched_length(ROTARY_LONGROPE, 2.5), 0);
	assert_int_equal(stretched_length(ROTARY_DEFAULT, 2.5), 0);
	assert_int_equal(stretched_length(ROTARY_YARN, 1e30), MODEL_MAX_POSITIONS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frequencies_equal_transformers),
		cmocka_unit_test(test_a_row_holds_cosines_and_sines_times_the_factor),
		cmocka_unit_test(test_the_fixed_length_is_that_of_the_original),
		cmocka_unit_test(test_a_scaling_stretches_the_original),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
