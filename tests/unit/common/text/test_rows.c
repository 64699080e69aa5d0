/* rows: every form of a row, where the prompt ends, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/die.h"
#include "common/text/rows.h"

/* Characters are ids 4 and up in this order; "ab" is 10; FIRST, <s> (1), comes first. */
#define TOKENIZER(FIRST)                                                                           \
	"{\"added_tokens\": [{\"id\": 1, \"content\": \"<s>\", \"special\": true}],"               \
	"\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "  \
	"{\"id\": \"<s>\"}}, {\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": {\"id\": "        \
	"\"</s>\"}}],"                                                                             \
	"\"special_tokens\": {\"<s>\": {\"ids\": [" FIRST "]}, \"</s>\": {\"ids\": [2]}}},"        \
	"\"model\": {\"type\": \"BPE\", \"vocab\": {\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2,"        \
	"\"a\": 4, \"b\": 5, \"c\": 6, \"d\": 7, \":\": 8, \"\\n\": 9, \"ab\": 10}, \"merges\": "  \
	"[\"a b\"],"                                                                               \
	"\"unk_token\": \"<unk>\", \"fuse_unk\": true}}"

static struct error err;
static struct tokenizer *tokenizer;
static struct row_context context = {.n_vocab = 11, .where = "data.jsonl"};

static int make_tokenizer(void **state)
{
	(void)state;
	if (tokenizer_parse(&tokenizer, TOKENIZER("1"), sizeof TOKENIZER("1") - 1, "t", &err) !=
	    STATUS_OK)
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
	check(SEQUENCE,
	      "{\"prompt\": \"c\", \"completion\": \"ab\", \"text\": null, \"messages\": null, "
	      "\"input_ids\": null}",
	      2, "[1,6,10]", NULL);
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
		      "\"labels\" has 1 members, expected 2");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"labels\": [6, 5]}",
		      "\"labels\"[1] is neither -100 nor 4");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"labels\": [6, \"4\"]}", "\"labels\"[1]");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"labels\": null}",
		      "\"labels\" is null, expected an array of 2");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"prompt_length\": 3}",
		      "\"prompt_length\" is not a count from 0 to 2");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"prompt_length\": -1}", "prompt_length");
}

static void test_masks_say_what_is_learnt(void **state)
{
	(void)state;
	check_targets("{\"input_ids\": [6, 4, 5], \"completion_mask\": [0, 0, 1]}", "001");
	check_targets("{\"input_ids\": [6, 4, 5], \"assistant_masks\": [0, 1, false]}", "010");
	check_targets("{\"input_ids\": [6, 4, 5], \"completion_mask\": [0, 1, 1], "
		      "\"assistant_masks\": [1, 1, 0]}",
		      "010");
	check_targets("{\"input_ids\": [6, 4, 5], \"labels\": [-100, 4, 5], "
		      "\"completion_mask\": [1, 1, 0]}",
		      "010");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"completion_mask\": [1]}",
		      "\"completion_mask\" has 1 members, expected 2");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"assistant_masks\": [1, 2]}",
		      "\"assistant_masks\"[1] is neither 0 nor 1");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"assistant_masks\": {}}",
		      "expected an array of 2");
}

static void test_padding_is_left_out(void **state)
{
	(void)state;
	check(SEQUENCE, "{\"input_ids\": [0, 6, 4, 0, 0], \"attention_mask\": [0, 1, 1, 0, 0]}", 0,
	      "[6,4]", NULL);
	check(SEQUENCE,
	      "{\"input_ids\": [0, 6, 4], \"attention_mask\": [0, 1, 1], \"prompt_length\": 2}", 1,
	      "[6,4]", NULL);
	check(PROMPT, "{\"input_ids\": [0, 6, 4], \"attention_mask\": [0, 1, 1]}", 2, "[6,4]",
	      NULL);
	check_targets("{\"input_ids\": [0, 6, 4], \"attention_mask\": [0, 1, 1], "
		      "\"labels\": [-100, -100, 4]}",
		      "01");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4, 5], \"attention_mask\": [1, 0, 1]}",
		      "\"attention_mask\"[1] is 0 between ids");
	check_refused(SEQUENCE, "{\"input_ids\": [6, 4], \"attention_mask\": [0, 0]}",
		      "\"attention_mask\" is 0 for every id");
	check_refused(PROMPT, "{\"input_ids\": [6, 4], \"attention_mask\": [1]}",
		      "\"attention_mask\" has 1 members, expected 2");
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

