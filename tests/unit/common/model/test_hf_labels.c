/* Names of labels: as the config gives them, the defaults, and what is refused. */
#include "common/model/hf_labels.h"
#include "tests/unit/common/model/made_checkpoints.h"

static void write_config(const char *members)
{
	struct buf text = BUF_INIT;

	buf_printf(&text, "{\"model_type\": \"llama\"%s}", members);
	write_bytes(dir, "config.json", text.data, text.length);
	buf_release(&text);
}

static void test_names_and_problem_are_read(void **state)
{
	static const struct {
		const char *members;
		enum hf_problem problem;
	} cases[] = {
		{"", HF_PROBLEM_ONE_OF},
		{", \"problem_type\": null", HF_PROBLEM_ONE_OF},
		{", \"problem_type\": \"single_label_classification\"", HF_PROBLEM_ONE_OF},
		{", \"problem_type\": \"multi_label_classification\"", HF_PROBLEM_ANY_OF},
		{", \"problem_type\": \"regression\"", HF_PROBLEM_REGRESSION},
	};
	struct hf_labels labels;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char members[200];

		snprintf(members, sizeof members, ", \"id2label\": {\"1\": \"bad\", \"0\": \"good\"}%s",
			 cases[i].members);
		write_config(members);
		assert_int_equal(hf_labels_read(&labels, dir, 2, &err), STATUS_OK);
		assert_int_equal(labels.n, 2);
		assert_string_equal(labels.names[0], "good");
		assert_string_equal(labels.names[1], "bad");
		assert_int_equal(labels.problem, cases[i].problem);
		hf_labels_release(&labels);
	}
}

static void test_labels_without_names_are_numbered(void **state)
{
	struct hf_labels labels;
	struct error err;

	(void)state;
	write_config(", \"id2label\": null");
	assert_int_equal(hf_labels_read(&labels, dir, 12, &err), STATUS_OK);
	assert_string_equal(labels.names[0], "LABEL_0");
	assert_string_equal(labels.names[11], "LABEL_11");
	hf_labels_release(&labels);
	write_config(", \"num_labels\": 1, \"id2label\": {\"0\": \"a\", \"1\": \"b\"}");
	assert_int_equal(hf_labels_read(&labels, dir, 1, &err), STATUS_OK);
	assert_string_equal(labels.names[0], "LABEL_0");
	hf_labels_release(&labels);
}

static void test_wrong_names_are_refused(void **state)
{
	static const struct {
		const char *members, *sentence;
	} cases[] = {
		{", \"id2label\": {\"0\": \"a\", \"2\": \"b\"}", "id2label.1 is missing"},
		{", \"id2label\": {\"0\": \"a\", \"1\": 7}", "id2label.1 is a number"},
		{", \"problem_type\": \"guess\"", "problem_type is \"guess\", expected single"},
		{", \"problem_type\": 3", "problem_type is \"\""},
	};
	struct hf_labels labels;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		write_config(cases[i].members);
		assert_int_equal(hf_labels_read(&labels, dir, 2, &err), STATUS_BAD_INPUT);
		if (strncmp(err.text, dir, strlen(dir)) != 0 || !strstr(err.text, cases[i].sentence))
			fail_msg("expected \"%s\", found \"%s\"", cases[i].sentence, err.text);
		hf_labels_release(&labels);
	}
}

#define CASE(test) cmocka_unit_test_setup(test, start_afresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_names_and_problem_are_read),
		CASE(test_labels_without_names_are_numbered),
		CASE(test_wrong_names_are_refused),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
