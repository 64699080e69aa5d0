/* A run's directory: lock, identity, record of success.
 *
 * The lock is flock on run/lock, so the kernel gives it back however its holder
 * dies; the text inside only tells people who holds it.  The file itself stays:
 * removing it would let two processes hold locks on two files of one name.
 *
 * run.json is replaced whole by rename.  It is the only record of success: the
 * launcher's exit code is none. */
#include "common/run/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "common/base/buf.h"
#include "common/base/build_info.h"
#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"

#define LOCK_WAIT_S 10.0
#define LOCK_POLL_S 0.05
#define MAX_RECORD_BYTES 65536
#define MAX_LINE_BYTES 65536

/* --- the lock --- */

/* "pid 12 on node3 since 2026-01-31 12:00:00 UTC, job 77", for the next one who asks. */
static void write_holder(int fd)
{
	char host[256] = "?", since[32], text[512];
	const char *job = getenv("SLURM_JOB_ID");
	time_t now = time(NULL);
	struct tm tm;
	int n;

	gethostname(host, sizeof host - 1);
	strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S", gmtime_r(&now, &tm));
	n = snprintf(text, sizeof text, "pid %d on %s since %s UTC%s%.32s\n", (int)getpid(), host,
		     since, job ? ", job " : "", job ? job : "");
	/* The lock holds without its text. */
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
		log_debug("cannot write the lock's holder: %s", strerror(errno));
}

static void read_holder(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (!text[0])
		snprintf(text, size, "another process");
}

static enum status wait_for_lock(int fd, const char *run_path, struct error *err)
{
	double began = clock_now();
	bool told = false;
	char holder[512];

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return error_set(err, STATUS_BAD_INPUT, "%s/lock: cannot lock it: %s",
					 run_path, strerror(errno));
		read_holder(fd, holder, sizeof holder);
		if (clock_now() - began >= LOCK_WAIT_S)
			return error_set(err, STATUS_BAD_INPUT, "%s: in use by %s", run_path,
					 holder);
		if (!told)
			log_info("%s: in use by %s; waiting up to %g s for it to end", run_path,
				 holder, LOCK_WAIT_S);
		told = true;
		clock_sleep(LOCK_POLL_S);
	}
	return STATUS_OK;
}

/* Whether the open file is still the one of this name. */
static bool is_at(int fd, const char *path)
{
	struct stat held, there;

	return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_dev == there.st_dev &&
	       held.st_ino == there.st_ino;
}

static enum status take_lock(struct run_dir *run, struct error *err)
{
	char *path = path_join(run->path, "lock");
	enum status status = STATUS_OK;

	while (run->lock_fd < 0 && status == STATUS_OK) {
		char *made;
		int fd;

		status = file_make_new_dirs(run->path, &made, err);
		if (made) {
			free(run->made);
			run->made = made;
		}
		if (status != STATUS_OK)
			break;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0) {
			status = error_set(err, STATUS_BAD_INPUT, "%s: cannot open it: %s", path,
					   strerror(errno));
			break;
		}
		status = wait_for_lock(fd, run->path, err);
		/* The holder that was waited for may have removed it: run_dir_close. */
		if (status == STATUS_OK && is_at(fd, path))
			run->lock_fd = fd;
		else
			close(fd);
	}
	if (status == STATUS_OK)
		write_holder(run->lock_fd);
	free(path);
	return status;
}

static bool holds_lock(const struct run_dir *run)
{
	char *path = path_join(run->path, "lock");
	bool held = run->lock_fd >= 0 && is_at(run->lock_fd, path);

	free(path);
	return held;
}

enum status run_dir_check(const struct run_dir *run, struct error *err)
{
	if (holds_lock(run))
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: its file \"lock\" was removed or replaced while this run was in it, "
			 "expected the one that it holds; nothing more is written there",
			 run->path);
}

/* --- the record --- */

static enum status read_record(struct run_dir *run, const char *path, struct error *err)
{
	enum status status = STATUS_OK;
	struct json *record = json_read_object(path, MAX_RECORD_BYTES, err);
	const char *id, *command;
	uuid_t uuid;

	if (!record)
		return STATUS_BAD_INPUT;
	id = json_string_or_null(json_get(record, "id"));
	command = json_string_or_null(json_get(record, "command"));
	if (!id || uuid_parse(id, uuid) != 0)
		status = error_set(err, STATUS_BAD_INPUT, "%s: \"id\" is %s%.64s, expected a uuid",
				   path, id ? "" : "missing", id ? id : "");
	else if (command && strcmp(command, run->command) != 0)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: is a run of %.64s, expected one of %s or a new directory",
				   run->path, command, run->command);
	else
		uuid_unparse_lower(uuid, run->id);
	json_free(record);
	return status;
}

static enum status open_record(struct run_dir *run, struct error *err)
{
	char *path = path_join(run->path, "run.json"), *config = path_join(run->path, "config.json");
	enum status status = STATUS_OK;
	uuid_t uuid;

	if (file_exists(path)) {
		status = read_record(run, path, err);
	} else if (file_exists(config)) {
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: holds a config.json but no run.json: not the directory of a "
				   "run, expected one or a new directory",
				   run->path);
	} else {
		uuid_generate(uuid);
		uuid_unparse_lower(uuid, run->id);
	}
	free(config);
	free(path);
	return status;
}

