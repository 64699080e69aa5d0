/* tokenizer: ids and text equal to the tokenizers library's, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/text/jsonl.h"
#include "common/text/tokenizer.h"
#include "common/text/unicode.h"

static struct error err;

static struct tokenizer *load(const char *dir)
{
	struct tokenizer *tokenizer;

	if (tokenizer_load(&tokenizer, dir, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return tokenizer;
}

/* --- golden values --- */

static void check_ids(const struct ids *ids, const struct json *row, const struct json *source,
		      const char *dir)
{
	struct buf ours = BUF_INIT, theirs = BUF_INIT, text = BUF_INIT;

	json_write_ids(&ours, ids->data, ids->n);
	json_print(json_get(row, "ids"), false, &theirs);
	json_print(source, false, &text);
	if (strcmp(ours.data, theirs.data) != 0)
		fail_msg("%s: %s\n gives  %s\n expected %s", dir, text.data, ours.data,
			 theirs.data);
	buf_release(&ours);
	buf_release(&theirs);
	buf_release(&text);
}

/* The text of ids is what the row says; if it says nothing, the text they came from. */
static void check_text(const struct tokenizer *tokenizer, const struct ids *ids,
		       const struct json *row, const struct json *source, const char *key,
		       bool skip_special)
{
	const struct json *member = json_get(row, key);
	struct buf text = BUF_INIT;
	const char *expected;
	size_t length;

	if (!member)
		member = source;
	if (!member || json_type(member) == JSON_NULL)
		return;
	expected = json_string(member, &length);
	buf_append(&text, "", 0);
	tokenizer_decode(tokenizer, ids->data, ids->n, skip_special, &text);
	if (text.length != length || memcmp(text.data, expected, length) != 0)
		fail_msg("%s gives \"%s\", expected \"%s\"", key, text.data, expected);
	buf_release(&text);
}

/* One row; source is its text where that lies in a file for all, else NULL. */
static void check_row(const struct tokenizer *tokenizer, const struct json *row,
		      const struct json *source, bool add_special, const char *dir)
{
	struct ids ids = {0};
	size_t length;
	const char *text = json_string(source ? source : json_get(row, "text"), &length);

	tokenizer_encode(tokenizer, text, length, add_special, &ids);
	check_ids(&ids, row, source ? source : json_get(row, "text"), dir);
	check_text(tokenizer, &ids, row, source, "decoded", true);
	check_text(tokenizer, &ids, row, source, "whole", false);
	ids_release(&ids);
}

