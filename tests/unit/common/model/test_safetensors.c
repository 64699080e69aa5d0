/* Reading safetensors files that are right, wrong, damaged and cut while they are read,
 * and the layout that the writer plans.
 *
 * tests/golden/malformed holds one file for each check of the reference
 * implementation; what it accepts is called ok-*. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/safetensors.h"

#define MALFORMED "tests/golden/malformed"

static char root[] = "/tmp/rlhf-test-safetensors-XXXXXX";
static char path[100];

static int make_root(void **state)
{
	(void)state;
	if (!mkdtemp(root))
		return -1;
	snprintf(path, sizeof path, "%s/t.safetensors", root);
	return 0;
}

static int remove_root(void **state)
{
	struct error err;

	(void)state;
	return file_remove_tree(root, &err) == STATUS_OK ? 0 : -1;
}

/* --- files --- */

static void write_bytes(const void *bytes, size_t n)
{
	struct error err = {""};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	if (file_write_at(fd, bytes, n, 0, path, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	close(fd);
}

/* A file of this header and n_data bytes of data that count up. */
static void write_file(const char *header, size_t n_data)
{
	struct buf file = BUF_INIT;
	size_t length = strlen(header);

	for (int i = 0; i < 8; i++)
		buf_append_char(&file, (char)(length >> (8 * i) & 0xff));
	buf_append(&file, header, length);
	for (size_t i = 0; i < n_data; i++)
		buf_append_char(&file, (char)i);
	write_bytes(file.data, file.length);
	buf_release(&file);
}

/* What was handed out lies within the file and can be read. */
static void check_views(const struct safetensors *file)
{
	struct error err = {""};

	for (size_t i = 0; i < file->n; i++) {
		const struct tensor_view *view = &file->tensors[i];
		float *values;

		assert_true(view->at >= 10 && view->at <= file->bytes &&
			    view->bytes <= file->bytes - view->at);
		if (view->dtype == DTYPE_OTHER)
			continue;
		values = xmalloc(view->n_elements * sizeof *values);
		assert_int_equal(tensor_read(view, 0, view->n_elements, values, &err), STATUS_OK);
		free(values);
	}
}

static bool loads(void)
{
	struct safetensors file;
	struct error err = {""};
	enum status status = safetensors_open(&file, path, &err);

	if (status == STATUS_OK) {
		check_views(&file);
		safetensors_close(&file);
		return true;
	}
	assert_int_equal(status, STATUS_BAD_INPUT);
	if (!strstr(err.text, "t.safetensors"))
		fail_msg("does not name the file: %s", err.text);
	return false;
}

static void assert_refused(const char *header, size_t n_data, const char *sentence)
{
	struct safetensors file;
	struct error err = {""};

	write_file(header, n_data);
	if (safetensors_open(&file, path, &err) != STATUS_BAD_INPUT)
		fail_msg("accepted: %s", header);
	if (!strstr(err.text, "t.safetensors: ") || !strstr(err.text, sentence))
		fail_msg("expected \"%s\", found \"%s\"", sentence, err.text);
}

static void assert_accepted(const char *header, size_t n_data)
{
	struct safetensors file;
	struct error err = {""};

	write_file(header, n_data);
	if (safetensors_open(&file, path, &err) != STATUS_OK)
		fail_msg("refused: %s", err.text);
	check_views(&file);
	safetensors_close(&file);
}

/* --- reading --- */

static void test_open_judges_each_malformed_file_as_the_reference_does(void **state)
{
	char **names;
	size_t n, n_bad = 0, n_ok = 0;
	struct error err = {""};

	(void)state;
	assert_int_equal(file_list(MALFORMED, &names, &n, &err), STATUS_OK);
	for (size_t i = 0; i < n; i++) {
		char *name = path_join(MALFORMED, names[i]);
		bool is_ok = strncmp(names[i], "ok", 2) == 0;
		struct safetensors file;
		enum status status = safetensors_open(&file, name, &err);

		if (status == STATUS_OK)
			check_views(&file);
		if (is_ok != (status == STATUS_OK))
			fail_msg("%s: %s", names[i], is_ok ? err.text : "accepted");
		if (is_ok)
			safetensors_close(&file);
		else if (status != STATUS_BAD_INPUT || strncmp(err.text, name, strlen(name)) != 0)
			fail_msg("%s: status %d, %s", names[i], status, err.text);
		n_ok += is_ok;
		n_bad += !is_ok;
		free(name);
		free(names[i]);
	}
	free(names);
	assert_true(n_bad >= 18 && n_ok >= 7);
}

static const char two_tensors[] =
	"{\"__metadata__\":{\"format\":\"pt\"},"
	"\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[6,14]},"
	"\"a\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]}}";

static void test_open_gives_tensors_in_the_order_of_their_data(void **state)
{
	struct safetensors file;
	struct error err;
	const struct tensor_view *b;
	uint8_t bytes[8];

	(void)state;
	write_file(two_tensors, 14);
	assert_int_equal(safetensors_open(&file, path, &err), STATUS_OK);
	assert_int_equal(file.n, 2);
	assert_string_equal(file.tensors[0].name, "a");
	b = safetensors_find(&file, "b");
	assert_ptr_equal(b, &file.tensors[1]);
	assert_int_equal(b->dtype, DTYPE_F32);
	assert_string_equal(b->dtype_name, "F32");
	assert_int_equal(b->rank, 2);
	assert_int_equal(b->shape[0], 2);
	assert_int_equal(b->shape[1], 1);
	assert_int_equal(b->bytes, 8);
	assert_int_equal(b->n_elements, 2);
	assert_int_equal(tensor_read_bytes(b, bytes, &err), STATUS_OK);
	assert_int_equal(bytes[0], 6);
	assert_null(safetensors_find(&file, "c"));
	assert_null(safetensors_find(&file, "__metadata__"));
	safetensors_close(&file);
}

static void test_open_refuses_a_file_cut_anywhere(void **state)
{
	struct buf whole = BUF_INIT;
	struct error err;

	(void)state;
	write_file(two_tensors, 14);
	assert_int_equal(file_read(path, 1000, &whole, &err), STATUS_OK);
	for (size_t n = 0; n < whole.length; n++) {
		write_bytes(whole.data, n);
		if (loads())
			fail_msg("accepted the first %zu of %zu bytes", n, whole.length);
	}
	buf_append_char(&whole, '\0');
	write_bytes(whole.data, whole.length);
	assert_false(loads());
	buf_release(&whole);
}

static void test_open_survives_any_changed_byte_of_the_header(void **state)
{
	static const char header[] =
		"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
	struct buf whole = BUF_INIT;
	struct error err;
	int fd, n_loaded = 0;

	(void)state;
	write_file(header, 8);
	assert_int_equal(file_read(path, 1000, &whole, &err), STATUS_OK);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	for (size_t at = 0; at < 8 + strlen(header); at++) {
		for (int value = 0; value < 256; value++) {
			uint8_t byte = (uint8_t)value;
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
			n_loaded += loads();
		}
		assert_int_equal(pwrite(fd, whole.data + at, 1, (off_t)at), 1);
	}
	close(fd);
	buf_release(&whole);
	/* A changed name or type of the same width loads, hardly anything else. */
	assert_true(n_loaded > 8 + (int)strlen(header) && n_loaded < 500);
}

static void test_open_refuses_lengths_of_the_header_beyond_the_file(void **state)
{
	struct safetensors file;
	struct error err;
	static const uint64_t lengths[] = {
		0, 1, 3, 63, UINT64_C(100000001), UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 7,
	};

	(void)state;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		uint8_t bytes[70] = {0};
		for (int k = 0; k < 8; k++)
			bytes[k] = (uint8_t)(lengths[i] >> (8 * k));
		memcpy(bytes + 8, "{}", 2);
		write_bytes(bytes, sizeof bytes);
		assert_false(loads());
		write_bytes(bytes, 8);
		assert_false(loads());
	} /* One byte more than there are, which a mapped page would hold. */
	write_bytes("\3\0\0\0\0\0\0\0{}", 10);
	assert_int_equal(safetensors_open(&file, path, &err), STATUS_BAD_INPUT);
	assert_non_null(
		strstr(err.text, "the header's length is 3, the file has 10 bytes: it is damaged"));
}

#define F32(shape, offsets)                                                                        \
	"{\"t\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_open_refuses_headers_that_are_no_objects(void **state)
{
	(void)state;
	assert_refused("[]", 0, "expected an object");
	assert_refused("7", 0, "expected an object");
	assert_refused("", 0, "");
	assert_refused("{}x", 0, "");
	assert_refused("{\"t\":7}", 0, "not an object with a dtype");
	assert_refused("{\"t\":[]}", 0, "not an object with a dtype");
	assert_refused("{\"t\":{}}", 0, "not an object with a dtype");
}

static void test_open_refuses_padding_with_nul(void **state)
{
	static const uint8_t bytes[] = "\x04\0\0\0\0\0\0\0{}\0\0";

	(void)state;
	write_bytes(bytes, 12);
	assert_false(loads());
}

static void test_open_refuses_two_tensors_of_one_name(void **state)
{
	(void)state;
	assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
		       "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
		       2, "");
	assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
		       "\"\\u0061\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
		       2, "");
}

