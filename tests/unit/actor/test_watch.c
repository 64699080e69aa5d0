/* The text of a completion ends in front of its stop string, also where bytes that turned out
 * to be wrong have changed the text in front of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actor/watch.h"

static struct tokenizer *tokenizer;
static struct error err;
static const char *const items[] = {"th", "\xEF\xBF\xBDh"};

static int load(void **state)
{
	(void)state;
	return tokenizer_load(&tokenizer, "tests/golden/tokenizers/byte_fallback", &err) ==
			       STATUS_OK
		       ? 0
		       : -1;
}

static int destroy(void **state)
{
	(void)state;
	tokenizer_destroy(tokenizer);
	return 0;
}

/* pieces: tokens of the completion with spaces between them.  n_stop: how many of the strings
 * count.  ends_at: which token ends it, 0 none. */
static void check(const char *pieces, int n_stop, int min_new_tokens, int ends_at,
		  const char *expected)
{
	const struct stop_strings stop = {items, n_stop};
	const struct watch_options options = {
		.tokenizer = tokenizer, .stop = &stop, .min_new_tokens = min_new_tokens};
	int32_t prompt[] = {tokenizer_token_id(tokenizer, "a", 1)}, completion[16];
	struct request request = {.prompt = prompt, .n_prompt = 1, .completion = completion};
	struct watch watch;
	struct buf text = BUF_INIT;
	int ended = 0;

	watch_begin(&watch, &options, &request);
	for (const char *at = pieces; *at && !ended; at += at[0] == ' ') {
		size_t n = strcspn(at, " ");
		int32_t id = tokenizer_token_id(tokenizer, at, n);
		if (id < 0)
			fail_msg("there is no token %.*s", (int)n, at);
		completion[request.n_completion++] = id;
		ended = watch_token(&request) ? request.n_completion : 0;
		at += n;
	}
	assert_int_equal(ended, ends_at);
	watch_end(&watch);
	buf_append(&text, "", 0);
	watch_text(&watch, tokenizer, &request, &text);
	assert_string_equal(text.data, expected);
	watch_release(&watch);
	buf_release(&text);
}

#define WRONG "\xEF\xBF\xBD" /* U+FFFD */

static void test_a_text_ends_in_front_of_its_stop_string(void **state)
{
	(void)state;
	check("a t h e", 1, 0, 3, "a");
	check("t h", 1, 0, 2, "");
	check("a t e h", 1, 0, 0, "ateh");
	check("a t h e t h", 1, 4, 6, "athe");
	check("<0xC3> <0xA9> t h e", 1, 0, 4, "\xC3\xA9");
}

static void test_bytes_that_turn_out_wrong_move_it(void **state)
{
	(void)state;
	check("<0xC3> <0xA9> <0xFF> t h e", 1, 0, 5, WRONG WRONG WRONG);
	check("e <0xC3> <0xA9> <0xC3> <0xA9> <0xFF> t h e", 1, 0, 8,
	      "e" WRONG WRONG WRONG WRONG WRONG);
	/* Of the string itself a part was a byte that is shown as U+FFFD. */
	check("a <0xFF> h", 2, 0, 3, "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_text_ends_in_front_of_its_stop_string),
		cmocka_unit_test(test_bytes_that_turn_out_wrong_move_it),
	};

	return cmocka_run_group_tests(tests, load, destroy);
}
