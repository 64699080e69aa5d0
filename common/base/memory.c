/* Memory of the node.  A process is in a control group, whose limit holds with those of all
 * groups around it.  Groups of version 2 are unified under one mount; of version 1 the memory
 * controller has its own.  Inside a container its own group looks like the root of them, and
 * the path that /proc tells may lead nowhere. */
#include "common/base/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"

static size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

/* The number in a file, or SIZE_MAX. */
static size_t read_limit(const char *path)
{
	unsigned long long value;
	FILE *file = fopen(path, "re");
	size_t limit = SIZE_MAX;

	if (!file)
		return SIZE_MAX;
	if (fscanf(file, "%llu", &value) == 1)
		limit = (size_t)value;
	fclose(file);
	return limit;
}

/* The number behind a name in a file, times unit; `missing` where there is none. */
static size_t read_named(const char *path, const char *name, size_t unit, size_t missing)
{
	FILE *file = fopen(path, "re");
	unsigned long long value;
	char line[128];
	bool is_found = false;

	while (file && !is_found && fgets(line, sizeof line, file))
		is_found = strncmp(line, name, strlen(name)) == 0 &&
			   sscanf(line + strlen(name), "%*[: ]%llu", &value) == 1;
	if (file)
		fclose(file);
	return is_found ? (size_t)value * unit : missing;
}

/* --- control groups --- */

static const struct controller {
	const char *name, *mount; /* name: as in /proc/self/cgroup */
	const char *limit, *used, *idle;
} CONTROLLERS[] = {
	{"", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"},
	{"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
	 "total_inactive_file"},
};

/* Whether a list of names, with commas between them, has a name; "" has only "". */
static bool has_name(const char *list, size_t n, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list;;) {
		const char *comma = memchr(at, ',', (size_t)(list + n - at));
		const char *end = comma ? comma : list + n;
		if ((size_t)(end - at) == length && memcmp(at, name, length) == 0)
			return true;
		if (!comma)
			return false;
		at = comma + 1;
	}
}

/* This process's group of a controller, "" where it is the root or not told.  A line is
 * number:controllers:path.  root: of the file system.  The caller frees it. */
static char *group_path(const char *root, const struct controller *controller)
{
	char *name = xasprintf("%s/proc/self/cgroup", root), *line = NULL, *path = NULL;
	FILE *file = fopen(name, "re");
	size_t size = 0;

	while (file && !path && getline(&line, &size, file) > 0) {
		const char *list = strchr(line, ':');
		const char *end = list ? strchr(list + 1, ':') : NULL;
		line[strcspn(line, "\n")] = '\0';
		if (end && has_name(list + 1, (size_t)(end - list - 1), controller->name) &&
		    !strstr(end, ".."))
			path = xstrdup(end + 1);
	}
	if (file)
		fclose(file);
	free(line);
	free(name);
	return path ? path : xstrdup("");
}

static size_t read_in(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	size_t value = read_limit(path);

	free(path);
	return value;
}

static size_t group_limit(const char *dir, const struct controller *controller)
{
	return read_in(dir, controller->limit);
}

/* What a group has left: its limit less what it uses, of which files that are merely cached do
 * not count. */
static size_t group_left(const char *dir, const struct controller *controller)
{
	size_t limit = read_in(dir, controller->limit), used = read_in(dir, controller->used);
	char *stat = xasprintf("%s/memory.stat", dir);

	if (limit == SIZE_MAX || used == SIZE_MAX)
		limit = SIZE_MAX;
	else
		limit -= at_most(limit,
				 used - at_most(used, read_named(stat, controller->idle, 1, 0)));
	free(stat);
	return limit;
}

/* The least of a measure over this process's groups and all around them. */
static size_t least_of_groups(const char *root,
			      size_t (*measure)(const char *dir, const struct controller *))
{
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < sizeof CONTROLLERS / sizeof *CONTROLLERS; i++) {
		char *path = group_path(root, &CONTROLLERS[i]);
		for (char *end = path + strlen(path); end; end = strrchr(path, '/')) {
			char *dir;
			*end = '\0';
			dir = xasprintf("%s%s%s", root, CONTROLLERS[i].mount, path);
			least = at_most(least, measure(dir, &CONTROLLERS[i]));
			free(dir);
		}
		free(path);
	}
	return least;
}

/* --- the node --- */

size_t memory_of_node(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	size_t bytes = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;

	return at_most(bytes, least_of_groups("", group_limit));
}

size_t memory_available(void)
{
	size_t free_bytes = read_named("/proc/meminfo", "MemAvailable", 1024, SIZE_MAX);

	return at_most(at_most(free_bytes, least_of_groups("", group_left)), memory_of_node());
}

size_t memory_in_use(void)
{
	size_t resident = read_named("/proc/self/status", "VmRSS", 1024, 0);

	return resident - at_most(resident, mallinfo2().fordblks);
}

void memory_give_large_back(void)
{
	mallopt(M_MMAP_MAX, 1 << 16);
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
}
