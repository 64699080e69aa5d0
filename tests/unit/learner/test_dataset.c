/* Rows, packing, length limits and order of training data.  Rows are ids: what a
 * tokenizer does to text is tested in common/text; a tiny one is written here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/hash.h"
#include "learner/dataset.h"

static char directory[] = "/tmp/rlhf-test-dataset-XXXXXX";
static char path[64];
static struct error err;
static struct dataset dataset;
static struct tokenizer *tokenizer; /* a letter a b c d is the id 0 1 2 3; 4 ends */
enum { N_VOCAB = 5, END = 4 };

static const char tokenizer_json[] =
	"{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":4,"
	"\"content\":\"<|end|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
	"\"normalized\":false,\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":{\"type\":"
	"\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
	"\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
	"\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"dropout\":null,"
	"\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
	"\"fuse_unk\":false,\"byte_fallback\":false,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"d\":3},"
	"\"merges\":[]}}";

static struct run_config config_of(const char *too_long)
{
	struct run_config config = {0};

	config.run.seed = 3;
	config.data.max_length = 4;
	config.data.shuffle = true;
	config.data.packing = true;
	config.data.append_eos = true;
	config.data.too_long = (char *)(uintptr_t)too_long;
	config.data.truncation_side = (char *)(uintptr_t) "right";
	config.sft.loss = (char *)(uintptr_t) "completion";
	return config;
}

static void write_rows(const char *name, const char *text)
{
	snprintf(path, sizeof path, "%s/%s", directory, name);
	assert_int_equal(file_replace(path, text, strlen(text), &err), STATUS_OK);
}

static enum status load(const struct run_config *config, const char *name, const char *text)
{
	struct row_context context = {.tokenizer = tokenizer, .n_vocab = N_VOCAB};

	write_rows(name, text);
	return dataset_load_sequences(&dataset, path, &context, config, 8, END, NULL, &err);
}

static void must(enum status status)
{
	if (status != STATUS_OK)
		fail_msg("%s", err.text);
}

static void assert_row(const struct row *row, const char *ids)
{
	char text[64] = "";

	for (int i = 0; i < row->n; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%d", row->ids[i]);
	assert_string_equal(text, ids);
}

static void test_texts_are_joined_with_end_tokens_and_cut(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	must(load(&config, "d.jsonl",
		  "{\"text\":\"abc\"}\n{\"text\":\"dd\"}\n{\"text\":\"bbbb\"}\n"));
	assert_int_equal(dataset.n, 3);
	assert_row(&dataset.rows[0], "0124");
	assert_row(&dataset.rows[1], "3341");
	assert_row(&dataset.rows[2], "1114");
	dataset_release(&dataset);
}

static void test_rest_of_one_token_is_dropped(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	must(load(&config, "d.jsonl", "{\"text\":\"abcd\"}\n"));
	assert_int_equal(dataset.n, 1);
	assert_row(&dataset.rows[0], "0123");
	dataset_release(&dataset);
}

static void test_plain_text_is_one_document(void **state)
{
	struct run_config config = config_of("error");
	char hex[65];

	(void)state;
	must(load(&config, "d.txt", "abcdab"));
	assert_int_equal(dataset.n, 2);
	assert_row(&dataset.rows[0], "0123");
	assert_row(&dataset.rows[1], "014");
	sha256_hex("abcdab", 6, hex);
	assert_string_equal(dataset.sha256, hex);
	dataset_release(&dataset);
}

/* Files that are read as the same rows, and one whose rows are cut elsewhere. */
static void test_rows_have_a_hash_of_their_own(void **state)
{
	struct run_config config = config_of("error");
	char sha256[65], ids_sha256[65];

	(void)state;
	must(load(&config, "d.jsonl", "{\"text\":\"abc\"}\n"));
	memcpy(sha256, dataset.sha256, sizeof sha256);
	memcpy(ids_sha256, dataset.ids_sha256, sizeof ids_sha256);
	dataset_release(&dataset);
	must(load(&config, "d.jsonl", "{\"text\": \"abc\"}\n"));
	assert_string_not_equal(dataset.sha256, sha256);
	assert_string_equal(dataset.ids_sha256, ids_sha256);
	dataset_release(&dataset);
	config.data.max_length = 3;
	must(load(&config, "d.jsonl", "{\"text\":\"abc\"}\n"));
	assert_string_equal(dataset.sha256, sha256);
	assert_string_not_equal(dataset.ids_sha256, ids_sha256);
	dataset_release(&dataset);
}

static void test_without_packing_each_text_is_a_sequence(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	config.data.packing = false;
	must(load(&config, "d.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"dd\"}\n"));
	assert_int_equal(dataset.n, 2);
	assert_row(&dataset.rows[0], "0124");
	assert_row(&dataset.rows[1], "334");
	dataset_release(&dataset);
}

static void test_rows_of_ids_stay_whole_and_get_no_end_token(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	must(load(&config, "d.jsonl",
		  "{\"input_ids\":[1,2]}\n{\"text\":\"a\"}\n{\"input_ids\":[3,3,3]}\n"));
	assert_int_equal(dataset.n, 3);
	assert_row(&dataset.rows[0], "12");
	assert_row(&dataset.rows[1], "333");
	assert_row(&dataset.rows[2], "04");
	dataset_release(&dataset);
}

/* As tokenised data sets are written that keep the columns that they were made of. */
static void test_ids_are_taken_as_they_are_beside_their_text(void **state)
{
	struct run_config config = config_of("error");
	struct row_context context = {.tokenizer = tokenizer, .n_vocab = N_VOCAB};

	(void)state;
	must(load(&config, "d.jsonl",
		  "{\"text\":\"ab\",\"input_ids\":[0,1],\"labels\":[-100,1]}\n"
		  "{\"text\":\"abc\",\"input_ids\":[0,1,2]}\n"));
	assert_int_equal(dataset.n, 2);
	assert_row(&dataset.rows[0], "01");
	assert_false(row_is_target(&dataset.rows[0], 0));
	assert_row(&dataset.rows[1], "012");
	dataset_release(&dataset);
	write_rows("d.jsonl", "{\"text\":\"abc\",\"input_ids\":[0,1,2]}\n"
			      "{\"prompt\":\"a\",\"completion\":\"b\",\"prompt_ids\":[0],"
			      "\"completion_ids\":[1]}\n");
	must(dataset_load_examples(&dataset, path, &context, &config, 8, END, NULL, &err));
	assert_row(&dataset.rows[0], "012");
	assert_row(&dataset.rows[1], "01");
	dataset_release(&dataset);
	write_rows("d.jsonl",
		   "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\",\"prompt_ids\":[0],"
		   "\"chosen_ids\":[1],\"rejected_ids\":[2]}\n");
	must(dataset_load_pairs(&dataset, path, &context, &config, 8, END, true, NULL, &err));
	assert_row(&dataset.rows[0], "01");
	assert_row(&dataset.rejected[0], "02");
	dataset_release(&dataset);
	write_rows("d.jsonl",
		   "{\"prompt_ids\":[0,1],\"input_ids\":[0,1,2],\"attention_mask\":[1,1,1]}\n");
	must(dataset_load_prompts(&dataset, path, &context, &config, 8, NULL, &err));
	assert_row(&dataset.rows[0], "01");
	dataset_release(&dataset);
}

static void refused(enum status status, const char *word)
{
	assert_int_equal(status, STATUS_BAD_INPUT);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" is not in: %s", word, err.text);
	assert_int_equal(dataset.n, 0);
	assert_null(dataset.rows);
}

static void test_plain_text_is_utf8_and_not_empty(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	refused(load(&config, "d.txt", ""), "d.txt: is empty, expected text");
	refused(load(&config, "d.txt", "ab\xe4 d"),
		"d.txt: byte 2 is 0xe4, expected text in UTF-8");
	refused(load(&config, "d.txt",
		     "\xff\xfe"
		     "a"),
		"d.txt: byte 0 is 0xff");
}

static void test_missing_end_token_is_refused(void **state)
{
	struct run_config config = config_of("error");
	struct row_context context = {.tokenizer = tokenizer, .n_vocab = N_VOCAB};

	(void)state;
	write_rows("d.jsonl", "{\"text\":\"ab\"}\n");
	refused(dataset_load_sequences(&dataset, path, &context, &config, 8, -1, NULL, &err),
		"append_eos");
	config.data.append_eos = false;
	must(dataset_load_sequences(&dataset, path, &context, &config, 8, -1, NULL, &err));
	assert_row(&dataset.rows[0], "01");
	dataset_release(&dataset);
}

static void test_too_long_is_an_error_naming_the_line(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	refused(load(&config, "d.jsonl", "{\"input_ids\":[1,2]}\n\n{\"input_ids\":[1,2,3,0,1]}\n"),
		"line 3: 5 tokens, expected at most 4");
}

static void test_too_long_can_be_skipped(void **state)
{
	struct run_config config = config_of("skip");

	(void)state;
	must(load(&config, "d.jsonl", "{\"input_ids\":[1,2,3,0,1]}\n{\"input_ids\":[1,2]}\n"));
	assert_int_equal(dataset.n, 1);
	assert_row(&dataset.rows[0], "12");
	dataset_release(&dataset);
	refused(load(&config, "d.jsonl", "{\"input_ids\":[1,2,3,0,1]}\n"), "no row is left");
}

static void test_too_long_can_be_cut_at_the_end(void **state)
{
	struct run_config config = config_of("truncate");

	(void)state;
	must(load(&config, "d.jsonl", "{\"input_ids\":[1,2,3,0,1]}\n"));
	assert_row(&dataset.rows[0], "1230");
	dataset_release(&dataset);
}

static void test_prompts_are_cut_at_the_front(void **state)
{
	struct run_config config = config_of("truncate");
	struct row_context context = {.n_vocab = N_VOCAB, .bos_id = -1};

	(void)state;
	config.data.truncation_side = (char *)(uintptr_t) "left";
	write_rows("d.jsonl", "{\"input_ids\":[1,2,3,0,1]}\n");
	must(dataset_load_prompts(&dataset, path, &context, &config, 8, NULL, &err));
	assert_row(&dataset.rows[0], "2301");
	assert_int_equal(dataset.rows[0].n_prompt, 4);
	dataset_release(&dataset);
	/* What the model takes may be less than the config allows. */
	must(dataset_load_prompts(&dataset, path, &context, &config, 3, NULL, &err));
	assert_row(&dataset.rows[0], "301");
	dataset_release(&dataset);
	context.bos_id = 1;
	must(dataset_load_prompts(&dataset, path, &context, &config, 3, NULL, &err));
	assert_row(&dataset.rows[0], "101");
	assert_int_equal(dataset.rows[0].n_prompt, 3);
	dataset_release(&dataset);
}

static void test_pairs_cut_on_the_left_differ_where_they_end(void **state)
{
	struct run_config config = config_of("truncate");
	struct row_context context = {.n_vocab = N_VOCAB, .bos_id = -1};

	(void)state;
	write_rows("d.jsonl",
		   "{\"prompt_ids\":[0,1,2,3],\"chosen_ids\":[0],\"rejected_ids\":[1,2]}\n"
		   "{\"prompt_ids\":[3],\"chosen_ids\":[0],\"rejected_ids\":[1]}\n");
	must(dataset_load_pairs(&dataset, path, &context, &config, 8, END, false, NULL, &err));
	assert_int_equal(dataset.n, 1);
	assert_row(&dataset.rows[0], "30");
	dataset_release(&dataset);
	config.data.truncation_side = (char *)(uintptr_t) "left";
	must(dataset_load_pairs(&dataset, path, &context, &config, 8, END, true, NULL, &err));
	assert_int_equal(dataset.n, 2);
	assert_row(&dataset.rows[0], "230");
	assert_row(&dataset.rejected[0], "2312");
	dataset_release(&dataset);
}

static void test_rows_know_their_lines(void **state)
{
	struct run_config config = config_of("skip");
	struct row_context context = {.n_vocab = N_VOCAB};

	(void)state;
	write_rows("d.jsonl", "{\"input_ids\":[0,1,2,3,0]}\n\n{\"input_ids\":[1]}\n"
			      "{\"input_ids\":[0,1,2,3,0]}\n{\"input_ids\":[2]}\n");
	must(dataset_load_prompts(&dataset, path, &context, &config, 8, NULL, &err));
	assert_int_equal(dataset.n, 2);
	assert_int_equal(dataset.lines[0], 3);
	assert_int_equal(dataset.lines[1], 5);
	dataset_release(&dataset);
}

static void test_pairs_are_kept_or_skipped_together(void **state)
{
	struct run_config config = config_of("skip");
	struct row_context context = {.n_vocab = N_VOCAB};

	(void)state;
	write_rows("d.jsonl", "{\"chosen_ids\":[1,2],\"rejected_ids\":[1,2,3,0,1]}\n"
			      "{\"prompt_ids\":[0],\"chosen_ids\":[1],\"rejected_ids\":[2,3]}\n");
	must(dataset_load_pairs(&dataset, path, &context, &config, 8, END, false, NULL, &err));
	assert_int_equal(dataset.n, 1);
	assert_row(&dataset.rows[0], "01");
	assert_row(&dataset.rejected[0], "023");
	dataset_release(&dataset);
}

static void test_equal_pairs_are_left_out_and_margins_kept(void **state)
{
	struct run_config config = config_of("error");
	struct row_context context = {.n_vocab = N_VOCAB};

	(void)state;
	write_rows("d.jsonl", "{\"chosen_ids\":[1,2],\"rejected_ids\":[1,2],\"margin\":7}\n"
			      "{\"chosen_ids\":[1,2],\"rejected_ids\":[1,3],\"margin\":0.5}\n"
			      "{\"chosen_ids\":[1,2],\"rejected_ids\":[1]}\n");
	must(dataset_load_pairs(&dataset, path, &context, &config, 8, END, false, NULL, &err));
	assert_int_equal(dataset.n, 2);
	assert_true(dataset.margins[0] == 0.5 && dataset.margins[1] == 0);
	dataset_release(&dataset);
	write_rows("d.jsonl", "{\"chosen_ids\":[1],\"rejected_ids\":[2],\"margin\":\"1\"}\n");
	refused(dataset_load_pairs(&dataset, path, &context, &config, 8, END, false, NULL, &err),
		"line 1: \"margin\" is a string, expected a number");
}

static void test_pairs_may_have_to_hold_completions_and_get_their_end(void **state)
{
	struct run_config config = config_of("truncate");
	struct row_context context = {.tokenizer = tokenizer, .n_vocab = N_VOCAB};

	(void)state;
	write_rows("d.jsonl", "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"\"}\n");
	refused(dataset_load_pairs(&dataset, path, &context, &config, 8, END, true, NULL, &err),
		"line 1: the completion of rejected is empty");
	must(dataset_load_pairs(&dataset, path, &context, &config, 8, END, false, NULL, &err));
	assert_row(&dataset.rows[0], "014");
	assert_row(&dataset.rejected[0], "04");
	dataset_release(&dataset);
	write_rows("d.jsonl", "{\"prompt\":\"abcd\",\"chosen\":\"b\",\"rejected\":\"c\"}\n"
			      "{\"prompt\":\"abc\",\"chosen\":\"b\",\"rejected\":\"cd\"}\n");
	must(dataset_load_pairs(&dataset, path, &context, &config, 8, END, true, NULL, &err));
	assert_int_equal(dataset.n, 1);
	dataset_release(&dataset);
}

static enum status load_judged(const char *text)
{
	struct run_config config = config_of("error");
	struct row_context context = {.n_vocab = N_VOCAB};

	write_rows("d.jsonl", text);
	return dataset_load_judged(&dataset, path, &context, &config, 8, END, NULL, &err);
}

static void test_judged_rows_are_wanted_or_not(void **state)
{
	(void)state;
	must(load_judged("{\"prompt_ids\":[1],\"completion_ids\":[2],\"label\":true}\n"
			 "{\"prompt_ids\":[1],\"completion_ids\":[3],\"label\":0}\n"
			 "{\"prompt_ids\":[1],\"chosen_ids\":[2,2],\"rejected_ids\":[3,3]}\n"));
	assert_int_equal(dataset.n, 4);
	assert_true(dataset.labels[0] == 1 && dataset.labels[1] == 0);
	assert_true(dataset.labels[2] == 1 && dataset.labels[3] == 0);
	assert_row(&dataset.rows[3], "133");
	assert_null(dataset.rejected);
	dataset_release(&dataset);
	refused(load_judged("{\"prompt_ids\":[1],\"completion_ids\":[2],\"label\":2}\n"),
		"line 1: \"label\" is neither true nor false");
	refused(load_judged("{\"prompt_ids\":[1],\"completion_ids\":[2]}\n"),
		"\"label\" is missing, expected true or false; or a pair");
	refused(load_judged("{\"prompt_ids\":[1],\"completion_ids\":[],\"label\":1}\n"),
		"the completion is empty");
}

static void test_judged_rows_are_no_pairs_but_may_be_rows_of_kto(void **state)
{
	struct run_config config = config_of("error");
	struct row_context context = {.n_vocab = N_VOCAB};

	(void)state;
	write_rows("d.jsonl", "{\"prompt_ids\":[1],\"completion_ids\":[2],\"label\":false}\n");
	refused(dataset_load_pairs(&dataset, path, &context, &config, 8, END, true, NULL, &err),
		"d.jsonl: line 1: a completion and its \"label\", which rlhf dpo learns from with "
		"dpo.loss_type \"kto\"; expected \"chosen\" and \"rejected\"");
	write_rows("d.jsonl", "{\"chosen_ids\":[1,2],\"rejected_ids\":[1],\"label\":false}\n");
	must(dataset_load_pairs(&dataset, path, &context, &config, 8, END, false, NULL, &err));
	dataset_release(&dataset);
}

/* --- labels --- */

static struct hf_labels labels;

static enum status find_labels(const char *text)
{
	write_rows("d.jsonl", text);
	return dataset_find_labels(&labels, path, &err);
}

static void test_labels_are_names_in_order_or_numbers(void **state)
{
	(void)state;
	must(find_labels("{\"label\":\"b\"}\n{\"label\":\"c\"}\n{\"label\":\"a\"}\n"
			 "{\"label\":\"b\"}\n"));
	assert_int_equal(labels.n, 3);
	assert_string_equal(labels.names[0], "a");
	assert_string_equal(labels.names[1], "b");
	assert_string_equal(labels.names[2], "c");
	hf_labels_release(&labels);
	must(find_labels("{\"label\":2}\n{\"label\":0}\n"));
	assert_int_equal(labels.n, 3);
	assert_string_equal(labels.names[1], "LABEL_1");
	hf_labels_release(&labels);
	refused(find_labels("{\"label\":\"b\"}\n{\"label\":1}\n"),
		"line 2: \"label\" is a number, those before are names");
	refused(find_labels("{\"label\":0}\n{\"label\":\"1\"}\n"), "those before are numbers");
	refused(find_labels("{\"label\":\"b\"}\n{\"label\":\"b\"}\n"),
		"every label is b, expected at least two");
	refused(find_labels("{\"label\":1.5}\n"),
		"line 1: \"label\" is not a name, nor an integer");
	refused(find_labels("{\"label\":-1}\n"), "nor an integer from 0");
	refused(find_labels("{\"label\":\"\"}\n"), "is not a name");
	refused(find_labels("{\"text\":\"a\"}\n"), "\"label\" is missing");
}

static void test_labelled_rows_have_numbers_of_their_labels(void **state)
{
	static char no[] = "no", yes[] = "yes", *names[] = {no, yes};
	static const int expected[4] = {1, 0, 1, 0};
	const struct hf_labels two = {.names = names, .n = 2};
	struct run_config config = config_of("error");
	struct row_context context = {.tokenizer = tokenizer, .n_vocab = N_VOCAB};

	(void)state;
	write_rows("d.jsonl", "{\"text\":\"ab\",\"label\":\"yes\"}\n"
			      "{\"prompt\":\"c\",\"label\":0}\n"
			      "{\"prompt\":\"c\",\"completion\":\"d\",\"label\":1}\n"
			      "{\"input_ids\":[3],\"label\":\"no\"}\n");
	must(dataset_load_labelled(&dataset, path, &context, &config, 8, &two, NULL, &err));
	assert_int_equal(dataset.n, 4);
	assert_row(&dataset.rows[1], "2");
	assert_row(&dataset.rows[2], "23");
	for (int i = 0; i < 4; i++)
		assert_int_equal(dataset.labels[i], expected[i]);
	dataset_release(&dataset);
	write_rows("d.jsonl", "{\"text\":\"ab\",\"label\":\"maybe\"}\n");
	refused(dataset_load_labelled(&dataset, path, &context, &config, 8, &two, NULL, &err),
		"line 1: \"label\" is \"maybe\", expected one of the model's 2 labels, \"no\"");
	write_rows("d.jsonl", "{\"text\":\"ab\",\"label\":2}\n");
	refused(dataset_load_labelled(&dataset, path, &context, &config, 8, &two, NULL, &err),
		"line 1: \"label\" is 2, expected a number from 0 to 1");
}

/* --- examples --- */

static enum status load_examples(const struct run_config *config, const char *text)
{
	struct row_context context = {.tokenizer = tokenizer, .n_vocab = N_VOCAB};

	write_rows("d.jsonl", text);
	return dataset_load_examples(&dataset, path, &context, config, 8, END, NULL, &err);
}

/* One character for each id: itself where it is learnt, else a dot. */
static void assert_learnt(int row, const char *expected)
{
	char text[16] = "";

	for (int i = 0; i < dataset.rows[row].n; i++)
		text[i] = row_is_target(&dataset.rows[row], i)
				  ? (char)('0' + dataset.rows[row].ids[i])
				  : '.';
	assert_string_equal(text, expected);
}

static void test_completions_are_learnt_with_their_end(void **state)
{
	struct run_config config = config_of("error");
	const char *text = "{\"prompt\":\"a\",\"completion\":\"bc\"}\n{\"text\":\"abc\"}\n"
			   "{\"prompt_ids\":[0],\"completion_ids\":[1]}\n"
			   "{\"input_ids\":[1,2,3],\"labels\":[-100,2,-100]}\n";

	(void)state;
	must(load_examples(&config, text));
	assert_int_equal(dataset.n, 4);
	assert_learnt(0, ".124");
	assert_learnt(1, "0124");
	assert_learnt(2, ".1");
	assert_learnt(3, ".2.");
	dataset_release(&dataset);
	config.data.append_eos = false;
	config.sft.loss = (char *)(uintptr_t) "all";
	must(load_examples(&config, text));
	assert_learnt(0, "012");
	assert_learnt(3, "123");
	dataset_release(&dataset);
}

/* transformers ignores -100 wherever it trains a language model. */
static void test_sequences_are_learnt_but_for_what_labels_leave_out(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	must(load(&config, "d.jsonl",
		  "{\"input_ids\":[1,2,3],\"labels\":[-100,-100,3]}\n"
		  "{\"input_ids\":[1,2,3],\"prompt_length\":2}\n"
		  "{\"input_ids\":[0,2,3],\"attention_mask\":[0,1,1]}\n"));
	assert_learnt(0, "..3");
	assert_learnt(1, "123");
	assert_learnt(2, "23");
	dataset_release(&dataset);
	refused(load(&config, "d.jsonl", "{\"input_ids\":[1,2],\"labels\":[1,-100]}\n"),
		"line 1: nothing is to be learnt");
}

static void test_examples_without_anything_to_learn_are_refused(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	refused(load_examples(&config, "{\"prompt\":\"a\",\"completion\":\"b\"}\n"
				       "{\"prompt\":\"a\",\"completion\":\"\"}\n"),
		"line 2: the completion is empty");
	refused(load_examples(&config, "{\"prompt_ids\":[0,1],\"completion_ids\":[]}\n"),
		"the completion is empty");
	refused(load_examples(&config, "{\"input_ids\":[1,2],\"labels\":[1,-100]}\n"),
		"line 1: nothing is to be learnt");
	refused(load_examples(&config, "{\"input_ids\":[1,2],\"prompt_length\":2}\n"),
		"line 1: nothing is to be learnt");
	refused(load_examples(&config, "{\"input_ids\":[1]}\n"), "fewer than 2 tokens");
}

static void test_examples_cut_to_nothing_to_learn_are_left_out(void **state)
{
	struct run_config config = config_of("truncate");

	(void)state;
	must(load_examples(&config, "{\"prompt\":\"abcd\",\"completion\":\"a\"}\n"
				    "{\"prompt\":\"abc\",\"completion\":\"dd\"}\n"));
	assert_int_equal(dataset.n, 1);
	assert_learnt(0, "...3");
	dataset_release(&dataset);
	config.data.truncation_side = (char *)(uintptr_t) "left";
	must(load_examples(&config,
			   "{\"prompt\":\"abcd\",\"completion\":\"a\"}\n"
			   "{\"prompt\":\"a\",\"completion\":\"bcdabcd\"}\n"
			   "{\"input_ids\":[0,1,2,3,0],\"labels\":[-100,-100,2,-100,0]}\n"));
	assert_int_equal(dataset.n, 3);
	assert_learnt(0, "..04");
	assert_learnt(1, "1234");
	assert_learnt(2, ".2.0");
	dataset_release(&dataset);
}

static void test_sequence_of_one_token_is_refused(void **state)
{
	struct run_config config = config_of("error");

	(void)state;
	refused(load(&config, "d.jsonl", "{\"input_ids\":[1]}\n"), "nothing to predict");
}

/* Many lines, of which some are documents and some sequences of their own; those numbered
 * wrong and late are of no kind. */
static char *many_lines(int n, int wrong, int late)
{
	struct buf text = BUF_INIT;

	for (int i = 1; i <= n; i++) {
		if (i == wrong || i == late)
			buf_printf(&text, "{\"nothing\":%d}\n", i);
		else if (i % 3)
			buf_printf(&text, "{\"input_ids\":[%d,%d,%d]}\n", i % 4, i / 4 % 4,
				   i / 16 % 4);
		else
			buf_printf(&text, "{\"text\":\"%.*s\"}\n", 1 + i % 7, "abcdabcd");
	}
	buf_append_char(&text, '\0');
	return buf_detach(&text);
}

static void test_lines_that_are_read_together_give_the_same_rows(void **state)
{
	enum { N = 1700, WRONG = 700, LATE = 1300 };
	struct run_config config = config_of("error");
	struct row_context context = {.tokenizer = tokenizer, .n_vocab = N_VOCAB};
	struct pool *pool = pool_create(3);
	char *right = many_lines(N, 0, 0), *wrong = many_lines(N, LATE, WRONG);
	char sha256[65];

	(void)state;
	must(load(&config, "d.jsonl", right));
	memcpy(sha256, dataset.ids_sha256, sizeof sha256);
	for (int i = 0, next = 1; dataset.lines[i] > 0; i++, next++) {
		next += next % 3 == 0;
		assert_int_equal(dataset.lines[i], next);
	}
	dataset_release(&dataset);
	must(dataset_load_sequences(&dataset, path, &context, &config, 8, END, pool, &err));
	assert_string_equal(dataset.ids_sha256, sha256);
	dataset_release(&dataset);
	write_rows("d.jsonl", wrong);
	refused(dataset_load_sequences(&dataset, path, &context, &config, 8, END, pool, &err),
		"d.jsonl: line 700: ");
	free(right);
	free(wrong);
	pool_destroy(pool);
}

static void test_missing_and_broken_files_are_refused(void **state)
{
	struct run_config config = config_of("error");
	struct row_context context = {.n_vocab = N_VOCAB};

	(void)state;
	refused(dataset_load_pairs(&dataset, "/nowhere.jsonl", &context, &config, 8, END, false,
				   NULL, &err),
		"/nowhere.jsonl");
	refused(load(&config, "d.jsonl", "{\"input_ids\":[1,2]}\n{\"input_ids\":[1,\n"), "line 2");
	refused(load(&config, "d.jsonl", "{\"input_ids\":[1,9]}\n"), "line 1");
	refused(load(&config, "d.jsonl", ""), "d.jsonl");
}

static void test_each_epoch_draws_each_row_once_in_an_order_of_its_own(void **state)
{
	enum { N = 101, EPOCHS = 3 };
	struct dataset many = {.n = N, .seed = 5, .shuffle = true};
	int order[EPOCHS][N], same = 0;

	(void)state;
	for (int e = 0; e < EPOCHS; e++) {
		int seen[N] = {0};

		for (int i = 0; i < N; i++) {
			order[e][i] = dataset_index(&many, (int64_t)e * N + i);
			assert_in_range(order[e][i], 0, N - 1);
			assert_int_equal(seen[order[e][i]]++, 0);
		}
	}
	for (int i = 0; i < N; i++)
		same += order[0][i] == order[1][i] || order[1][i] == order[2][i];
	assert_true(same < N / 5);
	many.seed = 6;
	same = 0;
	for (int i = 0; i < N; i++)
		same += order[0][i] == dataset_index(&many, i);
	assert_true(same < N / 5);
	many.shuffle = false;
	for (int i = 0; i < 2 * N; i++)
		assert_int_equal(dataset_index(&many, i), i % N);
}

static int setup(void **state)
{
	char *file;

	(void)state;
	if (!mkdtemp(directory))
		return -1;
	file = path_join(directory, "tokenizer.json");
	if (file_replace(file, tokenizer_json, strlen(tokenizer_json), &err) != STATUS_OK ||
	    tokenizer_load(&tokenizer, directory, &err) != STATUS_OK) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	free(file);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tokenizer_destroy(tokenizer);
	return (int)file_remove_tree(directory, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts_are_joined_with_end_tokens_and_cut),
		cmocka_unit_test(test_rest_of_one_token_is_dropped),
		cmocka_unit_test(test_plain_text_is_one_document),
		cmocka_unit_test(test_plain_text_is_utf8_and_not_empty),
		cmocka_unit_test(test_rows_have_a_hash_of_their_own),
		cmocka_unit_test(test_without_packing_each_text_is_a_sequence),
		cmocka_unit_test(test_rows_of_ids_stay_whole_and_get_no_end_token),
		cmocka_unit_test(test_ids_are_taken_as_they_are_beside_their_text),
		cmocka_unit_test(test_missing_end_token_is_refused),
		cmocka_unit_test(test_too_long_is_an_error_naming_the_line),
		cmocka_unit_test(test_too_long_can_be_skipped),
		cmocka_unit_test(test_too_long_can_be_cut_at_the_end),
		cmocka_unit_test(test_prompts_are_cut_at_the_front),
		cmocka_unit_test(test_pairs_cut_on_the_left_differ_where_they_end),
		cmocka_unit_test(test_rows_know_their_lines),
		cmocka_unit_test(test_pairs_are_kept_or_skipped_together),
		cmocka_unit_test(test_equal_pairs_are_left_out_and_margins_kept),
		cmocka_unit_test(test_pairs_may_have_to_hold_completions_and_get_their_end),
		cmocka_unit_test(test_judged_rows_are_wanted_or_not),
		cmocka_unit_test(test_judged_rows_are_no_pairs_but_may_be_rows_of_kto),
		cmocka_unit_test(test_labels_are_names_in_order_or_numbers),
		cmocka_unit_test(test_labelled_rows_have_numbers_of_their_labels),
		cmocka_unit_test(test_completions_are_learnt_with_their_end),
		cmocka_unit_test(test_sequences_are_learnt_but_for_what_labels_leave_out),
		cmocka_unit_test(test_examples_without_anything_to_learn_are_refused),
		cmocka_unit_test(test_examples_cut_to_nothing_to_learn_are_left_out),
		cmocka_unit_test(test_sequence_of_one_token_is_refused),
		cmocka_unit_test(test_lines_that_are_read_together_give_the_same_rows),
		cmocka_unit_test(test_missing_and_broken_files_are_refused),
		cmocka_unit_test(test_each_epoch_draws_each_row_once_in_an_order_of_its_own),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
