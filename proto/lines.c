/* Sharing lines out and writing them in order.
 *
 * Block b belongs to rank b % size.  The lead goes through the blocks in order:
 * its own ones it works on, the others it receives.  So it holds one block at a
 * time, and a worker is at most two ahead of what the lead has taken:
 *
 *     worker -> lead   result: status, bytes; then the text or the error
 *     lead -> worker   reply: go on or stop
 *
 * The lead goes on to the end or to the first block that fails in order of
 * lines, so the sentence does not depend on the number of ranks.  Then it sends
 * one stop to each worker, whose last word is a result without a block. */
#include "proto/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "proto/wire.h"

enum { AHEAD = 2 }; /* results sent that the lead has not replied to */

enum reply { REPLY_GO = 1, REPLY_STOP = 2 };

struct result_head {
	uint64_t bytes;	 /* of text or of the error's sentence that follow */
	int32_t status;	 /* enum status of the block */
	int32_t is_last; /* 1: the worker leaves, no block */
};
_Static_assert(sizeof(struct result_head) == 16, "size");

struct lines {
	struct wire *wire;
	size_t n_lines, block, n_blocks;
	lines_work *work;
	lines_write *write;
	void *context;
};

static enum status run_block(const struct lines *lines, size_t block, struct buf *out,
			     struct error *err)
{
	size_t first = block * lines->block;
	size_t left = lines->n_lines - first;
	return lines->work(lines->context, first, left < lines->block ? left : lines->block, out,
			   err);
}

/* --- worker --- */

/* One result under way to the lead. */
struct result {
	struct result_head head;
	struct buf text;
	struct wire_transfer *transfers[2]; /* of head and text; NULL when done */
};

static void send_result(const struct lines *lines, struct result *result)
{
	result->head.bytes = result->text.length;
	result->transfers[0] =
		wire_send(lines->wire, 0, WIRE_RESULT, &result->head, sizeof result->head);
	if (result->text.length > 0)
		result->transfers[1] = wire_send(lines->wire, 0, WIRE_RESULT, result->text.data,
						 result->text.length);
}

static enum reply wait_for_reply(const struct lines *lines)
{
	int32_t reply;
	struct wire_transfer *transfer =
		wire_receive(lines->wire, 0, WIRE_REPLY, &reply, sizeof reply);
	wire_finish(&transfer, 1);
	return (enum reply)reply;
}

static void work_on_block(const struct lines *lines, size_t block, struct result *result)
{
	struct error err = {0};
	wire_finish(result->transfers, 2);
	buf_reset(&result->text);
	enum status status = run_block(lines, block, &result->text, &err);
	result->head.status = (int32_t)status;
	if (status != STATUS_OK) {
		buf_reset(&result->text);
		buf_append_string(&result->text, err.text);
	}
	send_result(lines, result);
}

static void run_worker(const struct lines *lines)
{
	struct result results[AHEAD] = {0};
	size_t sent = 0, taken = 0; /* results */
	enum reply reply = REPLY_GO;
	bool ok = true;
	size_t step = (size_t)wire_size(lines->wire);
	for (size_t b = (size_t)wire_rank(lines->wire); b < lines->n_blocks && ok; b += step) {
		if (sent - taken == AHEAD) {
			reply = wait_for_reply(lines);
			taken++;
			if (reply == REPLY_STOP)
				break;
		}
		struct result *result = &results[sent++ % AHEAD];
		work_on_block(lines, b, result);
		ok = result->head.status == STATUS_OK;
	}
	while (reply != REPLY_STOP)
		reply = wait_for_reply(lines);
	struct result last = {.head.is_last = 1};
	send_result(lines, &last);
	wire_finish(last.transfers, 2);
	for (size_t i = 0; i < AHEAD; i++) {
		wire_finish(results[i].transfers, 2);
		buf_release(&results[i].text);
	}
}

/* --- lead --- */

