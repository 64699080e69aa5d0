/* tokenizer.model gives the ids that SentencePiece gives, and no damaged file does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/text/jsonl.h"
#include "common/text/sentencepiece.h"
#include "common/text/tokenizer.h"

#define GOLDEN "tests/golden/sentencepiece/"

static struct error err;

/* --- golden values --- */

static void check_row(const struct tokenizer *tokenizer, const struct json *row, const char *key)
{
	struct buf ours = BUF_INIT, theirs = BUF_INIT, decoded = BUF_INIT;
	struct ids ids = {0};
	size_t n;
	const char *text = json_string(json_get(row, "text"), &n), *expected;

	tokenizer_encode(tokenizer, text, n, true, &ids);
	json_write_ids(&ours, ids.data, ids.n);
	json_print(json_get(row, key), false, &theirs);
	if (strcmp(ours.data, theirs.data) != 0)
		fail_msg("\"%s\" gives %s, expected %s", text, ours.data, theirs.data);
	if (strcmp(key, "ids") == 0) {
		expected = json_string(json_get(row, "decoded"), &n);
		buf_append(&decoded, "", 0);
		tokenizer_decode(tokenizer, ids.data, ids.n, true, &decoded);
		if (decoded.length != n || memcmp(decoded.data, expected, n) != 0)
			fail_msg("%s is \"%s\", expected \"%s\"", ours.data, decoded.data,
				 expected);
	}
	ids_release(&ids);
	buf_release(&ours);
	buf_release(&theirs);
	buf_release(&decoded);
}

/* config NULL: the one that is there. */
static struct tokenizer *load(const char *name, const char *config)
{
	char dir[] = "/tmp/rlhf-test-sentencepiece-XXXXXX", *source = path_join(GOLDEN, name);
	char *from = path_join(source, "tokenizer.model"), *to;
	struct tokenizer *tokenizer;

	assert_non_null(mkdtemp(dir));
	to = path_join(dir, "tokenizer.model");
	assert_int_equal(file_copy(from, to, &err), STATUS_OK);
	free(from);
	free(to);
	from = path_join(source, "tokenizer_config.json");
	to = path_join(dir, "tokenizer_config.json");
	assert_int_equal(config ? file_replace(to, config, strlen(config), &err)
				: file_copy(from, to, &err),
			 STATUS_OK);
	if (tokenizer_load(&tokenizer, dir, &err) != STATUS_OK)
		assert_null(tokenizer);
	assert_int_equal(file_remove_tree(dir, &err), STATUS_OK);
	free(from);
	free(to);
	free(source);
	return tokenizer;
}

static void check_golden(const char *name, const char *config, const char *key)
{
	struct tokenizer *tokenizer = load(name, config);
	char *dir = path_join(GOLDEN, name), *path = path_join(dir, "golden.jsonl");
	struct jsonl jsonl;

	if (!tokenizer)
		fail_msg("%s", err.text);
	assert_int_equal(jsonl_read(&jsonl, path, &err), STATUS_OK);
	assert_true(jsonl.n > 200);
	for (size_t i = 0; i < jsonl.n; i++) {
		struct json *row = jsonl_parse(&jsonl, i, &err);
		check_row(tokenizer, row, key);
		json_free(row);
	}
	jsonl_release(&jsonl);
	tokenizer_destroy(tokenizer);
	free(path);
	free(dir);
}

static void test_ids_and_texts_are_those_of_sentencepiece(void **state)
{
	(void)state;
	check_golden("llama", NULL, "ids");
	check_golden("gemma", NULL, "ids");
	check_golden("llama", "{}", "ids");
	check_golden("llama", "{\"tokenizer_class\": \"LlamaTokenizerFast\", \"legacy\": true}",
		     "ids");
	check_golden("llama", "{\"legacy\": false}", "first");
}

static void check_ids(const char *config, const char *text, const char *expected)
{
	struct tokenizer *tokenizer = load("llama", config);
	struct buf ours = BUF_INIT;
	struct ids ids = {0};

	if (!tokenizer)
		fail_msg("%s", err.text);
	tokenizer_encode(tokenizer, text, strlen(text), true, &ids);
	json_write_ids(&ours, ids.data, ids.n);
	assert_string_equal(ours.data, expected);
	assert_string_equal(tokenizer_algorithm(tokenizer), "BPE with byte fallback");
	buf_release(&ours);
	ids_release(&ids);
	tokenizer_destroy(tokenizer);
}