/* --- cuts --- */

/* A row [first, 10, 11, 12, ...] of n ids. */
static struct row long_row(int32_t first, int n, int n_prompt)
{
	struct row row = {.n = n, .n_prompt = n_prompt};

	row.ids = xcalloc((size_t)n, sizeof *row.ids);
	row.ids[0] = first;
	for (int i = 1; i < n; i++)
		row.ids[i] = 9 + i;
	return row;
}

static void test_a_cut_on_the_right_keeps_the_beginning(void **state)
{
	(void)state;
	for (int length = 1; length <= 9; length++) {
		struct row row = long_row(1, 7, 4), whole = long_row(1, 7, 4);

		row_cut(&row, length, false, &context);
		assert_int_equal(row.n, length < 7 ? length : 7);
		assert_int_equal(row.n_prompt, length < 4 ? length : 4);
		assert_memory_equal(row.ids, whole.ids, (size_t)row.n * sizeof *row.ids);
		row_release(&row);
		row_release(&whole);
	}
}

/* The first n_kept ids and the last ones of the row, at every length; what was prompt
 * and is left of it is prompt. */
static void check_left_cuts(int32_t first, int n, int n_prompt, int n_kept)
{
	for (int length = 1; length <= n + 1; length++) {
		struct row row = long_row(first, n, n_prompt);
		int rest, kept = n_kept < length ? n_kept : length;

		row_cut(&row, length, true, &context);
		assert_int_equal(row.n, length < n ? length : n);
		rest = row.n - kept;
		for (int i = 0; i < kept; i++)
			assert_int_equal(row.ids[i], i ? 9 + i : first);
		for (int i = 0; i < rest; i++) {
			int place = n - rest + i;

			assert_int_equal(row.ids[kept + i], place ? 9 + place : first);
			assert_int_equal(row_is_target(&row, kept + i), place >= n_prompt);
		}
		assert_in_range(row.n_prompt, 0, row.n);
		row_release(&row);
	}
}

static void test_a_cut_on_the_left_keeps_what_the_tokenizer_puts_first(void **state)
{
	struct tokenizer *other;
	struct row row = long_row(1, 7, 1);

	(void)state;
	check_left_cuts(1, 7, 0, 1);
	check_left_cuts(1, 7, 4, 1);
	check_left_cuts(1, 7, 7, 1);
	check_left_cuts(6, 7, 4, 0);
	/* A prompt of the prefix alone stays it. */
	row_cut(&row, 3, true, &context);
	check_ids(&row, 1, "[1,14,15]");
	row_release(&row);
	/* A prefix of two ids, whole or not at all. */
	if (tokenizer_parse(&other, TOKENIZER("1, 10"), sizeof TOKENIZER("1, 10") - 1, "t", &err) !=
	    STATUS_OK)
		fail_msg("%s", err.text);
	context.tokenizer = other;
	check_left_cuts(1, 7, 4, 2);
	check_left_cuts(6, 7, 4, 0);
	row = long_row(1, 5, 3);
	row.ids[1] = 6;
	row_cut(&row, 3, true, &context);
	check_ids(&row, 1, "[11,12,13]");
	row_release(&row);
	context.tokenizer = tokenizer;
	tokenizer_destroy(other);
}

static void test_a_cut_on_the_left_keeps_bos_without_a_tokenizer(void **state)
{
	(void)state;
	context.tokenizer = NULL;
	context.bos_id = 6;
	check_left_cuts(6, 7, 4, 1);
	check_left_cuts(1, 7, 4, 0);
	context.bos_id = -1;
	check_left_cuts(6, 7, 4, 0);
	context.tokenizer = tokenizer;
}

static void test_targets_move_with_their_ids(void **state)
{
	static const uint8_t is_target[7] = {0, 1, 0, 0, 1, 1, 0};

	(void)state;
	for (int length = 1; length <= 7; length++) {
		struct row row = long_row(1, 7, 4);

		row.is_target = xcalloc(7, 1);
		memcpy(row.is_target, is_target, sizeof is_target);
		row_cut(&row, length, true, &context);
		assert_false(row_is_target(&row, 0));
		for (int i = 1; i < length; i++)
			assert_int_equal(row_is_target(&row, i), is_target[7 - length + i]);
		row_release(&row);
	}
}