static void read_lines(struct jsonl *jsonl, const char *dir, const char *name)
{
	char *path = path_join(dir, name);

	if (jsonl_read(jsonl, path, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	free(path);
}

/* texts: those of the rows, or NULL where each has its own. */
static void check_golden(const char *dir, const struct jsonl *texts, bool add_special)
{
	struct tokenizer *tokenizer = load(dir);
	struct jsonl jsonl;

	read_lines(&jsonl, dir, "golden.jsonl");
	if (texts)
		assert_int_equal(jsonl.n, texts->n);
	for (size_t i = 0; i < jsonl.n; i++) {
		struct json *row = jsonl_parse(&jsonl, i, &err);
		struct json *source = texts ? jsonl_parse(texts, i, &err) : NULL;
		check_row(tokenizer, row, json_get(source, "text"), add_special, dir);
		json_free(row);
		json_free(source);
	}
	jsonl_release(&jsonl);
	tokenizer_destroy(tokenizer);
}

static void test_ids_and_text_equal_the_library(void **state)
{
	static const char all[] = "tests/golden/tokenizers";
	struct jsonl texts;
	char **names;
	size_t n, checked = 0;
	(void)state;

	read_lines(&texts, all, "texts.jsonl");
	assert_int_equal(file_list(all, &names, &n, &err), STATUS_OK);
	for (size_t i = 0; i < n; i++) {
		char *dir = path_join(all, names[i]);
		if (file_is_dir(dir)) {
			check_golden(dir, &texts, true);
			checked++;
		}
		free(dir);
		free(names[i]);
	}
	free(names);
	jsonl_release(&texts);
	assert_true(checked >= 23);
}

/* Tokenizers of real models, where they lie beside the checkout. */
static void check_beside(const char *dir, bool add_special)
{
	if (!tokenizer_exists(dir))
		skip();
	check_golden(dir, NULL, add_special);
}

static void test_gpt2_equals_the_library(void **state)
{
	(void)state;
	check_beside("../shared/fixtures/tokenizers/gpt2", false);
}

static void test_gpt_neox_equals_the_library(void **state)
{
	(void)state;
	check_beside("../shared/fixtures/tokenizers/gpt-neox", false);
}

static void test_llama_with_byte_fallback_equals_the_library(void **state)
{
	(void)state;
	check_beside("../shared/data/stories260K", true);
}

/* --- identities --- */

static void test_decode_gives_back_any_valid_text(void **state)
{
	struct tokenizer *tokenizer = load("tests/golden/tokenizers/byte_level");
	uint64_t random = 1;
	(void)state;

	for (int i = 0; i < 2000; i++) {
		struct buf text = BUF_INIT, again = BUF_INIT;
		struct ids ids = {0};
		for (int j = 0; j < 20; j++) {
			static const uint32_t most[] = {0x7F, 0x7FF, 0xD7FF, 0x10FFFF};
			random = random * 6364136223846793005u + 1442695040888963407u;
			uint32_t c = (uint32_t)(random >> 33) % (most[random >> 62] + 1);
			if (c < 0xD800 || c > 0xDFFF)
				utf8_append(&text, c);
		}
		tokenizer_encode(tokenizer, text.data, text.length, true, &ids);
		tokenizer_decode(tokenizer, ids.data, ids.n, false, &again);
		assert_int_equal(again.length, text.length);
		assert_memory_equal(again.data, text.data, text.length);
		ids_release(&ids);
		buf_release(&text);
		buf_release(&again);
	}
	tokenizer_destroy(tokenizer);
}

static void check_decoded(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
			  const char *expected)
{
	struct buf text = BUF_INIT;

	tokenizer_decode(tokenizer, ids, n, true, &text);
	assert_string_equal(n ? text.data : "", expected);
	buf_release(&text);
}

static void test_invalid_utf8_is_encoded_as_its_replacement(void **state)
{
	/* one U+FFFD for each maximal part: E2 82, F0 9F, C0, 80, ED, A0 */
	static const char broken[] = "a\xe2\x82z\xf0\x9f\xc0\x80\xed\xa0";
	static const char repaired[] = "a\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
				       "\xef\xbf\xbd\xef\xbf\xbd";
	struct tokenizer *tokenizer = load("tests/golden/tokenizers/byte_level");
	struct ids ids = {0};
	(void)state;

	tokenizer_encode(tokenizer, broken, sizeof broken - 1, false, &ids);
	check_decoded(tokenizer, ids.data, ids.n, repaired);
	ids_release(&ids);
	tokenizer_destroy(tokenizer);
}

static void test_decode_leaves_out_unknown_ids(void **state)
{
	struct tokenizer *tokenizer = load("tests/golden/tokenizers/byte_level");
	(void)state;

	check_decoded(tokenizer, (int32_t[]){'a', -1, 400, INT32_MAX, 399, 'b'}, 6, "ab");
	check_decoded(tokenizer, NULL, 0, "");
	tokenizer_destroy(tokenizer);
}

static void test_each_byte_of_an_invalid_run_is_replaced(void **state)
{
	struct tokenizer *tokenizer = load("tests/golden/tokenizers/byte_fallback");
	int32_t e6 = tokenizer_token_id(tokenizer, "<0xE6>", 6);
	int32_t d = tokenizer_token_id(tokenizer, "d", 1);
	(void)state;

	check_decoded(tokenizer, (int32_t[]){d, e6, e6, d}, 4,
		      "d\xef\xbf\xbd\xef\xbf\xbd"
		      "d");
	check_decoded(tokenizer, (int32_t[]){d, e6, e6 - 0xE6 + 0x9D, e6 - 0xE6 + 0xB1, d}, 5,
		      "d\xe6\x9d\xb1"
		      "d");
	tokenizer_destroy(tokenizer);
}

static void check_completion(const char *dir, const char *text, size_t n_prompt,
			     const char *expected)
{
	struct tokenizer *tokenizer = load(dir);
	struct ids ids = {0};
	struct buf out = BUF_INIT;

	tokenizer_encode(tokenizer, text, strlen(text), true, &ids);
	assert_true(ids.n > n_prompt);
	tokenizer_decode_completion(tokenizer, ids.data, n_prompt, ids.data + n_prompt,
				    ids.n - n_prompt, &out);
	assert_string_equal(out.data, expected);
	ids_release(&ids);
	buf_release(&out);
	tokenizer_destroy(tokenizer);
}

static void test_completion_keeps_its_leading_space(void **state)
{
	(void)state;
	/* <s> _the _harbour */
	check_completion("tests/golden/tokenizers/byte_fallback", "the harbour", 2, " harbour");
}

static void test_completion_takes_a_character_cut_by_the_prompt(void **state)
{
	(void)state;
	/* x, then the four bytes of U+1D4B3, one of which is still the prompt's */
	check_completion("tests/golden/tokenizers/byte_level", "x\xf0\x9d\x92\xb3y", 2,
			 "\xf0\x9d\x92\xb3y");
}

/* --- speed --- */

static void test_a_long_text_without_a_break_is_encoded_quickly(void **state)
{
	static const char *const dirs[] = {"tests/golden/tokenizers/byte_level",
					   "tests/golden/tokenizers/byte_fallback"};
	size_t n = (size_t)1 << 18;
	char *text = xmalloc(n);
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		struct tokenizer *tokenizer = load(dirs[i]);
		struct ids ids = {0};
		double begin = clock_now();
		memset(text, i == 0 ? 'a' : ' ', n);
		tokenizer_encode(tokenizer, text, n, false, &ids);
		assert_true(ids.n > 0);
		/* Sanitizers make it several times slower; quadratic is hours. */
		assert_true(clock_now() - begin < 5);
		ids_release(&ids);
		tokenizer_destroy(tokenizer);
	}
	free(text);
}

static void test_a_hundred_thousand_marks_are_ordered_quickly(void **state)
{
	struct tokenizer *tokenizer = load("tests/golden/tokenizers/digits");
	struct buf text = BUF_INIT;
	struct ids ids = {0};
	double begin = clock_now();
	(void)state;

	for (int i = 0; i < 50000; i++)
		buf_append_string(&text, "\xcc\x81\xcc\xa3"); /* above, below */
	tokenizer_encode(tokenizer, text.data, text.length, false, &ids);
	assert_true(ids.n > 0);
	assert_true(clock_now() - begin < 5);
	ids_release(&ids);
	buf_release(&text);
	tokenizer_destroy(tokenizer);
}

/* --- what is refused --- */

/* A tokenizer.json with two letters; parts that are NULL take what follows. */
struct parts {
	const char *added, *normalizer, *pre_tokenizer, *post_processor, *decoder, *type, *vocab,
		*merges, *flags;
};

static char *compose(struct parts p)
{
	return xasprintf("{\"added_tokens\": [%s], \"normalizer\": %s, \"pre_tokenizer\": %s,"
			 "\"post_processor\": %s, \"decoder\": %s, \"model\": {\"type\": \"%s\","
			 "\"vocab\": {%s}, \"merges\": [%s]%s}}",
			 p.added ? p.added : "", p.normalizer ? p.normalizer : "null",
			 p.pre_tokenizer ? p.pre_tokenizer : "null",
			 p.post_processor ? p.post_processor : "null",
			 p.decoder ? p.decoder : "null", p.type ? p.type : "BPE",
			 p.vocab ? p.vocab : "\"a\": 0, \"b\": 1, \"ab\": 2",
			 p.merges ? p.merges : "\"a b\"", p.flags ? p.flags : "");
}

static struct tokenizer *parse_parts(struct parts parts)
{
	struct tokenizer *tokenizer;
	char *text = compose(parts);

	if (tokenizer_parse(&tokenizer, text, strlen(text), "t.json", &err) != STATUS_OK)
		assert_null(tokenizer);
	free(text);
	return tokenizer;
}

static void check_refused(struct parts parts, const char *sentence)
{
	struct tokenizer *tokenizer = parse_parts(parts);

	if (tokenizer)
		fail_msg("accepted, expected: %s", sentence);
	if (strncmp(err.text, "t.json: ", 8) != 0 || !strstr(err.text, sentence))
		fail_msg("got: %s\nexpected: %s", err.text, sentence);
}

#define PATTERN(regex)                                                                             \
	"{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"" regex "\"" \
	"}}"

static void test_unknown_components_are_refused_by_name(void **state)
{
	(void)state;
	check_refused((struct parts){.type = "Unigram"}, "model.type Unigram is not supported");
	check_refused((struct parts){.type = "WordPiece"}, "model.type WordPiece is not supported");
	check_refused((struct parts){.normalizer = "{\"type\": \"Precompiled\"}"},
		      "normalizer: type Precompiled is not supported");
	check_refused((struct parts){.pre_tokenizer = "{\"type\": \"UnicodeScripts\"}"},
		      "pre_tokenizer: type UnicodeScripts is not supported");
	check_refused((struct parts){.post_processor = "{\"type\": \"Other\"}"},
		      "post_processor: type Other is not supported");
	check_refused((struct parts){.decoder = "{\"type\": \"CTC\"}"},
		      "decoder: type CTC is not supported");
	check_refused((struct parts){.flags = ", \"dropout\": 0.1"},
		      "model.dropout is not supported");
	check_refused((struct parts){.flags = ", \"continuing_subword_prefix\": \"##\""},
		      "model.merges[0]: \"b\" is shorter than the prefix");
}

static void test_patterns_that_engines_read_differently_are_refused(void **state)
{
	(void)state;
	check_refused((struct parts){.pre_tokenizer = PATTERN("(?<=a+)b")}, "does not compile");
	check_refused((struct parts){.pre_tokenizer = PATTERN("a(?i)b|c")}, "(?i)");
	check_refused((struct parts){.pre_tokenizer = PATTERN("[a\\\\W]+")}, "\\W in a class");
	check_refused((struct parts){.pre_tokenizer = PATTERN("(a)\\\\1")}, "\\1");
	check_refused((struct parts){.pre_tokenizer = PATTERN("(*COMMIT)a")}, "(*CO");
	check_refused((struct parts){.pre_tokenizer = PATTERN("[a[^b]]")}, "[^ or [: in a class");
	check_refused((struct parts){.pre_tokenizer = PATTERN("[[:alpha:]]")},
		      "[^ or [: in a class");
	check_refused((struct parts){.pre_tokenizer = PATTERN("[^a&&b]")}, "&& in a class [^...]");
	check_refused((struct parts){.pre_tokenizer = PATTERN("[a[b&&c]]")},
		      "&& in a class within");
	check_refused((struct parts){.pre_tokenizer = PATTERN("[[[[[[[[[a]]]]]]]]]")},
		      "classes so deep");
	check_refused((struct parts){.pre_tokenizer = PATTERN("[a[b]")}, "a class without an end");
	check_refused((struct parts){.pre_tokenizer = PATTERN("a{1,2}+?")}, "a quantifier behind");
	check_refused((struct parts){.pre_tokenizer = PATTERN("(a")}, "does not compile");
	check_refused((struct parts){.pre_tokenizer = PATTERN("a\\\\")}, "a lone backslash");
	check_refused((struct parts){.pre_tokenizer = PATTERN("\\\\p{Nonsense}")},
		      "does not compile");
}

static void test_wrong_ids_are_refused(void **state)
{
	(void)state;
	check_refused((struct parts){.vocab = "", .merges = ""}, "model.vocab is empty");
	check_refused((struct parts){.vocab = "\"a\": -1"}, "a: the id is -1");
	check_refused((struct parts){.vocab = "\"a\": 2147483648"}, "a: the id is 2147483648");
	check_refused((struct parts){.vocab = "\"a\": \"1\""}, "the id is a string");
	check_refused((struct parts){.vocab = "\"a\": 0.5"}, "not a whole number");
	check_refused((struct parts){.vocab = "\"a\": 1, \"b\": 1"}, "have the same id 1");
	check_refused((struct parts){.added = "{\"id\": 9, \"content\": \"<x>\"}"},
		      "added token \"<x>\" has id 9, but its place is 3");
	check_refused((struct parts){.added = "{\"id\": 3, \"content\": \"\"}"},
		      "added_tokens[0]: content is not a string");
	check_refused((struct parts){.added = "{\"id\": 1, \"content\": \"a\"}"},
		      "added token \"a\" has id 1, but its place is 0");
	check_refused((struct parts){.post_processor =
					     "{\"type\": \"TemplateProcessing\", \"single\": ["
					     "{\"SpecialToken\": {\"id\": \"<s>\"}}, "
					     "{\"Sequence\": {\"id\": \"A\"}}], "
					     "\"special_tokens\": {\"<s>\": {\"ids\": [3]}}}"},
		      "id 3 is no token");
}

static void test_wrong_merges_are_refused_with_their_place(void **state)
{
	(void)state;
	check_refused((struct parts){.merges = "\"a b\", \"a c\""},
		      "model.merges[1]: \"c\" is not in the vocabulary");
	check_refused((struct parts){.merges = "[\"b\", \"a\"]"},
		      "model.merges[0]: the result \"ba\" is not in the vocabulary");
	check_refused((struct parts){.merges = "\"a  b\""}, "model.merges[0]: not two tokens");
	check_refused((struct parts){.merges = "[\"a\"]"}, "model.merges[0]: not two tokens");
	check_refused((struct parts){.merges = "\"ab\""}, "model.merges[0]: not two tokens");
	check_refused((struct parts){.merges = "7"}, "model.merges[0]: not two tokens");
}

static void test_ids_may_leave_gaps(void **state)
{
	struct tokenizer *tokenizer =
		parse_parts((struct parts){.vocab = "\"a\": 5, \"b\": 0, \"ab\": 9"});
	struct ids ids = {0};
	(void)state;

	assert_non_null(tokenizer);
	assert_int_equal(tokenizer_size(tokenizer), 10);
	tokenizer_encode(tokenizer, "abxa", 4, true, &ids); /* x is unknown: dropped */
	assert_int_equal(ids.n, 2);
	assert_int_equal(ids.data[0], 9);
	assert_int_equal(ids.data[1], 5);
	check_decoded(tokenizer, (int32_t[]){9, 3, 5}, 3, "ab a");
	ids_release(&ids);
	tokenizer_destroy(tokenizer);
}

static void test_old_files_leave_members_out(void **state)
{
	static const char text[] = "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}}";
	struct tokenizer *tokenizer;
	(void)state;

	assert_int_equal(tokenizer_parse(&tokenizer, text, sizeof text - 1, "t.json", &err),
			 STATUS_OK);
	assert_int_equal(tokenizer_size(tokenizer), 1);
	tokenizer_destroy(tokenizer);
}

static void test_byte_tokens_have_exactly_two_digits(void **state)
{
	static const char vocab[] = "\"<0x41>\": 0, \"<0x+1>\": 1, \"<0xZZ>\": 2, \"<0x1>\": 3, "
				    "\"<0x100>\": 4, \"a\": 5";
	struct tokenizer *tokenizer = parse_parts((struct parts){
		.vocab = vocab,
		.merges = "",
		.decoder =
			"{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"ByteFallback\"}]}"});
	(void)state;

	assert_non_null(tokenizer);
	check_decoded(tokenizer, (int32_t[]){0, 1, 2, 3, 4}, 5, "A<0x+1><0xZZ><0x1><0x100>");
	tokenizer_destroy(tokenizer);
}

static void test_a_pattern_that_explodes_ends(void **state)
{
	struct tokenizer *tokenizer =
		parse_parts((struct parts){.pre_tokenizer = PATTERN("(?:a+)+b")});
	struct buf text = BUF_INIT;
	struct ids ids = {0};
	double begin = clock_now();
	(void)state;

	assert_non_null(tokenizer);
	for (int i = 0; i < 10000; i++)
		buf_append_char(&text, 'a');
	tokenizer_encode(tokenizer, text.data, text.length, false, &ids);
	assert_int_equal(ids.n, 10000);
	assert_true(clock_now() - begin < 5);
	ids_release(&ids);
	buf_release(&text);
	tokenizer_destroy(tokenizer);
}

/* --- the files beside tokenizer.json, and identity --- */

static void put_file(const char *dir, const char *name, const char *text)
{
	char *path = path_join(dir, name);

	assert_int_equal(file_replace(path, text, strlen(text), &err), STATUS_OK);
	free(path);
}

/* NULL and err set if it is refused; config NULL: no such file. */
static struct tokenizer *load_with(const char *config, struct parts parts)
{
	char dir[] = "/tmp/rlhf-test-tokenizer-XXXXXX";
	char *text = compose(parts);
	struct tokenizer *tokenizer;

	assert_non_null(mkdtemp(dir));
	assert_false(tokenizer_exists(dir));
	put_file(dir, "tokenizer.json", text);
	assert_true(tokenizer_exists(dir));
	if (config)
		put_file(dir, "tokenizer_config.json", config);
	if (tokenizer_load(&tokenizer, dir, &err) != STATUS_OK)
		assert_null(tokenizer);
	assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
	free(text);
	return tokenizer;
}

/* vocab.json and merges.txt with what a tokenizer.json says. */
static void put_pair(const char *dir, const char *text, size_t n)
{
	struct json *root = json_parse(text, n, "golden", &err);
	const struct json *model = json_get(root, "model");
	struct buf vocabulary = BUF_INIT, merges = BUF_INIT;

	json_print(json_get(model, "vocab"), true, &vocabulary);
	put_file(dir, "vocab.json", vocabulary.data);
	assert_false(tokenizer_exists(dir));
	buf_append_string(&merges, "#version: 0.2\n");
	for (const struct json *merge = json_first(json_get(model, "merges")); merge;
	     merge = json_next(merge)) {
		if (json_type(merge) == JSON_STRING)
			buf_printf(&merges, "%s\n", json_string(merge, NULL));
		else
			buf_printf(&merges, "%s %s\r\n", json_string(json_at(merge, 0), NULL),
				   json_string(json_at(merge, 1), NULL));
	}
	put_file(dir, "merges.txt", merges.data);
	assert_true(tokenizer_exists(dir));
	buf_release(&vocabulary);
	buf_release(&merges);
	json_free(root);
}

/* The tokenizer of a golden directory with the row's files beside it. */
static struct tokenizer *load_row(const struct json *row)
{
	char dir[] = "/tmp/rlhf-test-tokenizer-XXXXXX", name[64];
	struct tokenizer *tokenizer;
	struct buf text = BUF_INIT;

	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof name, "tests/golden/tokenizers/%s/tokenizer.json",
		 json_string(json_get(row, "tokenizer"), NULL));
	assert_int_equal(file_read(name, 1 << 24, &text, &err), STATUS_OK);
	if (json_get(row, "is_pair"))
		put_pair(dir, text.data, text.length);
	else
		put_file(dir, "tokenizer.json", text.data);
	for (const struct json *file = json_first(json_get(row, "files")); file;
	     file = json_next(file)) {
		buf_reset(&text);
		json_print(file, false, &text);
		put_file(dir, json_key(file), text.data);
	}
	tokenizer = load(dir);
	assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
	buf_release(&text);
	return tokenizer;
}

