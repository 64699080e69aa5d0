/* file: what is read, written and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/hash.h"

static char root[] = "/tmp/rlhf_file_XXXXXX";
static struct error err;

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	(void)state;
	return file_remove_tree(root, &err) == STATUS_OK && !file_exists(root) ? 0 : -1;
}

static const char *in_root(const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", root, name);
	return path;
}

static void check_content(const char *path, const char *expected)
{
	struct buf text = BUF_INIT;
	assert_int_equal(file_read(path, 1 << 20, &text, &err), STATUS_OK);
	assert_string_equal(text.data, expected);
	buf_release(&text);
}

static void test_replace_then_read_gives_the_bytes(void **state)
{
	(void)state;
	const char *path = in_root("a");
	assert_int_equal(file_replace(path, "one", 3, &err), STATUS_OK);
	check_content(path, "one");
	assert_int_equal(file_replace(path, "second", 6, &err), STATUS_OK);
	check_content(path, "second");
	assert_false(file_exists(in_root("a.tmp")));
	struct buf text = BUF_INIT;
	buf_append_string(&text, "x");
	assert_int_equal(file_read(path, 6, &text, &err), STATUS_OK);
	assert_string_equal(text.data, "xsecond");
	assert_int_equal(file_read(path, 5, &text, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "limit of 5 bytes"));
	assert_string_equal(text.data, "xsecond");
	buf_release(&text);
}

static void test_copy_and_map_give_the_bytes(void **state)
{
	(void)state;
	size_t n = (1 << 20) + 12345;
	uint8_t *bytes = malloc(n);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 >> 3);
	char *from = path_join(root, "big"), *to = path_join(root, "copy");
	assert_int_equal(file_replace(from, bytes, n, &err), STATUS_OK);
	assert_int_equal(file_copy(from, to, &err), STATUS_OK);
	struct file_map map;
	assert_int_equal(file_map(&map, to, &err), STATUS_OK);
	assert_int_equal(map.size, n);
	assert_memory_equal(map.data, bytes, n);
	file_unmap(&map);
	char expected[65], found[65];
	uint64_t size;
	sha256_hex(bytes, n, expected);
	assert_int_equal(file_sha256(to, &size, found, &err), STATUS_OK);
	assert_string_equal(found, expected);
	assert_int_equal(size, n);
	free(from);
	free(to);
	free(bytes);
}

static void test_empty_file_reads_and_maps(void **state)
{
	(void)state;
	const char *path = in_root("empty");
	assert_int_equal(file_replace(path, NULL, 0, &err), STATUS_OK);
	check_content(path, "");
	struct file_map map;
	assert_int_equal(file_map(&map, path, &err), STATUS_OK);
	assert_int_equal(map.size, 0);
	assert_non_null(map.data);
	file_unmap(&map);
	char expected[65], found[65];
	uint64_t size = 1;
	sha256_hex("", 0, expected);
	assert_int_equal(file_sha256(path, &size, found, &err), STATUS_OK);
	assert_string_equal(found, expected);
	assert_int_equal(size, 0);
	assert_int_equal(file_copy(path, in_root("empty2"), &err), STATUS_OK);
}

static void test_only_regular_files_are_read(void **state)
{
	(void)state;
	struct buf text = BUF_INIT;
	struct file_map map;
	const char *fifo = in_root("fifo");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	const char *const refused[] = {fifo, root, "/dev/zero", in_root("absent")};
	for (int i = 0; i < 4; i++) {
		assert_int_equal(file_read(refused[i], 100, &text, &err), STATUS_BAD_INPUT);
		assert_non_null(strstr(err.text, refused[i]));
		assert_int_equal(file_map(&map, refused[i], &err), STATUS_BAD_INPUT);
		assert_int_equal(file_copy(refused[i], in_root("x"), &err), STATUS_BAD_INPUT);
	}
	assert_non_null(strstr(err.text, "No such file"));
	assert_false(file_exists(in_root("x")));
	buf_release(&text);
}

static void test_failed_replace_leaves_the_path_alone(void **state)
{
	(void)state;
	/* A directory cannot be replaced by a file. */
	const char *dir = in_root("dir");
	assert_int_equal(file_make_dirs(dir, &err), STATUS_OK);
	assert_int_equal(file_replace(dir, "x", 1, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, dir));
	assert_true(file_is_dir(dir));
	assert_false(file_exists(in_root("dir.tmp")));
	assert_int_equal(file_replace(in_root("no/such"), "x", 1, &err), STATUS_BAD_INPUT);
	/* A temporary that is a link is not written through. */
	assert_int_equal(file_replace(in_root("target"), "kept", 4, &err), STATUS_OK);
	assert_int_equal(symlink(in_root("target"), in_root("link.tmp")), 0);
	assert_int_equal(file_replace(in_root("link"), "x", 1, &err), STATUS_BAD_INPUT);
	check_content(in_root("target"), "kept");
	int full = open("/dev/full", O_WRONLY);
	if (full >= 0) {
		assert_int_equal(file_write_at(full, "x", 1, 0, "f", &err), STATUS_BAD_INPUT);
		assert_string_equal(err.text, "f: cannot write: No space left on device");
		close(full);
	}
}

