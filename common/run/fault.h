/* Named points where a test may kill this process:
 *     RLHF_FAULT=kill:POINT:HIT     SIGKILL at the HIT-th pass (1 = the first)
 *     RLHF_FAULT_RANK=N             only in the process that has MPI rank N
 * Passes are counted in each process for itself.  A point costs one comparison
 * when the variable is not set.  One thread at a time. */
#pragma once

void fault_point(const char *name);
