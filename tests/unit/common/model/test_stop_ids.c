/* Where end ids come from, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/model/stop_ids.h"

static char dir[] = "/tmp/test_stop_ids_XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	struct error err;

	(void)state;
	return file_remove_tree(dir, &err) == STATUS_OK ? 0 : -1;
}

static void write_text(const char *name, const char *text)
{
	struct error err = {""};
	char *path = path_join(dir, name);

	if (!text)
		remove(path);
	else if (file_replace(path, text, strlen(text), &err) != STATUS_OK)
		fail_msg("%s", err.text);
	free(path);
}

/* Reads the ids of a model of 100 vocabulary rows; a NULL text is a file that is absent. */
static enum status read_ids(struct stop_ids *stop, const char *generation, const char *config,
			    struct error *err)
{
	struct model_config model = {.n_vocab = 100, .eos_id = -1};

	write_text("generation_config.json", generation);
	write_text("config.json", config);
	return stop_ids_read(stop, dir, &model, err);
}

static void check_ids(const char *generation, const char *config, int n, int32_t a, int32_t b)
{
	struct stop_ids stop;
	struct error err = {""};

	if (read_ids(&stop, generation, config, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	assert_int_equal(stop.n, n);
	if (n > 0)
		assert_int_equal(stop.ids[0], a);
	if (n > 1)
		assert_int_equal(stop.ids[1], b);
}

static void check_refused(const char *generation, const char *config, const char *sentence)
{
	struct stop_ids stop;
	struct error err = {""};

	assert_int_equal(read_ids(&stop, generation, config, &err), STATUS_BAD_INPUT);
	if (!strstr(err.text, sentence))
		fail_msg("expected \"%s\", found \"%s\"", sentence, err.text);
}

static void test_the_generation_config_decides(void **state)
{
	(void)state;
	check_ids("{\"eos_token_id\": 7}", "{\"eos_token_id\": 2}", 1, 7, 0);
	check_ids("{\"eos_token_id\": [7, 9]}", "{\"eos_token_id\": 2}", 2, 7, 9);
	check_ids("{\"eos_token_id\": []}", "{\"eos_token_id\": 2}", 0, 0, 0);
}

static void test_the_config_decides_where_the_generation_config_says_nothing(void **state)
{
	(void)state;
	check_ids(NULL, "{\"eos_token_id\": 2}", 1, 2, 0);
	check_ids("{}", "{\"eos_token_id\": 2}", 1, 2, 0);
	check_ids("{\"eos_token_id\": null}", "{\"eos_token_id\": [2, 3]}", 2, 2, 3);
	check_ids(NULL, "{}", 0, 0, 0);
	check_ids("{}", "{\"eos_token_id\": null}", 0, 0, 0);
}

static void test_ids_outside_the_vocabulary_are_left_out(void **state)
{
	(void)state;
	check_ids("{\"eos_token_id\": [100, 99, -1, 0, 4294967297]}", "{}", 2, 99, 0);
	check_ids("{\"eos_token_id\": 100}", "{\"eos_token_id\": 2}", 0, 0, 0);
}

static void test_what_is_not_an_id_is_refused(void **state)
{
	(void)state;
	check_refused("{\"eos_token_id\": \"2\"}", "{}",
		      "generation_config.json: eos_token_id is a string, expected an id");
	check_refused("{\"eos_token_id\": [2, null]}", "{}", "expected an id or a list of ids");
	check_refused(NULL, "{\"eos_token_id\": 2.5}", "config.json: eos_token_id");
	check_refused("{\"eos_token_id\": 2", "{}", "generation_config.json");
	check_refused("[1]", "{}", "generation_config.json: an array, expected an object");
}

static void test_more_ids_than_there_is_room_for_are_refused(void **state)
{
	(void)state;
	check_ids("{\"eos_token_id\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}", "{}", 16, 1, 2);
	check_refused("{\"eos_token_id\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", "{}",
		      "more than 16 ids");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_generation_config_decides),
		cmocka_unit_test(test_the_config_decides_where_the_generation_config_says_nothing),
		cmocka_unit_test(test_ids_outside_the_vocabulary_are_left_out),
		cmocka_unit_test(test_what_is_not_an_id_is_refused),
		cmocka_unit_test(test_more_ids_than_there_is_room_for_are_refused),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
