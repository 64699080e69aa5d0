/* Named points where a test may kill this process:
 *     RLHF_FAULT=kill:POINT:HIT     SIGKILL at the HIT-th pass (1 = the first)
 * A point costs one comparison when the variable is not set. */
#pragma once

void fault_point(const char *name);
