/* json: what is accepted, refused and where, and texts that read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/rng.h"

static struct error err;

static struct json *parse(const char *text)
{
	struct json *root = json_parse(text, strlen(text), "t", &err);
	if (!root)
		fail_msg("%s", err.text);
	return root;
}

static void check_print(const struct json *root, const char *expected)
{
	struct buf out = BUF_INIT;
	json_print(root, false, &out);
	assert_string_equal(out.data, expected);
	buf_release(&out);
}

static void test_parse_gives_the_values(void **state)
{
	(void)state;
	struct json *root = parse(" {\"a\": [1, -2.5e1, true, null, \"\\u00e9\\ud83d\\ude00\\n\"],"
				  "\"b\":{}, \"c\":false}\n");
	const struct json *a = json_get(root, "a");
	assert_int_equal(json_type(a), JSON_ARRAY);
	assert_int_equal(json_count(a), 5);
	int64_t integer = 0;
	assert_true(json_int64(json_first(a), &integer) && integer == 1);
	assert_true(json_number(json_at(a, 1)) == -25);
	assert_true(json_bool(json_at(a, 2)));
	assert_int_equal(json_type(json_at(a, 3)), JSON_NULL);
	size_t length;
	assert_string_equal(json_string(json_at(a, 4), &length), "\u00e9\U0001F600\n");
	assert_int_equal(length, 7);
	assert_null(json_at(a, 5));
	assert_null(json_get(root, "A"));
	assert_null(json_get(a, "a"));
	assert_null(json_get(NULL, "a"));
	assert_null(json_first(NULL));
	assert_string_equal(json_key(json_next(a)), "b");
	assert_string_equal(json_type_name(json_get(root, "c")), "true or false");
	assert_false(json_bool(json_get(root, "c")));
	assert_null(json_first(json_get(root, "b")));
	json_free(root);
}

struct refusal {
	const char *text, *message;
};

static void check_refused(const struct refusal *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		err.text[0] = '\0';
		struct json *root = json_parse(cases[i].text, strlen(cases[i].text), "t", &err);
		if (root || !strstr(err.text, cases[i].message))
			fail_msg("%s: \"%s\" without \"%s\"", cases[i].text, err.text,
				 cases[i].message);
		assert_null(json_parse(cases[i].text, strlen(cases[i].text), "t", NULL));
	}
}

static void test_parse_refuses_with_line_and_column(void **state)
{
	(void)state;
	static const struct refusal cases[] = {
		{"", "t: line 1, column 1: expected a value, found the end"},
		{" \n ", "line 2, column 2: expected a value, found the end"},
		{"\xef\xbb\xbf{}", "byte order mark"},
		{"{\n  \"a\": 1,\n  \"\u00e9\": x}",
		 "line 3, column 8: expected a value, found 'x'"},
		{"{\"x\":1}garbage", "line 1, column 8: expected nothing after the value"},
		{"[1,]", "column 3: a comma with nothing behind it"},
		{"{\"a\":1,}", "column 7: a comma with nothing behind it"},
		{"{\"a\" 1}", "expected ':'"},
		{"{'a':1}", "double quotes"},
		{"['a']", "double quotes"},
		{"{a:1}", "expected a key in double quotes"},
		{"[1 2]", "expected ',' or ']', found '2'"},
		{"[1", "found the end"},
		{"{\"a\":1 // c\n}", "comments are not JSON"},
		{"# c\n1", "comments are not JSON"},
		{"{\"lr\": \"1e-", "column 8: the string that begins here does not end"},
		{"\"\\", "not an escape"},
		{"\"\\q\"", "not an escape"},
		{"\"\\u12g4\"", "hexadecimal"},
		{"\"\\u12", "hexadecimal"},
		{"\"a\tb\"", "column 3: the byte 0x09 in a string must be escaped"},
		{"\"\\ud800\"", "half of a surrogate pair"},
		{"\"\\udc00\"", "half of a surrogate pair"},
		{"\"\\ud800\\u0041\"", "half of a surrogate pair"},
		{"\"\xff\"", "0xff is not UTF-8"},
		{"\"\xc0\xaf\"", "not UTF-8"},
		{"\"\xc0\x80\"", "not UTF-8"},
		{"\"\xe0\x80\xaf\"", "not UTF-8"},
		{"\"\xed\xa0\x80\"", "not UTF-8"},
		{"\"\xf4\x90\x80\x80\"", "not UTF-8"},
		{"\"\xe2\x82\"", "not UTF-8"},
		{"\"\xe2\x82", "not UTF-8"},
		{"tru", "expected a value"},
		{"\xc3\xa9", "expected a value, found the byte 0xc3"},
	};
	check_refused(cases, sizeof cases / sizeof *cases);
	assert_null(json_parse("[\"\0\"]", 5, "t", &err));
	assert_non_null(strstr(err.text, "0x00"));
	assert_null(json_parse("1\0", 2, "t", &err));
}

static void test_parse_refuses_numbers_outside_the_grammar(void **state)
{
	(void)state;
	static const struct refusal cases[] = {
		{"01", "leading zero"},
		{"-01", "leading zero"},
		{"+1", "a number starts with"},
		{".5", "a number starts with"},
		{"1.", "expected a digit"},
		{"1.e3", "expected a digit"},
		{"-", "expected a digit"},
		{"1e", "expected a digit"},
		{"0x10", "found 'x'"},
		{"NaN", "NaN is not a JSON number"},
		{"[-Infinity]", "-Infinity is not a JSON number"},
		{"1e400", "out of range"},
		{"1234567890123456789012345678901234567890123456789012345678901234",
		 "more than 63 characters"},
	};
	check_refused(cases, sizeof cases / sizeof *cases);
	size_t n = 1 << 20;
	char *digits = malloc(n);
	memset(digits, '1', n);
	assert_null(json_parse(digits, n, "t", &err));
	free(digits);
}

static void test_int64_is_exact_or_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
		int64_t value;
	} cases[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"30.0", true, 30},
		{"1e3", true, 1000},
		{"9007199254740991", true, 9007199254740991},
		{"-9007199254740991", true, -9007199254740991},
		{"9007199254740993", false, 0},
		{"18446744073709551616", false, 0},
		{"0.5", false, 0},
		{"\"1\"", false, 0},
		{"true", false, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct json *root = parse(cases[i].text);
		int64_t value = 0;
		assert_int_equal(json_int64(root, &value), cases[i].ok);
		assert_true(value == cases[i].value);
		json_free(root);
	}
}

static void test_duplicate_keys_are_refused_at_any_level(void **state)
{
	(void)state;
	static const struct refusal cases[] = {
		{"{\"seed\":1,\n\"seed\":2}",
		 "t: line 2, column 1: the key \"seed\" is there twice, first at line 1, column 2"},
		{"[{\"a\":{\"k\":1,\"b\":[{\"k\":2}],\n \"\\u006b\":3}}]",
		 "line 2, column 2: the key \"\\u006b\" is there twice, first at line 1, column 8"},
		{"{\"a\\u0000\":1,\"a\\u0000\":2}", "twice"},
	};
	check_refused(cases, sizeof cases / sizeof *cases);
	json_free(parse("{\"a\":{\"a\":1},\"A\":{\"a\":2},\"a\\u0000\":1}"));
}

static void test_depth_is_capped(void **state)
{
	(void)state;
	char text[100001];
	for (int depth = 64; depth <= 65; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		struct json *root = json_parse(text, 2 * (size_t)depth, "t", &err);
		assert_int_equal(root != NULL, depth == 64);
		json_free(root);
	}
	assert_non_null(strstr(err.text, "column 65: nested deeper than 64"));
	memset(text, '[', sizeof text);
	assert_null(json_parse(text, sizeof text, "t", &err));
	for (size_t i = 0; i + 5 <= sizeof text; i += 5)
		memcpy(text + i, "{\"a\":", 5);
	assert_null(json_parse(text, 100000, "t", &err));
}

static void test_strings_keep_embedded_nul(void **state)
{
	(void)state;
	const char *text = "[\"a\\u0000b\\u0000\",\"\\\\u0000\",\"\",{\"k\\u0000\":1}]";
	struct json *root = parse(text);
	size_t length;
	assert_memory_equal(json_string(json_first(root), &length), "a\0b\0", 5);
	assert_int_equal(length, 4);
	assert_string_equal(json_string(json_at(root, 1), &length), "\\u0000");
	assert_int_equal(length, 6);
	json_string(json_at(root, 2), &length);
	assert_int_equal(length, 0);
	assert_string_equal(json_key(json_first(json_at(root, 3))), "k\xc0\x80");
	check_print(root, text);
	json_free(root);
}

static void test_print_is_indented_and_reads_back(void **state)
{
	(void)state;
	struct json *root = parse("{\"a\":[1,{\"b\":0.1}],\"c\":{},\"d\":[]}");
	struct buf out = BUF_INIT;
	json_print(root, true, &out);
	assert_string_equal(out.data,
			    "{\n  \"a\": [\n    1,\n    {\n      \"b\": 0.1\n    }\n  ],\n"
			    "  \"c\": {},\n  \"d\": []\n}");
	buf_release(&out);
	json_free(root);
}

static void check_path(const char *before, const char *path, const char *text, const char *after)
{
	struct json *root = parse(before);
	if (after) {
		assert_int_equal(json_set_path(root, path, text, &err), STATUS_OK);
		check_print(root, after);
	} else {
		assert_int_equal(json_set_path(root, path, text, &err), STATUS_BAD_INPUT);
		check_print(root, before);
	}
	json_free(root);
}

static void test_set_path_changes_and_creates(void **state)
{
	(void)state;
	check_path("{\"a\":1}", "a", "2", "{\"a\":2}");
	check_path("{\"a\":1}", "b", "x y", "{\"a\":1,\"b\":\"x y\"}");
	check_path("{\"a\":1,\"b\":2}", "a", "{\"c\":[null]}", "{\"a\":{\"c\":[null]},\"b\":2}");
	check_path("{}", "a.b.c", "true", "{\"a\":{\"b\":{\"c\":true}}}");
	check_path("{}", "r.0.path", "/x", "{\"r\":[{\"path\":\"/x\"}]}");
	check_path("{\"r\":[1,2,3]}", "r.1", "9", "{\"r\":[1,9,3]}");
	check_path("{\"r\":[1]}", "r.0", "9", "{\"r\":[9]}");
	check_path("{\"r\":[1]}", "r.1.k", "", "{\"r\":[1,{\"k\":\"\"}]}");
	check_path("{\"a\":{\"b\":1}}", "a.b", "01", "{\"a\":{\"b\":\"01\"}}");
	check_path("{\"r\":[1]}", "r.2", "9", NULL);
	check_path("{\"r\":[1]}", "r.00", "9", NULL);
	check_path("{\"r\":[1]}", "r.x", "9", NULL);
	check_path("{\"r\":[1]}", "r.99999999999999999999", "9", NULL);
	check_path("{\"a\":1}", "a.b", "9", NULL);
	assert_string_equal(err.text, "a.b: there is no 'b' inside a number, expected an object");
	check_path("{}", "", "9", NULL);
	check_path("{}", "a..b", "9", NULL);
	check_path("{}", "a.", "9", NULL);
	check_path("{}", "a", "\xff", NULL);
	check_path("{}", "\xff", "1", NULL);
	check_path("{}", "1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", "1",
		   NULL);
}

static void test_written_strings_are_always_json(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	json_write_string(&out, "a\"\\/\b\f\n\r\t\x01\0\x7f\u00e9", 14);
	assert_string_equal(out.data, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u0000\x7f\u00e9\"");
	buf_reset(&out);
	json_write_string(&out, "x\xe2\x82y\xff", 5);
	assert_string_equal(out.data, "\"x\ufffd\ufffdy\ufffd\"");
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t words[4];
		rng_block(1, RNG_DATA, (const uint32_t[4]){i}, words);
		buf_reset(&out);
		json_write_string(&out, (const char *)words, i % 17);
		struct json *root = json_parse(out.data, out.length, "t", &err);
		assert_non_null(root);
		json_free(root);
	}
	buf_release(&out);
}

static void test_written_numbers_are_short_and_read_back_exactly(void **state)
{
	(void)state;
	struct buf out = BUF_INIT;
	const float floats[] = {0.1f, -1.5f, 1e6f, 16777216.0f, 3e-45f, NAN, INFINITY, -0.0f};
	json_write_floats(&out, floats, 8);
	assert_string_equal(out.data, "[0.1,-1.5,1000000,16777216,2.8026e-45,null,null,-0]");
	buf_reset(&out);
	json_write_ids(&out, (const int32_t[]){0, -1, INT32_MAX, INT32_MIN}, 4);
	json_write_double(&out, 0.1);
	json_write_double(&out, 1e15);
	json_write_double(&out, -INFINITY);
	assert_string_equal(out.data, "[0,-1,2147483647,-2147483648]0.11000000000000000null");
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t words[4];
		rng_block(2, RNG_DATA, (const uint32_t[4]){i}, words);
		float f;
		double d;
		memcpy(&f, words, sizeof f);
		memcpy(&d, words + 2, sizeof d);
		if (!isfinite(f) || !isfinite(d))
			continue;
		buf_reset(&out);
		json_write_float(&out, f);
		assert_true(strtof(out.data, NULL) == f);
		buf_reset(&out);
		json_write_double(&out, d);
		struct json *root = parse(out.data);
		assert_true(json_number(root) == d);
		json_free(root);
	}
	buf_release(&out);
}

static void check_edit(const char *before, const char *key, const char *value, const char *after)
{
	struct buf text = BUF_INIT;
	buf_append_string(&text, before);
	enum status expected = after ? STATUS_OK : STATUS_BAD_INPUT;
	assert_int_equal(json_edit(&text, key, value, &err), expected);
	assert_string_equal(text.data, after ? after : before);
	buf_release(&text);
}

static void test_edit_keeps_every_other_byte(void **state)
{
	(void)state;
	const char *text = " {\n  \"a\" : 30.0,\n  \"b\": {\"a\": \"}\\\"\"},\n  \"c\": 1e-05\n}\n";
	check_edit(text, "a", "[2]",
		   " {\n  \"a\" : [2],\n  \"b\": {\"a\": \"}\\\"\"},\n  \"c\": 1e-05\n}\n");
	check_edit(text, "d", "\"x\"",
		   " {\n  \"a\" : 30.0,\n  \"b\": {\"a\": \"}\\\"\"},\n  \"c\": 1e-05,\n  \"d\": "
		   "\"x\"\n}\n");
	check_edit(text, "a", NULL, " {\n  \"b\": {\"a\": \"}\\\"\"},\n  \"c\": 1e-05\n}\n");
	check_edit(text, "b", NULL, " {\n  \"a\" : 30.0,\n  \"c\": 1e-05\n}\n");
	check_edit(text, "c", NULL, " {\n  \"a\" : 30.0,\n  \"b\": {\"a\": \"}\\\"\"}\n}\n");
	check_edit(text, "z", NULL, text);
	check_edit("{}", "a", "1", "{\"a\": 1}");
	check_edit("{ \"a\":1 }", "a", NULL, "{}");
	check_edit("{\"\\u0061\":1}", "a", "2", "{\"\\u0061\":2}");
	check_edit("{\"a\":1}", "k\"", "2", "{\"a\":1,\"k\\\"\":2}");
	check_edit("[1]", "a", "2", NULL);
	check_edit("{\"a\":1", "a", "2", NULL);
	check_edit("{\"a\":1}", "a", "nope", NULL);
	check_edit("", "a", "2", NULL);
}

static void test_a_large_vocabulary_parses_in_linear_time(void **state)
{
	(void)state;
	struct buf text = BUF_INIT;
	enum { N = 150000 };
	buf_append_string(&text, "{\"vocab\":{");
	for (int i = 0; i < N; i++)
		buf_printf(&text, "%s\"token%d\":%d", i ? "," : "", i, i);
	buf_append_string(&text, "}}");
	double began = clock_now();
	struct json *root = json_parse(text.data, text.length, "t", &err);
	assert_non_null(root);
	int64_t id, n = 0;
	for (const struct json *m = json_first(json_get(root, "vocab")); m; m = json_next(m))
		assert_true(json_int64(m, &id) && id == n++);
	assert_int_equal(n, N);
	assert_true(clock_now() - began < 2); /* quadratic would be minutes */
	json_free(root);
	buf_release(&text);
}