static void check_names(const struct tokenizer *tokenizer, const struct json *names)
{
	int32_t found[] = {tokenizer_bos(tokenizer), tokenizer_eos(tokenizer),
			   tokenizer_pad(tokenizer)};
	const struct json *name = json_first(names);

	for (int i = 0; i < 3 && name; i++, name = json_next(name))
		assert_int_equal(found[i], json_number(name));
}

static void test_files_beside_change_what_transformers_changes(void **state)
{
	struct jsonl jsonl;
	(void)state;

	read_lines(&jsonl, "tests/golden/tokenizers", "configs.jsonl");
	for (size_t i = 0; i < jsonl.n; i++) {
		struct json *row = jsonl_parse(&jsonl, i, &err);
		struct tokenizer *tokenizer = load_row(row);
		struct buf where = BUF_INIT;
		json_print(json_get(row, "files"), false, &where);
		check_names(tokenizer, json_get(row, "names"));
		for (const struct json *text = json_first(json_get(row, "rows")); text;
		     text = json_next(text))
			check_row(tokenizer, text, NULL, true, where.data);
		buf_release(&where);
		tokenizer_destroy(tokenizer);
		json_free(row);
	}
	assert_true(jsonl.n >= 45);
	jsonl_release(&jsonl);
}

static void check_refused_pair(const char *vocabulary, const char *merges, const char *config,
			       const char *sentence)
{
	char dir[] = "/tmp/rlhf-test-tokenizer-XXXXXX";
	struct tokenizer *tokenizer;

	assert_non_null(mkdtemp(dir));
	put_file(dir, "vocab.json", vocabulary);
	put_file(dir, "merges.txt", merges);
	put_file(dir, "tokenizer_config.json", config);
	assert_int_equal(tokenizer_load(&tokenizer, dir, &err), STATUS_BAD_INPUT);
	assert_null(tokenizer);
	if (!strstr(err.text, sentence))
		fail_msg("got: %s\nexpected: %s", err.text, sentence);
	assert_int_equal(tokenizer_exists(dir), !strstr(config, "class"));
	assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
}

