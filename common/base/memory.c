/* Memory of the node.  Control groups of version 2 are unified under one mount; of
 * version 1 the memory controller has its own.  Inside a container its own group looks
 * like the root of them. */
#include "common/base/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

size_t memory_of_node(void)
{
	static const char *const groups[] = {"/sys/fs/cgroup/memory.max",
					     "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	size_t bytes = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;

	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		size_t limit = read_limit(groups[i]);
		bytes = limit < bytes ? limit : bytes;
	}
	return bytes;
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

/* What a control group has left: its limit less what it uses, of which files that are
 * merely cached do not count. */
static size_t group_left(void)
{
	size_t limit = read_limit("/sys/fs/cgroup/memory.max");
	size_t used = read_limit("/sys/fs/cgroup/memory.current");

	if (limit == SIZE_MAX || used == SIZE_MAX)
		return SIZE_MAX;
	used -= at_most(used, read_named("/sys/fs/cgroup/memory.stat", "inactive_file", 1, 0));
	return limit - at_most(limit, used);
}

size_t memory_available(void)
{
	return at_most(at_most(read_named("/proc/meminfo", "MemAvailable", 1024, SIZE_MAX), group_left()),
		       memory_of_node());
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
