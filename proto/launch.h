/* --ranks N: starting mpirun on this machine with what a laptop needs. */
#pragma once

#include <stdbool.h>

/* True if a launcher (mpirun, srun --mpi=pmix) started this process. */
bool launch_is_launched(void);
/* Replaces the process by "mpirun -n N ... argv without --ranks", allowing more
 * ranks than cores and root in a container, and prints the command that it runs.
 * Returns only on failure. */
void launch_mpirun(int n_ranks, int argc, char **argv);
