/* Which position's score speaks for a sequence, against positions that torch computed
 * from each rule's own definition (tests/golden/make_pooling.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/model/head.h"

static const char *const names[] = {"last-non-pad", "last", "first-pad", "eos"};

static int member(const struct json *line, const char *key)
{
	int64_t value;

	assert_true(json_int64(json_get(line, key), &value));
	return (int)value;
}

static void check_line(const char *text, size_t length, int number)
{
	struct error err;
	struct json *line = json_parse(text, length, "pooling.jsonl", &err);
	struct model_config config = {.pad_id = member(line, "pad"), .eos_id = member(line, "end")};
	int32_t ids[16];
	int n = 0;

	for (const struct json *id = json_first(json_get(line, "ids")); id; id = json_next(id))
		ids[n++] = (int32_t)json_number(id);
	for (int i = 0; i < 4; i++) {
		enum pooling pooling;
		int found;

		assert_true(pooling_parse(names[i], &pooling));
		found = head_pool(pooling, &config, ids, n, member(line, "n_prompt"));
		if (found != member(line, names[i]))
			fail_msg("line %d: %s pools %d, expected %d", number, names[i], found,
				 member(line, names[i]));
	}
	json_free(line);
}

static void test_every_rule_pools_where_its_program_does(void **state)
{
	struct buf text = BUF_INIT;
	struct error err;
	int n = 0;

	(void)state;
	assert_int_equal(file_read("tests/golden/pooling.jsonl", 1 << 20, &text, &err), STATUS_OK);
	for (const char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1)
		check_line(line, (size_t)(end - line), ++n);
	assert_true(n > 50);
	buf_release(&text);
}

static void test_rules_have_names(void **state)
{
	enum pooling pooling;

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_true(pooling_parse(names[i], &pooling));
		assert_string_equal(pooling_name(pooling), names[i]);
	}
	assert_false(pooling_parse("mean", &pooling));
	assert_false(pooling_parse("", &pooling));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_rule_pools_where_its_program_does),
		cmocka_unit_test(test_rules_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
