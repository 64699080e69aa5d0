/* ranks: 1 2 3 4 */
/* The bytes, and the sentence of a failure, do not depend on the ranks. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/file.h"
#include "proto/lines.h"
#include "tests/mpi/check.h"

struct job {
	struct buf written;
	size_t bad_line;     /* work fails here, and on all later ones */
	size_t most_written; /* writing fails beyond this many bytes */
	size_t n_worked;
	int rank;
};

/* Line i is its number and i % 7 letters; now and then a long one. */
static void append_line(struct buf *out, size_t i)
{
	buf_printf(out, "%zu:", i);
	size_t letters = i % 50 == 49 ? 100000 : i % 7;
	for (size_t k = 0; k < letters; k++)
		buf_append_char(out, 'x');
	buf_append_char(out, '\n');
}

static enum status work(void *context, size_t first, size_t n, struct buf *out, struct error *err)
{
	struct job *job = context;
	/* Ranks of different speed. */
	clock_sleep(0.0005 * job->rank);
	for (size_t i = first; i < first + n; i++) {
		if (i >= job->bad_line)
			return error_set(err, STATUS_BAD_INPUT, "line %zu is bad", i);
		append_line(out, i);
		job->n_worked++;
	}
	return STATUS_OK;
}

static enum status write_bytes(void *context, const char *bytes, size_t n, struct error *err)
{
	struct job *job = context;
	buf_append(&job->written, bytes, n);
	if (job->written.length > job->most_written)
		return error_set(err, STATUS_FAILED, "the disk is full");
	return STATUS_OK;
}

static void expect_lines(const struct buf *written, size_t n_lines)
{
	struct buf expected = BUF_INIT;
	for (size_t i = 0; i < n_lines; i++)
		append_line(&expected, i);
	CHECK(written->length == expected.length);
	CHECK(written->length == 0 || memcmp(written->data, expected.data, expected.length) == 0);
	buf_release(&expected);
}

static void test_output_is_in_line_order(struct comm *world, size_t n_lines, size_t block)
{
	struct job job = {.bad_line = SIZE_MAX, .most_written = SIZE_MAX, .rank = comm_rank(world)};
	struct error err;
	CHECK(lines_run(world, n_lines, block, work, write_bytes, &job, &err) == STATUS_OK);
	if (comm_is_lead(world))
		expect_lines(&job.written, n_lines);
	else
		CHECK(job.written.length == 0);
	buf_release(&job.written);
}

static void test_the_first_bad_line_gives_the_sentence(struct comm *world, size_t bad)
{
	struct job job = {.bad_line = bad, .most_written = SIZE_MAX, .rank = comm_rank(world)};
	struct error err = {0};
	char expected[64];
	snprintf(expected, sizeof expected, "line %zu is bad", bad);
	CHECK(lines_run(world, 400, 3, work, write_bytes, &job, &err) == STATUS_BAD_INPUT);
	CHECK(strcmp(err.text, expected) == 0);
	if (comm_is_lead(world))
		expect_lines(&job.written, bad - bad % 3);
	buf_release(&job.written);
}

static void test_a_full_disk_stops_everyone_soon(struct comm *world)
{
	struct job job = {.bad_line = SIZE_MAX, .most_written = 30, .rank = comm_rank(world)};
	struct error err = {0};
	CHECK(lines_run(world, 100000, 1, work, write_bytes, &job, &err) == STATUS_FAILED);
	CHECK(strcmp(err.text, "the disk is full") == 0);
	CHECK(job.n_worked < 20);
	buf_release(&job.written);
}

static size_t count_files(const char *dir)
{
	char **names;
	size_t n = 0;
	struct error err;
	CHECK(file_list(dir, &names, &n, &err) == STATUS_OK);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return n;
}

static void test_a_file_appears_when_it_is_whole(void)
{
	char dir[] = "/tmp/test_lines.XXXXXX";
	CHECK(mkdtemp(dir) != NULL);
	char *path = path_join(dir, "out.jsonl");
	struct line_output *output;
	struct error err;
	CHECK(line_output_open(&output, path, &err) == STATUS_OK);
	CHECK(line_output_write(output, "whole\n", 6, &err) == STATUS_OK);
	CHECK(!file_exists(path));
	CHECK(line_output_close(output, true, &err) == STATUS_OK);
	CHECK(count_files(dir) == 1);

	CHECK(line_output_open(&output, path, &err) == STATUS_OK);
	CHECK(line_output_write(output, "half", 4, &err) == STATUS_OK);
	CHECK(count_files(dir) == 2);
	CHECK(line_output_close(output, false, &err) == STATUS_OK);
	CHECK(count_files(dir) == 1);
	struct buf text = BUF_INIT;
	CHECK(file_read(path, 100, &text, &err) == STATUS_OK);
	CHECK(text.length == 6 && memcmp(text.data, "whole\n", 6) == 0);

	CHECK(line_output_open(&output, "/nowhere/out", &err) == STATUS_BAD_INPUT);
	CHECK(strncmp(err.text, "/nowhere/out: cannot write: ", 28) == 0);
	CHECK(line_output_open(&output, dir, &err) == STATUS_BAD_INPUT);
	unlink(path);
	rmdir(dir);
	buf_release(&text);
	free(path);
}

