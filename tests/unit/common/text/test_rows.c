/* rows: every form of a row, where the prompt ends, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/text/rows.h"

/* Characters are ids 4 and up in this order; "ab" is 10; <s> (1) comes first. */
static const char TOKENIZER[] =
	"{\"added_tokens\": [{\"id\": 1, \"content\": \"<s>\", \"special\": true}],"
	"\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "
	"{\"id\": \"<s>\"}}, {\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": {\"id\": "
	"\"</s>\"}}],"
	"\"special_tokens\": {\"<s>\": {\"ids\": [1]}, \"</s>\": {\"ids\": [2]}}},"
	"\"model\": {\"type\": \"BPE\", \"vocab\": {\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2, \"a\": "
	"4,"
	"\"b\": 5, \"c\": 6, \"d\": 7, \":\": 8, \"\\n\": 9, \"ab\": 10}, \"merges\": [\"a b\"],"
	"\"unk_token\": \"<unk>\", \"fuse_unk\": true}}";

static struct error err;
static struct tokenizer *tokenizer;
static struct row_context context = {.n_vocab = 11, .where = "data.jsonl"};

static int make_tokenizer(void **state)
{
	(void)state;
	if (tokenizer_parse(&tokenizer, TOKENIZER, sizeof TOKENIZER - 1, "t", &err) != STATUS_OK)
		fail_msg("%s", err.text);
	context.tokenizer = tokenizer;
	return 0;
}

static int drop_tokenizer(void **state)
{
	(void)state;
	tokenizer_destroy(tokenizer);
	return 0;
}

enum kind { SEQUENCE, PROMPT, PAIR };

static enum status read_row(enum kind kind, const char *text, struct row rows[2])
{
	struct json *object = json_parse(text, strlen(text), "row", &err);
	enum status status;

	if (!object)
		fail_msg("%s", err.text);
	rows[0] = rows[1] = (struct row){0};
	if (kind == SEQUENCE)
		status = row_sequence(&rows[0], object, 3, &context, &err);
	else if (kind == PROMPT)
		status = row_prompt(&rows[0], object, 3, &context, &err);
	else
		status = row_pair(&rows[0], &rows[1], object, 3, &context, &err);
	json_free(object);
	return status;
}

static void check_ids(const struct row *row, int n_prompt, const char *expected)
{
	struct buf text = BUF_INIT;

	json_write_ids(&text, row->ids, (size_t)row->n);
	assert_string_equal(text.data, expected);
	assert_int_equal(row->n_prompt, n_prompt);
	buf_release(&text);
}

static void check(enum kind kind, const char *text, int n_prompt, const char *first,
		  const char *second)
{
	struct row rows[2];

	if (read_row(kind, text, rows) != STATUS_OK)
		fail_msg("%s", err.text);
	check_ids(&rows[0], n_prompt, first);
	if (second)
		check_ids(&rows[1], n_prompt, second);
	row_release(&rows[0]);
	row_release(&rows[1]);
}

static void check_refused(enum kind kind, const char *text, const char *sentence)
{
	struct row rows[2];

	assert_int_equal(read_row(kind, text, rows), STATUS_BAD_INPUT);
	if (strncmp(err.text, "data.jsonl: line 3: ", 20) != 0 || !strstr(err.text, sentence))
		fail_msg("got: %s\nexpected: %s", err.text, sentence);
	assert_null(rows[0].ids);
	assert_null(rows[1].ids);
}

static void test_text_has_bos_once_and_no_eos(void **state)
{
	(void)state;
	check(SEQUENCE, "{\"text\": \"cd\"}", 0, "[1,6,7]", NULL);
	check(SEQUENCE, "{\"text\": \"\"}", 0, "[1]", NULL);
}

static void test_completion_is_encoded_with_its_prompt(void **state)
{
	(void)state;
	check(SEQUENCE, "{\"prompt\": \"c\", \"completion\": \"ab\"}", 2, "[1,6,10]", NULL);
	check(SEQUENCE, "{\"prompt\": \"c\", \"completion\": \"\"}", 2, "[1,6]", NULL);
	check(SEQUENCE, "{\"prompt\": \"\", \"completion\": \"c\"}", 1, "[1,6]", NULL);
}

static void test_completion_that_changes_the_prompt_is_encoded_apart(void **state)
{
	(void)state;
	/* a + b would be ab, which does not begin with a */
	check(SEQUENCE, "{\"prompt\": \"ca\", \"completion\": \"bd\"}", 3, "[1,6,4,5,7]", NULL);
}

static void test_ids_are_taken_as_they_are(void **state)
{
	(void)state;
	check(SEQUENCE, "{\"input_ids\": [6, 4]}", 0, "[6,4]", NULL);
	check(SEQUENCE, "{\"prompt_ids\": [6], \"completion_ids\": [4, 5], \"text\": \"c\"}", 1,
	      "[6,4,5]", NULL);
	check(PROMPT, "{\"prompt_ids\": [6, 10]}", 2, "[6,10]", NULL);
	check(PROMPT, "{\"input_ids\": [0]}", 1, "[0]", NULL);
	check(PAIR, "{\"prompt_ids\": [6], \"chosen_ids\": [4], \"rejected_ids\": []}", 1, "[6,4]",
	      "[6]");
	check(PAIR, "{\"chosen_ids\": [6, 7, 4], \"rejected_ids\": [6, 7, 5]}", 2, "[6,7,4]",
	      "[6,7,5]");
}

static void check_targets(const char *text, const char *expected)
{
	struct row rows[2];
	char found[16] = "";

	if (read_row(SEQUENCE, text, rows) != STATUS_OK)
		fail_msg("%s", err.text);
	for (int i = 0; i < rows[0].n; i++)
		found[i] = row_is_target(&rows[0], i) ? '1' : '0';
	assert_string_equal(found, expected);
	row_release(&rows[0]);
}

static void test_labels_and_prompt_length_say_what_is_learnt(void **state)
{
	(void)state;
	check_targets("{\"input_ids\": [6, 4, 5]}", "111");
	check_targets("{\"input_ids\": [6, 4, 5], \"prompt_length\": 2}", "001");
	check_targets("{\"input_ids\": [6, 4, 5], \"labels\": [-100, 4, -100]}", "010");
	check_targets("{\"prompt\": \"c\", \"completion\": \"ab\"}", "001");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"labels\": [6]}",
		      "\"labels\" is an array of 1, expected an array of 2");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"labels\": [6, 5]}",
		      "\"labels\"[1] is neither -100 nor 4");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"labels\": [6, \"4\"]}", "\"labels\"[1]");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"labels\": null}", "is null of 0");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"prompt_length\": 3}",
		      "\"prompt_length\" is not a count from 0 to 2");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"prompt_length\": -1}", "prompt_length");
}