static void test_a_pair_of_files_that_is_none_is_refused_by_name(void **state)
{
	static const char vocabulary[] = "{\"a\": 0, \"b\": 1, \"ab\": 2}";
	(void)state;

	check_refused_pair("[]", "a b\n", "{}", "vocab.json: an array, expected an object");
	check_refused_pair("{\"a\": ", "a b\n", "{}", "vocab.json");
	check_refused_pair("{\"a\": 0}, \"x\": {}", "a b\n", "{}", "vocab.json");
	check_refused_pair(vocabulary, "#version: 0.2\na b\nab\n", "{}",
			   "merges.txt: line 3: expected two pieces and a space");
	check_refused_pair(vocabulary, "a b b\n", "{}", "merges.txt: line 1: expected two");
	check_refused_pair(vocabulary, " b\n", "{}", "merges.txt: line 1: expected two");
	check_refused_pair(vocabulary, "a \n", "{}", "merges.txt: line 1: expected two");
	check_refused_pair(vocabulary, "a b\na c\n", "{}", "model.merges[1]");
	check_refused_pair(vocabulary, "a b\n", "{\"tokenizer_class\": \"LlamaTokenizer\"}",
			   "a LlamaTokenizer without tokenizer.json is not supported");
	check_refused_pair(vocabulary, "a b\n", "{\"tokenizer_class\": \"OtherTokenizer\"}",
			   "a OtherTokenizer without tokenizer.json is not supported");
}