/* A link stays one, and its file keeps its mode. */
static void test_the_file_of_a_link_is_written(void)
{
	char dir[] = "/tmp/test_lines.XXXXXX";
	CHECK(mkdtemp(dir) != NULL);
	char *path = path_join(dir, "out.jsonl"), *link = path_join(dir, "link");
	struct line_output *output;
	struct error err;
	struct stat info;
	CHECK(file_replace(path, "old", 3, &err) == STATUS_OK && chmod(path, 0640) == 0);
	CHECK(symlink("out.jsonl", link) == 0);
	CHECK(line_output_open(&output, link, &err) == STATUS_OK);
	CHECK(line_output_write(output, "new\n", 4, &err) == STATUS_OK);
	CHECK(line_output_close(output, true, &err) == STATUS_OK);
	CHECK(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
	CHECK(stat(path, &info) == 0 && info.st_size == 4 && (info.st_mode & 0777) == 0640);
	CHECK(count_files(dir) == 2);
	unlink(link);
	unlink(path);
	rmdir(dir);
	free(path);
	free(link);
}

/* What a signal that ends the program leaves: nothing, and the old file.  So does an
 * error inside, number 0. */
static void test_an_early_end_leaves_nothing_half_done(int number)
{
	char dir[] = "/tmp/test_lines.XXXXXX";
	CHECK(mkdtemp(dir) != NULL);
	char *path = path_join(dir, "out.jsonl");
	struct line_output *output;
	struct error err;
	int result;
	pid_t child = fork();
	if (child == 0) {
		signal(number, SIG_DFL);
		die_set_hook(NULL);
		close(STDERR_FILENO);
		if (line_output_open(&output, path, &err) != STATUS_OK || count_files(dir) != 1)
			_exit(9);
		if (number == 0)
			die("no memory");
		raise(number);
		_exit(9);
	}
	CHECK(waitpid(child, &result, 0) == child);
	if (number == 0)
		CHECK(WIFEXITED(result) && WEXITSTATUS(result) == 1);
	else
		CHECK(WIFSIGNALED(result) && WTERMSIG(result) == number);
	CHECK(count_files(dir) == 0);
	rmdir(dir);
	free(path);
}

/* A device is written to, never replaced by a file. */
static void test_a_device_stays_a_device(void)
{
	struct line_output *output;
	struct error err;
	CHECK(line_output_open(&output, "/dev/full", &err) == STATUS_OK);
	CHECK(line_output_write(output, "x", 1, &err) == STATUS_BAD_INPUT);
	CHECK(strcmp(err.text, "/dev/full: cannot write: No space left on device") == 0);
	CHECK(line_output_close(output, true, &err) == STATUS_OK);
	struct stat info;
	CHECK(stat("/dev/full", &info) == 0 && S_ISCHR(info.st_mode));
}

int main(void)
{
	struct comm *world = comm_init();
	const size_t blocks[] = {1, 4, 7, 64, 1000};
	for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
		test_output_is_in_line_order(world, 0, blocks[b]);
		test_output_is_in_line_order(world, 1, blocks[b]);
		test_output_is_in_line_order(world, 131, blocks[b]);
	}
	for (size_t bad = 0; bad < 15; bad++)
		test_the_first_bad_line_gives_the_sentence(world, bad);
	test_the_first_bad_line_gives_the_sentence(world, 398);
	test_a_full_disk_stops_everyone_soon(world);
	test_output_is_in_line_order(world, 131, 4); /* nothing is left of the failures */
	if (comm_is_lead(world)) {
		test_a_file_appears_when_it_is_whole();
		test_the_file_of_a_link_is_written();
		test_an_early_end_leaves_nothing_half_done(SIGINT);
		test_an_early_end_leaves_nothing_half_done(SIGTERM);
		test_an_early_end_leaves_nothing_half_done(SIGQUIT);
		test_an_early_end_leaves_nothing_half_done(0);
		test_a_device_stays_a_device();
	}
	return check_end(world);
}
