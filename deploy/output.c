/* See output.h. */
#include "deploy/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum status output_flush(struct error *err)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return STATUS_OK;
	clearerr(stdout);
	return error_set(err, STATUS_BAD_INPUT, "standard output: cannot write%s%s",
			 errno ? ": " : "", errno ? strerror(errno) : "");
}
