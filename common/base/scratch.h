/* Memory for one thing after another, as large as the largest so far: pages that were
 * touched before are faster than new ones, which the system has to clear.
 *
 *     struct scratch scratch = {0};
 *     float *values = scratch_get(&scratch, n * sizeof *values); */
#pragma once

#include <stddef.h>

struct scratch {
	void *memory; /* [bytes], owned */
	size_t bytes;
};

/* At least so many bytes, of any content; what was got before is lost. */
void *scratch_get(struct scratch *scratch, size_t bytes);
void scratch_release(struct scratch *scratch);