static void test_open_takes_metadata_of_strings_alone(void **state)
{
	(void)state;
	assert_accepted("{\"__metadata__\":{}}", 0);
	assert_accepted("{\"__metadata__\":{\"rlhf.step\":\"1.5e3\"}}", 0);
	assert_refused("{\"__metadata__\":[]}", 0, "__metadata__ is an array");
	assert_refused("{\"__metadata__\":1}", 0, "__metadata__ is a number");
	assert_refused("{\"__metadata__\":{\"a\":{}}}", 0, "__metadata__.a is an object");
	assert_refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "");
	assert_refused("{\"__metadata__\":{\"dtype\":\"U8\",\"shape\":[0],"
		       "\"data_offsets\":[0,0]}}",
		       0, "__metadata__.shape is an array");
}

static void test_open_refuses_unknown_types(void **state)
{
	(void)state;
	assert_refused("{\"t\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
		       "tensor \"t\": unknown dtype \"f32\"");
	assert_refused("{\"t\":{\"dtype\":\"F8_FOO\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
		       "unknown dtype");
	assert_refused("{\"t\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
		       "not an object with a dtype");
	assert_refused("{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
		       "not an object with a dtype");
}

static void test_open_knows_types_of_less_than_a_byte(void **state)
{
	(void)state;
	assert_accepted("{\"t\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2);
	assert_accepted("{\"t\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3);
	assert_refused("{\"t\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
		       "need another size");
	assert_refused("{\"t\":{\"dtype\":\"F6_E3M2\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
		       "need another size");
}

static void test_open_refuses_wrong_shapes(void **state)
{
	(void)state;
	assert_refused(F32("7", "[0,4]"), 4, "shape is missing or not a list");
	assert_refused(F32("\"1\"", "[0,4]"), 4, "shape is missing or not a list");
	assert_refused("{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4,
		       "shape is missing or not a list");
	assert_refused(F32("[-1]", "[0,4]"), 4, "not a whole number");
	assert_refused(F32("[[1]]", "[0,4]"), 4, "not a whole number");
	assert_refused(F32("[\"1\"]", "[0,4]"), 4, "not a whole number");
	assert_refused(F32("[1.5]", "[0,4]"), 4, "whole numbers");
	assert_refused(F32("[1.0]", "[0,4]"), 4, "whole numbers");
	assert_refused(F32("[1e0]", "[0,4]"), 4, "whole numbers");
	assert_refused(F32("[18446744073709551616]", "[0,4]"), 4, "not a whole number");
	assert_refused(F32("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "a list of at most 8");
}

static void test_open_refuses_products_that_wrap(void **state)
{
	(void)state;
	/* 2^64 + 4, 2^64, 2^62 floats of 4 bytes, 2^61 of 32 bits. */
	assert_refused(F32("[4194305,4194305,211106198978564]", "[0,16]"), 16, "overflows");
	assert_refused(F32("[4294967296,4294967296]", "[0,0]"), 0, "overflows");
	assert_refused(F32("[2147483648,2147483648]", "[0,0]"), 0, "need another size");
	assert_refused(F32("[1073741824,2147483648]", "[0,0]"), 0, "need another size");
	assert_refused(F32("[1048576,1048576]", "[0,4]"), 4, "need another size");
}

static void test_open_takes_tensors_without_elements(void **state)
{
	(void)state;
	assert_accepted(F32("[0]", "[0,0]"), 0);
	assert_accepted(F32("[2,0]", "[0,0]"), 0);
	assert_accepted(F32("[0,1099511627776]", "[0,0]"), 0);
	assert_refused(F32("[0]", "[0,4]"), 4, "need another size");
	/* Beside a tensor that begins at the same place, in either order. */
	assert_accepted("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
			"\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
			"\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
			1);
	assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
		       "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
		       2, "a hole or an overlap");
}

static void test_open_refuses_wrong_offsets(void **state)
{
	(void)state;
	assert_refused(F32("[1]", "[4,0]"), 4, "data_offsets are not two numbers");
	assert_refused(F32("[1]", "[0,8]"), 4, "data_offsets are not two numbers");
	assert_refused(F32("[1]", "[-4,0]"), 4, "data_offsets are not two numbers");
	assert_refused(F32("[1]", "[0,4,8]"), 4, "data_offsets are not two numbers");
	assert_refused(F32("[1]", "[4]"), 4, "data_offsets are not two numbers");
	assert_refused(F32("[1]", "[\"0\",\"4\"]"), 4, "data_offsets are not two numbers");
	assert_refused(F32("[1]", "[0.5,4]"), 4, "whole numbers");
	assert_refused(F32("[1]", "[0,4.0]"), 4, "whole numbers");
	assert_refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4,
		       "data_offsets are not two numbers");
}

static void test_open_refuses_data_that_is_not_tiled(void **state)
{
	(void)state;
	assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
		       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
		       3, "a hole or an overlap");
	assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
		       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
		       2, "a hole or an overlap");
	assert_refused(F32("[1]", "[4,8]"), 8, "a hole or an overlap");
	assert_refused(F32("[1]", "[0,4]"), 6, "the tensors end at byte 4");
	assert_refused("{}", 1, "the tensors end at byte 0");
}

