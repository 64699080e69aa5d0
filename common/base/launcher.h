/* What a launcher (mpirun, srun --mpi=pmix) tells the processes that it starts, in their
 * environment: known before MPI starts. */
#pragma once

#include <stdbool.h>

/* This process's rank as text; NULL if no launcher started it. */
const char *launcher_rank(void);
/* False for a rank other than 0: what all ranks would print alike, the first one prints. */
bool launcher_is_first(void);
