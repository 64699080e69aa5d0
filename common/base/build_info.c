/* Version and build.
 *
 * The build id is a hash of the running executable itself, computed when it is
 * first asked for: the same binary has the same id on every rank, and a change
 * of sources, compiler or flags changes it.  No time or host is built in. */
#include "common/base/build_info.h"

#include <stdint.h>
#include <stdio.h>

#include "common/base/file.h"

const char *build_version(void)
{
	return "0.1.0";
}

const char *build_id(void)
{
	static char id[17];
	char sha256[65];
	uint64_t bytes;

	if (id[0])
		return id;
	if (file_sha256("/proc/self/exe", &bytes, sha256, NULL) != STATUS_OK)
		return "unknown";
	snprintf(id, sizeof id, "%.16s", sha256);
	return id;
}