static void test_open_takes_any_name_and_shows_it_clean(void **state)
{
	struct safetensors file;
	struct error err;

	(void)state;
	write_file("{\"\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
		   "\"../\\u001b[2J\\n\\u0000x\":{\"dtype\":\"U8\",\"shape\":[0],"
		   "\"data_offsets\":[0,0]}}",
		   0);
	assert_int_equal(safetensors_open(&file, path, &err), STATUS_OK);
	assert_int_equal(file.n, 2);
	assert_non_null(safetensors_find(&file, ""));
	safetensors_close(&file);
	assert_refused("{\"\\u001b[2J\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,0]}}",
		       0, "\"?[2J\"");
}

static void test_open_takes_tens_of_thousands_of_tensors_at_once(void **state)
{
	struct buf header = BUF_INIT;
	int n = 30000;

	(void)state;
	for (int i = 0; i < n; i++)
		buf_printf(&header,
			   "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
			   i ? ',' : '{', i);
	buf_append_char(&header, '}');
	assert_accepted(header.data, 0);
	buf_release(&header);
}

static void test_open_refuses_what_is_no_file(void **state)
{
	struct safetensors file;
	struct error err;

	(void)state;
	assert_int_equal(safetensors_open(&file, root, &err), STATUS_BAD_INPUT);
	assert_int_equal(safetensors_open(&file, "/nowhere/t.safetensors", &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "/nowhere/t.safetensors"));
}

