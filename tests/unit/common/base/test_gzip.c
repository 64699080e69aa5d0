/* gzip: what zlib's own compressor makes is expanded, what is damaged is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <zlib.h>

#include "common/base/gzip.h"

static struct error err;

/* Appends a gzip member that holds a text. */
static void append_member(struct buf *out, const void *text, size_t n)
{
	z_stream stream = {0};

	assert_int_equal(
		deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	buf_reserve(out, deflateBound(&stream, n));
	stream.next_in = (unsigned char *)(uintptr_t)text;
	stream.avail_in = (unsigned)n;
	stream.next_out = (unsigned char *)out->data + out->length;
	stream.avail_out = (unsigned)(out->capacity - out->length);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	out->length += stream.total_out;
	assert_int_equal(deflateEnd(&stream), Z_OK);
}

static struct buf copy_of(const struct buf *data, size_t n)
{
	struct buf copy = BUF_INIT;

	buf_append(&copy, data->data, n);
	return copy;
}

static void must_expand(struct buf *data, const void *text, size_t n)
{
	if (gzip_expand(data, "d.jsonl", &err) != STATUS_OK)
		fail_msg("%s", err.text);
	assert_int_equal(data->length, n);
	assert_memory_equal(data->data, text, n);
	assert_int_equal(data->data[n], '\0');
	buf_release(data);
}

static void must_refuse(struct buf *data, const char *what)
{
	assert_int_equal(gzip_expand(data, "d.jsonl", &err), STATUS_BAD_INPUT);
	if (strncmp(err.text, "d.jsonl: ", 9) != 0 || !strstr(err.text, what))
		fail_msg("\"%s\" is not in: %s", what, err.text);
	assert_null(data->data);
}

static void test_other_data_stays(void **state)
{
	static const char *const texts[] = {"", "\x1f", "\x1f\x8c", "{\"a\":1}\n"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct buf data = BUF_INIT;

		buf_append_string(&data, texts[i]);
		must_expand(&data, texts[i], strlen(texts[i]));
	}
}

static void test_members_are_joined(void **state)
{
	struct buf data = BUF_INIT;

	(void)state;
	append_member(&data, "one\n", 4);
	append_member(&data, "", 0);
	append_member(&data, "two\n", 4);
	must_expand(&data, "one\ntwo\n", 8);
	append_member(&data, "", 0);
	must_expand(&data, "", 0);
}

/* Much more than the expansion makes room for at a time, and exactly that much. */
static void test_long_texts_come_back(void **state)
{
	static char text[(1 << 18) + 17];
	uint32_t x = 1;

	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)((x = x * 1664525 + 1013904223) >> 28);
	for (int k = 0; k < 2; k++) {
		size_t n = k ? 1 << 16 : sizeof text;
		struct buf data = BUF_INIT;

		append_member(&data, text, n);
		must_expand(&data, text, n);
	}
}

static void test_data_that_ends_early_is_refused_wherever_it_ends(void **state)
{
	struct buf whole = BUF_INIT;

	(void)state;
	append_member(&whole, "a line\nanother line\n", 20);
	for (size_t n = 2; n < whole.length; n++) {
		struct buf data = copy_of(&whole, n);

		must_refuse(&data, "gzip data that ends early");
	}
	/* So is that of a second member. */
	size_t first = whole.length;
	append_member(&whole, "third\n", 6);
	for (size_t n = first + 1; n < whole.length; n++) {
		struct buf data = copy_of(&whole, n);

		must_refuse(&data, "gzip data that ends early");
	}
	buf_release(&whole);
}

static void test_damaged_data_is_refused(void **state)
{
	struct buf whole = BUF_INIT, data;

	(void)state;
	append_member(&whole, "a line\nanother line\n", 20);
	data = copy_of(&whole, whole.length);
	data.data[data.length - 8] ^= 1; /* CRC-32 */
	must_refuse(&data, "damaged gzip data, in the part that begins at byte 0: incorrect data");
	data = copy_of(&whole, whole.length);
	data.data[data.length - 1] ^= 1; /* length */
	must_refuse(&data, "incorrect length");
	data = copy_of(&whole, whole.length);
	data.data[2] = 7; /* method */
	must_refuse(&data, "unknown compression method");
	data = copy_of(&whole, whole.length);
	data.data[12] ^= 0x55; /* of the compressed text */
	assert_int_equal(gzip_expand(&data, "d.jsonl", &err), STATUS_BAD_INPUT);
	data = copy_of(&whole, whole.length);
	buf_append_string(&data, "{\"a\":1}");
	must_refuse(&data, "incorrect header");
	buf_release(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_data_stays),
		cmocka_unit_test(test_members_are_joined),
		cmocka_unit_test(test_long_texts_come_back),
		cmocka_unit_test(test_data_that_ends_early_is_refused_wherever_it_ends),
		cmocka_unit_test(test_damaged_data_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
