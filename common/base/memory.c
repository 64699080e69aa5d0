/* Memory of the node.  Control groups of version 2 are unified under one mount; of
 * version 1 the memory controller has its own.  Inside a container its own group looks
 * like the root of them. */
#include "common/base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

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