static void test_truncated_or_damaged_text_never_crashes(void **state)
{
	(void)state;
	static const char text[] = "{\"a\\u0000\": [1.5e-3, \"\\ud83d\\ude00\u00e9\\n\", null, "
				   "{\"b\": true}], \"c\": -0}";
	for (size_t n = 0; n < sizeof text - 1; n++) {
		char *exact = malloc(n + 1); /* so that address checks see an overrun */
		memcpy(exact, text, n);
		char *tight = realloc(exact, n ? n : 1);
		assert_null(json_parse(tight, n, "t", &err));
		free(tight);
	}
	for (uint32_t i = 0; i < 3000; i++) {
		char damaged[sizeof text];
		memcpy(damaged, text, sizeof text);
		uint32_t words[4];
		rng_block(3, RNG_DATA, (const uint32_t[4]){i}, words);
		damaged[words[0] % (sizeof text - 1)] = (char)words[1];
		json_free(json_parse(damaged, sizeof text - 1, "t", &err));
	}
}

static void test_a_member_is_found_where_it_stands(void **state)
{
	static const char text[] = " {\"a\": {\"b\": 1.0},\"b\" : [2.50, \"}\"] }\n";
	size_t begin = 7, end = 7;

	(void)state;
	assert_true(json_find_member(text, strlen(text), "b", &begin, &end));
	assert_int_equal(end - begin, 11);
	assert_memory_equal(text + begin, "[2.50, \"}\"]", 11);
	assert_true(json_find_member(text, strlen(text), "a", &begin, &end));
	assert_memory_equal(text + begin, "{\"b\": 1.0}", end - begin);
	begin = end = 7;
	assert_false(json_find_member(text, strlen(text), "c", &begin, &end));
	assert_true(begin == 7 && end == 7);
}