/* --- values --- */

static void test_a_range_of_a_tensor_is_the_same_part_of_the_whole(void **state)
{
	struct safetensors file;
	struct error err = {""};
	const struct tensor_view *view;
	float values[40000], part[3];
	uint8_t stored[80001];

	(void)state;
	write_file("{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
		   "\"a\":{\"dtype\":\"BF16\",\"shape\":[40000],\"data_offsets\":[1,80001]}}",
		   80001);
	assert_int_equal(safetensors_open(&file, path, &err), STATUS_OK);
	view = safetensors_find(&file, "a");
	assert_int_equal(tensor_read(view, 0, 40000, values, &err), STATUS_OK);
	assert_int_equal(tensor_read_bytes(view, stored, &err), STATUS_OK);
	for (int i = 0; i < 40000; i++) { /* the data count up from the byte before */
		uint16_t half;
		float value;

		memcpy(&half, stored + 2 * i, sizeof half);
		assert_int_equal(half & 0xff, (2 * i + 1) & 0xff);
		dtype_to_float(DTYPE_BF16, &half, 1, &value);
		assert_memory_equal(&value, values + i, sizeof value);
	}
	assert_int_equal(tensor_read(view, 32767, 3, part, &err), STATUS_OK);
	assert_memory_equal(part, values + 32767, sizeof part);
	assert_int_equal(tensor_read(view, 40000, 0, part, &err), STATUS_OK);
	safetensors_close(&file);
}

static void test_a_file_cut_after_it_was_opened_is_an_error(void **state)
{
	struct safetensors file;
	struct error err = {""};
	float values[2];

	(void)state;
	write_file(two_tensors, 14);
	assert_int_equal(safetensors_open(&file, path, &err), STATUS_OK);
	assert_int_equal(truncate(path, (off_t)file.bytes - 1), 0);
	assert_int_equal(tensor_read(&file.tensors[0], 0, 2, values, &err), STATUS_OK);
	assert_int_equal(tensor_read(&file.tensors[1], 0, 2, values, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "t.safetensors: ends at byte"));
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(tensor_read(&file.tensors[0], 0, 2, values, &err), STATUS_BAD_INPUT);
	safetensors_close(&file);
}

/* --- writing --- */