static struct result_head receive_result(const struct lines *lines, int from, struct buf *text)
{
	struct result_head head;
	struct wire_transfer *transfer =
		wire_receive(lines->wire, from, WIRE_RESULT, &head, sizeof head);
	wire_finish(&transfer, 1);
	buf_reset(text);
	buf_reserve(text, head.bytes);
	text->length = head.bytes;
	text->data[text->length] = '\0';
	if (head.bytes > 0) {
		transfer = wire_receive(lines->wire, from, WIRE_RESULT, text->data, text->length);
		wire_finish(&transfer, 1);
	}
	return head;
}

static void send_reply(const struct lines *lines, int to, enum reply reply)
{
	int32_t bytes = (int32_t)reply;
	struct wire_transfer *transfer =
		wire_send(lines->wire, to, WIRE_REPLY, &bytes, sizeof bytes);
	wire_finish(&transfer, 1);
}

static enum status take_block(const struct lines *lines, size_t block, struct buf *text,
			      struct error *err)
{
	int owner = (int)(block % (size_t)wire_size(lines->wire));
	if (owner == 0) {
		buf_reset(text);
		return run_block(lines, block, text, err);
	}
	struct result_head head = receive_result(lines, owner, text);
	if (head.is_last)
		die("rank %d left before block %zu", owner, block);
	if (head.status != STATUS_OK)
		return error_set(err, (enum status)head.status, "%s", text->data);
	return STATUS_OK;
}

static enum status run_lead(const struct lines *lines, struct error *err)
{
	struct buf text = BUF_INIT;
	enum status status = STATUS_OK;
	int size = wire_size(lines->wire);
	for (size_t b = 0; b < lines->n_blocks && status == STATUS_OK; b++) {
		status = take_block(lines, b, &text, err);
		if (status == STATUS_OK)
			status = lines->write(lines->context, text.data, text.length, err);
		int owner = (int)(b % (size_t)size);
		if (status == STATUS_OK && owner != 0)
			send_reply(lines, owner, REPLY_GO);
	}
	for (int worker = 1; worker < size; worker++)
		send_reply(lines, worker, REPLY_STOP);
	for (int worker = 1; worker < size; worker++) {
		while (!receive_result(lines, worker, &text).is_last)
			;
	}
	buf_release(&text);
	return status;
}

enum status lines_run(struct comm *comm, size_t n_lines, size_t block, lines_work *work,
		      lines_write *write, void *context, struct error *err)
{
	ASSERT(block > 0);
	struct lines lines = {
		.wire = comm_wire(comm),
		.n_lines = n_lines,
		.block = block,
		.n_blocks = n_lines / block + (n_lines % block != 0),
		.work = work,
		.write = write,
		.context = context,
	};
	struct error own = {0};
	enum status status = STATUS_OK;
	if (comm_is_lead(comm))
		status = run_lead(&lines, &own);
	else
		run_worker(&lines);
	status = comm_agree(comm, status, &own);
	if (status != STATUS_OK && err != NULL)
		*err = own;
	return status;
}

/* --- the output --- */

struct line_output {
	char *path;	 /* for messages, and the name in the end */
	char *temporary; /* NULL if written in place */
	int fd;
};

static enum status system_error(struct error *err, const char *path, const char *what)
{
	return error_set(err, STATUS_BAD_INPUT, "%s: %s: %s", path, what, strerror(errno));
}

/* The temporary file of the output that is open. */
static char *volatile unfinished;

static void drop_unfinished(void)
{
	if (unfinished)
		unlink(unfinished);
}

/* Signals that end the program end with what they do by default. */
static void drop_and_end(int signal)
{
	drop_unfinished();
	raise(signal);
}

