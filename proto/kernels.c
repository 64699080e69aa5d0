/* Agreement on the kernels' level; see kernels.h. */
#include "proto/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "common/ops/gemm.h"

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

void kernels_share_library(struct comm *comm)
{
	char mine[200] = "", (*all)[sizeof mine];
	bool is_one = true;

	snprintf(mine, sizeof mine, "%s", gemm_library());
	all = xcalloc((size_t)comm_size(comm), sizeof *all);
	comm_allgather(comm, mine, sizeof mine, all);
	for (int r = 1; r < comm_size(comm) && is_one; r++)
		is_one = strcmp(all[r], all[0]) == 0;
	free(all);
	if (is_one)
		return;
	if (comm_is_lead(comm))
		log_info("the ranks have not all the same OpenBLAS, or kernels of it: it is not "
			 "used");
	gemm_use_library(false);
}
