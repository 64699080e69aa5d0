/* Version and build.
 *
 * The build id is a hash of the running executable itself, computed when it is
 * first asked for: the same binary has the same id on every rank, and a change
 * of sources, compiler or flags changes it.  No time or host is built in. */
#include "common/run/build_info.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/file.h"
#include "common/base/hash.h"

const char *build_version(void)
{
	return "0.1.0";
}

const char *build_id(void)
{
	static char id[17];
	struct file_map map;

	if (id[0])
		return id;
	if (file_map(&map, "/proc/self/exe", NULL) != STATUS_OK)
		return "unknown";
	snprintf(id, sizeof id, "%016" PRIx64, hash64(map.data, map.size));
	file_unmap(&map);
	return id;
}