static const struct parts WITH_BOS = {
	.added = "{\"id\": 3, \"content\": \"<s>\", \"special\": true}, "
		 "{\"id\": 4, \"content\": \"</s>\", \"special\": true}",
	.post_processor = "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "
			  "{\"id\": \"<s>\"}}, {\"Sequence\": {\"id\": \"A\"}}], "
			  "\"special_tokens\": {\"<s>\": {\"ids\": [3]}}}"};

static void check_special(const char *config, int32_t bos, int32_t eos, int32_t pad,
			  const char *expected)
{
	struct tokenizer *tokenizer = load_with(config, WITH_BOS);
	struct buf text = BUF_INIT;
	struct ids ids = {0};

	if (!tokenizer)
		fail_msg("%s", err.text);
	assert_int_equal(tokenizer_bos(tokenizer), bos);
	assert_int_equal(tokenizer_eos(tokenizer), eos);
	assert_int_equal(tokenizer_pad(tokenizer), pad);
	tokenizer_encode(tokenizer, "b", 1, true, &ids);
	json_write_ids(&text, ids.data, ids.n);
	assert_string_equal(text.data, expected);
	buf_release(&text);
	ids_release(&ids);
	tokenizer_destroy(tokenizer);
}

static void test_config_names_special_tokens(void **state)
{
	(void)state;
	check_special(NULL, -1, -1, -1, "[3,1]");
	check_special("{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\"}, "
		      "\"pad_token\": null}",
		      3, 4, -1, "[3,1]");
	check_special("{\"eos_token\": \"b\", \"pad_token\": \"<pad>\"}", -1, 1, 5, "[3,1]");
}

