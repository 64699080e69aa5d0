/* Command lines: both forms of values, lists, positional arguments, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/run/options.h"

static struct {
	const char *config, *model, *prompt;
	bool pretty;
	int64_t seed;
	double temperature;
	struct option_list set;
} got;
static const struct option options[] = {
	{"CONFIG", OPTION_STRING, &got.config, 0, 0, true, "configuration file", NULL},
	{"--model", OPTION_STRING, &got.model, 0, 0, false, "checkpoint", NULL},
	{"--prompt", OPTION_TEXT, &got.prompt, 0, 0, false, "any text", NULL},
	{"--pretty", OPTION_FLAG, &got.pretty, 0, 0, false, "indent", NULL},
	{"--seed", OPTION_INT, &got.seed, 0, 100, false, "seed", NULL},
	{"--temperature", OPTION_DOUBLE, &got.temperature, 0, 10, false, "divides the logits", NULL},
	{"--set", OPTION_LIST, &got.set, 0, 0, false, "change a key", NULL},
};
static struct error err;
static bool help_shown;

static enum status parse(const char *const *argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	memset(&got, 0, sizeof got);
	return options_parse(options, sizeof options / sizeof *options, argc, (char **)argv,
			     "x CONFIG", "x a.json", &help_shown, &err);
}
#define PARSE(...) parse((const char *const[]){"x", __VA_ARGS__, NULL})

static void test_both_forms_of_values_are_read(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--seed", "7", "c.json", "--temperature=0.5", "--model=-",
			       "--pretty", "--set", "a=1", "--set=b=2"),
			 STATUS_OK);
	assert_string_equal(got.config, "c.json");
	assert_string_equal(got.model, "-");
	assert_true(got.pretty);
	assert_int_equal(got.seed, 7);
	assert_true(got.temperature == 0.5);
	assert_int_equal(got.set.n, 2);
	assert_string_equal(got.set.items[0], "a=1");
	assert_string_equal(got.set.items[1], "b=2");
	option_list_release(&got.set);
	assert_int_equal(PARSE("--model", "-", "--prompt=", "--", "--odd"), STATUS_OK);
	assert_string_equal(got.config, "--odd");
	assert_string_equal(got.prompt, "");
}

/* The command line is refused with exactly this sentence. */
#define REFUSED(sentence, ...)                                                                     \
	do {                                                                                       \
		assert_int_equal(PARSE(__VA_ARGS__), STATUS_BAD_INPUT);                            \
		assert_string_equal(err.text, sentence);                                           \
	} while (0)

static void test_mistakes_are_named(void **state)
{
	(void)state;
	REFUSED("unknown option --modle, did you mean --model?", "c", "--modle", "m");
	REFUSED("unknown option --xyzzyxyzzy; --help lists them", "c", "--xyzzyxyzzy");
	REFUSED("unknown option -m; --help lists them", "c", "-m");
	REFUSED("--model needs a value", "c", "--model");
	REFUSED("--model needs a value, found --pretty", "--model", "--pretty");
	REFUSED("--model is empty: checkpoint", "c", "--model=");
	REFUSED("CONFIG is empty: configuration file", "");
	REFUSED("--pretty takes no value", "c", "--pretty=1");
	REFUSED("--seed is \"7x\", expected an integer", "c", "--seed", "7x");
	REFUSED("--seed is \"\", expected an integer", "c", "--seed=");
	REFUSED("--seed is 99999999999999999999, expected a number from 0 to 100", "c",
		"--seed=99999999999999999999");
	REFUSED("--seed is -1, expected a number from 0 to 100", "c", "--seed", "-1");
	REFUSED("--temperature is \"nan\", expected a number", "c", "--temperature=nan");
	REFUSED("--temperature is 11, expected a number from 0 to 10", "c", "--temperature=11");
	REFUSED("CONFIG is missing: configuration file", "--pretty");
	REFUSED("unexpected argument \"d\"", "c", "d");
}

static void test_help_is_shown_on_standard_output(void **state)
{
	int ends[2], saved = dup(STDOUT_FILENO);
	char text[4096];
	ssize_t n;

	(void)state;
	fflush(stdout);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDOUT_FILENO);
	assert_int_equal(PARSE("--model", "--help"), STATUS_OK);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	n = read(ends[0], text, sizeof text - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_true(help_shown);
	assert_non_null(strstr(text, "usage: x CONFIG"));
	assert_non_null(strstr(text, "--temperature X"));
	assert_non_null(strstr(text, "x a.json"));
	close(ends[0]);
	close(ends[1]);
	close(saved);
}

static void test_nearest_word_knows_its_limits(void **state)
{
	static const char *const known[] = {"batch_size", "learning_rate", "lam"};
	char longest[300];

	(void)state;
	assert_string_equal(nearest_word("batchsize", known, 3), "batch_size");
	assert_string_equal(nearest_word("laerning_rate", known, 3), "learning_rate");
	assert_string_equal(nearest_word("lamb", known, 3), "lam");
	assert_null(nearest_word("xyz", known, 3));
	assert_null(nearest_word("batch_size", known, 0));
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	assert_null(nearest_word(longest, known, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_forms_of_values_are_read),
		cmocka_unit_test(test_mistakes_are_named),
		cmocka_unit_test(test_help_is_shown_on_standard_output),
		cmocka_unit_test(test_nearest_word_knows_its_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
