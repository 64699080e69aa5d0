/* Named points where a test may do harm to this process:
 *     RLHF_FAULT=kill:POINT:HIT     SIGKILL at the HIT-th pass (1 = the first)
 *     RLHF_FAULT=stop:POINT:HIT     SIGSTOP at the HIT-th pass
 *     RLHF_FAULT=nan:POINT:HIT      a number becomes NaN at the HIT-th pass
 *     RLHF_FAULT=omit:PART          a part of a checkpoint is not read, or of the state not kept,
 *                                   or a check is not made
 *     RLHF_FAULT=A,B,...            several of these
 *     RLHF_FAULT_RANK=N             only in the process that has MPI rank N
 * Passes are counted in each process for itself.  A point costs one comparison
 * when the variable is not set.  One thread at a time. */
#pragma once

#include <stdbool.h>

void fault_point(const char *name);	/* may not return, or not soon */
bool fault_nan(const char *name);	/* whether the number is to become NaN now */
bool fault_omits(const char *part);	/* whether the part is to be left out */
