/* tokenizer_train: the merges of textbook BPE, files that load, sizes refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/text/tokenizer.h"

static struct error err;
static char dir[] = "/tmp/rlhf-test-train-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return file_remove_tree(dir, &err);
}

static void read_text(const char *folder, const char *name, struct buf *out)
{
	char *path = path_join(folder, name);

	if (file_read(path, 1 << 24, out, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	free(path);
}

static void train(const char *text, size_t length, int vocab_size)
{
	if (tokenizer_train(&text, &length, 1, vocab_size, dir, &err) != STATUS_OK)
		fail_msg("%s", err.text);
}

static void check_merges(const char *text, int n, const char *expected)
{
	struct buf file = BUF_INIT, merges = BUF_INIT;
	struct json *root;

	train(text, strlen(text), 257 + n);
	read_text(dir, "tokenizer.json", &file);
	root = json_parse(file.data, file.length, "tokenizer.json", &err);
	if (!root)
		fail_msg("%s", err.text);
	json_print(json_get(json_get(root, "model"), "merges"), false, &merges);
	assert_string_equal(merges.data, expected);
	json_free(root);
	buf_release(&file);
	buf_release(&merges);
}

static void test_most_frequent_pairs_merge_first(void **state)
{
	(void)state;
	/* counts: ab 3, then abc 2 before " x" 1 */
	check_merges("abcabcab x", 2, "[[\"a\",\"b\"],[\"ab\",\"c\"]]");
}

static void test_ties_go_to_the_smaller_bytes(void **state)
{
	(void)state;
	check_merges("zy.ba.yz", 3, "[[\"b\",\"a\"],[\"y\",\"z\"],[\"z\",\"y\"]]");
}

static void test_runs_of_one_letter_merge_from_the_left(void **state)
{
	(void)state;
	check_merges("aaaaa", 3, "[[\"a\",\"a\"],[\"aa\",\"a\"],[\"aa\",\"aaa\"]]");
}

/* The file was made by the same function: no change of a bit goes unseen. */
static void test_committed_tokenizer_is_made_again_byte_for_byte(void **state)
{
	static const char *const names[] = {"tokenizer.json", "tokenizer_config.json"};
	struct buf text = BUF_INIT;
	(void)state;

	read_text("tests/golden/tokenizers", "training.txt", &text);
	train(text.data, text.length, 400);
	for (int i = 0; i < 2; i++) {
		struct buf ours = BUF_INIT, committed = BUF_INIT;
		read_text(dir, names[i], &ours);
		read_text("tests/golden/tokenizers/byte_level", names[i], &committed);
		assert_string_equal(ours.data, committed.data);
		buf_release(&ours);
		buf_release(&committed);
	}
	buf_release(&text);
}

static void test_result_loads_with_the_special_token_last(void **state)
{
	struct tokenizer *tokenizer;
	struct ids ids = {0};
	(void)state;

	train("the harbour, the gulls", 22, 260);
	assert_int_equal(tokenizer_load(&tokenizer, dir, &err), STATUS_OK);
	assert_int_equal(tokenizer_size(tokenizer), 260);
	assert_int_equal(tokenizer_bos(tokenizer), 259);
	assert_int_equal(tokenizer_eos(tokenizer), 259);
	assert_int_equal(tokenizer_token_id(tokenizer, "<|endoftext|>", 13), 259);
	tokenizer_encode(tokenizer, "a<|endoftext|>", 14, true, &ids);
	assert_int_equal(ids.n, 2);
	assert_int_equal(ids.data[0], 'a');
	assert_int_equal(ids.data[1], 259);
	ids_release(&ids);
	tokenizer_destroy(tokenizer);
}

static void test_sizes_that_cannot_be_are_refused(void **state)
{
	const char *text = "ab";
	size_t length = 2;
	(void)state;

	assert_int_equal(tokenizer_train(&text, &length, 1, 256, dir, &err), STATUS_BAD_INPUT);
	assert_int_equal(tokenizer_train(&text, &length, 1, 259, dir, &err), STATUS_BAD_INPUT);
	assert_string_equal(err.text,
			    "the texts give a vocabulary of 258 ids, expected at least 259");
	assert_int_equal(tokenizer_train(NULL, NULL, 0, 257, dir, &err), STATUS_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_most_frequent_pairs_merge_first),
		cmocka_unit_test(test_ties_go_to_the_smaller_bytes),
		cmocka_unit_test(test_runs_of_one_letter_merge_from_the_left),
		cmocka_unit_test(test_committed_tokenizer_is_made_again_byte_for_byte),
		cmocka_unit_test(test_result_loads_with_the_special_token_last),
		cmocka_unit_test(test_sizes_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