static void check_config_refused(const char *config, const char *why)
{
	assert_null(load_with(config, WITH_BOS));
	if (!strstr(err.text, why))
		fail_msg("%s, expected %s", err.text, why);
}

static void test_a_damaged_config_is_refused_with_its_member(void **state)
{
	char key[1200], config[1300];
	(void)state;

	check_config_refused("[]", "tokenizer_config.json: an array, expected an object");
	check_config_refused("{\"bos_token\": 3}",
			     "tokenizer_config.json: bos_token is a number, expected a token");
	check_config_refused("{\"pad_token\": {}}", "pad_token is an object, expected a token");
	check_config_refused("{\"added_tokens_decoder\": []}", "added_tokens_decoder is an array");
	check_config_refused("{\"added_tokens_decoder\": {\"5\": \"<x>\"}}",
			     "an added token is a string, expected an object");
	check_config_refused("{\"added_tokens_decoder\": {\"-1\": {\"content\": \"<x>\"}}}",
			     "the key \"-1\", expected an id from 0 to");
	check_config_refused(
		"{\"added_tokens_decoder\": {\"5\": {\"content\": \"<x>\", \"lstrip\": 1}}}",
		"lstrip is a number");
	check_config_refused("{\"additional_special_tokens\": \"<x>\"}",
			     "additional_special_tokens is a string, expected an array");
	check_config_refused("{\"extra_special_tokens\": 1}",
			     "extra_special_tokens is a number, expected an array or an object");
	check_config_refused("{\"split_special_tokens\": 1}", "split_special_tokens is a number");
	memset(key, 'x', sizeof key - 1);
	key[sizeof key - 1] = '\0';
	snprintf(config, sizeof config, "{\"pad_token\": \"%s\"}", key);
	check_config_refused(config, "adds a token of 1199 bytes, the most is 1024");
}

