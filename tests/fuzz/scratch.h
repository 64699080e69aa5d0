/* A directory for fuzz targets whose input is one file among others. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"

static char scratch_root[] = "/tmp/rlhf-fuzz-XXXXXX";

static inline void scratch_remove(void)
{
	struct error err;

	file_remove_tree(scratch_root, &err);
}

/* Makes it at first, to be removed at exit, and a directory of that name in it; the caller
 * frees its path. */
static inline char *scratch_make(const char *name)
{
	static bool is_made;
	char *path;
	struct error err;

	if (!is_made && !mkdtemp(scratch_root))
		die("%s cannot be made", scratch_root);
	if (!is_made)
		atexit(scratch_remove);
	is_made = true;
	path = path_join(scratch_root, name);
	if (file_make_dirs(path, &err) != STATUS_OK)
		die("%s", err.text);
	return path;
}

/* Not synced: thousands of inputs are written. */
static inline void scratch_write(const char *dir, const char *name, const void *bytes, size_t n)
{
	char *path = path_join(dir, name);
	struct error err;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || file_write_at(fd, bytes, n, 0, path, &err) != STATUS_OK)
		die("%s cannot be written", path);
	close(fd);
	free(path);
}