enum status run_dir_open(struct run_dir *run, const char *path, const char *command,
			 struct error *err)
{
	enum status status;

	*run = (struct run_dir){.path = xstrdup(path), .lock_fd = -1, .command = command};
	if (strcmp(path, "~") == 0 || strncmp(path, "~/", 2) == 0) {
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: ~ stands for no home directory in a config; "
				   "write its path out",
				   path);
		run_dir_close(run);
		return status;
	}
	status = take_lock(run, err);
	if (status == STATUS_OK)
		status = open_record(run, err);
	if (status != STATUS_OK)
		run_dir_close(run);
	return status;
}

/* While the lock is held, so that nobody is in the directory. */
static void remove_lock(const struct run_dir *run)
{
	char *lock = path_join(run->path, "lock");

	if (unlink(lock) != 0)
		log_debug("%s: cannot remove it: %s", lock, strerror(errno));
	free(lock);
}

void run_dir_close(struct run_dir *run)
{
	char *record = run->path ? path_join(run->path, "run.json") : NULL;

	if (run->path && !file_exists(record)) {
		if (holds_lock(run))
			remove_lock(run);
		file_remove_new_dirs(run->path, run->made);
	}
	if (run->lock_fd >= 0)
		close(run->lock_fd);
	free(record);
	free(run->made);
	free(run->path);
	*run = (struct run_dir){.lock_fd = -1};
}

static void add_string(struct buf *text, const char *key, const char *value)
{
	buf_printf(text, "  \"%s\": ", key);
	json_write_string(text, value, strlen(value));
	buf_append_string(text, ",\n");
}

enum status run_dir_record(struct run_dir *run, const char *state, int64_t step, const char *reason,
			   struct error *err)
{
	struct buf text = BUF_INIT;
	char *path = path_join(run->path, "run.json");
	enum status status = run_dir_check(run, err);

	buf_append_string(&text, "{\n");
	add_string(&text, "id", run->id);
	add_string(&text, "command", run->command);
	add_string(&text, "state", state);
	buf_printf(&text, "  \"step\": %" PRId64 ",\n", step);
	add_string(&text, "reason", reason ? reason : "");
	add_string(&text, "version", build_version());
	buf_printf(&text, "  \"build\": \"%s\"\n}\n", build_id());
	if (status == STATUS_OK)
		status = file_replace(path, text.data, text.length, err);
	buf_release(&text);
	free(path);
	return status;
}

/* Whether somebody holds the lock; yes if that cannot be told. */
static bool is_held(const char *run_path)
{
	char *path = path_join(run_path, "lock");
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool held = fd < 0 ? errno != ENOENT : flock(fd, LOCK_SH | LOCK_NB) != 0;

	if (fd >= 0)
		close(fd);
	free(path);
	return held;
}

struct json *run_dir_last_metrics(const char *run_path)
{
	char *path = path_join(run_path, "metrics.jsonl"), *text = xmalloc(MAX_LINE_BYTES);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be a FIFO */
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	off_t from = size > MAX_LINE_BYTES ? size - MAX_LINE_BYTES : 0;
	ssize_t end = size > 0 ? pread(fd, text, MAX_LINE_BYTES, from) : 0, begin;
	struct json *line;

	while (end > 0 && text[end - 1] != '\n')
		end--;
	for (begin = end - 1; begin > 0 && text[begin - 1] != '\n';)
		begin--;
	line = end > 0 ? json_parse(text + begin, (size_t)(end - begin), path, NULL) : NULL;
	if (fd >= 0)
		close(fd);
	free(text);
	free(path);
	return line;
}

static void read_last_step(const char *run_path, int64_t *step)
{
	struct json *line = run_dir_last_metrics(run_path);
	const struct json *number = line ? json_get(line, "step") : NULL;

	if (number && json_type(number) == JSON_NUMBER)
		(void)json_int64(number, step);
	json_free(line);
}

bool run_dir_state(const char *path, char state[16], int64_t *step)
{
	char *record_path = path_join(path, "run.json");
	struct json *record = json_read_object(record_path, MAX_RECORD_BYTES, NULL);
	const char *text = json_string_or_null(json_get(record, "state"));
	const struct json *number = json_get(record, "step");
	bool found = text && strlen(text) < 16 &&
		     strspn(text, "abcdefghijklmnopqrstuvwxyz") == strlen(text) && number &&
		     json_int64(number, step);

	if (found)
		memcpy(state, text, strlen(text) + 1);
	json_free(record);
	free(record_path);
	if (found && strcmp(state, "running") == 0) {
		read_last_step(path, step);
		if (!is_held(path))
			memcpy(state, "killed", sizeof "killed");
	}
	return found;
}

enum status run_dir_need_state(const char *path, char state[16], int64_t *step, struct error *err)
{
	char *record_path = path_join(path, "run.json");
	enum status status = STATUS_OK;

	if (!run_dir_state(path, state, step))
		status = error_set(err, STATUS_BAD_INPUT,
				   file_exists(record_path)
					   ? "%s: not a run directory, its run.json is damaged"
					   : "%s: not a run directory, it has no run.json",
				   path);
	free(record_path);
	return status;
}
