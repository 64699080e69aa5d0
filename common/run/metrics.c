/* Append-only lines whose length is part of a checkpoint.
 *
 * A line is written at the length that the log has counted, so a file that was
 * cut or left longer by a crash continues at the right byte.  A failed write is
 * cut off again: the file then lacks a line but never holds half of one. */
#include "common/run/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"

static enum status check(const struct stat *info, const char *path, uint64_t bytes,
			 struct error *err)
{
	if (!S_ISREG(info->st_mode))
		return error_set(err, STATUS_BAD_INPUT, "%s: not a regular file", path);
	if ((uint64_t)info->st_size < bytes)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: has %jd bytes, expected at least the %" PRIu64
				 " that the checkpoint counted",
				 path, (intmax_t)info->st_size, bytes);
	return STATUS_OK;
}

static enum status cannot_look(const char *path, struct error *err)
{
	return error_set(err, STATUS_BAD_INPUT, "%s: cannot look at it: %s", path, strerror(errno));
}

enum status line_log_check(const char *path, uint64_t bytes, struct error *err)
{
	struct stat info;

	if (stat(path, &info) == 0)
		return check(&info, path, bytes, err);
	return bytes == 0 && errno == ENOENT ? STATUS_OK : cannot_look(path, err);
}

static enum status cut(int fd, const char *path, uint64_t bytes, struct error *err)
{
	struct stat info;
	enum status status =
		fstat(fd, &info) == 0 ? check(&info, path, bytes, err) : cannot_look(path, err);

	if (status == STATUS_OK && ftruncate(fd, (off_t)bytes) != 0)
		return error_set(err, STATUS_BAD_INPUT, "%s: cannot cut it to %" PRIu64 " bytes: %s",
				 path, bytes, strerror(errno));
	return status;
}

enum status line_log_open(struct line_log *log, const char *path, uint64_t bytes, struct error *err)
{
	enum status status;
	/* O_NONBLOCK: a FIFO is refused instead of waited for. */
	int fd = open(path, O_RDWR | (bytes > 0 ? 0 : O_CREAT) | O_CLOEXEC | O_NONBLOCK, 0666);

	*log = (struct line_log){.fd = -1};
	if (fd < 0)
		return error_set(err, STATUS_BAD_INPUT, "%s: cannot open it: %s", path,
				 strerror(errno));
	status = cut(fd, path, bytes, err);
	if (status != STATUS_OK) {
		close(fd);
		return status;
	}
	*log = (struct line_log){.path = xstrdup(path), .fd = fd, .bytes = bytes};
	return STATUS_OK;
}

void line_log_append(struct line_log *log, const char *text, size_t n)
{
	struct error err;

	if (!log->path)
		return;
	if (file_write_at(log->fd, text, n, log->bytes, log->path, &err) == STATUS_OK) {
		log->bytes += n;
		return;
	}
	if (!log->warned)
		log_warn("%s; lines are missing from it", err.text);
	log->warned = true;
	if (ftruncate(log->fd, (off_t)log->bytes) != 0)
		log_debug("%s: cannot cut off half a line: %s", log->path, strerror(errno));
}

enum status line_log_sync(struct line_log *log, struct error *err)
{
	if (log->path && fsync(log->fd) != 0)
		return error_set(err, STATUS_BAD_INPUT, "%s: cannot sync it: %s", log->path,
				 strerror(errno));
	return STATUS_OK;
}

void line_log_close(struct line_log *log)
{
	if (log->path)
		close(log->fd);
	free(log->path);
	*log = (struct line_log){.fd = -1};
}

void metrics_begin(struct buf *line, int64_t step)
{
	buf_reset(line);
	buf_printf(line, "{\"step\":%" PRId64, step);
}

static void add_name(struct buf *line, const char *name)
{
	buf_append_char(line, ',');
	json_write_string(line, name, strlen(name));
	buf_append_char(line, ':');
}

void metrics_add(struct buf *line, const char *name, double value)
{
	add_name(line, name);
	json_write_double(line, value);
}

void metrics_add_string(struct buf *line, const char *name, const char *value)
{
	add_name(line, name);
	json_write_string(line, value, strlen(value));
}

void metrics_end(struct buf *line)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	buf_printf(line, ",\"time/unix\":%jd.%03ld}\n", (intmax_t)now.tv_sec,
		   now.tv_nsec / 1000000);
}
