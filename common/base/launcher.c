/* Open MPI's mpirun tells its processes their place in OMPI_*, a PMIx server (srun
 * --mpi=pmix) in PMIX_*, other mpirun's in PMI_*.  Slurm's own SLURM_PROCID says nothing: a
 * batch script, and a shell that srun has started, have it as well. */
#include "common/base/launcher.h"

#include <stdlib.h>
#include <string.h>

const char *launcher_rank(void)
{
	static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
	const char *rank = NULL;

	for (size_t i = 0; i < sizeof names / sizeof *names && !rank; i++)
		rank = getenv(names[i]);
	return rank;
}

bool launcher_is_first(void)
{
	const char *rank = launcher_rank();

	return !rank || strcmp(rank, "0") == 0;
}