static void test_switches_beside_it_are_heeded(void **state)
{
	(void)state;
	check_ids("{}", "", "[1]");
	check_ids("{\"add_bos_token\": false}", "", "[]");
	check_ids("{\"add_eos_token\": true}", "", "[1,2]");
	check_ids("{\"add_eos_token\": true}", "</s><unk>", "[1,2,0,2]");
	check_ids("{}", " ", "[1,262]");
	check_ids("{\"legacy\": false}", " ", "[1,521]");
	check_ids("{\"add_prefix_space\": false}", " ", "[1,521]");
	assert_null(load("llama", "{\"legacy\": 1}"));
	assert_non_null(strstr(err.text, "tokenizer_config.json: legacy is a number"));
	assert_null(load("llama", "{\"tokenizer_class\": \"T5Tokenizer\"}"));
	assert_non_null(strstr(err.text, "a T5Tokenizer without tokenizer.json"));
}

/* --- damaged files --- */

static enum status try(const char *bytes, size_t n)
{
	struct buf json = BUF_INIT;
	enum status status =
		sentencepiece_append_json(&json, bytes, n, (struct sentencepiece_start){0}, &err);

	if (status == STATUS_OK)
		json_free(json_parse(json.data, json.length, "json", &err));
	buf_release(&json);
	return status;
}

static void check_refused(const char *bytes, size_t n, const char *sentence)
{
	assert_int_equal(try(bytes, n), STATUS_BAD_INPUT);
	if (!strstr(err.text, sentence))
		fail_msg("got: %s\nexpected: %s", err.text, sentence);
}

#define CHECK(bytes, sentence) check_refused(bytes, sizeof(bytes) - 1, sentence)
#define READ(bytes) assert_int_equal(try(bytes, sizeof(bytes) - 1), STATUS_OK)
/* A piece of one letter, one of that kind, the unknown one; how a model was trained; that spaces
 * are not dropped. */
#define PIECE(letter) "\x0a\x03\x0a\x01" letter
#define KIND(letter, kind) "\x0a\x05\x0a\x01" letter "\x18" kind
#define UNKNOWN KIND("?", "\x02")
#define IS_BPE "\x12\x02\x18\x02"
#define KEEPS_SPACES "\x1a\x02\x20\x00"

static void test_what_is_no_bpe_is_refused_with_the_reason(void **state)
{
	(void)state;
	CHECK("", "is no model of SentencePiece");
	CHECK("IQ== 0\nIg== 1\n", "is no model of SentencePiece");
	CHECK(PIECE("a"), "its algorithm is 1, unigram, expected 2, BPE");
	CHECK(PIECE("a") "\x12\x02\x18\x04", "its algorithm is 4, expected");
	CHECK(PIECE("a") IS_BPE, "by dropping spaces");
	CHECK(PIECE("a") IS_BPE "\x1a\x05\x12\x01x\x20\x00", "by a table of characters");
	CHECK(PIECE("a") IS_BPE "\x1a\x04\x20\x00\x28\x00", "by leaving spaces as they are");
	READ(UNKNOWN PIECE("a") IS_BPE KEEPS_SPACES);
	CHECK(UNKNOWN PIECE("a") PIECE("b") PIECE("a") IS_BPE KEEPS_SPACES,
	      "piece 3 is there twice");
	CHECK(PIECE("\x00") IS_BPE KEEPS_SPACES, "piece 0 is no text");
	CHECK(PIECE("\xff") IS_BPE KEEPS_SPACES, "piece 0 is no text");
	CHECK("\x0a\x00" IS_BPE KEEPS_SPACES, "piece 0 is no text");
	CHECK("\x0a\x05\x0a\x01g\x18\x05" IS_BPE KEEPS_SPACES, "piece 0 is of kind 5");
	CHECK("\x0a\x08\x0a\x01g\x15\x00\x00\xc0\x7f" IS_BPE KEEPS_SPACES, "score of piece 0");
	CHECK("\x0a\x05\x0a\x01g\x18\x02\x0a\x05\x0a\x01h\x18\x02" IS_BPE KEEPS_SPACES,
	      "pieces 0 and 1 are both the unknown one");
	CHECK(PIECE("a") "\x12\x7f", "is no model of SentencePiece, or damaged");
	CHECK(PIECE("a") "\x13", "is no model of SentencePiece, or damaged");
}

/* A model with byte_fallback and n pieces of that kind, whose texts are a format of their number.
 */
