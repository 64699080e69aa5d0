/* Files, with errors that name the path and what the system said.
 *
 * Everything that replaces a file goes through a neighbour named path.tmp, which
 * is complete and on the disk before it takes the name; after a crash a reader
 * finds either the old bytes or the new ones. */
#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/hash.h"
#include "common/base/memory.h"

/* USUAL_OPEN_FILES: what systems let a process open from the start. */
enum { CHUNK_BYTES = 1 << 20, USUAL_OPEN_FILES = 1024 };

static enum status system_error(struct error *err, const char *path, const char *what)
{
	return error_set(err, STATUS_BAD_INPUT, "%s: %s: %s", path, what, strerror(errno));
}

void file_keep_streams_apart(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int flags = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags) != fd)
			die("/dev/null: cannot open: %s", strerror(errno));
	}
}

void file_allow_open(size_t n)
{
	struct rlimit limit;
	rlim_t wanted = USUAL_OPEN_FILES + n;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return; /* RLIM_INFINITY is the largest number */
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* O_NONBLOCK keeps a FIFO from holding us. */
int file_open(const char *path, uint64_t *size, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat info;
	if (fd < 0 || fstat(fd, &info) != 0) {
		system_error(err, path, "cannot open");
	} else if (!S_ISREG(info.st_mode)) {
		error_set(err, STATUS_BAD_INPUT, "%s: is %s, expected a regular file", path,
			  S_ISDIR(info.st_mode) ? "a directory" : "not a file");
	} else {
		*size = (uint64_t)info.st_size;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static ssize_t read_some(int fd, void *data, size_t n)
{
	ssize_t got;
	do
		got = read(fd, data, n);
	while (got < 0 && errno == EINTR);
	return got;
}

static enum status too_large(const char *path, size_t max_bytes, struct error *err)
{
	return error_set(err, STATUS_BAD_INPUT, "%s: larger than the limit of %zu bytes", path,
			 max_bytes);
}

/* Reads to the end, which need not be where the size said: files grow. */
static enum status read_all(int fd, const char *path, size_t max_bytes, struct buf *out,
			    struct error *err)
{
	size_t total = 0;
	for (;;) {
		size_t room = out->capacity - out->length - 1;
		if (room == 0) {
			buf_reserve(out, 4096);
			room = out->capacity - out->length - 1;
		}
		ssize_t got = read_some(fd, out->data + out->length, room);
		if (got < 0)
			return system_error(err, path, "cannot read");
		if (got == 0)
			return STATUS_OK;
		out->length += (size_t)got;
		out->data[out->length] = '\0';
		total += (size_t)got;
		if (total > max_bytes)
			return too_large(path, max_bytes, err);
	}
}

/* So much that it is worth asking what memory there is. */
static const uint64_t LARGE_BYTES = (uint64_t)1 << 28;

enum status file_read(const char *path, size_t max_bytes, struct buf *out, struct error *err)
{
	uint64_t size;
	int fd = file_open(path, &size, err);
	if (fd < 0)
		return STATUS_BAD_INPUT;
	size_t before = out->length;
	enum status status;
	if (size > max_bytes) {
		status = too_large(path, max_bytes, err);
	} else if (size > LARGE_BYTES && size > memory_of_node()) {
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: has %" PRIu64 " bytes, this machine has memory for %zu",
				   path, size, memory_of_node());
	} else {
		buf_reserve(out, (size_t)size + 1);
		status = read_all(fd, path, max_bytes, out, err);
	}
	close(fd);
	if (status != STATUS_OK && out->data) {
		out->length = before;
		out->data[before] = '\0';
	}
	return status;
}

bool file_is_pipe(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISFIFO(info.st_mode);
}

enum status file_read_pipe(const char *path, size_t max_bytes, struct buf *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return system_error(err, path, "cannot open");
	buf_reserve(out, 4096);
	enum status status = read_all(fd, path, max_bytes, out, err);
	close(fd);
	return status;
}

enum status file_map(struct file_map *map, const char *path, struct error *err)
{
	static const uint8_t nothing[1];
	*map = (struct file_map){.data = nothing};
	uint64_t size;
	int fd = file_open(path, &size, err);
	if (fd < 0)
		return STATUS_BAD_INPUT;
	enum status status = STATUS_OK;
	if (size > SIZE_MAX) {
		status = too_large(path, SIZE_MAX, err);
	} else if (size > 0) {
		void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (data == MAP_FAILED)
			status = system_error(err, path, "cannot map");
		else
			*map = (struct file_map){.data = data, .size = (size_t)size};
	}
	close(fd);
	return status;
}

void file_unmap(struct file_map *map)
{
	if (map->size > 0)
		munmap((void *)(uintptr_t)map->data, map->size);
	*map = (struct file_map){0};
}

enum status file_read_at(int fd, void *data, size_t n, uint64_t offset, const char *path,
			 struct error *err)
{
	char *bytes = data;
	while (n > 0) {
		ssize_t got = pread(fd, bytes, n, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return system_error(err, path, "cannot read");
		if (got == 0)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s: ends at byte %llu, expected %zu more: it was cut "
					 "while it was read",
					 path, (unsigned long long)offset, n);
		bytes += got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return STATUS_OK;
}

enum status file_write_at(int fd, const void *data, size_t n, uint64_t offset, const char *path,
			  struct error *err)
{
	const char *bytes = data;
	while (n > 0) {
		ssize_t written = pwrite(fd, bytes, n, (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written == 0)
			errno = EIO;
		if (written <= 0)
			return system_error(err, path, "cannot write");
		bytes += written;
		offset += (uint64_t)written;
		n -= (size_t)written;
	}
	return STATUS_OK;
}

enum status file_sha256(const char *path, uint64_t *bytes, char hex[65], struct error *err)
{
	int fd = file_open(path, bytes, err);
	if (fd < 0)
		return STATUS_BAD_INPUT;
	char *chunk = xmalloc(CHUNK_BYTES);
	enum status status = STATUS_OK;
	struct sha256 sha;
	sha256_init(&sha);
	for (uint64_t at = 0; at < *bytes && status == STATUS_OK; at += CHUNK_BYTES) {
		size_t n = *bytes - at < CHUNK_BYTES ? (size_t)(*bytes - at) : CHUNK_BYTES;
		status = file_read_at(fd, chunk, n, at, path, err);
		if (status == STATUS_OK)
			sha256_update(&sha, chunk, n);
	}
	sha256_final_hex(&sha, hex);
	free(chunk);
	close(fd);
	return status;
}

static char *parent_of(const char *path)
{
	const char *end = path + strlen(path);
	while (end > path + 1 && end[-1] == '/')
		end--;
	while (end > path && end[-1] != '/')
		end--;
	if (end == path)
		return xstrdup(".");
	while (end > path + 1 && end[-1] == '/')
		end--;
	return xstrndup(path, (size_t)(end - path));
}

enum status file_sync_dir(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* One that may be written but not read has no descriptor to sync. */
	if (fd < 0 && errno == EACCES)
		return STATUS_OK;
	if (fd < 0)
		return system_error(err, path, "cannot open");
	enum status status = STATUS_OK;
	/* Some network file systems cannot sync a directory and say EINVAL. */
	if (fsync(fd) != 0 && errno != EINVAL)
		status = system_error(err, path, "cannot sync");
	close(fd);
	return status;
}

/* Syncs and closes the new file, gives it its name and syncs the directory; if
 * status is bad already, or goes bad before the rename, removes it instead. */
static enum status publish(enum status status, int fd, const char *temporary, const char *path,
			   struct error *err)
{
	if (status == STATUS_OK && fsync(fd) != 0)
		status = system_error(err, temporary, "cannot sync");
	if (close(fd) != 0 && status == STATUS_OK)
		status = system_error(err, temporary, "cannot close");
	if (status == STATUS_OK && rename(temporary, path) != 0)
		status = system_error(err, path, "cannot replace");
	if (status != STATUS_OK) {
		unlink(temporary);
		return status;
	}
	char *parent = parent_of(path);
	status = file_sync_dir(parent, err);
	free(parent);
	return status;
}

static int open_temporary(const char *temporary, struct error *err)
{
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		system_error(err, temporary, "cannot create");
	return fd;
}

enum status file_replace(const char *path, const void *data, size_t n, struct error *err)
{
	char *temporary = xasprintf("%s.tmp", path);
	enum status status = STATUS_BAD_INPUT;
	int fd = open_temporary(temporary, err);
	if (fd >= 0) {
		status = file_write_at(fd, data, n, 0, temporary, err);
		status = publish(status, fd, temporary, path, err);
	}
	free(temporary);
	return status;
}

static enum status copy_bytes(int from_fd, int to_fd, const char *from, const char *to,
			      struct error *err)
{
	char *bytes = xmalloc(CHUNK_BYTES);
	enum status status = STATUS_OK;
	for (uint64_t offset = 0; status == STATUS_OK;) {
		ssize_t got = read_some(from_fd, bytes, CHUNK_BYTES);
		if (got == 0)
			break;
		if (got < 0)
			status = system_error(err, from, "cannot read");
		else
			status = file_write_at(to_fd, bytes, (size_t)got, offset, to, err);
		offset += (uint64_t)got;
	}
	free(bytes);
	return status;
}

enum status file_copy(const char *from, const char *to, struct error *err)
{
	uint64_t size;
	int from_fd = file_open(from, &size, err);
	if (from_fd < 0)
		return STATUS_BAD_INPUT;
	char *temporary = xasprintf("%s.tmp", to);
	enum status status = STATUS_BAD_INPUT;
	int to_fd = open_temporary(temporary, err);
	if (to_fd >= 0) {
		status = copy_bytes(from_fd, to_fd, from, temporary, err);
		status = publish(status, to_fd, temporary, to, err);
	}
	close(from_fd);
	free(temporary);
	return status;
}

static enum status make_dir(const char *path, char **made, struct error *err)
{
	if (mkdir(path, 0777) == 0) {
		if (!*made)
			*made = xstrdup(path);
		return STATUS_OK;
	}
	int reason = errno;
	if (file_is_dir(path))
		return STATUS_OK;
	errno = reason == EEXIST ? ENOTDIR : reason;
	return system_error(err, path, "cannot create the directory");
}

enum status file_make_new_dirs(const char *path, char **made, struct error *err)
{
	char *part = xstrdup(path);
	enum status status = STATUS_OK;
	*made = NULL;
	for (char *end = part; status == STATUS_OK && *end;) {
		end += strspn(end, "/");
		end += strcspn(end, "/");
		char kept = *end;
		*end = '\0';
		status = make_dir(part, made, err);
		*end = kept;
	}
	free(part);
	return status;
}

enum status file_make_dirs(const char *path, struct error *err)
{
	char *made;
	enum status status = file_make_new_dirs(path, &made, err);
	free(made);
	return status;
}

void file_remove_new_dirs(const char *path, const char *made)
{
	size_t least = made ? strlen(made) : SIZE_MAX;
	char *part = xstrdup(path);
	for (size_t n = strlen(part); n > 0 && n >= least; n--)
		if (part[n] == '/' || !part[n]) {
			part[n] = '\0';
			rmdir(part); /* what is not there or not empty stays */
		}
	free(part);
}

enum status file_remove_tree(const char *path, struct error *err)
{
	struct stat info;
	if (lstat(path, &info) != 0)
		return errno == ENOENT ? STATUS_OK : system_error(err, path, "cannot remove");
	if (!S_ISDIR(info.st_mode)) {
		if (unlink(path) != 0 && errno != ENOENT)
			return system_error(err, path, "cannot remove");
		return STATUS_OK;
	}
	char **names;
	size_t n;
	enum status status = file_list(path, &names, &n, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < n; i++) {
		char *child = path_join(path, names[i]);
		if (status == STATUS_OK)
			status = file_remove_tree(child, err);
		free(child);
		free(names[i]);
	}
	free(names);
	if (status == STATUS_OK && rmdir(path) != 0 && errno != ENOENT)
		status = system_error(err, path, "cannot remove");
	return status;
}

bool file_exists(const char *path)
{
	struct stat info;
	return lstat(path, &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

bool file_is_same(const char *path, const char *other)
{
	struct stat a, b;
	return stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

bool file_is_dir(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *path_join(const char *dir, const char *name)
{
	size_t length = strlen(dir);
	bool needs_slash = length > 0 && dir[length - 1] != '/';
	return xasprintf("%s%s%s", dir, needs_slash ? "/" : "", name);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status file_list(const char *dir, char ***names, size_t *n, struct error *err)
{
	*names = NULL;
	*n = 0;
	DIR *stream = opendir(dir);
	if (!stream)
		return system_error(err, dir, "cannot list");
	size_t capacity = 0;
	struct dirent *entry;
	while (errno = 0, (entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (*n == capacity) {
			capacity = capacity ? 2 * capacity : 16;
			*names = xrealloc(*names, capacity, sizeof **names);
		}
		(*names)[(*n)++] = xstrdup(entry->d_name);
	}
	enum status status = errno ? system_error(err, dir, "cannot list") : STATUS_OK;
	closedir(stream);
	if (status != STATUS_OK) {
		for (size_t i = 0; i < *n; i++)
			free((*names)[i]);
		free(*names);
		*names = NULL;
		*n = 0;
	} else if (*n > 0) {
		qsort(*names, *n, sizeof **names, compare_names);
	}
	return status;
}
