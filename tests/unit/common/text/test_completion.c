/* Text that grows id by id ends as the text of the whole, and never holds a part of a
 * character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/text/completion.h"
#include "common/text/unicode.h"

static const char *const texts[] = {
	"Once upon a time, there was a little girl.",
	"  two  spaces\n\n\tand  lines \n",
	"na\xc3\xafve caf\xc3\xa9 \xe2\x82\xac 5, \xe6\x9d\xb1\xe4\xba\xac",
	" \xf0\x9f\xa6\x8a\xf0\x9f\xa6\x8a!",
	"x\xf0\x9d\x92\xb3y \xef\xbf\xbd z",
	" ",
	"a",
};

static struct tokenizer *load(const char *name)
{
	struct tokenizer *tokenizer;
	struct error err;
	char dir[128];

	snprintf(dir, sizeof dir, "tests/golden/tokenizers/%s", name);
	if (tokenizer_load(&tokenizer, dir, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return tokenizer;
}

/* Adds ids one by one; what has been said stays said. */
static void grow(struct completion *completion, const int32_t *ids, size_t n)
{
	struct buf before = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		completion_add(completion, ids[i]);
		assert_true(completion->text.length >= before.length);
		if (before.length > 0)
			assert_memory_equal(completion->text.data, before.data, before.length);
		buf_reset(&before);
		buf_append(&before, completion->text.data, completion->text.length);
	}
	completion_end(completion);
	buf_release(&before);
}

static void check(const struct tokenizer *tokenizer, const int32_t *ids, size_t n, size_t n_prompt)
{
	struct completion completion;
	struct buf whole = BUF_INIT;

	tokenizer_decode_completion(tokenizer, ids, n_prompt, ids + n_prompt, n - n_prompt, &whole);
	completion_begin(&completion, tokenizer, ids, n_prompt);
	grow(&completion, ids + n_prompt, n - n_prompt);
	assert_int_equal(completion.text.length, whole.length);
	if (whole.length > 0)
		assert_memory_equal(completion.text.data, whole.data, whole.length);
	completion_release(&completion);
	buf_release(&whole);
}

static void check_texts(const char *name)
{
	struct tokenizer *tokenizer = load(name);

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct ids ids = {0};

		tokenizer_encode(tokenizer, texts[i], strlen(texts[i]), true, &ids);
		for (size_t n_prompt = 0; n_prompt <= ids.n; n_prompt++)
			check(tokenizer, ids.data, ids.n, n_prompt);
		ids_release(&ids);
	}
	tokenizer_destroy(tokenizer);
}

static void test_pieces_of_texts_join_to_the_whole(void **state)
{
	(void)state;
	check_texts("byte_level");
	check_texts("byte_fallback");
	check_texts("metaspace");
	check_texts("llama3");
}

/* Bytes in any order: characters that are never finished, special ids, ids of nothing. */
static void test_pieces_of_random_ids_join_to_the_whole(void **state)
{
	enum { N = 40 };
	struct tokenizer *tokenizer = load("byte_level");
	uint32_t size = (uint32_t)tokenizer_size(tokenizer);

	(void)state;
	for (uint32_t row = 0; row < 300; row++) {
		int32_t ids[N];
		uint32_t range = row % 3 == 0 ? size + 3 : 256;

		for (uint32_t i = 0; i < N; i++)
			ids[i] = (int32_t)(rng_uniform(1, RNG_DATA, row, i, 0, 0) * range);
		check(tokenizer, ids, N, row % 7);
	}
	tokenizer_destroy(tokenizer);
}

/* Bytes of which no more than a few make characters: what is said is text at any time. */
static void test_random_bytes_never_show_a_part_of_a_character(void **state)
{
	enum { N = 40 };
	struct tokenizer *tokenizer = load("byte_fallback");
	int32_t zero = tokenizer_token_id(tokenizer, "<0x00>", 6);

	(void)state;
	for (uint32_t row = 0; row < 500; row++) {
		struct completion completion;

		completion_begin(&completion, tokenizer, NULL, 0);
		for (uint32_t i = 0; i < N; i++) {
			double draw = rng_uniform(2, RNG_DATA, row, i, 0, 0);
			completion_add(&completion, row % 2 && draw < 0.1
							    ? zero + 300
							    : zero + 0x80 + (int32_t)(draw * 0x80));
			assert_true(utf8_is_valid(completion.text.data ? completion.text.data : "",
						  completion.text.length));
		}
		completion_end(&completion);
		assert_true(utf8_is_valid(completion.text.data, completion.text.length));
		completion_release(&completion);
	}
	tokenizer_destroy(tokenizer);
}

static void test_a_character_appears_when_it_is_whole(void **state)
{
	struct tokenizer *tokenizer = load("byte_fallback");
	int32_t first = tokenizer_token_id(tokenizer, "<0x00>", 6);
	struct completion completion;

	(void)state;
	completion_begin(&completion, tokenizer, NULL, 0);
	completion_add(&completion, first + 0xE6);
	completion_add(&completion, first + 0x9D);
	assert_int_equal(completion.text.length, 0);
	completion_add(&completion, first + 0xB1);
	assert_string_equal(completion.text.data, "\xe6\x9d\xb1");
	completion_add(&completion, first + 0xE6);
	assert_int_equal(completion.text.length, 3);
	completion_end(&completion);
	assert_true(completion.text.length > 3);
	completion_release(&completion);
	tokenizer_destroy(tokenizer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_of_texts_join_to_the_whole),
		cmocka_unit_test(test_pieces_of_random_ids_join_to_the_whole),
		cmocka_unit_test(test_random_bytes_never_show_a_part_of_a_character),
		cmocka_unit_test(test_a_character_appears_when_it_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