static void check_pair_cut(int n_chosen, int n_rejected, int n_prompt, int length,
			   const char *chosen, const char *rejected, int expected_prompt)
{
	struct row rows[2] = {long_row(1, n_chosen, n_prompt), long_row(1, n_rejected, n_prompt)};

	for (int i = n_prompt; i < n_rejected; i++)
		rows[1].ids[i] = 2;
	row_cut_pair(&rows[0], &rows[1], length, true, &context);
	check_ids(&rows[0], expected_prompt, chosen);
	check_ids(&rows[1], expected_prompt, rejected);
	row_release(&rows[0]);
	row_release(&rows[1]);
}

static void test_a_pair_loses_the_same_ids_of_its_prompt(void **state)
{
	struct row rows[2] = {long_row(1, 7, 4), long_row(1, 5, 4)};

	(void)state;
	check_pair_cut(7, 5, 4, 7, "[1,10,11,12,13,14,15]", "[1,10,11,12,2]", 4);
	check_pair_cut(7, 5, 4, 6, "[1,11,12,13,14,15]", "[1,11,12,2]", 3);
	check_pair_cut(5, 7, 4, 5, "[1,12,13]", "[1,12,2,2,2]", 2);
	check_pair_cut(7, 5, 4, 4, "[1,13,14,15]", "[1,2]", 1);
	/* The prompt is gone: each loses what is too long of its own. */
	check_pair_cut(7, 5, 4, 3, "[1,14,15]", "[1,2]", 1);
	check_pair_cut(7, 6, 4, 2, "[1,15]", "[1,2]", 1);
	/* There is nothing in it to lose. */
	check_pair_cut(5, 2, 1, 3, "[1,12,13]", "[1,2]", 1);
	row_cut_pair(&rows[0], &rows[1], 6, false, &context);
	check_ids(&rows[0], 4, "[1,10,11,12,13,14]");
	check_ids(&rows[1], 4, "[1,10,11,12,13]");
	row_release(&rows[0]);
	row_release(&rows[1]);
}

static void test_a_pair_without_a_shared_beginning_is_cut_apart(void **state)
{
	struct row rows[2] = {long_row(1, 6, 0), long_row(6, 5, 0)};

	(void)state;
	row_cut_pair(&rows[0], &rows[1], 3, true, &context);
	check_ids(&rows[0], 0, "[1,13,14]");
	check_ids(&rows[1], 0, "[11,12,13]");
	row_release(&rows[0]);
	row_release(&rows[1]);
}

/* --- what is refused --- */

static void test_wrong_rows_are_refused_with_their_line(void **state)
{
	(void)state;
	check_refused(SEQUENCE, "{}", "expected \"text\", or");
	check_refused(SEQUENCE, "{\"prompt\": \"a\"}", "expected \"text\", or");
	check_refused(SEQUENCE, "{\"text\": null}", "expected \"text\", or");
	check_refused(SEQUENCE, "{\"text\": 1}", "\"text\" is a number, expected a string");
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
		cmocka_unit_test(test_masks_say_what_is_learnt),
		cmocka_unit_test(test_padding_is_left_out),
		cmocka_unit_test(test_prompt_is_all_prompt),
		cmocka_unit_test(test_pair_shares_the_prompt),
		cmocka_unit_test(test_dialogues_are_cut_behind_the_last_shared_assistant),
		cmocka_unit_test(test_other_pairs_are_cut_where_their_ids_part),
		cmocka_unit_test(test_a_cut_on_the_right_keeps_the_beginning),
		cmocka_unit_test(test_a_cut_on_the_left_keeps_what_the_tokenizer_puts_first),
		cmocka_unit_test(test_a_cut_on_the_left_keeps_bos_without_a_tokenizer),
		cmocka_unit_test(test_targets_move_with_their_ids),
		cmocka_unit_test(test_a_pair_loses_the_same_ids_of_its_prompt),
		cmocka_unit_test(test_a_pair_without_a_shared_beginning_is_cut_apart),
		cmocka_unit_test(test_wrong_rows_are_refused_with_their_line),
		cmocka_unit_test(test_ids_out_of_range_are_refused),
		cmocka_unit_test(test_text_of_ids_beyond_the_model_is_refused),
		cmocka_unit_test(test_text_without_a_tokenizer_is_refused),
	};
	return cmocka_run_group_tests(tests, make_tokenizer, drop_tokenizer);
}