static void guard_unfinished(char *path)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction ours = {.sa_handler = drop_and_end, .sa_flags = (int)SA_RESETHAND};
	struct sigaction usual = {.sa_handler = SIG_DFL}, now;
	void (*expected)(int) = path ? SIG_DFL : drop_and_end;

	unfinished = path;
	die_set_cleanup(path ? drop_unfinished : NULL);
	sigemptyset(&ours.sa_mask);
	sigemptyset(&usual.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == expected)
			sigaction(signals[i], path ? &ours : &usual, NULL);
}

/* A new file beside the output, with the mode that this has or a new one would get. */
static int open_temporary(struct line_output *o, const struct stat *old)
{
	mode_t mask = umask(0);
	int fd;

	umask(mask);
	o->temporary = xasprintf("%s.XXXXXX", o->path);
	fd = mkostemp(o->temporary, O_CLOEXEC);
	if (fd < 0)
		return fd;
	guard_unfinished(o->temporary);
	if (fchmod(fd, old ? old->st_mode & 0777 : 0666 & ~mask) != 0)
		log_debug("%s: cannot change its mode: %s", o->temporary, strerror(errno));
	return fd;
}

/* Standard output by another name, as /dev/stdout is one, even where it is a file. */
static bool is_standard_output(const struct stat *info)
{
	struct stat out;

	return fstat(STDOUT_FILENO, &out) == 0 && info->st_dev == out.st_dev &&
	       info->st_ino == out.st_ino;
}

enum status line_output_open(struct line_output **output, const char *path, struct error *err)
{
	struct line_output *o = xcalloc(1, sizeof *o);
	struct stat info;
	bool exists = path && stat(path, &info) == 0;

	*output = NULL;
	if (!path || strcmp(path, "-") == 0 || (exists && is_standard_output(&info))) {
		o->path = xstrdup("standard output");
		o->fd = STDOUT_FILENO;
		*output = o;
		return STATUS_OK;
	}
	if (!*path) {
		free(o);
		return error_set(err, STATUS_BAD_INPUT, "--output is empty, expected a file or -");
	}
	if (!exists && lstat(path, &info) == 0) {
		free(o);
		return error_set(err, STATUS_BAD_INPUT, "%s: is a link to nothing, expected a file",
				 path);
	}
	o->path = exists ? realpath(path, NULL) : NULL; /* a link stays one */
	if (!o->path)
		o->path = xstrdup(path);
	if (exists && !S_ISREG(info.st_mode)) /* a device or a pipe */
		o->fd = open(path, O_WRONLY | O_CLOEXEC);
	else
		o->fd = open_temporary(o, exists ? &info : NULL);
	if (o->fd >= 0) {
		*output = o;
		return STATUS_OK;
	}
	system_error(err, path, "cannot write");
	free(o->path);
	free(o->temporary);
	free(o);
	return STATUS_BAD_INPUT;
}

enum status line_output_write(struct line_output *output, const char *bytes, size_t n,
			      struct error *err)
{
	while (n > 0) {
		ssize_t written = write(output->fd, bytes, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return system_error(err, output->path, "cannot write");
		bytes += written;
		n -= (size_t)written;
	}
	return STATUS_OK;
}

static enum status publish(struct line_output *output, struct error *err)
{
	if (fsync(output->fd) != 0)
		return system_error(err, output->path, "cannot write");
	if (rename(output->temporary, output->path) != 0)
		return system_error(err, output->path, "cannot rename");
	char *copy = xstrdup(output->path);
	enum status status = file_sync_dir(dirname(copy), err);
	free(copy);
	return status;
}

enum status line_output_close(struct line_output *output, bool ok, struct error *err)
{
	if (output == NULL)
		return STATUS_OK;
	enum status status = STATUS_OK;
	if (output->temporary != NULL && ok)
		status = publish(output, err);
	if (output->temporary != NULL && (!ok || status != STATUS_OK))
		unlink(output->temporary);
	if (output->temporary != NULL)
		guard_unfinished(NULL);
	if (output->fd != STDOUT_FILENO)
		close(output->fd);
	free(output->path);
	free(output->temporary);
	free(output);
	return status;
}