/* As another user where this is root, who may read everything. */
static void test_replace_in_a_directory_that_may_not_be_read(void **state)
{
	(void)state;
	enum { NOBODY = 65534 };
	bool is_root = geteuid() == 0;
	const char *dir = in_root("drop");
	assert_int_equal(file_make_dirs(dir, &err), STATUS_OK);
	assert_int_equal(chmod(root, 0711), 0);
	assert_int_equal(chmod(dir, 0333), 0);
	assert_int_equal(is_root ? seteuid(NOBODY) : 0, 0);
	enum status status = file_replace(in_root("drop/a"), "new", 3, &err);
	assert_int_equal(is_root ? seteuid(0) : 0, 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(status, STATUS_OK);
	check_content(in_root("drop/a"), "new");
	assert_false(file_exists(in_root("drop/a.tmp")));
}

static void test_write_at_fills_holes_in_any_order(void **state)
{
	(void)state;
	const char *path = in_root("parts");
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(file_write_at(fd, "cd", 2, 2, path, &err), STATUS_OK);
	assert_int_equal(file_write_at(fd, "ab", 2, 0, path, &err), STATUS_OK);
	close(fd);
	check_content(path, "abcd");
}

static void test_reading_past_the_end_is_an_error(void **state)
{
	(void)state;
	const char *path = in_root("short");
	char bytes[4] = "";
	uint64_t size;
	assert_int_equal(file_replace(path, "abcdef", 6, &err), STATUS_OK);
	int fd = file_open(path, &size, &err);
	assert_true(fd >= 0);
	assert_int_equal(size, 6);
	assert_int_equal(file_read_at(fd, bytes, 3, 2, path, &err), STATUS_OK);
	assert_string_equal(bytes, "cde");
	assert_int_equal(file_read_at(fd, bytes, 3, 4, path, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "short: ends at byte 6, expected 1 more"));
	assert_int_equal(file_read_at(fd, bytes, 0, 100, path, &err), STATUS_OK);
	close(fd);
	assert_int_equal(file_open(root, &size, &err), -1);
}

static void test_new_dirs_are_removed_again_where_they_are_empty(void **state)
{
	(void)state;
	char *there = path_join(root, "there"), *deep = path_join(there, "b/c//d/"), *made;
	assert_int_equal(file_make_dirs(there, &err), STATUS_OK);
	assert_int_equal(file_make_new_dirs(deep, &made, &err), STATUS_OK);
	assert_string_equal(made, in_root("there/b"));
	file_remove_new_dirs(deep, made);
	assert_true(file_is_dir(there));
	assert_false(file_exists(made));
	free(made);
	/* Up to one that is not empty. */
	assert_int_equal(file_make_new_dirs(deep, &made, &err), STATUS_OK);
	assert_int_equal(file_replace(in_root("there/b/kept"), "x", 1, &err), STATUS_OK);
	file_remove_new_dirs(deep, made);
	assert_true(file_exists(in_root("there/b/kept")));
	assert_false(file_exists(in_root("there/b/c")));
	free(made);
	assert_int_equal(file_make_new_dirs(there, &made, &err), STATUS_OK);
	assert_null(made);
	file_remove_new_dirs(there, made);
	assert_true(file_is_dir(there));
	/* What was made before a failure is known. */
	assert_int_equal(file_make_new_dirs(in_root("there/b/e/../kept/f"), &made, &err),
			 STATUS_BAD_INPUT);
	assert_string_equal(made, in_root("there/b/e"));
	file_remove_new_dirs(in_root("there/b/e/../kept/f"), made);
	assert_false(file_exists(made));
	free(made);
	assert_int_equal(file_remove_tree(there, &err), STATUS_OK);
	free(deep);
	free(there);
}

static void test_dirs_are_made_listed_in_order_and_removed(void **state)
{
	(void)state;
	char *top = path_join(root, "tree");
	char *deep = path_join(top, "b/c//d/");
	assert_int_equal(file_make_dirs(deep, &err), STATUS_OK);
	assert_int_equal(file_make_dirs(deep, &err), STATUS_OK);
	assert_true(file_is_dir(deep));
	assert_int_equal(file_replace(in_root("outside"), "kept", 4, &err), STATUS_OK);
	assert_int_equal(symlink(root, in_root("tree/a")), 0);
	assert_int_equal(file_replace(in_root("tree/Z"), "", 0, &err), STATUS_OK);
	assert_int_equal(file_make_dirs(in_root("tree/Z/sub"), &err), STATUS_BAD_INPUT);
	char **names;
	size_t n;
	assert_int_equal(file_list(top, &names, &n, &err), STATUS_OK);
	assert_int_equal(n, 3);
	static const char *const expected[] = {"Z", "a", "b"};
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(names[i], expected[i]);
		free(names[i]);
	}
	free(names);
	assert_int_equal(file_list(deep, &names, &n, &err), STATUS_OK);
	assert_int_equal(n, 0);
	free(names);
	assert_int_equal(file_remove_tree(top, &err), STATUS_OK);
	assert_int_equal(file_remove_tree(top, &err), STATUS_OK);
	assert_false(file_exists(top));
	check_content(in_root("outside"), "kept");
	assert_int_equal(file_list(top, &names, &n, &err), STATUS_BAD_INPUT);
	assert_int_equal(file_sync_dir(root, &err), STATUS_OK);
	free(deep);
	free(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replace_then_read_gives_the_bytes),
		cmocka_unit_test(test_copy_and_map_give_the_bytes),
		cmocka_unit_test(test_empty_file_reads_and_maps),
		cmocka_unit_test(test_only_regular_files_are_read),
		cmocka_unit_test(test_failed_replace_leaves_the_path_alone),
		cmocka_unit_test(test_replace_in_a_directory_that_may_not_be_read),
		cmocka_unit_test(test_write_at_fills_holes_in_any_order),
		cmocka_unit_test(test_reading_past_the_end_is_an_error),
		cmocka_unit_test(test_new_dirs_are_removed_again_where_they_are_empty),
		cmocka_unit_test(test_dirs_are_made_listed_in_order_and_removed),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