static void put_bytes(struct buf *model, int n, const char *format)
{
	static const char end[] = "\x12\x05\x18\x02\x98\x02\x01" KEEPS_SPACES;

	buf_reset(model);
	for (int i = 0; i < n; i++) {
		char text[16];
		int length = snprintf(text, sizeof text, format, i);

		buf_printf(model, "\x0a%c\x0a%c%s\x18\x06", length + 4, length, text);
	}
	buf_append(model, end, sizeof end - 1);
}

/* As by sentencepiece 0.2.3. */
static void test_what_sentencepiece_does_not_load_is_refused(void **state)
{
	struct buf model = BUF_INIT;

	(void)state;
	CHECK(PIECE("a") IS_BPE KEEPS_SPACES, "no piece is the unknown one, expected one without");
	CHECK(UNKNOWN KIND("b", "\x06") IS_BPE KEEPS_SPACES,
	      "piece 1 stands for a byte, expected none without byte_fallback");
	put_bytes(&model, 256, "<0x%02X>");
	assert_int_equal(try(model.data, model.length), STATUS_OK);
	put_bytes(&model, 255, "<0x%02X>");
	check_refused(model.data, model.length, "255 pieces stand for bytes, expected 256");
	put_bytes(&model, 257, "<0x%02X>");
	check_refused(model.data, model.length, "piece 256 stands for a byte and is \"<0x100>\"");
	put_bytes(&model, 256, "<0x%02x>");
	check_refused(model.data, model.length, "piece 10 stands for a byte and is \"<0x0a>\"");
	buf_release(&model);
}

/* A piece of two letters and its score, -1; one of the user's. */
#define SCORED(letters) "\x0a\x09\x0a\x02" letters "\x15\x00\x00\x80\xbf"
#define USERS(letters) "\x0a\x08\x0a\x04" letters "\x18\x04"
#define NO_PREFIX "\x1a\x04\x18\x00\x20\x00"

static void test_what_no_list_of_merges_says_is_refused(void **state)
{
	static const char legacy[] = UNKNOWN PIECE("a") USERS("<ab>") IS_BPE KEEPS_SPACES;
	struct buf json = BUF_INIT;
	(void)state;

	CHECK(UNKNOWN PIECE("a") PIECE("b") SCORED("ab") SCORED("ba") IS_BPE KEEPS_SPACES,
	      "piece 4 and another have the score -1");
	READ(UNKNOWN PIECE("a") SCORED("aa") SCORED("bb") IS_BPE KEEPS_SPACES); /* there is no b */
	CHECK(PIECE("a") "\x12\x05\x18\x02\xc0\x01\x01" KEEPS_SPACES, "words end with a space");
	CHECK(UNKNOWN PIECE("a") USERS("<a b") IS_BPE NO_PREFIX,
	      "piece 2 is user-defined and has a space");
	CHECK(UNKNOWN PIECE("a") USERS("\xe2\x96\x81"
				       "b") IS_BPE NO_PREFIX,
	      "piece 2 is user-defined");
	assert_int_equal(sentencepiece_append_json(&json, legacy, sizeof legacy - 1,
						   (struct sentencepiece_start){.is_legacy = true},
						   &err),
			 STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "piece 2 is user-defined and texts begin with a space"));
	assert_int_equal(try(legacy, sizeof legacy - 1), STATUS_OK);
	buf_release(&json);
}

static void test_no_damage_does_harm(void **state)
{
	struct buf bytes = BUF_INIT;
	(void)state;

	assert_int_equal(file_read(GOLDEN "gemma/tokenizer.model", 1 << 20, &bytes, &err),
			 STATUS_OK);
	for (size_t n = 0; n < bytes.length; n += n < 300 || n > bytes.length - 300 ? 1 : 61) {
		char *cut = malloc(n + 1); /* so that a sanitizer sees reads past the end */
		memcpy(cut, bytes.data, n);
		try(cut, n);
		free(cut);
	}
	for (size_t i = 0; i < bytes.length; i += 17) {
		char byte = bytes.data[i];
		bytes.data[i] = (char)(byte ^ (1 << i % 8));
		try(bytes.data, bytes.length);
		bytes.data[i] = byte;
	}
	assert_int_equal(try(bytes.data, bytes.length), STATUS_OK);
	buf_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_and_texts_are_those_of_sentencepiece),
		cmocka_unit_test(test_switches_beside_it_are_heeded),
		cmocka_unit_test(test_what_is_no_bpe_is_refused_with_the_reason),
		cmocka_unit_test(test_what_sentencepiece_does_not_load_is_refused),
		cmocka_unit_test(test_what_no_list_of_merges_says_is_refused),
		cmocka_unit_test(test_no_damage_does_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
