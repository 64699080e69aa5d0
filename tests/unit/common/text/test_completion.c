/* Text that grows id by id ends as the text of the whole, and never holds a part of a
 * character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* What is there behind each whole character is the text of the ids until then, wherever in the
 * run the prompt ends. */
static void check_run(const struct tokenizer *tokenizer, const char *bytes, size_t n_prompt)
{
	int32_t first = tokenizer_token_id(tokenizer, "<0x00>", 6), ids[64];
	struct completion completion;

	for (size_t i = 0; i < n_prompt; i++)
		ids[i] = first + (unsigned char)bytes[i];
	completion_begin(&completion, tokenizer, ids, n_prompt);
	for (size_t i = n_prompt; bytes[i]; i++) {
		struct buf whole = BUF_INIT;

		ids[i] = first + (unsigned char)bytes[i];
		completion_add(&completion, ids[i]);
		if (!utf8_is_valid(bytes, i + 1))
			continue;
		tokenizer_decode_completion(tokenizer, ids, n_prompt, ids + n_prompt,
					    i + 1 - n_prompt, &whole);
		assert_int_equal(completion.text.length, whole.length);
		assert_memory_equal(completion.text.data, whole.data, whole.length);
		buf_release(&whole);
	}
	completion_release(&completion);
}

static void test_bytes_of_a_run_appear_with_the_last_of_each_character(void **state)
{
	static const char bytes[] = "a\xc3\xa9th\nt\xe6\x9d\xb1\xe4\xba\xac\xf0\x9f\xa6\x8a.";
	struct tokenizer *tokenizer = load("byte_fallback");

	(void)state;
	for (size_t n_prompt = 0; n_prompt < sizeof bytes - 1; n_prompt++)
		check_run(tokenizer, bytes, n_prompt);
	tokenizer_destroy(tokenizer);
}

/* Tokens again and again, [n], then the one behind them.  At a cost that grows with the square
 * it would take many minutes. */
static void check_long(const char *name, const char *const *tokens, size_t n,
		       const char *expected_end)
{
	enum { N = 200001, MOST_SECONDS = 20 };
	struct tokenizer *tokenizer = load(name);
	size_t length = strlen(expected_end);
	clock_t until = clock() + MOST_SECONDS * CLOCKS_PER_SEC;
	struct completion completion;

	completion_begin(&completion, tokenizer, NULL, 0);
	for (size_t i = 0; i <= N && clock() < until; i++) {
		const char *token = tokens[i < N ? i % n : n];
		completion_add(&completion, tokenizer_token_id(tokenizer, token, strlen(token)));
	}
	assert_true(clock() < until);
	assert_true(completion.text.length >= length);
	assert_memory_equal(completion.text.data + completion.text.length - length, expected_end,
			    length);
	completion_release(&completion);
	tokenizer_destroy(tokenizer);
}

static void test_a_long_run_costs_no_more_an_id_than_a_short_one(void **state)
{
	static const char *const right[] = {"<0xE6>", "<0x9D>", "<0xB1>", "a"};
	static const char *const wrong[] = {"<0xFF>", "<0xC3>", "<0xA9>", "a"};
	static const char *const whole[] = {"\xc3\xa6", "\xc4\xbf", "\xc2\xb1", "a"};
	static const char *const parts[] = {"\xc4\xbf", "\xc2\xb1", "\xc4\xbf", "a"};

	(void)state;
	check_long("byte_fallback", right, 3, "\xe6\x9d\xb1\x61");
	check_long("byte_fallback", wrong, 3, "\xef\xbf\xbd\x61");
	check_long("byte_level", whole, 3, "\xe6\x9d\xb1\x61");
	check_long("byte_level", parts, 3, "\xef\xbf\xbd\x61");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_of_texts_join_to_the_whole),
		cmocka_unit_test(test_pieces_of_random_ids_join_to_the_whole),
		cmocka_unit_test(test_random_bytes_never_show_a_part_of_a_character),
		cmocka_unit_test(test_a_character_appears_when_it_is_whole),
		cmocka_unit_test(test_bytes_of_a_run_appear_with_the_last_of_each_character),
		cmocka_unit_test(test_a_long_run_costs_no_more_an_id_than_a_short_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
