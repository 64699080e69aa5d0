/* See scratch.h. */
#include "common/base/scratch.h"

#include <stdlib.h>

#include "common/base/die.h"

void *scratch_get(struct scratch *scratch, size_t bytes)
{
	if (bytes > scratch->bytes || !scratch->memory) {
		free(scratch->memory);
		scratch->memory = xmalloc(bytes);
		scratch->bytes = bytes;
	}
	return scratch->memory;
}

void scratch_release(struct scratch *scratch)
{
	free(scratch->memory);
	*scratch = (struct scratch){0};
}
