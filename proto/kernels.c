/* Agreement on the kernels' level; see kernels.h. */
#include "proto/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"

enum status kernels_agree(struct comm *comm, const char *wanted, enum isa *isa, struct error *err)
{
	int n = comm_size(comm), mine = (int)isa_best(), lowest = mine;
	int *all = xcalloc((size_t)n, sizeof *all);
	enum isa forced;

	comm_allgather(comm, &mine, sizeof mine, all);
	for (int r = 0; r < n; r++)
		if (all[r] < lowest)
			lowest = all[r];
	free(all);
	*isa = (enum isa)lowest;
	if (strcmp(wanted, "auto") == 0)
		return STATUS_OK;
	if (!isa_parse(wanted, &forced))
		return error_set(err, STATUS_BAD_INPUT,
				 "isa is \"%s\", expected auto, portable, avx2 or avx512", wanted);
	if ((int)forced > lowest)
		return error_set(err, STATUS_BAD_INPUT,
				 "isa is %s, but the CPUs of this job have %s at most", wanted,
				 isa_name((enum isa)lowest));
	*isa = forced;
	return STATUS_OK;
}
