/* TensorBoard's files: framing, checksums and scalars, decoded by a reader of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/run/events.h"

static char directory[] = "/tmp/rlhf-test-events-XXXXXX";
static struct error err;

/* The bytes of the i-th file. */
static void read_file(size_t i, size_t n_expected, struct buf *out)
{
	char *board = path_join(directory, "tensorboard"), **names, *path;
	size_t n;

	assert_int_equal(file_list(board, &names, &n, &err), STATUS_OK);
	assert_int_equal(n, n_expected);
	assert_int_equal(strncmp(names[i], "events.out.tfevents.", 20), 0);
	path = path_join(board, names[i]);
	assert_int_equal(file_read(path, 1 << 20, out, &err), STATUS_OK);
	for (size_t k = 0; k < n; k++)
		free(names[k]);
	free(names);
	free(path);
	free(board);
}

static uint64_t fixed(const char *at, int n)
{
	uint64_t value = 0;

	for (int i = 0; i < n; i++)
		value |= (uint64_t)(uint8_t)at[i] << 8 * i;
	return value;
}

static uint32_t masked(const char *bytes, size_t n)
{
	uint32_t crc = crc32c(0, bytes, n);

	return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

/* The event at *at, which moves behind it; checks both checksums. */
static const char *next_event(const struct buf *file, size_t *at, size_t *length)
{
	const char *record = file->data + *at;

	assert_true(file->length - *at >= 16);
	*length = fixed(record, 8);
	assert_int_equal(fixed(record + 8, 4), masked(record, 8));
	assert_true(file->length - *at >= 16 + *length);
	assert_int_equal(fixed(record + 12 + *length, 4), masked(record + 12, *length));
	*at += 16 + *length;
	return record + 12;
}

static const char first_line[] = "{\"step\":3,\"loss\":1.5,\"reward/judge\":\"rule\","
				 "\"lr\":0.25,\"eval/loss\":null,\"time/unix\":1700000000.5}\n";

static void test_numbers_of_a_line_become_scalars(void **state)
{
	/* Event: wall_time 1700000000.5, step 3, summary {loss 1.5, lr 0.25}. */
	static const char expected[] = "\x09\x00\x00\x20\x40\xfc\x54\xd9\x41\x10\x03\x2a\x18"
				       "\x0a\x0b\x0a\x04loss\x15\x00\x00\xc0\x3f"
				       "\x0a\x09\x0a\x02lr\x15\x00\x00\x80\x3e";
	/* How every event file begins: a record of 24 bytes and the field of the wall time. */
	static const char head[] = "\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09";
	struct event_log log;
	struct buf file = BUF_INIT;
	const char *event;
	size_t at = 0, length;

	(void)state;
	event_log_open(&log, directory);
	event_log_append(&log, first_line, sizeof first_line - 1);
	event_log_close(&log);
	read_file(0, 1, &file);
	assert_memory_equal(file.data, head, sizeof head - 1);
	event = next_event(&file, &at, &length);
	assert_memory_equal(event + 9, "\x1a\x0d" "brain.Event:2", 15);
	event = next_event(&file, &at, &length);
	/* step 3; session log {status START} */
	assert_int_equal(length, 15);
	assert_memory_equal(event + 9, "\x10\x03\x3a\x02\x08\x01", 6);
	event = next_event(&file, &at, &length);
	assert_int_equal(length, sizeof expected - 1);
	assert_memory_equal(event, expected, length);
	assert_int_equal(at, file.length);
	buf_release(&file);
}

static void test_another_start_makes_a_file_that_comes_later(void **state)
{
	struct event_log log;
	struct buf file = BUF_INIT;
	size_t at = 0, length;

	(void)state;
	event_log_open(&log, directory);
	event_log_close(&log);
	event_log_open(&log, directory);
	event_log_append(&log, first_line, sizeof first_line - 1);
	event_log_append(&log, first_line, sizeof first_line - 1);
	event_log_close(&log);
	event_log_close(&log);
	read_file(1, 2, &file);
	for (int i = 0; i < 4; i++)
		next_event(&file, &at, &length);
	assert_int_equal(at, file.length);
	buf_release(&file);
}

static void test_what_is_not_a_line_of_metrics_writes_nothing(void **state)
{
	struct event_log closed = {0}, log;

	(void)state;
	event_log_append(&closed, first_line, sizeof first_line - 1);
	event_log_open(&log, directory);
	event_log_append(&log, "{\"loss\":1}", 10);
	event_log_append(&log, "{", 1);
	assert_null(log.path);
	event_log_close(&log);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return file_remove_tree(directory, &err) == STATUS_OK ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_of_a_line_become_scalars),
		cmocka_unit_test(test_another_start_makes_a_file_that_comes_later),
		cmocka_unit_test(test_what_is_not_a_line_of_metrics_writes_nothing),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