static void test_plan_lays_out_by_alignment_then_name(void **state)
{
	struct tensor_spec specs[] = {
		{.name = "b", .rank = 1, .shape = {3}, .dtype = DTYPE_BF16},
		{.name = "0", .rank = 1, .shape = {1}, .dtype = DTYPE_F16},
		{.name = "z", .rank = 2, .shape = {2, 3}, .dtype = DTYPE_F32},
		{.name = "a\"\n", .rank = 1, .shape = {1}, .dtype = DTYPE_BF16},
		{.name = "y", .rank = 1, .shape = {1}, .dtype = DTYPE_F64},
		{.name = "Z", .rank = 0, .dtype = DTYPE_F32},
	};
	static const char expected[] =
		"{\"__metadata__\":{\"format\":\"pt\"},"
		"\"y\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
		"\"Z\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
		"\"z\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[12,36]},"
		"\"a\\\"\\n\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[36,38]},"
		"\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[38,44]},"
		"\"0\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[44,46]}}";
	size_t length = (strlen(expected) + 7) / 8 * 8;
	struct buf header = BUF_INIT;
	uint64_t bytes;

	(void)state;
	safetensors_plan(specs, 6, &header, &bytes);
	assert_int_equal(header.length, 8 + length);
	assert_int_equal((uint8_t)header.data[0] + 256 * (uint8_t)header.data[1], length);
	for (int i = 2; i < 8; i++)
		assert_int_equal(header.data[i], 0);
	assert_memory_equal(header.data + 8, expected, strlen(expected));
	for (size_t i = 8 + strlen(expected); i < header.length; i++)
		assert_int_equal(header.data[i], ' ');
	assert_int_equal(bytes, header.length + 46);
	assert_string_equal(specs[4].name, "b");
	assert_int_equal(specs[4].offset, header.length + 38);
	assert_int_equal(specs[4].bytes, 6);
	buf_release(&header);
}

static void test_a_planned_file_reads_back(void **state)
{
	struct tensor_spec specs[] = {
		{.name = "w\xc3\xa9", .rank = 2, .shape = {2, 2}, .dtype = DTYPE_F32},
		{.name = "empty", .rank = 1, .shape = {0}, .dtype = DTYPE_F32},
	};
	float values[4] = {1, 2, -3, 0.1f}, back[4];
	struct safetensors file;
	struct buf bytes = BUF_INIT;
	struct error err = {""};
	const struct tensor_view *view;
	uint64_t total;

	(void)state;
	safetensors_plan(specs, 2, &bytes, &total);
	buf_append(&bytes, values, sizeof values);
	assert_int_equal(bytes.length, total);
	write_bytes(bytes.data, bytes.length);
	if (safetensors_open(&file, path, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	view = safetensors_find(&file, "w\xc3\xa9");
	assert_non_null(view);
	assert_int_equal(tensor_read(view, 0, 4, back, &err), STATUS_OK);
	assert_memory_equal(back, values, sizeof values);
	assert_int_equal(view->at % 8, 0);
	assert_non_null(safetensors_find(&file, "empty"));
	safetensors_close(&file);
	buf_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_judges_each_malformed_file_as_the_reference_does),
		cmocka_unit_test(test_open_gives_tensors_in_the_order_of_their_data),
		cmocka_unit_test(test_open_refuses_a_file_cut_anywhere),
		cmocka_unit_test(test_open_survives_any_changed_byte_of_the_header),
		cmocka_unit_test(test_open_refuses_lengths_of_the_header_beyond_the_file),
		cmocka_unit_test(test_open_refuses_headers_that_are_no_objects),
		cmocka_unit_test(test_open_refuses_padding_with_nul),
		cmocka_unit_test(test_open_refuses_two_tensors_of_one_name),
		cmocka_unit_test(test_open_takes_metadata_of_strings_alone),
		cmocka_unit_test(test_open_refuses_unknown_types),
		cmocka_unit_test(test_open_knows_types_of_less_than_a_byte),
		cmocka_unit_test(test_open_refuses_wrong_shapes),
		cmocka_unit_test(test_open_refuses_products_that_wrap),
		cmocka_unit_test(test_open_takes_tensors_without_elements),
		cmocka_unit_test(test_open_refuses_wrong_offsets),
		cmocka_unit_test(test_open_refuses_data_that_is_not_tiled),
		cmocka_unit_test(test_open_takes_any_name_and_shows_it_clean),
		cmocka_unit_test(test_open_takes_tens_of_thousands_of_tensors_at_once),
		cmocka_unit_test(test_open_refuses_what_is_no_file),
		cmocka_unit_test(test_a_range_of_a_tensor_is_the_same_part_of_the_whole),
		cmocka_unit_test(test_a_file_cut_after_it_was_opened_is_an_error),
		cmocka_unit_test(test_plan_lays_out_by_alignment_then_name),
		cmocka_unit_test(test_a_planned_file_reads_back),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