/* The classes whose template transformers 4 makes from the switches, and the others, which
 * neither version does. */
static void test_switches_overrule_the_template_of_some_classes(void **state)
{
	static const char *const heeding[] = {"LlamaTokenizer",	    "LlamaTokenizerFast",
					      "GemmaTokenizerFast", "CohereTokenizer",
					      "CodeLlamaTokenizer", "GPTNeoXTokenizerFast"};
	static const char *const others[] = {"PreTrainedTokenizerFast", "GPT2Tokenizer",
					     "GPT2TokenizerFast", "Qwen2Tokenizer",
					     "TokenizersBackend"};
	char config[256];
	(void)state;

	check_special("{\"bos_token\": \"<s>\", \"add_bos_token\": false}", 3, -1, -1, "[1]");
	check_special("{\"eos_token\": \"</s>\", \"add_eos_token\": true}", -1, 4, -1, "[3,1,4]");
	for (int i = 0; i < 11; i++) {
		bool heeds = i < 6;
		snprintf(config, sizeof config,
			 "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"unk_token\": null, "
			 "\"pad_token\": null, \"add_bos_token\": "
			 "false, \"add_eos_token\": true, \"tokenizer_class\": \"%s\"}",
			 heeds ? heeding[i] : others[i - 6]);
		check_special(config, 3, 4, -1, heeds ? "[1,4]" : "[3,1]");
	}
	check_special("{\"tokenizer_class\": \"GPTNeoXTokenizer\", \"bos_token\": \"<s>\"}", 3, 5,
		      6, "[1]");
	check_special("{\"tokenizer_class\": \"LlamaTokenizer\"}", 3, 4, -1, "[3,1]");
}

static void test_a_missing_file_is_named(void **state)
{
	struct tokenizer *tokenizer;
	(void)state;

	assert_int_equal(tokenizer_load(&tokenizer, "/nonexistent", &err), STATUS_BAD_INPUT);
	assert_null(tokenizer);
	assert_non_null(strstr(err.text, "/nonexistent/tokenizer.json"));
}

static void check_identity(struct parts a, struct parts b, bool is_equal)
{
	struct tokenizer *first = parse_parts(a), *second = parse_parts(b);

	assert_non_null(first);
	assert_non_null(second);
	assert_int_equal(strlen(tokenizer_identity(first)), 64);
	assert_int_equal(strcmp(tokenizer_identity(first), tokenizer_identity(second)) == 0,
			 is_equal);
	tokenizer_destroy(first);
	tokenizer_destroy(second);
}

static void check_config_identity(const char *a, const char *b, bool is_equal)
{
	struct tokenizer *first = load_with(a, WITH_BOS), *second = load_with(b, WITH_BOS);

	assert_non_null(first);
	assert_non_null(second);
	assert_int_equal(strcmp(tokenizer_identity(first), tokenizer_identity(second)) == 0,
			 is_equal);
	tokenizer_destroy(first);
	tokenizer_destroy(second);
}