static void test_prompt_is_all_prompt(void **state)
{
	(void)state;
	check(PROMPT, "{\"prompt\": \"cab\"}", 3, "[1,6,10]", NULL);
}

static void test_pair_shares_the_prompt(void **state)
{
	(void)state;
	/* one completion joins the prompt's last letter, the other does not */
	check(PAIR, "{\"prompt\": \"ca\", \"chosen\": \"bd\", \"rejected\": \"dd\"}", 3,
	      "[1,6,4,5,7]", "[1,6,4,7,7]");
}

static void test_dialogues_are_cut_behind_the_last_shared_assistant(void **state)
{
	/* letters of "Assistant" are unknown and fuse to one 0 */
	static const char row[] =
		"{\"chosen\": \"c\\n\\nAssistant: d\\n\\nd:ab\\n\\nAssistant:cd\", "
		"\"rejected\": \"c\\n\\nAssistant: d\\n\\nd:ab\\n\\nAssistant:cc\"}";
	(void)state;

	check(PAIR, row, 21, "[1,6,9,9,0,4,0,8,0,7,9,9,7,8,10,9,9,0,4,0,8,6,7]",
	      "[1,6,9,9,0,4,0,8,0,7,9,9,7,8,10,9,9,0,4,0,8,6,6]");
}

static void test_other_pairs_are_cut_where_their_ids_part(void **state)
{
	(void)state;
	check(PAIR, "{\"chosen\": \"cab\", \"rejected\": \"cad\"}", 2, "[1,6,10]", "[1,6,4,7]");
	check(PAIR, "{\"chosen\": \"c\", \"rejected\": \"c\"}", 2, "[1,6]", "[1,6]");
}