static void test_what_is_no_string_has_no_text(void **state)
{
	static const char text[] = "{\"a\": \"x\", \"b\": 1, \"c\": null, \"d\": [\"x\"]}";
	struct json *root = json_parse(text, strlen(text), "text", NULL);

	(void)state;
	assert_string_equal(json_string_or_null(json_get(root, "a")), "x");
	assert_null(json_string_or_null(json_get(root, "b")));
	assert_null(json_string_or_null(json_get(root, "c")));
	assert_null(json_string_or_null(json_get(root, "d")));
	assert_null(json_string_or_null(json_get(root, "e")));
	assert_null(json_string_or_null(NULL));
	json_free(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_gives_the_values),
		cmocka_unit_test(test_parse_refuses_with_line_and_column),
		cmocka_unit_test(test_parse_refuses_numbers_outside_the_grammar),
		cmocka_unit_test(test_int64_is_exact_or_refused),
		cmocka_unit_test(test_duplicate_keys_are_refused_at_any_level),
		cmocka_unit_test(test_depth_is_capped),
		cmocka_unit_test(test_strings_keep_embedded_nul),
		cmocka_unit_test(test_print_is_indented_and_reads_back),
		cmocka_unit_test(test_set_path_changes_and_creates),
		cmocka_unit_test(test_written_strings_are_always_json),
		cmocka_unit_test(test_written_numbers_are_short_and_read_back_exactly),
		cmocka_unit_test(test_edit_keeps_every_other_byte),
		cmocka_unit_test(test_a_large_vocabulary_parses_in_linear_time),
		cmocka_unit_test(test_truncated_or_damaged_text_never_crashes),
		cmocka_unit_test(test_a_member_is_found_where_it_stands),
		cmocka_unit_test(test_what_is_no_string_has_no_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