static void test_identity_covers_the_files_beside(void **state)
{
	(void)state;
	check_config_identity(NULL, "{\"bos_token\": \"<s>\"}", true);
	check_config_identity(NULL, "{\"pad_token\": \"<pad>\"}", false);
	check_config_identity(NULL, "{\"pad_token\": \"a\"}", false);
	check_config_identity(NULL, "{\"split_special_tokens\": true}", false);
	check_config_identity("{\"split_special_tokens\": false}", NULL, true);
}

static void test_ids_are_compared_with_the_files_beside(void **state)
{
	char dirs[2][32] = {"/tmp/rlhf-test-tokenizer-XXXXXX", "/tmp/rlhf-test-tokenizer-XXXXXX"};
	char *text = compose(WITH_BOS);
	bool same = false;
	(void)state;

	for (int i = 0; i < 2; i++) {
		assert_non_null(mkdtemp(dirs[i]));
		put_file(dirs[i], "tokenizer.json", text);
	}
	put_file(dirs[0], "tokenizer_config.json", "{\"model_max_length\": 10}");
	assert_int_equal(tokenizer_compare_ids(dirs[0], dirs[1], &same, &err), STATUS_OK);
	assert_true(same);
	put_file(dirs[0], "tokenizer_config.json", "{\"pad_token\": \"<pad>\"}");
	assert_int_equal(tokenizer_compare_ids(dirs[0], dirs[1], &same, &err), STATUS_OK);
	assert_false(same);
	for (int i = 0; i < 2; i++)
		assert_int_equal(file_remove_tree(dirs[i], &err), STATUS_OK);
	free(text);
}

static void test_identity_tells_behaviour_apart_and_nothing_else(void **state)
{
	struct parts plain = {0};
	(void)state;

	check_identity(plain, plain, true);
	check_identity(plain, (struct parts){.merges = "[\"a\", \"b\"]"}, true);
	check_identity(plain, (struct parts){.vocab = "\"ab\": 2, \"b\": 1, \"a\": 0"}, true);
	check_identity(plain, (struct parts){.flags = ", \"fuse_unk\": false"}, true);
	check_identity(plain, (struct parts){.merges = ""}, false);
	check_identity(plain, (struct parts){.vocab = "\"a\": 1, \"b\": 0, \"ab\": 2"}, false);
	check_identity(plain, (struct parts){.normalizer = "{\"type\": \"NFC\"}"}, false);
	check_identity(plain, (struct parts){.flags = ", \"ignore_merges\": true"}, false);
	check_identity(plain, (struct parts){.pre_tokenizer = PATTERN("a")}, false);
	check_identity(plain, WITH_BOS, false);
	check_identity((struct parts){.added = WITH_BOS.added}, WITH_BOS, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_and_text_equal_the_library),
		cmocka_unit_test(test_gpt2_equals_the_library),
		cmocka_unit_test(test_gpt_neox_equals_the_library),
		cmocka_unit_test(test_llama_with_byte_fallback_equals_the_library),
		cmocka_unit_test(test_decode_gives_back_any_valid_text),
		cmocka_unit_test(test_invalid_utf8_is_encoded_as_its_replacement),
		cmocka_unit_test(test_decode_leaves_out_unknown_ids),
		cmocka_unit_test(test_each_byte_of_an_invalid_run_is_replaced),
		cmocka_unit_test(test_completion_keeps_its_leading_space),
		cmocka_unit_test(test_completion_takes_a_character_cut_by_the_prompt),
		cmocka_unit_test(test_a_long_text_without_a_break_is_encoded_quickly),
		cmocka_unit_test(test_a_hundred_thousand_marks_are_ordered_quickly),
		cmocka_unit_test(test_unknown_components_are_refused_by_name),
		cmocka_unit_test(test_patterns_that_engines_read_differently_are_refused),
		cmocka_unit_test(test_wrong_ids_are_refused),
		cmocka_unit_test(test_wrong_merges_are_refused_with_their_place),
		cmocka_unit_test(test_ids_may_leave_gaps),
		cmocka_unit_test(test_old_files_leave_members_out),
		cmocka_unit_test(test_byte_tokens_have_exactly_two_digits),
		cmocka_unit_test(test_a_pattern_that_explodes_ends),
		cmocka_unit_test(test_files_beside_change_what_transformers_changes),
		cmocka_unit_test(test_a_pair_of_files_that_is_none_is_refused_by_name),
		cmocka_unit_test(test_config_names_special_tokens),
		cmocka_unit_test(test_a_damaged_config_is_refused_with_its_member),
		cmocka_unit_test(test_switches_overrule_the_template_of_some_classes),
		cmocka_unit_test(test_a_missing_file_is_named),
		cmocka_unit_test(test_identity_tells_behaviour_apart_and_nothing_else),
		cmocka_unit_test(test_identity_covers_the_files_beside),
		cmocka_unit_test(test_ids_are_compared_with_the_files_beside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