static void test_wrong_rows_are_refused_with_their_line(void **state)
{
	(void)state;
	check_refused(SEQUENCE, "{}", "expected \"text\", or");
	check_refused(SEQUENCE, "{\"prompt\": \"a\"}", "expected \"text\", or");
	check_refused(SEQUENCE, "{\"text\": null}", "\"text\" is null, expected a string");
	check_refused(SEQUENCE, "{\"prompt\": \"a\", \"completion\": 3}",
		      "\"completion\" is a number, expected a string");
	check_refused(SEQUENCE, "{\"prompt_ids\": [1]}", "\"completion_ids\" is missing");
	check_refused(PROMPT, "{\"text\": \"a\"}", "expected \"prompt\", \"prompt_ids\"");
	check_refused(PROMPT, "{\"prompt\": {}}", "\"prompt\" is an object, expected a string");
	check_refused(PROMPT, "{\"prompt\": []}", "but there is no chat format");
	check_refused(PAIR, "{\"prompt\": \"a\", \"chosen\": \"b\"}", "\"rejected\" is missing");
	check_refused(PAIR, "{\"chosen_ids\": [1], \"rejected\": \"b\"}",
		      "\"rejected_ids\" is missing");
}

static void test_ids_out_of_range_are_refused(void **state)
{
	(void)state;
	check_refused(SEQUENCE, "{\"input_ids\": [1, 11]}",
		      "\"input_ids\"[1] is 11, expected an id from 0 to 10");
	check_refused(SEQUENCE, "{\"input_ids\": [-1]}", "\"input_ids\"[0] is -1");
	check_refused(SEQUENCE, "{\"input_ids\": [2147483648]}", "is 2147483648, expected");
	check_refused(SEQUENCE, "{\"input_ids\": [4294967300]}", "is 4294967300, expected");
	check_refused(SEQUENCE, "{\"input_ids\": [0.5]}", "is 0.5, expected");
	check_refused(SEQUENCE, "{\"input_ids\": [\"a\"]}", "is a string, expected an id");
	check_refused(SEQUENCE, "{\"input_ids\": 3}", "is a number, expected an array of ids");
	check_refused(SEQUENCE, "{\"input_ids\": []}", "the row holds no ids");
	check_refused(PROMPT, "{\"prompt_ids\": []}", "the row holds no ids");
	check_refused(PAIR, "{\"chosen_ids\": [4], \"rejected_ids\": []}", "the row holds no ids");
}

static void test_text_of_ids_beyond_the_model_is_refused(void **state)
{
	(void)state;
	context.n_vocab = 10;
	check_refused(SEQUENCE, "{\"text\": \"ab\"}",
		      "the tokenizer gives id 10, but the model's vocabulary has 10");
	context.n_vocab = 11;
}

static void test_text_without_a_tokenizer_is_refused(void **state)
{
	(void)state;
	context.tokenizer = NULL;
	check(SEQUENCE, "{\"input_ids\": [6]}", 0, "[6]", NULL);
	check_refused(SEQUENCE, "{\"text\": \"ab\"}", "there is no tokenizer");
	context.tokenizer = tokenizer;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_has_bos_once_and_no_eos),
		cmocka_unit_test(test_completion_is_encoded_with_its_prompt),
		cmocka_unit_test(test_completion_that_changes_the_prompt_is_encoded_apart),
		cmocka_unit_test(test_ids_are_taken_as_they_are),
		cmocka_unit_test(test_labels_and_prompt_length_say_what_is_learnt),
		cmocka_unit_test(test_prompt_is_all_prompt),
		cmocka_unit_test(test_pair_shares_the_prompt),
		cmocka_unit_test(test_dialogues_are_cut_behind_the_last_shared_assistant),
		cmocka_unit_test(test_other_pairs_are_cut_where_their_ids_part),
		cmocka_unit_test(test_wrong_rows_are_refused_with_their_line),
		cmocka_unit_test(test_ids_out_of_range_are_refused),
		cmocka_unit_test(test_text_of_ids_beyond_the_model_is_refused),
		cmocka_unit_test(test_text_without_a_tokenizer_is_refused),
	};
	return cmocka_run_group_tests(tests, make_tokenizer, drop_tokenizer);
}
